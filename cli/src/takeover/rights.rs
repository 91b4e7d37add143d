//! Rights that ours need for what they take over, and do not have where they only looked on.

use anyhow::Context;
use kube::Client;
use serde_json::{Value, json};

use crate::distribution::{change::Api, facts::Facts, ours::Ours, requests::Requests, text};

/// What the chart grants for scheduling.
const SCHEDULER: &str = include_str!("../../../charts/headroom/files/rbac/scheduler-primary.yaml");
/// And for each loop.
const LOOPS: &str = include_str!("../../../charts/headroom/files/rbac/loops.yaml");
/// On objects that a takeover has made.
const LABEL: &str = "headroom.dev/takeover";
const GROUP: &str = "rbac.authorization.k8s.io";

/// What has to be granted to ours so that they may do this.
///
/// # Errors
/// The API server does not say what they may.
pub(crate) async fn lacking(
    client: &Client,
    facts: &Facts,
    scheduler: bool,
    loops: &[String],
) -> anyhow::Result<Vec<Api>> {
    let requests = Requests::new(client.clone());
    let mut grants = Vec::new();
    let ours = facts.scheduler.iter().filter(|_| scheduler).map(|ours| (ours, roles_of_scheduler()));
    let of_loops = facts.controllers.iter().flat_map(|ours| loops.iter().map(move |name| (ours, roles_of_loop(name))));
    for (ours, roles) in ours.chain(of_loops) {
        for role in roles {
            if !may(&requests, ours, &role).await? {
                grants.extend(grant(ours, &role));
            }
        }
    }
    Ok(grants)
}

/// What earlier takeovers granted, to be deleted.
///
/// # Errors
/// The API server does not answer.
pub(crate) async fn granted(client: &Client) -> anyhow::Result<Vec<Api>> {
    let requests = Requests::new(client.clone());
    let mut all = Vec::new();
    for (plural, kind) in [
        ("clusterrolebindings", "ClusterRoleBinding"),
        ("rolebindings", "RoleBinding"),
        ("clusterroles", "ClusterRole"),
        ("roles", "Role"),
    ] {
        let list = requests.list(&format!("/apis/{GROUP}/v1/{plural}?labelSelector=headroom.dev%2Ftakeover")).await;
        for object in list.with_context(|| format!("cannot list {plural}.{GROUP}"))? {
            let (name, namespace) = (text(&object, "/metadata/name"), text(&object, "/metadata/namespace"));
            let mut made = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind,
                                  "metadata": {"name": name, "labels": {LABEL: name}}});
            for field in ["rules", "roleRef", "subjects"] {
                if let Some(value) = object.get(field) {
                    made[field] = value.clone();
                }
            }
            if !namespace.is_empty() {
                made["metadata"]["namespace"] = namespace.into();
            }
            all.push(Api::Delete { collection: collection(plural, namespace), object: made });
        }
    }
    Ok(all)
}

fn collection(plural: &str, namespace: &str) -> String {
    let within = if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}/") };
    format!("/apis/{GROUP}/v1/{within}{plural}")
}

/// The documents of a file of the chart.
fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").filter_map(|document| serde_saphyr::from_str(document).ok()).collect()
}

/// The roles for scheduling pods under the stock scheduler's lease.
fn roles_of_scheduler() -> Vec<Value> {
    documents(SCHEDULER).into_iter().filter(|object| matches!(text(object, "/kind"), "ClusterRole" | "Role")).collect()
}

/// The roles for a loop.
fn roles_of_loop(name: &str) -> Vec<Value> {
    let role = format!("headroom-controllers-{}", name.trim_end_matches("-controller"));
    let mut roles: Vec<Value> =
        documents(LOOPS).into_iter().filter(|object| text(object, "/metadata/name") == role).collect();
    if name == "node-lifecycle-controller" {
        let rules = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                            "verbs": ["get", "list", "watch"]}]);
        roles.push(json!({"kind": "Role", "rules": rules,
                          "metadata": {"name": "headroom-controllers-node-leases", "namespace": "kube-node-lease"}}));
    }
    roles
}

