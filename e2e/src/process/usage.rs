//! Memory and CPU time of a process, from `/proc`.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{HarnessError, Result};

/// Resident set size and its peak (`VmRSS` and `VmHWM` of `/proc/<pid>/status`), in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident now, bytes.
    pub rss: u64,
    /// Highest so far, bytes.
    pub peak_rss: u64,
}

/// Reads the memory of a process.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let text = read(pid, "status")?;
    Ok(Memory { rss: field_kib(&text, "VmRSS:"), peak_rss: field_kib(&text, "VmHWM:") })
}

/// Reads user plus system CPU time of a process, all threads, those that ended included. Resolution: one clock tick,
/// usually 10 ms.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    Ok(cpu_of(&read(pid, "stat")?, rustix::param::clock_ticks_per_second()))
}

/// Starts a new measurement of the peak (writes 5 to `clear_refs`).
pub(crate) fn reset_peak(pid: u32) -> Result<()> {
    let path = PathBuf::from(format!("/proc/{pid}/clear_refs"));
    std::fs::write(&path, "5").map_err(HarnessError::io("write", path))
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    std::fs::read_to_string(&path).map_err(HarnessError::io("read", path))
}

fn field_kib(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        .saturating_mul(1024)
}

/// Fields 14 and 15 (utime, stime) of a `stat` line; the second field may hold blanks and parentheses, so counting
/// starts after the last closing one.
fn cpu_of(stat: &str, ticks_per_second: u64) -> Duration {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let millis = ticks.saturating_mul(1000).checked_div(ticks_per_second).unwrap_or(0);
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_has_memory() {
        let got = memory(std::process::id()).unwrap();
        assert!(got.rss > 0 && got.peak_rss >= got.rss, "{got:?}");
        cpu(std::process::id()).unwrap();
    }

    #[test]
    fn cpu_time_is_read_behind_a_hostile_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 10 0 0";
        assert_eq!(cpu_of(stat, 100), Duration::from_secs(2));
        assert_eq!(cpu_of("", 0), Duration::ZERO);
    }
}
