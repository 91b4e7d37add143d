//! `bench-memory`: see [`headroom_e2e::bench_memory`].

use std::process::ExitCode;

use headroom_e2e::{arguments, bench_memory};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) => bench_memory::main(arguments).await,
        Err(status) => status,
    }
}
