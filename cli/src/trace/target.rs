//! What is asked about: `rc/web`, `deployment/web`, `svc/web`, `pod/x`.

use super::api::{self, Listed};

/// An object by kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its kind.
    pub(crate) of: Listed,
    /// Its name.
    pub(crate) name: String,
}

/// Names of kinds as people type them. A kind's own name stands first: it is how tables call it.
const KINDS: [(Listed, &[&str]); 8] = [
    (api::PODS, &["pod", "po", "pods"]),
    (api::SERVICES, &["svc", "service", "services"]),
    (api::REPLICATION_CONTROLLERS, &["rc", "replicationcontroller", "replicationcontrollers"]),
    (api::DEPLOYMENTS, &["deployment", "deploy", "deployments"]),
    (api::REPLICA_SETS, &["rs", "replicaset", "replicasets"]),
    (api::STATEFUL_SETS, &["sts", "statefulset", "statefulsets"]),
    (api::DAEMON_SETS, &["ds", "daemonset", "daemonsets"]),
    (api::JOBS, &["job", "jobs"]),
];

/// How tables call a kind.
pub(crate) fn short(kind: &str) -> String {
    let known = KINDS.iter().find(|(listed, _)| listed.kind == kind).and_then(|(_, words)| words.first());
    known.map_or_else(|| kind.to_ascii_lowercase(), |word| (*word).to_owned())
}

/// Reads `KIND/NAME`.
///
/// # Errors
/// One sentence: no slash, no name, or a kind that has no pods.
pub(crate) fn parse(text: &str) -> Result<Target, String> {
    let expected = "expected KIND/NAME, for example rc/web, deployment/web, svc/web or pod/web-1";
    let Some((kind, name)) = text.split_once('/') else { return Err(format!("{text:?}: {expected}")) };
    if name.is_empty() || name.contains('/') {
        return Err(format!("{text:?}: {expected}"));
    }
    let kind = kind.to_ascii_lowercase();
    // `deployments.apps/web`, as kubectl prints names.
    let word = kind.split('.').next().unwrap_or_default();
    let found = KINDS.iter().find(|(_, words)| words.contains(&word));
    match found {
        Some((of, _)) => Ok(Target { of: *of, name: name.to_owned() }),
        None => {
            let known: Vec<&str> = KINDS.iter().filter_map(|(_, words)| words.first().copied()).collect();
            Err(format!("{kind:?} is none of the kinds that are known here: {}", known.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_as_people_type_them() {
        for (text, kind) in [
            ("rc/web", "ReplicationController"),
            ("deployment/web", "Deployment"),
            ("deployments.apps/web", "Deployment"),
            ("Deploy/web", "Deployment"),
            ("svc/web", "Service"),
            ("pods/web", "Pod"),
            ("sts/web", "StatefulSet"),
        ] {
            let target = parse(text).unwrap();
            assert_eq!((target.of.kind, target.name.as_str()), (kind, "web"), "{text}");
        }
        assert_eq!((short("ReplicationController"), short("Rollout")), ("rc".to_owned(), "rollout".to_owned()));
    }

    #[test]
    fn what_is_no_target_gets_one_line() {
        for (text, expected) in [
            ("web", "expected KIND/NAME"),
            ("rc/", "expected KIND/NAME"),
            ("rc/a/b", "expected KIND/NAME"),
            ("node/a", "\"node\" is none of the kinds"),
        ] {
            let line = parse(text).unwrap_err();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }
}
