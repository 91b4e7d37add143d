//! The scheduler's binary: the in-tree plugins.

use std::process::ExitCode;

fn main() -> ExitCode {
    headroom_scheduler::run(headroom_engine::Registry::in_tree(), std::env::args_os())
}
