//! The whole scheduler with one plugin more: everything else (flags, lease, informers, metrics) is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = headroom_engine::Registry::in_tree();
    headroom_plugin_price::register(&mut registry);
    headroom_scheduler::run(registry, std::env::args_os())
}
