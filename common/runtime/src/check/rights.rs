//! What an account has to be allowed, in the shape of the rules of a role.

/// A rule of a role: every verb on every resource of the group. A subresource stands behind a slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resources in the plural.
    pub resources: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
}

/// One verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Verb.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource in the plural, with its subresource behind a slash.
    pub resource: &'static str,
    /// Namespace; empty for all.
    pub namespace: String,
    /// Name; empty for all.
    pub name: String,
}

impl Right {
    /// A right on one object, or on all of a namespace when the name is empty.
    #[must_use]
    pub fn on(rule: Rule, namespace: &str, name: &str) -> Vec<Self> {
        let mut all = rights(&[rule]);
        for right in &mut all {
            namespace.clone_into(&mut right.namespace);
            name.clone_into(&mut right.name);
        }
        all
    }

    /// For messages: `create pods/binding`.
    pub(super) fn describe(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let name = if self.name.is_empty() { String::new() } else { format!(" {:?}", self.name) };
        let namespace = if self.namespace.is_empty() { String::new() } else { format!(" in {}", self.namespace) };
        format!("{} {}{group}{name}{namespace}", self.verb, self.resource)
    }
}

/// The rights that rules grant in all namespaces, each once.
#[must_use]
pub fn rights(rules: &[Rule]) -> Vec<Right> {
    let mut all: Vec<Right> = Vec::new();
    for rule in rules {
        for &resource in rule.resources {
            for &verb in rule.verbs {
                let right = Right { verb, group: rule.group, resource, namespace: String::new(), name: String::new() };
                if !all.contains(&right) {
                    all.push(right);
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_multiplied_out_and_told_as_people_write_them() {
        let rule = Rule { group: "", resources: &["pods", "pods/status"], verbs: &["watch", "patch"] };
        let all = rights(&[rule, rule]);
        assert_eq!(all.len(), 4);
        assert_eq!(all[3].describe(), "patch pods/status");
        let lease = Rule { group: "coordination.k8s.io", resources: &["leases"], verbs: &["get"] };
        let lease = &Right::on(lease, "kube-system", "kube-scheduler")[0];
        assert_eq!(lease.describe(), "get leases.coordination.k8s.io \"kube-scheduler\" in kube-system");
    }
}
