//! The names that a workload consists of: whoever binds its pods needs nothing else of them.

/// The namespace of all pods.
pub const NAMESPACE: &str = "bench";

/// How many different pods there are; they alternate, as when ten controllers create at the same time.
pub const TEMPLATES: u32 = 10;

/// The name of a node.
#[must_use]
pub fn node(index: u32) -> String {
    format!("node-{index:04}")
}

/// The name of a pod.
#[must_use]
pub fn pod(index: u32) -> String {
    format!("app-{}-{index:06}", index % TEMPLATES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_a_template_have_names_of_their_own() {
        assert_eq!(
            (node(7).as_str(), pod(1).as_str(), pod(11).as_str()),
            ("node-0007", "app-1-000001", "app-1-000011")
        );
    }
}
