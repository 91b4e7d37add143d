//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::figure::{Figure, medians};
use super::page::{Entry, merged, read, table, write};
use super::{Row, cold, latency, memory, progress, samples};
use crate::bench::BenchError;
use crate::bench::measure::mebibytes;
use crate::bench_memory::MemoryBenchError;
use crate::binaries::our_binary;
use crate::command::{exit_code, results_directory};
use crate::error::HarnessError;

/// Where the results go, seen from the top of the checkout.
const OUTPUT: &str = "docs/benchmarks";
/// Exit status when a bar was missed.
const MISSED: u8 = 2;
/// Largest binary, in millions of bytes.
const BINARY_LIMIT: f64 = 12.0;

/// Measures memory, latency, cold start and idle cost in absolute numbers, each beside its bar.
///
/// The table goes to standard output; budgets.json and budgets.md to docs/benchmarks, in which a row stays until it is
/// measured anew.
#[derive(Debug, Parser)]
#[command(name = "bench-budgets", after_help = EXAMPLES)]
pub struct Arguments {
    /// Rows by name or family, comma-separated [default: all]
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    row: Vec<String>,
    /// Show the rows, and measure nothing
    #[arg(long)]
    list: bool,
    /// Rounds; medians are reported
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeat: u32,
    /// Directory for budgets.json and budgets.md
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write no files
    #[arg(long, conflicts_with = "output")]
    no_write: bool,
}

const EXAMPLES: &str = "Examples:
  bench-budgets                                 all rows, about half an hour
  bench-budgets --row latency,memory/5x100      two of them
  bench-budgets --row memory --repeat 3         all sizes, medians of three rounds

Exit status: 0 when every bar was met, 2 when one was missed, 1 when a run failed.";

impl Arguments {
    fn rows(&self) -> Result<Vec<Row>, BenchError> {
        let mut wanted = Vec::new();
        for word in &self.row {
            wanted.extend(Row::find(word)?);
        }
        Ok(Row::ALL.into_iter().filter(|row| self.row.is_empty() || wanted.contains(row)).collect())
    }
}

/// Runs the command line; Ctrl-C ends everything in order.
pub async fn main(arguments: Arguments) -> ExitCode {
    exit_code("bench-budgets", MISSED, execute(&arguments)).await
}

async fn execute(arguments: &Arguments) -> Result<bool, MemoryBenchError> {
    let rows = arguments.rows()?;
    let mut out = std::io::stdout();
    if arguments.list {
        for row in Row::ALL {
            let _ = writeln!(out, "{:<20} {}", row.to_string(), row.title());
        }
        return Ok(true);
    }
    // Told before minutes are spent.
    let output = results_directory(arguments.output.as_ref(), OUTPUT, !arguments.no_write)
        .map_err(|parent| BenchError::NoOutput { parent })?;
    let mut met = true;
    for row in rows {
        let mut rounds = Vec::new();
        for round in 1..=arguments.repeat {
            progress(&format!("{row}, round {round} of {}", arguments.repeat));
            rounds.push(measure(row).await?);
        }
        let entry = Entry::new(row, rounds.len(), medians(&rounds));
        met &= entry.is_met();
        let _ = write!(out, "{}", table(&entry));
        // One by one: an hour's work is not lost when a later one fails.
        if let Some(dir) = &output {
            write(dir, &merged(read(dir)?, entry))?;
        }
    }
    if let Some(dir) = output {
        progress(&format!("the results are in {}", dir.display()));
    }
    Ok(met)
}

async fn measure(row: Row) -> Result<Vec<Figure>, MemoryBenchError> {
    match row {
        Row::Memory(size) => memory::run(size).await,
        Row::Latency => latency::run().await,
        Row::ColdStart => cold::run().await,
        Row::Samples(nodes) => samples::run(nodes).await,
        Row::Binaries => binaries(),
    }
}

fn binaries() -> Result<Vec<Figure>, MemoryBenchError> {
    let mut figures = Vec::new();
    for name in ["headroom-scheduler", "headroom-controllers"] {
        let path = our_binary(name)?;
        let bytes = std::fs::metadata(&path).map_err(HarnessError::io("read", &path))?.len();
        figures.push(Figure::at_most(name, bytes as f64 / 1e6, BINARY_LIMIT, (1, "MB")));
        figures.push(Figure::told(format!("{name}, MiB"), mebibytes(bytes), (1, "MiB")));
    }
    Ok(figures)
}
