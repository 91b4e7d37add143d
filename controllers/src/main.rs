//! The controllers' binary.

use std::process::ExitCode;

/// musl's own allocator takes a third more CPU time for what a watch brings.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    headroom_controllers::app::main(std::env::args_os())
}
