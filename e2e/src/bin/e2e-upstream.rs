//! `e2e-upstream`: see [`headroom_e2e::upstream`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    headroom_e2e::upstream::main(headroom_e2e::upstream::Arguments::parse()).await
}
