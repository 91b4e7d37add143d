//! `bench-budgets`: see [`headroom_e2e::bench_budgets`].

use std::process::ExitCode;

use headroom_e2e::{arguments, bench_budgets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) => bench_budgets::main(arguments).await,
        Err(status) => status,
    }
}
