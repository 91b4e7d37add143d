//! The scheduler's binary: the in-tree plugins.

use std::process::ExitCode;

/// musl's own allocator takes a third more CPU time for what a watch brings.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    headroom_scheduler::run(headroom_engine::Registry::in_tree(), std::env::args_os())
}
