//! A guardian ends our children when this process is gone, however it went.
//!
//! `Drop` covers ordinary ends and panics, but not Ctrl-C, SIGTERM, SIGKILL or an abort. So every control plane and
//! every build has a small shell whose standard input is a pipe that only this process holds open: when this process
//! dies, the kernel closes the pipe, the shell's `read` ends, and it kills its own process group. All children are
//! put into that group at their start (`setpgid` between fork and exec), so that there is no moment without
//! protection and no pid can be mistaken. The group is not the terminal's foreground group: Ctrl-C reaches only this
//! process, which then ends everything in order.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{HarnessError, Result};

/// Waits for the end of its input, removes `$1` (data worth nothing without its owner) and kills its process group.
const SCRIPT: &str = r#"trap '' HUP INT TERM
while read -r _; do :; done
[ -n "$1" ] && rm -rf -- "$1"
kill -s KILL 0"#;

/// The guardian of a process group. Dropping it kills the group.
#[derive(Debug)]
pub(crate) struct Guardian {
    shell: Mutex<Child>,
    group: i32,
}

impl Guardian {
    /// Starts a guardian that removes `data` when it has to act because this process vanished.
    pub(crate) fn start(data: Option<&Path>) -> Result<Self> {
        let shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("guardian")
            .arg(data.unwrap_or_else(|| Path::new("")))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|source| HarnessError::Spawn { name: "guardian".to_owned(), program: "/bin/sh".into(), source })?;
        let group = i32::try_from(shell.id()).unwrap_or(i32::MAX);
        Ok(Self { shell: Mutex::new(shell), group })
    }

    /// Makes `command` start inside the guarded group.
    pub(crate) fn guard(&self, command: &mut Command) {
        command.process_group(self.group);
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.group) {
            // The shell has not been waited for yet, so the number cannot have been given to somebody else.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = shell.wait();
    }
}
