//! Where it was measured, and with what.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
}

impl Machine {
    /// The line of a page.
    pub(crate) fn line(&self) -> String {
        let Self { cpu, cores, memory_mib, kernel } = self;
        format!("- Machine: {cpu}, {cores} cores, {memory_mib} MiB memory, Linux {kernel}; everything runs on it\n")
    }

    /// Reads `/proc`.
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = field(&meminfo, "MemTotal").and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
        Self {
            cpu: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_mib: kib.unwrap_or(0) / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

/// The value behind `name:` in a file of `/proc`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The first line that a program prints for a flag such as `--version`.
pub(crate) fn first_line(program: &Path, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| output.status.success() && !line.is_empty())
}

/// The commit of the checkout in the working directory, `-dirty` when something is changed.
pub(crate) fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The lines of a page that say when, where and with what it was measured.
#[must_use]
pub fn provenance() -> String {
    let date = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let headroom = commit().unwrap_or_else(|| "unknown".to_owned());
    format!("- Date: {date}\n{}- Headroom at {headroom}\n", Machine::read().line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let machine = Machine::read();
        assert!(machine.cores > 0 && machine.memory_mib > 0 && !machine.kernel.is_empty(), "{machine:?}");
        assert_eq!(field("model name\t: Some CPU\nx: y", "model name"), Some("Some CPU"));
    }

    #[test]
    fn a_missing_program_has_no_version() {
        assert_eq!(first_line(Path::new("/nonexistent/program"), "--version"), None);
    }
}
