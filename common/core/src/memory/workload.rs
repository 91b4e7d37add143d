//! Which workload a pod belongs to: what one MemoryProfile speaks of (memory-and-swap.md 5.2, 5.12 (10);
//! interfaces.md 1).

use super::publish::fnv;
use crate::object::{OwnerRef, Pod};

/// Longest name of an object.
const LONGEST_NAME: usize = 253;
/// Hexadecimal digits that tell shortened names apart.
const DIGITS: usize = 8;
/// A Job of a CronJob is named after it and its minute: at least so many digits.
const JOB_DIGITS: usize = 8;
/// Kubernetes' own kinds of workloads with their groups: another group's kind of the same name has no profile, since
/// the two would share a name.
const BUILT_IN: [(&str, &str); 7] = [
    ("Deployment", "apps/v1"),
    ("ReplicaSet", "apps/v1"),
    ("StatefulSet", "apps/v1"),
    ("DaemonSet", "apps/v1"),
    ("ReplicationController", "v1"),
    ("Job", "batch/v1"),
    ("CronJob", "batch/v1"),
];

/// What is known of the owner of a ReplicaSet or a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link<'a> {
    /// The object itself is not known.
    Unknown,
    /// It has none.
    Nobody,
    /// This one.
    Owner(&'a OwnerRef),
}

/// A workload, in the namespace of its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload<'a> {
    /// Kind.
    pub kind: &'a str,
    /// Name.
    pub name: &'a str,
    /// The reference that leads to it; absent when the name alone was concluded.
    pub reference: Option<&'a OwnerRef>,
}

impl<'a> Workload<'a> {
    fn of(owner: &'a OwnerRef) -> Option<Self> {
        let foreign = BUILT_IN.iter().any(|(kind, group)| owner.kind == **kind && owner.api_version != **group);
        let named = !owner.kind.is_empty() && !owner.name.is_empty();
        (named && !foreign).then_some(Self { kind: &owner.kind, name: &owner.name, reference: Some(owner) })
    }

    /// Name of its MemoryProfile.
    #[must_use]
    pub fn profile_name(&self) -> String {
        profile_name(self.kind, self.name)
    }
}

/// The workload of a pod. `link` tells who owns the ReplicaSet or Job that manages it; where that is not known, names
/// decide. Bare pods, static pods and Jobs without a CronJob have none.
pub fn workload_of<'a>(pod: &'a Pod, link: impl FnOnce(&OwnerRef) -> Link<'a>) -> Option<Workload<'a>> {
    let owner = pod.meta.controller()?;
    if pod.is_mirror() || owner.kind == "Node" {
        return None;
    }
    let concluded = |kind, name| Workload { kind, name, reference: None };
    match (&*owner.api_version, &*owner.kind) {
        ("apps/v1", "ReplicaSet") => match link(owner) {
            Link::Owner(above) => Workload::of(above),
            Link::Nobody => Workload::of(owner),
            Link::Unknown => match deployment(pod, owner) {
                Some(name) => Some(concluded("Deployment", name)),
                None => Workload::of(owner),
            },
        },
        ("batch/v1", "Job") => match link(owner) {
            Link::Owner(above) => Workload::of(above).filter(|w| w.kind == "CronJob"),
            Link::Nobody => None,
            Link::Unknown => cron_job(&owner.name).map(|name| concluded("CronJob", name)),
        },
        _ => Workload::of(owner),
    }
}

/// A Deployment's ReplicaSets are named after it and the hash of the template, which their pods have as a label.
fn deployment<'a>(pod: &Pod, replica_set: &'a OwnerRef) -> Option<&'a str> {
    let hash = pod.meta.labels.get("pod-template-hash").filter(|hash| !hash.is_empty())?;
    replica_set.name.strip_suffix(&**hash)?.strip_suffix('-').filter(|name| !name.is_empty())
}

/// The CronJob after which a Job is named.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    let digits = minute.len() >= JOB_DIGITS && minute.bytes().all(|b| b.is_ascii_digit());
    (digits && !name.is_empty()).then_some(name)
}

