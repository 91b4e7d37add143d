//! Where the objects come from: the API server, or a file.

use headroom_core::Timestamp;
use headroom_engine::{Configuration, Registry};
use kube::Client;
use serde_json::Value;

use super::{
    api::{self, Listed},
    build::Whys,
    target::Target,
    why,
};
use crate::{cluster, reach::RIGHT, snapshot::Snapshot};

/// What was read of a namespace.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) objects: Vec<Value>,
    /// What each list was as of.
    pub(super) versions: Vec<(Listed, String)>,
    /// What could not be read, in sentences for people.
    pub(super) notes: Vec<String>,
}

/// The kinds that a trace of this target looks at, what a watch needs first.
fn kinds(target: &Target) -> Vec<Listed> {
    let mut kinds = vec![
        api::PODS,
        api::ENDPOINT_SLICES,
        api::SERVICES,
        api::REPLICATION_CONTROLLERS,
        api::DEPLOYMENTS,
        api::REPLICA_SETS,
        api::STATEFUL_SETS,
        api::DAEMON_SETS,
        api::JOBS,
        api::EVENTS,
    ];
    // An owner of another kind manages no pod of this target, unless that is a pod or selects any.
    if !matches!(target.of.kind, "Pod" | "Service") {
        let always = ["Pod", "EndpointSlice", "Service", "ReplicaSet", "Event"];
        kinds.retain(|listed| *listed == target.of || always.contains(&listed.kind));
    }
    kinds
}

/// Reads a namespace. What may not be read is left out and said, but for pods and the target's own kind.
///
/// # Errors
/// The API server does not answer, or refuses what nothing can be said without.
pub(super) async fn live(client: &Client, within: &str, target: &Target) -> anyhow::Result<Read> {
    let mut read = Read::default();
    for listed in kinds(target) {
        match api::list(client, listed, Some(within)).await {
            Ok(list) => {
                read.objects.extend(list.items);
                read.versions.push((listed, list.resource_version));
            }
            Err(error) => {
                if let Some(why) = api::why_not(error, listed, Some(within))? {
                    let needed = listed == api::PODS || listed == target.of;
                    anyhow::ensure!(!needed, "{why}; {RIGHT}");
                    read.notes.push(format!("{why}: traced without them"));
                }
            }
        }
    }
    Ok(read)
}

/// Why the pods of a namespace are where they are: takes a look at the whole cluster.
///
/// # Errors
/// It could not be read, or the configuration cannot be used.
pub(super) async fn whys(
    client: &Client,
    pods: &[&Value],
    config: Configuration,
    registry: Registry,
    at: Timestamp,
) -> anyhow::Result<Whys> {
    let objects = cluster::read(client, &mut Vec::new()).await?;
    why::explain(&Snapshot::from_objects(objects), pods, config, registry, at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        testkit::{FakeServer, block_on, refusal},
        trace::target,
    };

    /// What is read where one kind may not be listed.
    fn without(plural: &'static str) -> anyhow::Result<Read> {
        let server = FakeServer::new(move |asked| {
            let refused = asked.path.split('?').next().is_some_and(|path| path.ends_with(plural));
            if refused { refusal(403, "no") } else { (200, json!({"items": []})) }
        });
        let target = target::parse("rc/web").unwrap();
        block_on(async { live(&server.client(), "shop", &target).await })
    }

    #[test]
    fn rights_that_are_missing_are_one_line_or_done_without() {
        for needed in ["pods", "replicationcontrollers"] {
            let line = format!("{:#}", without(needed).unwrap_err());
            assert_eq!(line, format!("you may not list {needed} in namespace \"shop\"; {RIGHT}"));
        }
        let notes = without("events").unwrap().notes;
        assert_eq!(notes, ["you may not list events in namespace \"shop\": traced without them"]);
    }
}
