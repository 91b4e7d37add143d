//! Child processes that never outlive their owner, with a log file each.

pub(crate) mod guardian;
mod usage;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};

use crate::error::{HarnessError, Result, seconds};
use crate::reserve::Port;
pub use rustix::process::Signal;
pub use usage::Memory;

use guardian::Guardian;

/// How much of a log's end is read for an error message, bytes.
const TAIL_BYTES: u64 = 8 * 1024;

/// How many lines of a log stand in an error message.
const TAIL_LINES: usize = 12;

/// How often a process is asked whether it has ended.
const EXIT_POLL: Duration = Duration::from_millis(10);

/// Variables that must not leak from the caller's environment into the processes: they would send requests to a
/// proxy or to another cluster.
const SCRUBBED: [&str; 7] =
    ["KUBECONFIG", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// A running child process with a log file. It is killed when the handle is dropped, and also when this process dies
/// in whatever way (see the guardian).
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    child: Mutex<Child>,
    log: PathBuf,
    port: Option<Port>,
    // Keeps the process group alive and guarded for as long as the child may run.
    _guardian: Arc<Guardian>,
}

impl Process {
    /// Starts `command` with both outputs appended to the file `log`.
    pub(crate) fn spawn(
        guardian: &Arc<Guardian>,
        name: &str,
        mut command: Command,
        log: PathBuf,
        port: Option<Port>,
    ) -> Result<Self> {
        let out = OpenOptions::new().create(true).append(true).open(&log).map_err(HarnessError::io("open", &log))?;
        let err = out.try_clone().map_err(HarnessError::io("open", &log))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        for variable in SCRUBBED {
            command.env_remove(variable);
        }
        guardian.guard(&mut command);
        let child = command.spawn().map_err(|source| HarnessError::Spawn {
            name: name.to_owned(),
            program: PathBuf::from(command.get_program()),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            pid: child.id(),
            child: Mutex::new(child),
            log,
            port,
            _guardian: Arc::clone(guardian),
        })
    }

    /// The name given at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id; still the former one after the end.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The log file: standard output and standard error together.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The port on 127.0.0.1 that was reserved for this process, if one was.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port.as_ref().map(Port::number)
    }

    /// The whole log as text (bytes that are not UTF-8 are replaced); empty when it cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// The exit status when the process has ended.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.lock().try_wait().ok().flatten()
    }

    /// Whether the process still runs (or is stopped by a signal).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.exit_status().is_none()
    }

    /// Sends a signal, for example [`Signal::STOP`] (and waits until the process has stopped), [`Signal::CONT`] or
    /// [`Signal::TERM`].
    ///
    /// # Errors
    /// [`HarnessError::Gone`] when the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // The lock keeps the child from being reaped in between, so the pid cannot belong to somebody else.
        let mut child = self.lock();
        let gone = || HarnessError::Gone { name: self.name.clone(), pid: self.pid };
        if !matches!(child.try_wait(), Ok(None)) {
            return Err(gone());
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        kill_process(pid, signal).map_err(|_| gone())?;
        if signal == Signal::STOP {
            // One of its threads may still be answering somebody: it has stopped when the kernel says so.
            let end = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            retry_on_intr(|| waitid(WaitId::Pid(pid), end)).map_err(|_| gone())?;
        }
        Ok(())
    }

    /// Kills the process at once (`kill -9`) and waits until it is gone. Nothing happens when it has ended already.
    pub fn kill9(&self) {
        let mut child = self.lock();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// [`HarnessError::StillRunning`] when it runs after `timeout`.
    pub async fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            if start.elapsed() >= timeout {
                return Err(HarnessError::StillRunning {
                    name: self.name.clone(),
                    pid: self.pid,
                    seconds: seconds(timeout),
                    log: self.log.clone(),
                });
            }
            tokio::time::sleep(EXIT_POLL).await;
        }
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// [`HarnessError::StillRunning`] when it runs after `timeout`.
    pub async fn terminate(&self, timeout: Duration) -> Result<ExitStatus> {
        if self.signal(Signal::TERM).is_ok() {
            return self.wait_exit(timeout).await;
        }
        self.wait_exit(Duration::ZERO).await
    }

    /// Fails with the end of the log when the process has ended although it should run.
    ///
    /// # Errors
    /// [`HarnessError::Exited`].
    pub fn expect_running(&self, during: &str) -> Result<()> {
        match self.exit_status() {
            None => Ok(()),
            Some(status) => Err(HarnessError::Exited {
                name: self.name.clone(),
                status,
                during: during.to_owned(),
                log: self.log.clone(),
                tail: self.log_tail(),
            }),
        }
    }

    /// Resident memory now and at its peak.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the process is gone.
    pub fn memory(&self) -> Result<Memory> {
        usage::memory(self.pid)
    }

    /// Resident set size, bytes.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the process is gone.
    pub fn rss(&self) -> Result<u64> {
        Ok(self.memory()?.rss)
    }

    /// Highest resident set size so far, bytes (since [`reset_peak_rss`](Self::reset_peak_rss)).
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the process is gone.
    pub fn peak_rss(&self) -> Result<u64> {
        Ok(self.memory()?.peak_rss)
    }

    /// Starts a new measurement of the peak.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the process is gone or the kernel refuses.
    pub fn reset_peak_rss(&self) -> Result<()> {
        usage::reset_peak(self.pid)
    }

    /// User plus system CPU time so far; resolution one clock tick (usually 10 ms).
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the process is gone.
    pub fn cpu(&self) -> Result<Duration> {
        usage::cpu(self.pid)
    }

    /// Releases the port's reservation to the caller, for a restart at the same port.
    pub(crate) fn take_port(&mut self) -> Option<Port> {
        self.port.take()
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// The last lines of a file, as far as they can be read.
pub(crate) fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
