//! Everything that an API server has, for a comparison: what stays behind, and what was rewritten.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::error::{HarnessError, Result};

/// Lists at a time.
const AT_ONCE: usize = 8;

/// Kinds that are left out: events come and go, and the API server makes up ComponentStatuses at each look.
const LEFT_OUT: [&str; 2] = ["Event", "ComponentStatus"];

/// Objects by `apiVersion/Kind namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dump(BTreeMap<String, Value>);

impl ControlPlane {
    /// Every object of every kind that can be listed, in the preferred version of its group. Left out are events; resource
    /// versions and managed fields; what a kubelet or a leader writes again and again (times of renewals and heartbeats);
    /// and whatever stands in the Leases `floating` of kube-system, which change hands.
    ///
    /// # Errors
    /// [`HarnessError::Api`].
    pub async fn dump(&self, floating: &[&str]) -> Result<Dump> {
        let client = self.admin_client();
        let discovery =
            Discovery::new(client.clone()).run().await.map_err(HarnessError::api("cannot discover what is served"))?;
        let kinds: Vec<ApiResource> = discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
            .filter(|(kind, can)| can.supports_operation(verbs::LIST) && !LEFT_OUT.contains(&kind.kind.as_str()))
            .map(|(kind, _)| kind)
            .collect();
        let list = |kind: ApiResource| {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
            async move {
                let what = format!("cannot list {}", kind.plural);
                let all = match api.list(&ListParams::default()).await {
                    Ok(list) => list.items,
                    // A custom resource that goes is still discovered for a moment.
                    Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
                    Err(error) => return Err(HarnessError::api(what)(error)),
                };
                Ok((kind, all))
            }
        };
        let lists: Vec<(ApiResource, Vec<DynamicObject>)> =
            stream::iter(kinds).map(list).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut objects = BTreeMap::new();
        for (kind, all) in lists {
            for object in all {
                let namespace = object.namespace().unwrap_or_default();
                let name = object.name_any();
                let key = format!("{}/{} {namespace}/{name}", kind.api_version, kind.kind);
                let floats = kind.kind == "Lease" && namespace == "kube-system" && floating.contains(&name.as_str());
                let value = serde_json::to_value(object).unwrap_or_default();
                objects.insert(key, trimmed(value, &kind.kind, floats));
            }
        }
        Ok(Dump(objects))
    }
}

/// Without what changes by itself.
fn trimmed(mut object: Value, kind: &str, floats: bool) -> Value {
    let remove = |object: &mut Value, parent: &str, field: &str| {
        if let Some(map) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
            map.remove(field);
        }
    };
    remove(&mut object, "/metadata", "resourceVersion");
    remove(&mut object, "/metadata", "managedFields");
    match kind {
        "Lease" if floats => remove(&mut object, "", "spec"),
        "Lease" => remove(&mut object, "/spec", "renewTime"),
        "Node" => {
            let conditions = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
            for condition in conditions.into_iter().flatten() {
                remove(condition, "", "lastHeartbeatTime");
            }
        }
        _ => {}
    }
    object
}

impl Dump {
    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What differs in a later dump, a line each: what came, what went, and what was changed with both texts.
    #[must_use]
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let gone = self.0.keys().filter(|key| !later.0.contains_key(*key)).map(|key| format!("gone: {key}"));
        let come = later.0.keys().filter(|key| !self.0.contains_key(*key)).map(|key| format!("left: {key}"));
        let changed = self.0.iter().filter_map(|(key, before)| {
            let after = later.0.get(key).filter(|after| *after != before)?;
            Some(format!("changed: {key}\n  before: {before}\n  after:  {after}"))
        });
        gone.chain(come).chain(changed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changes_by_itself_is_left_out() {
        let lease = json!({"metadata": {"name": "a", "resourceVersion": "1", "managedFields": []},
                           "spec": {"holderIdentity": "n1", "renewTime": "now"}});
        assert_eq!(
            trimmed(lease.clone(), "Lease", false),
            json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "n1"}})
        );
        assert_eq!(trimmed(lease, "Lease", true), json!({"metadata": {"name": "a"}}));
        let node = json!({"status": {"conditions": [{"type": "Ready", "lastHeartbeatTime": "now"}]}});
        assert_eq!(trimmed(node, "Node", false), json!({"status": {"conditions": [{"type": "Ready"}]}}));
    }

    #[test]
    fn differences_name_the_object() {
        let dump = |of: &[(&str, i32)]| {
            Dump(of.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<BTreeMap<_, _>>())
        };
        let (before, after) = (dump(&[("a", 1), ("b", 1)]), dump(&[("b", 2), ("c", 1)]));
        assert_eq!(before.differences(&after), ["gone: a", "left: c", "changed: b\n  before: 1\n  after:  2"]);
        assert!(before.differences(&before).is_empty() && before.len() == 2 && !before.is_empty());
    }
}
