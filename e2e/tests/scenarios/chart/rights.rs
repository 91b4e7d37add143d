//! The rules that the chart grants, beside what the audit log says was used: nothing is refused, and what is never used
//! stands here with its reason.

use std::collections::{BTreeMap, BTreeSet};

use super::{CONTROLLERS_USER, RELEASE, SCHEDULER_USER};
use headroom_e2e::ControlPlane;
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::control_plane::audit::AuditEvent;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

/// Rights that a run may leave unused: verb, resource (`*`: any; ` in NAMESPACE` or a name behind it) and when they are
/// needed.
const SELDOM: &[(&str, &str, &str)] = &[
    ("list", "*", "where the API server has no streaming lists, and lists of 500 are read page by page"),
    (
        "get",
        "pods",
        "a binding whose answer was lost, whole pods for extenders, and when somebody else seems to make or evict them",
    ),
    ("get", "nodes", "before a pod is collected whose node is missing, and when somebody else seems to taint them"),
    ("get", "replicationcontrollers", "before a pod is adopted, and after a write whose answer was lost"),
    ("get", "services", "before Endpoints are deleted, which the API server mostly does with their Service"),
    ("delete", "endpoints", "the API server deletes them with their Service, unless it ends in between"),
    ("get", "endpoints", "when somebody else seems to write them, and after a write whose answer was lost"),
    (
        "get",
        "endpointslices.discovery.k8s.io",
        "when somebody else seems to write them, and after a write whose answer was lost",
    ),
    ("get", "nodeheadrooms.headroom.dev", "after a write whose answer was lost"),
    ("get", "memoryprofiles.headroom.dev", "after a write whose answer was lost"),
    ("delete", "nodeheadrooms.headroom.dev", "one whose owner is not the node of its name"),
    ("delete", "memoryprofiles.headroom.dev", "one whose owner is not the workload of its name"),
    ("patch", "nodeheadrooms.headroom.dev/status", "a node that has never been measured"),
    ("update", "nodeheadrooms.headroom.dev/status", "a sample"),
    ("create", "memoryprofiles.headroom.dev", "once something was learned"),
    ("update", "memoryprofiles.headroom.dev/status", "once something was learned"),
    ("list", "nodes.metrics.k8s.io", "a kubelet that cannot be read, where metrics-server runs"),
    ("list", "pods.metrics.k8s.io", "a kubelet that cannot be read, where metrics-server runs"),
    ("patch", "events", "an event that repeats"),
    ("patch", "events.events.k8s.io", "an event that repeats"),
    ("create", "events", "the leader says that it leads, and whatever happens"),
    ("create", "events.events.k8s.io", "the leader says that it leads, and whatever happens"),
    ("create", "tokenreviews.authentication.k8s.io", "somebody reads metrics"),
    ("create", "subjectaccessreviews.authorization.k8s.io", "somebody reads metrics"),
    ("create", "leases.coordination.k8s.io", "the first process of its kind"),
    ("delete", "pods", "victims of preemption, replicas that are too many, evictions"),
    ("patch", "pods/status", "a pod that fits nowhere"),
    ("patch", "persistentvolumeclaims", "a volume that waits for its first consumer"),
    ("patch", "persistentvolumes", "a volume that waits for its first consumer"),
    (
        "update",
        "replicationcontrollers/finalizers",
        "asked for by the admission plugin OwnerReferencesPermissionEnforcement",
    ),
    ("update", "services/finalizers", "asked for by the admission plugin OwnerReferencesPermissionEnforcement"),
    ("update", "endpoints/finalizers", "asked for by the admission plugin OwnerReferencesPermissionEnforcement"),
    ("create", "endpoints/restricted", "asked for by an admission plugin of OpenShift"),
    ("create", "endpointslices.discovery.k8s.io/restricted", "asked for by an admission plugin of OpenShift"),
    ("get", "leases.coordination.k8s.io in kube-node-lease", "a node that is about to be declared dead"),
    ("get", "leases.coordination.k8s.io kube-scheduler", "before an uninstall: whose is it?"),
    ("get", "configmaps headroom-takeover", "before an uninstall: is a takeover in effect?"),
];

/// A verb on a resource, as a rule grants it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Granted {
    verb: String,
    /// `resource.group/subresource`.
    resource: String,
    /// Empty: everywhere.
    namespace: String,
    /// Empty: all.
    names: Vec<String>,
    role: String,
}

fn resource(group: &str, resource: &str, subresource: &str) -> String {
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
    format!("{resource}{group}{subresource}")
}

impl Granted {
    /// The rights of a rule.
    fn of(rule: &PolicyRule, namespace: &str, role: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for group in rule.api_groups.iter().flatten() {
            for named in rule.resources.iter().flatten() {
                let (named, subresource) = named.split_once('/').unwrap_or((named.as_str(), ""));
                for verb in &rule.verbs {
                    assert!(![verb.as_str(), group.as_str(), named].contains(&"*"), "{role} has a wildcard");
                    all.push(Self {
                        verb: verb.clone(),
                        resource: resource(group, named, subresource),
                        namespace: namespace.to_owned(),
                        names: rule.resource_names.clone().unwrap_or_default(),
                        role: role.to_owned(),
                    });
                }
            }
        }
        all
    }

