//! `rbac.md`: from the rules that the chart ships.

use std::{fmt::Write as _, fs};

use anyhow::Context;
use serde_json::Value;

use crate::{
    markdown::{Table, codes, text},
    root,
};

/// Where the rules are.
pub const DIRECTORY: &str = "charts/headroom/files/rbac";

/// Files, and for whom their rules are.
const FILES: [(&str, &str); 4] = [
    ("scheduler.yaml", "headroom-scheduler in every mode; in `shadow` there is nothing else"),
    (
        "scheduler-primary.yaml",
        "headroom-scheduler in `secondary` and `primary` besides; the stock scheduler's lease in `primary` only",
    ),
    (
        "loops.yaml",
        "headroom-controllers: the first role always, the others for the loops that run (`lifecycle-profile` with the profiles `fast` and `patient`)",
    ),
    (
        "controllers.yaml",
        "headroom-controllers whichever loops run: the lease, and the account whose token kubelets see",
    ),
];

/// A rule of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Name of the role.
    pub role: String,
    /// `ClusterRole`, or `Role` with its namespace.
    pub scope: String,
    /// API groups; the core group is empty.
    pub groups: Vec<String>,
    /// Resources, with subresources.
    pub resources: Vec<String>,
    /// Names of objects; empty: all.
    pub names: Vec<String>,
    /// Verbs.
    pub verbs: Vec<String>,
}

/// The rules in a file of [`DIRECTORY`].
///
/// # Errors
/// When it cannot be read, or is no YAML.
pub fn rules(file: &str) -> anyhow::Result<Vec<Rule>> {
    let path = root().join(DIRECTORY).join(file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut all = Vec::new();
    for document in text.split("\n---\n") {
        let read = serde_saphyr::from_str(document);
        let object: Value = read.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        let kind = object["kind"].as_str().unwrap_or_default();
        if kind != "ClusterRole" && kind != "Role" {
            continue;
        }
        let scope = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{kind} in {namespace}"),
            None => kind.to_owned(),
        };
        let role = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let list = |rule: &Value, field: &str| -> Vec<String> {
            rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        for rule in object["rules"].as_array().into_iter().flatten() {
            all.push(Rule {
                role: role.clone(),
                scope: scope.clone(),
                groups: list(rule, "apiGroups"),
                resources: list(rule, "resources"),
                names: list(rule, "resourceNames"),
                verbs: list(rule, "verbs"),
            });
        }
    }
    Ok(all)
}

pub(crate) fn page() -> anyhow::Result<String> {
    let mut out = format!(
        "# Rights\n\n\
         What the roles allow, from `{DIRECTORY}`. The chart grants those of the mode and of the loops that run, and no \
         others but one: before an uninstall its guard reads, by name, the ConfigMap `headroom-takeover` and the lease \
         `kube-scheduler` of kube-system. Nothing here has a wildcard, a Secret, `nodes/proxy`, `pods/exec`, or a right to grant rights; \
         [security.md](../security.md) says what that is worth.\n"
    );
    for (file, whose) in FILES {
        let _ = write!(out, "\n## {file}\n\nFor {whose}.\n");
        let mut role = String::new();
        let mut table = columns();
        for rule in rules(file)? {
            let title = format!("{} ({})", rule.role, rule.scope);
            if title != role {
                if !role.is_empty() {
                    let done = std::mem::replace(&mut table, columns());
                    let _ = write!(out, "\n{}", done.finish());
                }
                let _ = write!(out, "\n### {}\n", text(&title));
                role = title;
            }
            let group = |group: &String| if group.is_empty() { "core".to_owned() } else { format!("`{group}`") };
            table.row(&[
                rule.groups.iter().map(group).collect::<Vec<_>>().join(", "),
                codes(rule.resources.iter().map(String::as_str)),
                codes(rule.names.iter().map(String::as_str)),
                rule.verbs.join(", "),
            ]);
        }
        let _ = write!(out, "\n{}", table.finish());
    }
    Ok(out)
}

fn columns() -> Table {
    Table::new(&["group", "resources", "only named", "verbs"])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

    fn all() -> Vec<Rule> {
        FILES.iter().flat_map(|(file, _)| rules(file).unwrap()).collect()
    }

    /// What docs/security.md says of every role.
    #[test]
    fn nothing_is_allowed_that_the_security_page_rules_out() {
        let all = all();
        assert!(all.len() > 40, "{}", all.len());
        for rule in &all {
            let mut words = rule.groups.iter().chain(&rule.resources).chain(&rule.verbs).chain(&rule.names);
            assert!(words.all(|word| !word.contains('*')), "a wildcard: {rule:?}");
            let ruled_out = ["secrets", "configmaps", "nodes/proxy", "pods/exec", "pods/attach", "pods/portforward"];
            for resource in &rule.resources {
                assert!(!ruled_out.contains(&resource.as_str()), "{rule:?}");
                assert!(!resource.contains("role") && !resource.contains("webhook"), "{rule:?}");
            }
            assert!(
                rule.verbs.iter().all(|verb| !["escalate", "bind", "impersonate"].contains(&verb.as_str())),
                "{rule:?}"
            );
            let tokens = rule.resources.iter().any(|r| r == "serviceaccounts/token");
            assert!(!tokens || rule.names == ["headroom-kubelet-reader"], "{rule:?}");
            let nodes = rule.resources.iter().any(|r| r == "nodes");
            assert!(!nodes || rule.verbs.iter().all(|verb| verb != "delete"), "nodes are never deleted: {rule:?}");
        }
    }

    #[test]
    fn shadow_writes_its_lease_its_events_and_questions_about_callers_and_nothing_else() {
        for rule in rules("scheduler.yaml").unwrap() {
            if !rule.verbs.iter().any(|verb| WRITES.contains(&verb.as_str())) {
                continue;
            }
            for resource in &rule.resources {
                let own = ["events", "leases", "tokenreviews", "subjectaccessreviews"];
                assert!(own.contains(&resource.as_str()), "{rule:?}");
            }
        }
    }

    #[test]
    fn what_kubelets_see_reads_figures_alone() {
        let of: Vec<Rule> =
            rules("controllers.yaml").unwrap().into_iter().filter(|r| r.role == "headroom-kubelet-reader").collect();
        let all: Vec<_> = of.iter().map(|r| (r.resources.join(","), r.verbs.join(","))).collect();
        let get = || "get".to_owned();
        assert_eq!(all, [("nodes/stats".to_owned(), get()), ("nodes/configz".to_owned(), get())]);
    }

    #[test]
    fn the_page_has_every_role() {
        let page = page().unwrap();
        for (file, _) in FILES {
            for rule in rules(file).unwrap() {
                assert!(page.contains(&format!("### {} ({})", rule.role, rule.scope)), "{rule:?}");
            }
        }
    }
}
