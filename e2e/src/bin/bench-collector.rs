//! `bench-collector`: see [`headroom_e2e::bench_collector`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    headroom_e2e::bench_collector::main(headroom_e2e::bench_collector::Arguments::parse()).await
}
