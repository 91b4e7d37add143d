//! `bench-controllers`: see [`headroom_e2e::bench_controllers`].

use std::process::ExitCode;

use headroom_e2e::{arguments, bench_controllers};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) => bench_controllers::main(arguments).await,
        Err(status) => status,
    }
}
