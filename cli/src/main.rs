//! `kubectl headroom`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_headroom::run(headroom_engine::Registry::in_tree, std::env::args_os())
}
