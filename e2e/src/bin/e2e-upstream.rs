//! `e2e-upstream`: see [`headroom_e2e::upstream`].

use std::process::ExitCode;

use headroom_e2e::{arguments, upstream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) => upstream::main(arguments).await,
        Err(status) => status,
    }
}
