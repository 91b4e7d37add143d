//! What several control planes on one machine share: ports, loopback networks and processor time.
//!
//! A port or network is reserved by a lock on a file that every harness on this machine knows; the kernel releases
//! the lock when the process dies. So a port stays ours while its server is stopped for a test, and no other test
//! run takes it. Ports lie below the kernel's ephemeral range, where no outgoing connection can take them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{HarnessError, Result};

/// How many control planes one test process runs at once unless `HEADROOM_E2E_PARALLEL` says otherwise: more than
/// this starve each other on two cores.
const DEFAULT_SLOTS: usize = 2;

/// Most control planes at once.
const MAX_SLOTS: usize = 64;

/// Lowest port that is tried.
const FIRST_PORT: u16 = 20_000;

/// One past the highest port that is tried, where the ephemeral range allows it.
const LAST_PORT: u16 = 30_000;

/// Second octets of the loopback networks that are given out (127.0 and the neighbours stay with the machine).
const NETWORKS: std::ops::Range<u16> = 16..240;

/// Spreads the first candidates of several reservations, so that they seldom meet.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A TCP port on 127.0.0.1 that no other harness uses while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Errors
    /// [`HarnessError::Exhausted`] or [`HarnessError::Io`].
    pub fn reserve() -> Result<Self> {
        let end = ephemeral_start().clamp(FIRST_PORT.saturating_add(1000), LAST_PORT);
        let free = |number| TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        let (number, lock) = reserve("port", FIRST_PORT..end, free)?;
        Ok(Self { number, _lock: lock })
    }

    /// The port's number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// A network 127.x.0.0/16 that no other harness uses while this value lives: the addresses of simulated nodes.
#[derive(Debug)]
pub struct LoopbackNet {
    octet: u8,
    _lock: File,
}

impl LoopbackNet {
    /// Reserves a network.
    ///
    /// # Errors
    /// [`HarnessError::Exhausted`] or [`HarnessError::Io`].
    pub fn reserve() -> Result<Self> {
        let (number, lock) = reserve("loopback network", NETWORKS, |_| true)?;
        Ok(Self { octet: u8::try_from(number).unwrap_or(u8::MAX), _lock: lock })
    }

    /// The second octet: the network is `127.<octet>.0.0/16`.
    #[must_use]
    pub fn octet(&self) -> u8 {
        self.octet
    }
}

/// The right to run a number of control planes at once; see [`slots`].
#[derive(Debug, Clone)]
pub struct Slots {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Waits for the right to run `count` control planes at once in this test process.
///
/// `ControlPlane::builder().start()` takes one slot by itself. A test that runs several at once must take them all
/// together before it starts the first (`.within(&slots)`); taking them one by one could wait for ever.
pub async fn slots(count: usize) -> Slots {
    static SEMAPHORE: std::sync::OnceLock<(usize, Arc<Semaphore>)> = std::sync::OnceLock::new();
    let (total, semaphore) = SEMAPHORE.get_or_init(|| {
        let total = std::env::var("HEADROOM_E2E_PARALLEL")
            .ok()
            .and_then(|value| value.parse::<usize>().ok())
            .map_or(DEFAULT_SLOTS, |value| value.clamp(1, MAX_SLOTS));
        (total, Arc::new(Semaphore::new(total)))
    });
    let wanted = u32::try_from(count.min(*total)).unwrap_or(u32::MAX);
    // The semaphore is never closed, so this loop runs once.
    loop {
        if let Ok(permit) = Arc::clone(semaphore).acquire_many_owned(wanted).await {
            return Slots { _permit: Arc::new(permit) };
        }
    }
}

/// Takes the first candidate whose lock is free and that `usable` accepts.
fn reserve(what: &'static str, candidates: std::ops::Range<u16>, usable: impl Fn(u16) -> bool) -> Result<(u16, File)> {
    let dir = lock_dir()?;
    let count = u32::from(candidates.end.saturating_sub(candidates.start)).max(1);
    let offset = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    for step in 0..count {
        let index = offset.wrapping_add(step) % count;
        let number = candidates.start.saturating_add(u16::try_from(index).unwrap_or(0));
        let path = dir.join(format!("{}-{number}", what.replace(' ', "-")));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(HarnessError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) if usable(number) => return Ok((number, file)),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(HarnessError::Io { action: "lock", path, source }),
        }
    }
    Err(HarnessError::Exhausted { what, tried: usize::try_from(count).unwrap_or(usize::MAX), dir })
}

/// The directory with the lock files; they are empty and stay.
fn lock_dir() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let dir = std::env::temp_dir().join(format!("headroom-e2e-locks-{user}"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(HarnessError::io("create", &dir))?;
    Ok(dir)
}

/// First port of the kernel's ephemeral range.
fn ephemeral_start() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next().and_then(|first| first.parse().ok()))
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn reserved_ports_and_networks_differ() {
        let ports: Vec<Port> = (0..20).map(|_| Port::reserve().unwrap()).collect();
        assert_eq!(ports.iter().map(Port::number).collect::<BTreeSet<_>>().len(), ports.len());
        let nets: Vec<LoopbackNet> = (0..5).map(|_| LoopbackNet::reserve().unwrap()).collect();
        assert_eq!(nets.iter().map(LoopbackNet::octet).collect::<BTreeSet<_>>().len(), nets.len());
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_given_out() {
        let dir_has =
            |number| reserve("test port", number..number + 1, |n| TcpListener::bind((Ipv4Addr::LOCALHOST, n)).is_ok());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let busy = listener.local_addr().unwrap().port();
        assert!(matches!(dir_has(busy), Err(HarnessError::Exhausted { .. })));
    }
}
