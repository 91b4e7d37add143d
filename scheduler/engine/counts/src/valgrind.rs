//! Instructions that a process executes, counted by valgrind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::CountError;
use crate::loops::Loop;

/// How much of the output is shown when it is not understood, in lines.
const TAIL: usize = 8;

/// An installed valgrind.
#[derive(Debug, Clone)]
pub struct Valgrind(PathBuf);

impl Valgrind {
    /// Looks for it in `PATH`.
    ///
    /// # Errors
    /// [`CountError::NoValgrind`].
    pub fn find() -> Result<Self, CountError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|dir| dir.join("valgrind")).find(|file| file.is_file());
        found.map(Self).ok_or(CountError::NoValgrind)
    }

    /// Instructions per turn of a loop, rounded down. `executable` is the program `counts`.
    ///
    /// # Errors
    /// [`CountError`]: it could not be started, failed, or said nothing.
    pub fn per_turn(&self, executable: &Path, one: &'static Loop) -> Result<u64, CountError> {
        let few = self.instructions(executable, one, one.turns)?;
        let many = self.instructions(executable, one, one.turns.saturating_mul(2))?;
        Ok(many.saturating_sub(few) / (one.turns as u64).max(1))
    }

    /// Instructions of a whole run.
    fn instructions(&self, executable: &Path, one: &'static Loop, turns: usize) -> Result<u64, CountError> {
        // Hash tables are seeded with addresses on the stack, and these depend on environment and arguments: both are
        // of the same length in every run. valgrind itself places everything at fixed addresses.
        let dir = executable.parent().unwrap_or(Path::new("."));
        let name = executable.file_name().unwrap_or_default();
        let output = Command::new(&self.0)
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(Path::new(".").join(name))
            .args(["run", one.name, &format!("{turns:08}")])
            .current_dir(dir)
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .map_err(CountError::io("start", &self.0))?;
        let text = String::from_utf8_lossy(&output.stderr);
        match collected(&text) {
            Some(count) if output.status.success() => Ok(count),
            _ => {
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(TAIL)..].join(" | ");
                Err(CountError::Failed { name: one.name, status: output.status.to_string(), tail })
            }
        }
    }
}

/// The number in callgrind's line `==17== Collected : 126637`.
fn collected(text: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once("Collected :")?;
        rest.split_whitespace().next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_off_callgrinds_last_words() {
        let text = "==1== Callgrind, a call-graph generating cache profiler\n==1== \n==1== Events    : Ir\n\
                    ==1== Collected : 126637\n==1== \n==1== I   refs:      126,637\n";
        assert_eq!(collected(text), Some(126_637));
        assert_eq!(collected("valgrind: ./counts: No such file or directory"), None);
    }
}
