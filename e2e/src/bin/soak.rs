//! `soak`: see [`headroom_e2e::soak`].

use std::process::ExitCode;

use headroom_e2e::{arguments, soak};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) => soak::main(arguments).await,
        Err(status) => status,
    }
}
