//! `bench-budgets`: see [`headroom_e2e::bench_budgets`].

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    headroom_e2e::bench_budgets::main(headroom_e2e::bench_budgets::Arguments::parse()).await
}
