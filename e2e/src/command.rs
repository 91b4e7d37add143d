//! What the command lines of the long measurements share: how they are read, where results go, and the exit status.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use crate::bench::BenchError;

/// The command line of this process. What is wrong with it is told in one line; asking for help or the version is no error.
///
/// # Errors
/// The exit status when there is nothing left to do: 1 for a wrong command line, since 2 is an answer of a measurement.
pub fn arguments<P: Parser>() -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| {
        if !error.use_stderr() {
            let _ = write!(std::io::stdout(), "{}", error.render());
            return ExitCode::SUCCESS;
        }
        let _ = writeln!(std::io::stderr(), "{}: error: {}", P::command().get_name(), condensed(&error.to_string()));
        ExitCode::FAILURE
    })
}

/// What clap explains over several lines, in one.
fn condensed(explained: &str) -> String {
    let lines = explained.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let kept: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    format!("{} (see --help)", kept.join("; "))
}

/// Where the results go: the directory that was given, else `usual` when the run is one for the record.
///
/// # Errors
/// The parent of `usual` when it is not there: the command does not run at the top of a checkout.
pub(crate) fn results_directory(
    given: Option<&PathBuf>,
    usual: &str,
    for_the_record: bool,
) -> Result<Option<PathBuf>, PathBuf> {
    match given {
        Some(dir) => Ok(Some(dir.clone())),
        None if !for_the_record => Ok(None),
        None => {
            let dir = PathBuf::from(usual);
            let parent = dir.parent().unwrap_or(Path::new("."));
            if parent.is_dir() { Ok(Some(dir)) } else { Err(parent.to_path_buf()) }
        }
    }
}

/// Writes a report as `STEM.json`, and its page as `STEM.md`.
///
/// # Errors
/// [`BenchError`]: a file cannot be written.
pub(crate) fn write_results(dir: &Path, stem: &str, report: &impl Serialize, page: &str) -> Result<(), BenchError> {
    std::fs::create_dir_all(dir).map_err(BenchError::file("create", dir))?;
    let mut json = serde_json::to_string_pretty(report).map_err(|source| BenchError::Encode { source })?;
    json.push('\n');
    for (end, text) in [("json", json.as_str()), ("md", page)] {
        let path = dir.join(format!("{stem}.{end}"));
        std::fs::write(&path, text).map_err(BenchError::file("write", &path))?;
    }
    Ok(())
}

/// Runs it until it is done, or until Ctrl-C ends everything in order. The exit status is `no` when the answer is, and 1
/// with one line when the run failed.
pub(crate) async fn exit_code<E: Display>(name: &str, no: u8, work: impl Future<Output = Result<bool, E>>) -> ExitCode {
    let answer = tokio::select! {
        answer = work => answer,
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(no),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{name}: error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_flag_is_one_line() {
        let wrong = |args: &[&str]| {
            let error = crate::bench_memory::Arguments::try_parse_from(args).unwrap_err();
            condensed(&error.to_string())
        };
        let line = wrong(&["bench-memory", "--repeat", "0"]);
        assert!(line.starts_with("invalid value '0' for '--repeat <") && line.contains("1..=100"), "{line}");
        for args in [&["x", "--only", "nothing"][..], &["x", "--no-write", "--output", "d"][..], &["x", "--repat"][..]]
        {
            assert!(!wrong(args).contains('\n') && !wrong(args).contains("Usage"), "{}", wrong(args));
        }
    }

    #[test]
    fn results_go_where_they_were_asked_for_or_into_the_checkout() {
        let given = PathBuf::from("/x");
        let absent = "no-such-directory-here/benchmarks";
        assert_eq!(results_directory(Some(&given), absent, false), Ok(Some(given)));
        assert_eq!(results_directory(None, absent, false), Ok(None));
        assert_eq!(results_directory(None, absent, true), Err(PathBuf::from("no-such-directory-here")));
        assert_eq!(results_directory(None, "src/benchmarks", true), Ok(Some(PathBuf::from("src/benchmarks"))));
    }
}
