//! `soak`: see [`headroom_e2e::soak`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    headroom_e2e::soak::main(headroom_e2e::soak::Arguments::parse()).await
}
