//! `bench-memory`: see [`headroom_e2e::bench_memory`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    headroom_e2e::bench_memory::main(headroom_e2e::bench_memory::Arguments::parse()).await
}
