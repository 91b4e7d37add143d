//! What a request is about, from its method and URI.

use http::{Method, Uri};

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Watch,
    List,
    Get,
    Write,
}

/// A request in the API's terms. What is not about objects (`/version`, `/apis`) has no resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) verb: Verb,
    pub(super) resource: String,
    pub(super) namespace: String,
    /// The namespace of the story that it is about: its own or, of a node, which has none, what stands behind the first dot of
    /// its name.
    story: String,
    /// A write that makes an object: there is none yet that it could be in conflict with.
    pub(super) creates: bool,
    /// A watch that begins with all objects.
    pub(super) initial: bool,
    /// A watch that goes on from a version.
    pub(super) resumed: bool,
    /// An answer may be as old as the server likes.
    pub(super) old: bool,
}

impl Target {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let rest: Vec<&str> = match parts.next() {
            Some("api") => parts.skip(1).collect(),
            Some("apis") => parts.skip(2).collect(),
            _ => Vec::new(),
        };
        let (namespace, resource, name) = match rest.as_slice() {
            ["namespaces", namespace, resource, name @ ..] => (*namespace, *resource, name.first()),
            [resource, name @ ..] => ("", *resource, name.first()),
            [] => ("", "", None),
        };
        let query = |key: &str| {
            let pairs = uri.query().unwrap_or_default().split('&');
            pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let is_set = |key| matches!(query(key), Some("true" | "1"));
        let verb = match *method {
            Method::GET if is_set("watch") => Verb::Watch,
            Method::GET if name.is_none() && !resource.is_empty() => Verb::List,
            Method::GET | Method::HEAD => Verb::Get,
            _ => Verb::Write,
        };
        let initial = verb == Verb::Watch && is_set("sendInitialEvents");
        let version = query("resourceVersion").unwrap_or_default();
        let node = name.filter(|_| resource == "nodes").and_then(|name| name.split_once('.'));
        Self {
            verb,
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            creates: *method == Method::POST,
            story: node.map_or(namespace, |(_, story)| story).to_owned(),
            initial,
            resumed: verb == Verb::Watch && !initial && !matches!(version, "" | "0"),
            old: version == "0",
        }
    }

    /// The story's namespace, if this is a write that a story is about: not a lease, an event or a question about a caller.
    pub(super) fn story(&self) -> Option<&str> {
        let told = self.verb == Verb::Write
            && !self.story.is_empty()
            && !matches!(self.resource.as_str(), "events" | "leases" | "serviceaccounts");
        told.then_some(self.story.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, uri: &str) -> Target {
        Target::of(method, &uri.parse().unwrap())
    }

    #[test]
    fn requests_are_understood() {
        let table = [
            (Method::GET, "/api/v1/pods?watch=true&resourceVersion=5", Verb::Watch, "pods", ""),
            (Method::GET, "/api/v1/pods?limit=500", Verb::List, "pods", ""),
            (Method::GET, "/api/v1/namespaces/a/pods/x", Verb::Get, "pods", "a"),
            (Method::GET, "/api/v1/namespaces/a", Verb::Get, "namespaces", ""),
            (Method::GET, "/api/v1/namespaces", Verb::List, "namespaces", ""),
            (Method::POST, "/api/v1/namespaces/a/pods/x/binding", Verb::Write, "pods", "a"),
            (
                Method::PUT,
                "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices/s",
                Verb::Write,
                "endpointslices",
                "a",
            ),
            (Method::GET, "/apis/discovery.k8s.io/v1/endpointslices?watch=1", Verb::Watch, "endpointslices", ""),
            (Method::GET, "/version", Verb::Get, "", ""),
        ];
        for (method, uri, verb, resource, namespace) in table {
            let target = of(&method, uri);
            assert_eq!((target.verb, &*target.resource, &*target.namespace), (verb, resource, namespace), "{uri}");
        }
    }

    #[test]
    fn versions_say_how_a_read_begins() {
        let begins = |uri: &str| {
            let target = of(&Method::GET, uri);
            (target.initial, target.resumed, target.old)
        };
        assert_eq!(begins("/api/v1/pods?watch=true&resourceVersion=5"), (false, true, false));
        assert_eq!(begins("/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersion="), (true, false, false));
        assert_eq!(begins("/api/v1/pods?resourceVersion=0"), (false, false, true));
        assert_eq!(begins("/api/v1/pods"), (false, false, false));
    }

    #[test]
    fn stories_are_about_objects_of_namespaces_and_nodes_that_bear_one_in_their_name() {
        let story = |method: &Method, uri: &str| of(method, uri).story().map(str::to_owned);
        for (method, uri, expected) in [
            (Method::POST, "/api/v1/namespaces/a/pods", Some("a")),
            (Method::PATCH, "/api/v1/namespaces/a/pods/x.y", Some("a")),
            (Method::PATCH, "/api/v1/nodes/n.a/status", Some("a")),
            (Method::PATCH, "/api/v1/nodes/n", None),
            (Method::GET, "/api/v1/nodes/n.a", None),
            (Method::POST, "/api/v1/namespaces/a/events", None),
            (Method::GET, "/api/v1/namespaces/a/pods", None),
            (Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews", None),
        ] {
            assert_eq!(story(&method, uri).as_deref(), expected, "{method} {uri}");
        }
    }
}
