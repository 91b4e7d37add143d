//! `process_*` from `/proc`, as Prometheus' own client libraries have them.

use prometheus::{
    Counter, Gauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// Reads `/proc/self` whenever metrics are collected.
#[derive(Debug)]
pub struct ProcessCollector {
    cpu: Counter,
    resident: Gauge,
    virtual_size: Gauge,
    started: Gauge,
    files: Gauge,
}

impl ProcessCollector {
    /// A collector, to be registered.
    ///
    /// # Errors
    /// Never in practice: the names are valid.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            cpu: Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")?,
            resident: Gauge::new("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            virtual_size: Gauge::new("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            started: Gauge::new(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )?,
            files: Gauge::new("process_open_fds", "Number of open file descriptors.")?,
        })
    }

    fn refresh(&self) {
        let Some(stat) = Stat::read() else { return };
        let more = stat.cpu_seconds - self.cpu.get();
        if more > 0.0 {
            self.cpu.inc_by(more);
        }
        self.resident.set(stat.resident_bytes);
        self.virtual_size.set(stat.virtual_bytes);
        if let Some(boot) = boot_time() {
            self.started.set(boot + stat.started_after_boot);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.files.set(files.count() as f64);
        }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.cpu.desc();
        for gauge in [&self.resident, &self.virtual_size, &self.started, &self.files] {
            all.extend(gauge.desc());
        }
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        let mut all = self.cpu.collect();
        for gauge in [&self.resident, &self.virtual_size, &self.started, &self.files] {
            all.extend(gauge.collect());
        }
        all
    }
}

struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    started_after_boot: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// `proc_pid_stat(5)`; the name in parentheses may hold anything, so counting starts behind the last one.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // The first field here is number 3 of the manual page.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            started_after_boot: field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * rustix::param::page_size() as f64,
        })
    }
}

/// Seconds since the epoch at which the machine came up.
fn boot_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()
}
