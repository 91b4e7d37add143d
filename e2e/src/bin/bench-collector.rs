//! `bench-collector`: see [`headroom_e2e::bench_collector`].

use std::process::ExitCode;

use headroom_e2e::{arguments, bench_collector};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) => bench_collector::main(arguments).await,
        Err(status) => status,
    }
}