/// A role for this account alone, and its binding. The chart's names are the chart's.
fn grant(ours: &Ours, role: &Value) -> [Api; 2] {
    let name = text(role, "/metadata/name").replacen("headroom-", "headroom-takeover-", 1);
    let namespace = text(role, "/metadata/namespace");
    let kind = text(role, "/kind");
    let object = |kind: &str| {
        let mut object = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind,
                                "metadata": {"name": name, "labels": {LABEL: name}}});
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = namespace.into();
        }
        object
    };
    let mut granted = object(kind);
    granted["rules"] = role["rules"].clone();
    let mut binding = object(&format!("{kind}Binding"));
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": name});
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": ours.account, "namespace": ours.namespace}]);
    let plural = kind.to_lowercase();
    [
        Api::Create { collection: collection(&format!("{plural}s"), namespace), object: granted },
        Api::Create { collection: collection(&format!("{plural}bindings"), namespace), object: binding },
    ]
}

/// Whether the account has all rights of a role.
async fn may(requests: &Requests, ours: &Ours, role: &Value) -> anyhow::Result<bool> {
    for review in reviews(ours, role) {
        let asked = requests.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await;
        let answer =
            asked.with_context(|| format!("cannot ask what {} may (subjectaccessreviews)", ours.full_name()))?;
        if answer.pointer("/status/allowed").and_then(Value::as_bool) != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The questions whether an account has the rights of a role.
fn reviews(ours: &Ours, role: &Value) -> Vec<Value> {
    let texts = |value: Option<&Value>| -> Vec<String> {
        let list = value.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut reviews = Vec::new();
    for rule in role.get("rules").and_then(Value::as_array).into_iter().flatten() {
        let names = texts(rule.get("resourceNames"));
        for group in texts(rule.get("apiGroups")) {
            for resource in texts(rule.get("resources")) {
                for verb in texts(rule.get("verbs")) {
                    let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
                    let mut attributes = json!({"group": group, "resource": resource, "subresource": subresource,
                                                "verb": verb, "namespace": text(role, "/metadata/namespace")});
                    if let Some(name) = names.first() {
                        attributes["name"] = name.as_str().into();
                    }
                    let namespace = &ours.namespace;
                    reviews.push(json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                        "spec": {"user": format!("system:serviceaccount:{namespace}:{}", ours.account),
                                 "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"),
                                            "system:authenticated"],
                                 "resourceAttributes": attributes}}));
                }
            }
        }
    }
    reviews
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        distribution::ours::tests::deployment,
        doctor::{Program, control_loops},
    };

    fn ours() -> Ours {
        Ours::find(&[deployment("scheduler", &[])], Program::Scheduler).unwrap()
    }

    #[test]
    fn every_loop_has_a_role_in_the_chart() {
        for (name, _) in control_loops::LOOPS {
            let roles = roles_of_loop(name);
            assert_eq!(roles.len(), if name == "node-lifecycle-controller" { 2 } else { 1 }, "{name}");
            assert!(roles.iter().all(|role| role["rules"].as_array().is_some_and(|rules| !rules.is_empty())), "{name}");
        }
    }

    #[test]
    fn scheduling_is_granted_to_the_account_alone() {
        let roles = roles_of_scheduler();
        assert_eq!(roles.len(), 2, "{roles:?}");
        let made: Vec<(String, Value)> = roles
            .iter()
            .flat_map(|role| grant(&ours(), role))
            .map(|change| match change {
                Api::Create { collection, object } => (collection, object),
                other => panic!("{other:?}"),
            })
            .collect();
        let paths: Vec<&str> = made.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles",
                "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings",
            ]
        );
        let subjects = json!([{"kind": "ServiceAccount", "name": "headroom-scheduler", "namespace": "kube-system"}]);
        assert_eq!(made[1].1["subjects"], subjects);
        assert_eq!(made[1].1["roleRef"]["name"], made[0].1["metadata"]["name"]);
        assert_eq!(made[0].1["metadata"]["name"], "headroom-takeover-scheduler-primary");
        let shown = grant(&ours(), &roles[0])[1].lines();
        let expected = [
            "create ClusterRoleBinding headroom-takeover-scheduler-primary",
            "  for ServiceAccount kube-system/headroom-scheduler",
        ];
        assert_eq!(shown, expected);
        let reviews = reviews(&ours(), &roles[0]);
        let attributes = &reviews[0]["spec"]["resourceAttributes"];
        assert_eq!((&attributes["resource"], &attributes["subresource"]), (&json!("pods"), &json!("binding")));
    }
}
