//! `bench-controllers`: see [`headroom_e2e::bench_controllers`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    headroom_e2e::bench_controllers::main(headroom_e2e::bench_controllers::Arguments::parse()).await
}