/// Name of a workload's MemoryProfile: `<kind>-<name>`, lower case, shortened with a hash when it is too long.
#[must_use]
pub fn profile_name(kind: &str, name: &str) -> String {
    let whole = format!("{kind}-{name}").to_ascii_lowercase();
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    let end = (0..LONGEST_NAME - DIGITS).rev().find(|at| whole.is_char_boundary(*at)).unwrap_or(0);
    let kept = whole[..end].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    // The upper half of the hash is the better mixed one.
    format!("{kept}-{:08x}", fnv(whole.as_bytes()) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    fn owner(api_version: &str, kind: &str, name: &str) -> OwnerRef {
        OwnerRef {
            api_version: api_version.into(),
            kind: kind.into(),
            name: name.into(),
            uid: "u".into(),
            controller: true,
            block_owner_deletion: false,
        }
    }

    fn owned(api_version: &str, kind: &str, name: &str) -> Pod {
        pod("p").with(|p| p.meta.owners = std::sync::Arc::new([owner(api_version, kind, name)])).build()
    }

    fn found(pod: &Pod, link: Link<'_>) -> Option<(String, bool)> {
        workload_of(pod, |_| link).map(|w| (w.profile_name(), w.reference.is_some()))
    }

    #[test]
    fn replica_sets_lead_to_their_owner() {
        let rs = owned("apps/v1", "ReplicaSet", "web-7d4b9");
        let (web, rollout) = (owner("apps/v1", "Deployment", "web"), owner("argoproj.io/v1alpha1", "Rollout", "web"));
        assert_eq!(found(&rs, Link::Owner(&web)), Some(("deployment-web".into(), true)));
        assert_eq!(found(&rs, Link::Owner(&rollout)), Some(("rollout-web".into(), true)));
        assert_eq!(found(&rs, Link::Nobody), Some(("replicaset-web-7d4b9".into(), true)));
        assert_eq!(found(&rs, Link::Unknown), Some(("replicaset-web-7d4b9".into(), true)), "no hash");
        let mut labelled = rs.clone();
        labelled.meta.labels = [("pod-template-hash", "7d4b9")].into_iter().collect();
        assert_eq!(found(&labelled, Link::Unknown), Some(("deployment-web".into(), false)));
        labelled.meta.labels = [("pod-template-hash", "other")].into_iter().collect();
        assert_eq!(found(&labelled, Link::Unknown), Some(("replicaset-web-7d4b9".into(), true)));
    }

    #[test]
    fn jobs_need_a_cron_job() {
        let job = owned("batch/v1", "Job", "tidy-29384756");
        let (tidy, other) = (owner("batch/v1", "CronJob", "tidy"), owner("x/v1", "Workflow", "w"));
        assert_eq!(found(&job, Link::Owner(&tidy)), Some(("cronjob-tidy".into(), true)));
        assert_eq!(found(&job, Link::Owner(&other)), None);
        assert_eq!(found(&job, Link::Nobody), None);
        assert_eq!(found(&job, Link::Unknown), Some(("cronjob-tidy".into(), false)));
        for name in ["tidy-2938475", "tidy", "tidy-2938475x", "-29384756"] {
            assert_eq!(found(&owned("batch/v1", "Job", name), Link::Unknown), None, "{name}");
        }
    }

    #[test]
    fn the_others_are_their_own_workload() {
        for (api_version, kind, profile) in [
            ("apps/v1", "StatefulSet", Some("statefulset-db")),
            ("apps/v1", "DaemonSet", Some("daemonset-db")),
            ("v1", "ReplicationController", Some("replicationcontroller-db")),
            ("example.com/v1", "Database", Some("database-db")),
            ("example.com/v1", "StatefulSet", None),
            ("v1", "Node", None),
        ] {
            let found = found(&owned(api_version, kind, "db"), Link::Unknown).map(|(name, _)| name);
            assert_eq!(found.as_deref(), profile, "{kind}");
        }
        assert_eq!(found(&pod("bare").build(), Link::Unknown), None);
        let mirror = pod("m").annotation("kubernetes.io/config.mirror", "h").owner("DaemonSet", "d", "u").build();
        assert_eq!(found(&mirror, Link::Unknown), None);
    }

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        let long = |c: char| c.to_string().repeat(250);
        let (a, b) = (profile_name("StatefulSet", &long('a')), profile_name("StatefulSet", &(long('a') + "b")));
        assert_ne!(a, b);
        for name in [&a, &b, &profile_name("Deployment", &format!("{}.{}", "a".repeat(232), long('c')))] {
            assert!(name.len() <= 253 && name.len() > 240, "{}", name.len());
            let labels = name.split('.').all(|l| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-'));
            assert!(labels, "{name}");
        }
        assert_eq!(profile_name("Deployment", &"a".repeat(242)).len(), 253);
        assert!(profile_name("Kind", &"é".repeat(300)).len() <= 253);
    }
}
