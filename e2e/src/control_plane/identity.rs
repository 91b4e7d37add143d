//! Who talks to the API server: user name and groups, carried by a client certificate.

/// An identity with its own client certificate and kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identity {
    /// `kubernetes-admin` in `system:masters`: everything is allowed.
    Admin,
    /// The stock scheduler, `system:kube-scheduler`: the roles that the API server ships for it.
    Scheduler,
    /// The stock controller manager, `system:kube-controller-manager`.
    KubeControllerManager,
    /// Our scheduler's service account: only what the chart's manifests grant.
    HeadroomScheduler,
    /// Our controllers' service account: only what the chart's manifests grant.
    HeadroomControllers,
    /// The kubelet of a node, for the node authorizer.
    Node(String),
    /// A user of a test.
    Custom {
        /// User name (the certificate's common name).
        user: String,
        /// Groups (the certificate's organizations).
        groups: Vec<String>,
    },
}

/// Namespace of our service accounts in the shipped manifests.
pub const SYSTEM_NAMESPACE: &str = "kube-system";

impl Identity {
    /// The user name as the API server sees it.
    #[must_use]
    pub fn user(&self) -> String {
        match self {
            Self::Admin => "kubernetes-admin".to_owned(),
            Self::Scheduler => "system:kube-scheduler".to_owned(),
            Self::KubeControllerManager => "system:kube-controller-manager".to_owned(),
            Self::HeadroomScheduler => service_account("headroom-scheduler"),
            Self::HeadroomControllers => service_account("headroom-controllers"),
            Self::Node(name) => format!("system:node:{name}"),
            Self::Custom { user, .. } => user.clone(),
        }
    }

    /// The groups, without `system:authenticated`, which the API server adds.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        match self {
            Self::Admin => vec!["system:masters".to_owned()],
            Self::Scheduler | Self::KubeControllerManager => Vec::new(),
            // A real token of a service account carries these two groups.
            Self::HeadroomScheduler | Self::HeadroomControllers => {
                vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{SYSTEM_NAMESPACE}")]
            }
            Self::Node(_) => vec!["system:nodes".to_owned()],
            Self::Custom { groups, .. } => groups.clone(),
        }
    }

    /// The stem of file names: what cannot stand in one is replaced, and a hash of user and groups keeps different
    /// identities apart.
    pub(crate) fn stem(&self) -> String {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let readable: String =
            self.user().chars().take(60).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
        let mut hasher = DefaultHasher::new();
        self.user().hash(&mut hasher);
        self.groups().hash(&mut hasher);
        format!("{readable}-{:08x}", hasher.finish() & 0xffff_ffff)
    }
}

fn service_account(name: &str) -> String {
    format!("system:serviceaccount:{SYSTEM_NAMESPACE}:{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_safe_file_names_and_differ() {
        let custom = |user: &str, groups: &[&str]| Identity::Custom {
            user: user.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        };
        let stems = [
            custom("../../x", &[]).stem(),
            custom("a:b", &[]).stem(),
            custom("a-b", &[]).stem(),
            custom("a-b", &["g"]).stem(),
        ];
        for (index, stem) in stems.iter().enumerate() {
            assert!(!stem.contains(['/', '.', ':']), "{stem}");
            assert!(!stems[..index].contains(stem), "{stem}");
        }
        assert_eq!(Identity::HeadroomScheduler.user(), "system:serviceaccount:kube-system:headroom-scheduler");
    }
}
