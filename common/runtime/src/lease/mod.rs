//! Leader election with a `coordination.k8s.io` Lease: client-go's timing and semantics, and a fence that no write
//! passes after the renew deadline (DESIGN.md 8 and 13; kube-controller-manager reference 5.1).
//!
//! Whether a lease is valid is judged by when *we* saw it change last, on a clock that never jumps, never by the times
//! written in it. Losing the lease ends the process: its owner waits for [`Leadership::lost`].

mod election;
mod run;

use std::{
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use headroom_core::{
    Timestamp,
    intent::{EventRecord, EventType},
    object::ObjectReference,
};
use thiserror::Error;

pub use self::{
    election::Durations,
    run::{Leadership, start},
};
use crate::client::Fence;

/// Which Lease, and with what timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderConfig {
    /// Without leader election the gate is open from the start.
    pub enabled: bool,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who we are: `<pod or hostname>_<uuid>`.
    pub identity: String,
    /// Timing.
    pub durations: Durations,
}

/// Timing that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LeaderConfigError {
    /// As client-go demands: whoever takes over must wait longer than the leader tries.
    #[error("leader election: leaseDuration ({lease:?}) must be longer than renewDeadline ({renew:?})")]
    LeaseTooShort {
        /// leaseDuration.
        lease: Duration,
        /// renewDeadline.
        renew: Duration,
    },
    /// One try plus jitter must fit.
    #[error("leader election: renewDeadline ({renew:?}) must be longer than retryPeriod ({retry:?}) times 1.2")]
    DeadlineTooShort {
        /// renewDeadline.
        renew: Duration,
        /// retryPeriod.
        retry: Duration,
    },
    /// Nothing works with zero.
    #[error("leader election: {0} must be greater than zero")]
    Zero(&'static str),
    /// Nothing but leases.
    #[error("leader election: resource lock {0:?} is not supported, use leases")]
    Lock(String),
}

impl Durations {
    /// Checks what client-go checks.
    ///
    /// # Errors
    /// [`LeaderConfigError`] that names the field.
    pub fn validate(&self) -> Result<(), LeaderConfigError> {
        for (name, d) in
            [("leaseDuration", self.lease), ("renewDeadline", self.renew_deadline), ("retryPeriod", self.retry_period)]
        {
            if d.is_zero() {
                return Err(LeaderConfigError::Zero(name));
            }
        }
        if self.lease <= self.renew_deadline {
            return Err(LeaderConfigError::LeaseTooShort { lease: self.lease, renew: self.renew_deadline });
        }
        if self.renew_deadline <= self.retry_period.mul_f64(election::JITTER) {
            return Err(LeaderConfigError::DeadlineTooShort { renew: self.renew_deadline, retry: self.retry_period });
        }
        Ok(())
    }
}

/// Asks whether this process leads at this very moment. Cheap: two atomic loads and a clock.
#[derive(Debug, Clone)]
pub struct LeaderGate(Fence);

impl LeaderGate {
    /// Over the fence that the lease opens.
    #[must_use]
    pub const fn new(fence: Fence) -> Self {
        Self(fence)
    }

    /// Whether a write may be sent now.
    #[must_use]
    pub fn is_leader_now(&self) -> bool {
        self.0.may_write()
    }

    /// How long writes may still be sent if the lease is not renewed; `None` when they may not.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.0.remaining()
    }
}

/// The name of the pod that we run in, from the downward API: on the node's network the host's name is the node's, and a
/// lease would not say whose it is.
const POD_NAME: &str = "POD_NAME";

/// `<hostname>_<uuid>`, as client-go's components call themselves; with the pod's name where `$POD_NAME` has it.
#[must_use]
pub fn identity() -> String {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map_or_else(|_| format!("{:016x}{:016x}", random(), random()), |text| text.trim().to_owned());
    format!("{}_{uuid}", pod_or(std::env::var(POD_NAME).ok(), hostname))
}

/// The pod's name when it is one.
fn pod_or(pod: Option<String>, hostname: impl FnOnce() -> String) -> String {
    let valid = |name: &String| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        (1..=253).contains(&name.len()) && name.bytes().all(fits)
    };
    pod.filter(valid).unwrap_or_else(hostname)
}

/// The host's name.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Random enough for jitter: the standard library's hasher keys.
fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// The event that upstream's components leave on their Lease when they begin to lead. The other one of theirs, "stopped
/// leading", is not sent: who has lost the lease writes nothing any more.
#[must_use]
pub fn leader_event(config: &LeaderConfig, at: Timestamp) -> EventRecord {
    EventRecord {
        regarding_api_version: "coordination.k8s.io/v1",
        regarding: ObjectReference {
            kind: "Lease".into(),
            namespace: config.namespace.as_str().into(),
            name: config.name.as_str().into(),
            uid: headroom_core::Str::default(),
        },
        related: None,
        kind: EventType::Normal,
        reason: "LeaderElection",
        action: "LeaderElection",
        note: format!("{} became leader", config.identity),
        reporter: None,
        at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_goes_under_its_own_name() {
        let name = |pod: Option<&str>| pod_or(pod.map(str::to_owned), || "server-1".to_owned());
        assert_eq!(name(Some("headroom-scheduler-7d9c-x2")), "headroom-scheduler-7d9c-x2");
        for none in [None, Some(""), Some("a_b"), Some("A"), Some("a b")] {
            assert_eq!(name(none), "server-1", "{none:?}");
        }
        assert!(identity().contains('_'));
    }
}
