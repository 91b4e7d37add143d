//! `bench`: see [`headroom_e2e::bench`].

use std::process::ExitCode;

use headroom_e2e::{arguments, bench};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) => bench::main(arguments).await,
        Err(status) => status,
    }
}
