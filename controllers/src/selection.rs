//! `--controllers`: which loops run.
//!
//! Upstream's syntax (`k8s.io/controller-manager/app.IsControllerEnabled`, reference 5.5): the list is scanned in order,
//! the first `name` or `-name` decides; otherwise a loop runs if `*` is listed. The default differs on purpose: only our
//! own two loops run, upstream's run when they are named, because two managers of one object fight (DESIGN.md 12).

use thiserror::Error;

/// A loop that this binary has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Known {
    /// Canonical name.
    pub name: &'static str,
    /// Upstream's old name, empty if it never had one.
    pub alias: &'static str,
}

/// Replication controllers.
pub const REPLICATION: &str = "replicationcontroller-controller";
/// Endpoints.
pub const ENDPOINTS: &str = "endpoints-controller";
/// EndpointSlices.
pub const ENDPOINT_SLICE: &str = "endpointslice-controller";
/// EndpointSlices of Endpoints that people write.
pub const ENDPOINT_SLICE_MIRRORING: &str = "endpointslice-mirroring-controller";
/// Node health and taints.
pub const NODE_LIFECYCLE: &str = "node-lifecycle-controller";
/// Eviction by `NoExecute` taints.
pub const TAINT_EVICTION: &str = "taint-eviction-controller";
/// Pods that nobody else deletes.
pub const POD_GC: &str = "pod-garbage-collector-controller";
/// Measures nodes and publishes `NodeHeadroom`.
pub const NODE_HEADROOM: &str = "node-headroom-controller";

/// Learns what workloads need and publishes `MemoryProfile`.
pub const MEMORY_PROFILE: &str = "memory-profile-controller";

/// All loops of this binary, in the order in which they are asked for work.
pub const KNOWN: [Known; 9] = [
    Known { name: NODE_LIFECYCLE, alias: "nodelifecycle" },
    Known { name: TAINT_EVICTION, alias: "" },
    Known { name: REPLICATION, alias: "replicationcontroller" },
    Known { name: ENDPOINT_SLICE, alias: "endpointslice" },
    Known { name: ENDPOINTS, alias: "endpoint" },
    Known { name: ENDPOINT_SLICE_MIRRORING, alias: "endpointslicemirroring" },
    Known { name: POD_GC, alias: "podgc" },
    Known { name: NODE_HEADROOM, alias: "" },
    Known { name: MEMORY_PROFILE, alias: "" },
];

/// A list that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectionError {
    /// Neither ours nor upstream's.
    #[error("--controllers: {name:?} is not a controller of this binary; it has {}", names())]
    Unknown {
        /// As given.
        name: String,
    },
    /// A loop without what it learns from.
    #[error(
        "--controllers: {} learns from the samples that {} takes in the same process: run both, or leave it out (-{})",
        MEMORY_PROFILE,
        NODE_HEADROOM,
        MEMORY_PROFILE
    )]
    NothingToLearnFrom,
}

fn names() -> String {
    KNOWN.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")
}

/// What `--controllers` is when it is not given.
pub const DEFAULT: &str = "node-headroom-controller,memory-profile-controller";

/// The names of the loops to run, in the order of [`KNOWN`].
///
/// # Errors
/// When the list names a loop that this binary does not have.
pub fn select(list: &[String]) -> Result<Vec<&'static str>, SelectionError> {
    let mut entries = Vec::with_capacity(list.len());
    for raw in list.iter().map(|s| s.trim()).filter(|s| !s.is_empty()) {
        if raw == "*" {
            entries.push((true, "*"));
            continue;
        }
        let (wanted, name) = raw.strip_prefix('-').map_or((true, raw), |name| (false, name));
        match KNOWN.iter().find(|k| k.name == name || (!k.alias.is_empty() && k.alias == name)) {
            Some(known) => entries.push((wanted, known.name)),
            None => return Err(SelectionError::Unknown { name: name.to_owned() }),
        }
    }
    let all = entries.contains(&(true, "*"));
    let wanted = |name: &str| entries.iter().find(|(_, n)| *n == name).map_or(all, |(wanted, _)| *wanted);
    if wanted(MEMORY_PROFILE) && !wanted(NODE_HEADROOM) {
        return Err(SelectionError::NothingToLearnFrom);
    }
    Ok(KNOWN.iter().map(|k| k.name).filter(|name| wanted(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(list: &str) -> Result<Vec<&'static str>, SelectionError> {
        select(&list.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn upstream_syntax() {
        assert_eq!(selected(DEFAULT), Ok(vec![NODE_HEADROOM, MEMORY_PROFILE]));
        assert_eq!(selected("*").map(|l| l.len()), Ok(KNOWN.len()));
        assert_eq!(selected("*,-endpoints-controller").map(|l| l.contains(&ENDPOINTS)), Ok(false));
        assert_eq!(selected("replicationcontroller,endpoint"), Ok(vec![REPLICATION, ENDPOINTS]), "aliases");
        assert_eq!(selected("podgc,endpointslicemirroring"), Ok(vec![ENDPOINT_SLICE_MIRRORING, POD_GC]));
        assert_eq!(selected("-endpoints-controller,endpoints-controller"), Ok(vec![]), "the first one wins");
        assert_eq!(selected(" taint-eviction-controller , "), Ok(vec![TAINT_EVICTION]));
        assert_eq!(selected(""), Ok(vec![]));
    }

    #[test]
    fn says_what_is_wrong() {
        let text = selected("*,deployment-controller").map_err(|e| e.to_string());
        assert!(text.is_err_and(|t| t.contains("\"deployment-controller\"") && t.contains("endpoints-controller")));
        let text = selected("*,-node-headroom-controller").map_err(|e| e.to_string());
        assert!(text.is_err_and(|t| t.contains("(-memory-profile-controller)")));
        assert!(selected("node-headroom-controller").is_ok_and(|l| l == [NODE_HEADROOM]));
    }
}
