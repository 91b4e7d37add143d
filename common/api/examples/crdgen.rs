//! Writes the chart's CustomResourceDefinitions: `cargo run --release -p headroom-api --example crdgen [FILE]`.

use std::{error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(headroom_api::CRDS_FILE),
        PathBuf::from,
    );
    std::fs::write(file, headroom_api::crds_yaml()?)?;
    Ok(())
}
