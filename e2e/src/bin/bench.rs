//! `bench`: see [`headroom_e2e::bench`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    headroom_e2e::bench::main(headroom_e2e::bench::Arguments::parse()).await
}
