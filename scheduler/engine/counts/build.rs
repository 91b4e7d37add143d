//! Tells the crate for which target and by which compiler it is built: counts differ with both.

use std::env;
use std::io::{self, Write};
use std::process::Command;

fn main() -> io::Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(1).unwrap_or("unknown");
    let target = env::var("TARGET").unwrap_or_default();
    let mut out = io::stdout();
    writeln!(out, "cargo::rerun-if-changed=build.rs")?;
    writeln!(out, "cargo::rustc-env=COUNTS_RUSTC={version}")?;
    writeln!(out, "cargo::rustc-env=COUNTS_TARGET={target}")
}
