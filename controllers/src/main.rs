//! The controllers' binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    headroom_controllers::app::main(std::env::args_os())
}
