//! Who holds a lease, judged as leader election judges it: by when it was seen to change, never by the times in it.

use std::{fmt, time::Duration};

use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};

use super::Seen;
use crate::process::cut;

/// Which Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One Lease, seen again and again.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched(Option<Last>);

#[derive(Debug, Clone)]
struct Last {
    holder: String,
    renewed: Option<MicroTime>,
    /// When it was first seen like that.
    at: Duration,
    /// Whether this holder was seen to renew it.
    alive: bool,
}

/// Where a Lease stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none, or nobody holds it.
    Free,
    /// Its holder renews it.
    Alive(String),
    /// It has a holder, who may or may not be there any more.
    Unsettled(String),
    /// Its holder has not renewed it for as long as it says that one has to wait.
    Silent(String),
}

impl Watched {
    /// Takes in what the Lease says at a time (since the start).
    pub(super) fn look(&mut self, lease: Option<LeaseSpec>, now: Duration) -> Standing {
        let spec = lease.unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        if holder.is_empty() {
            self.0 = None;
            return Standing::Free;
        }
        let patience = Duration::from_secs(spec.lease_duration_seconds.unwrap_or(0).max(0).unsigned_abs().into());
        match &mut self.0 {
            Some(last) if last.holder == holder => {
                if last.renewed != spec.renew_time {
                    (last.renewed, last.at, last.alive) = (spec.renew_time, now, true);
                }
                if now.saturating_sub(last.at) > patience {
                    Standing::Silent(holder)
                } else if last.alive {
                    Standing::Alive(holder)
                } else {
                    Standing::Unsettled(holder)
                }
            }
            last => {
                *last = Some(Last { holder: holder.clone(), renewed: spec.renew_time, at: now, alive: false });
                Standing::Unsettled(holder)
            }
        }
    }
}

impl Standing {
    /// A process of ours works.
    pub(super) fn held_by_us(self, id: &LeaseId, ours: &str) -> Seen {
        match self {
            Self::Alive(holder) if holder.starts_with(ours) => {
                Seen::Yes(format!("{} holds {id} and renews it", cut(&holder)))
            }
            Self::Alive(holder) => {
                Seen::NotYet(format!("{} holds {id}: {ours}… stands by until that one stops", cut(&holder)))
            }
            Self::Free => Seen::NotYet(format!("nobody holds {id}")),
            Self::Unsettled(holder) | Self::Silent(holder) => {
                Seen::NotYet(format!("{} holds {id} and was not seen to renew it", cut(&holder)))
            }
        }
    }

    /// Somebody else does the work.
    pub(super) fn held_by_others(self, id: &LeaseId, ours: &str) -> Seen {
        match self {
            Self::Alive(holder) if holder.starts_with(ours) => Seen::No(format!(
                "{} holds {id} and does the work: start the stock component, then upgrade to mode=shadow",
                cut(&holder)
            )),
            Self::Alive(holder) => Seen::Yes(format!("{} holds {id} and renews it", cut(&holder))),
            Self::Free => Seen::NotYet(format!(
                "nobody holds {id}: start the stock component; if it runs without leader election, upgrade to mode=shadow first"
            )),
            Self::Unsettled(holder) | Self::Silent(holder) => Seen::NotYet(format!(
                "{} holds {id} and was not seen to renew it: start the stock component, or upgrade to mode=shadow first",
                cut(&holder)
            )),
        }
    }

    /// None of ours does the work; `first` is what to do where one does.
    pub(super) fn not_held_by_us(self, id: &LeaseId, ours: &str, first: &str) -> Seen {
        match self {
            Self::Free => Seen::Yes(format!("nobody holds {id}")),
            Self::Silent(holder) => Seen::Yes(format!("{} does not renew {id} any more", cut(&holder))),
            Self::Unsettled(holder) | Self::Alive(holder) if !holder.starts_with(ours) => {
                Seen::Yes(format!("{} holds {id}, which is none of ours", cut(&holder)))
            }
            Self::Alive(holder) => Seen::No(format!("{} holds {id} and does the work: {first}", cut(&holder))),
            Self::Unsettled(holder) => Seen::NotYet(format!("{} holds {id} and may still work", cut(&holder))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff;

    fn spec(holder: &str, renewed: i64) -> Option<LeaseSpec> {
        Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: jiff::Timestamp::from_second(renewed).ok().map(MicroTime),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        })
    }

    const fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_holder_is_believed_when_it_was_seen_to_renew() {
        let mut watched = Watched::default();
        assert_eq!(watched.look(None, at(0)), Standing::Free);
        // Its clock may show anything.
        assert_eq!(watched.look(spec("a", 5_000_000), at(1)), Standing::Unsettled("a".into()));
        assert_eq!(watched.look(spec("a", 5_000_000), at(2)), Standing::Unsettled("a".into()));
        assert_eq!(watched.look(spec("a", 4_000_000), at(3)), Standing::Alive("a".into()));
        assert_eq!(watched.look(spec("a", 4_000_000), at(18)), Standing::Alive("a".into()));
        assert_eq!(watched.look(spec("a", 4_000_000), at(19)), Standing::Silent("a".into()));
        assert_eq!(watched.look(spec("b", 4_000_000), at(20)), Standing::Unsettled("b".into()));
        assert_eq!(watched.look(spec("", 4_000_001), at(21)), Standing::Free, "released");
    }

    #[test]
    fn what_each_question_answers() {
        let id = LeaseId { namespace: "kube-system".into(), name: "kube-scheduler".into() };
        let (ours, theirs) = ("headroom-scheduler-1_u".to_owned(), "server-1_u".to_owned());
        let ask = |standing: Standing| {
            let short = |seen: Seen| match seen {
                Seen::Yes(_) => 'y',
                Seen::No(_) => 'n',
                Seen::NotYet(_) => 'w',
                Seen::Unknown(_) => '?',
            };
            let prefix = "headroom-scheduler-";
            [
                short(standing.clone().held_by_us(&id, prefix)),
                short(standing.clone().held_by_others(&id, prefix)),
                short(standing.not_held_by_us(&id, prefix, "hand it back")),
            ]
        };
        assert_eq!(ask(Standing::Alive(ours.clone())), ['y', 'n', 'n']);
        assert_eq!(ask(Standing::Alive(theirs.clone())), ['w', 'y', 'y']);
        assert_eq!(ask(Standing::Unsettled(ours.clone())), ['w', 'w', 'w']);
        assert_eq!(ask(Standing::Unsettled(theirs)), ['w', 'w', 'y']);
        assert_eq!(ask(Standing::Silent(ours)), ['w', 'w', 'y']);
        assert_eq!(ask(Standing::Free), ['w', 'w', 'y']);
    }

    #[test]
    fn a_holder_is_known_by_its_own_name_and_shown_without_what_a_terminal_obeys() {
        let id = LeaseId { namespace: "kube-system".into(), name: "kube-scheduler".into() };
        let odd = format!("\u{1b}[2J\nheadroom-scheduler-{}", "x".repeat(1000));
        let Seen::NotYet(why) = Standing::Alive(odd).held_by_us(&id, "headroom-scheduler-") else { panic!("not ours") };
        assert!(why.starts_with("[2J headroom-scheduler-xxx") && why.chars().count() < 400, "{why}");
        assert!(!why.contains(char::is_control), "{why:?}");
    }
}
