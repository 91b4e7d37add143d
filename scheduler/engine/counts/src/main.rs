//! `counts`: see [`headroom_counts`].

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use headroom_counts::{Baseline, CountError, LOOPS, count_all, table};

/// The allocator of the processes as they are shipped. What is counted does not hang on the machine's C library.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Exit status when a loop does not cost what it did.
const CHANGED: u8 = 2;

/// Counts the instructions of the hot loops under valgrind.
#[derive(Debug, Parser)]
#[command(
    name = "counts",
    after_help = "Exit status: 0, 2 when a loop changed by more than 5 %, 1 when nothing was counted."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare with the baseline
    Check,
    /// Write the baseline anew
    Record,
    /// Show the loops
    List,
    /// Run one loop, to look at it with a profiler
    Run {
        /// Its name
        name: String,
        /// How many turns
        turns: usize,
    },
}

fn main() -> ExitCode {
    match execute(&Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(CHANGED),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "counts: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: &Command) -> Result<bool, CountError> {
    let mut out = std::io::stdout();
    match command {
        Command::Run { name, turns } => {
            let one = LOOPS.iter().find(|one| one.name == name);
            one.ok_or_else(|| CountError::NoLoop { name: name.clone() })?.run(*turns);
        }
        Command::List => {
            for one in &LOOPS {
                let _ = writeln!(out, "{:<28} {}", one.name, one.turn);
            }
        }
        Command::Check => {
            let before = Baseline::read()?;
            let (text, right) = table(&before.instructions_per_turn, &count_all(&executable()?)?);
            let _ = write!(out, "{text}");
            return Ok(right);
        }
        Command::Record => {
            let before = Baseline::read().map(|baseline| baseline.instructions_per_turn).unwrap_or_default();
            let now = Baseline::new(count_all(&executable()?)?);
            let _ = write!(out, "{}", table(&before, &now.instructions_per_turn).0);
            let path = now.write()?;
            let _ = writeln!(std::io::stderr(), "counts: the baseline is in {}", path.display());
        }
    }
    Ok(true)
}

fn executable() -> Result<std::path::PathBuf, CountError> {
    std::env::current_exe().map_err(|source| CountError::Io {
        action: "find",
        path: "the running executable".into(),
        source,
    })
}