    fn covers(&self, event: &AuditEvent) -> bool {
        let Some(of) = &event.object_ref else { return false };
        self.verb == event.verb
            && self.resource == resource(&of.api_group, &of.resource, &of.subresource)
            && (self.namespace.is_empty() || self.namespace == of.namespace)
            && (self.names.is_empty() || self.names.contains(&of.name))
    }

    /// Whether an entry of [`SELDOM`] means it.
    fn is(&self, verb: &str, resource: &str) -> bool {
        let scoped = format!("{} in {}", self.resource, self.namespace);
        let named = format!("{} {}", self.resource, self.names.join(","));
        self.verb == verb && (resource == "*" || [&self.resource, &scoped, &named].into_iter().any(|r| r == resource))
    }

    fn is_seldom(&self) -> bool {
        SELDOM.iter().any(|(verb, resource, _)| self.is(verb, resource))
    }
}

/// What the roles of the release grant an account.
async fn granted(cluster: &ControlPlane, account: &str) -> Vec<Granted> {
    let client = cluster.admin_client();
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={RELEASE}"));
    let is_bound = |subjects: &Option<Vec<Subject>>| {
        subjects.iter().flatten().any(|s| {
            s.kind == "ServiceAccount" && s.name == account && s.namespace.as_deref() == Some(SYSTEM_NAMESPACE)
        })
    };
    let mut all = Vec::new();
    let cluster_roles: Api<ClusterRole> = Api::all(client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    for binding in bindings.list(&ours).await.unwrap().items.iter().filter(|b| is_bound(&b.subjects)) {
        let role = cluster_roles.get(&binding.role_ref.name).await.unwrap();
        all.extend(role.rules.iter().flatten().flat_map(|rule| Granted::of(rule, "", &binding.role_ref.name)));
    }
    let bindings: Api<RoleBinding> = Api::all(client.clone());
    for binding in bindings.list(&ours).await.unwrap().items.iter().filter(|b| is_bound(&b.subjects)) {
        let RoleRef { kind, name, .. } = &binding.role_ref;
        assert_eq!(kind, "Role", "{name}");
        let namespace = binding.namespace().unwrap();
        let role = Api::<Role>::namespaced(client.clone(), &namespace).get(name).await.unwrap();
        all.extend(role.rules.iter().flatten().flat_map(|rule| Granted::of(rule, &namespace, name)));
    }
    assert!(!all.is_empty(), "nothing is granted to {account}");
    all
}

/// Where the audit log stands now.
pub(super) fn mark(cluster: &ControlPlane) -> usize {
    cluster.audit_events().unwrap().len()
}

/// Compares the rights of both accounts with what they asked for since their processes started (the scheduler's, the
/// controllers'): each right was used, unless it is one that is seldom needed. Since `quiet`, when the processes of the mode
/// before had ended, nothing was refused.
pub(super) async fn fit(cluster: &ControlPlane, [scheduler, controllers]: [usize; 2], quiet: usize) {
    let events = cluster.audit_events().unwrap();
    let accounts =
        [("headroom-scheduler", SCHEDULER_USER, scheduler), ("headroom-controllers", CONTROLLERS_USER, controllers)];
    for (account, user, from) in accounts {
        let granted = granted(cluster, account).await;
        let of_user = |from: usize| events[from..].iter().filter(move |event| event.user.username == user);
        let refused: Vec<String> = of_user(quiet)
            .filter(|event| event.code() == 403)
            .map(|event| format!("{} {}", event.verb, event.request_uri))
            .collect();
        assert!(refused.is_empty(), "{account} was refused {refused:#?}");
        let used: Vec<&AuditEvent> = of_user(from).filter(|event| event.code() != 403).collect();
        assert!(used.len() > 10, "{account} hardly asked for anything: {}", used.len());
        let unused: BTreeSet<String> = granted
            .iter()
            .filter(|right| !right.is_seldom() && !used.iter().any(|event| right.covers(event)))
            .map(|right| format!("{}: {} {} {}", right.role, right.verb, right.resource, right.namespace))
            .collect();
        assert!(unused.is_empty(), "{account} has rights that it does not use: {unused:#?}");
    }
}

/// With everything on, every entry of the list is the right of some role, and no reason is empty.
pub(super) async fn list_is_current(cluster: &ControlPlane) {
    let mut all = granted(cluster, "headroom-scheduler").await;
    all.extend(granted(cluster, "headroom-controllers").await);
    let mut without: BTreeMap<String, &str> = BTreeMap::new();
    for (verb, resource, reason) in SELDOM {
        if reason.is_empty() || !all.iter().any(|right| right.is(verb, resource)) {
            without.insert(format!("{verb} {resource}"), reason);
        }
    }
    assert!(without.is_empty(), "no role grants {without:#?}");
}

/// What an account has used of the rights that are seldom needed, as `verb resource`.
pub(super) async fn used(cluster: &ControlPlane, account: &str, user: &str) -> BTreeSet<String> {
    let granted = granted(cluster, account).await;
    let events = cluster.audit_events().unwrap();
    let of_user: Vec<&AuditEvent> = events.iter().filter(|event| event.user.username == user).collect();
    granted
        .iter()
        .filter(|right| of_user.iter().any(|event| event.code() < 400 && right.covers(event)))
        .map(|right| format!("{} {}", right.verb, right.resource))
        .collect()
}
