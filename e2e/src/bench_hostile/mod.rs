//! `bench-hostile`: the page about pods that are as large as an API server lets them be, from what
//! `cargo bench -p headroom-engine --bench hostile` prints.

mod page;
mod read;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::command::results_directory;

pub use read::{Measured, measured};

/// Where the page goes, seen from the top of the checkout.
const OUTPUT: &str = "docs/benchmarks";

/// Writes docs/benchmarks/hostile.md from the output of the bench, which it reads from standard input.
#[derive(Debug, Parser)]
#[command(name = "bench-hostile", after_help = EXAMPLES)]
pub struct Arguments {
    /// Directory for hostile.md
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print the page, and write no file
    #[arg(long, conflicts_with = "output")]
    no_write: bool,
}

const EXAMPLES: &str = "Examples:
  cargo bench -p headroom-engine --bench hostile | bench-hostile
  make bench-hostile                                       the same

Exit status: 0, 1 when the input holds no figures or the page cannot be written.";

/// Runs the command line.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "bench-hostile: error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &Arguments) -> Result<(), String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("cannot read standard input: {error}"))?;
    let found = measured(&text);
    if found.is_empty() {
        return Err("standard input holds no figures: pipe the output of `cargo bench -p headroom-engine --bench \
                    hostile` into it"
            .to_owned());
    }
    let page = page::page(&found);
    let output = results_directory(arguments.output.as_ref(), OUTPUT, !arguments.no_write).map_err(|parent| {
        format!("no directory {}: run it from the top of the checkout, or give --output DIR", parent.display())
    })?;
    let Some(dir) = output else {
        let _ = write!(std::io::stdout(), "{page}");
        return Ok(());
    };
    let path = dir.join("hostile.md");
    std::fs::create_dir_all(&dir)
        .and_then(|()| std::fs::write(&path, page))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let _ = writeln!(std::io::stderr(), "bench-hostile: the page is {}", path.display());
    Ok(())
}
