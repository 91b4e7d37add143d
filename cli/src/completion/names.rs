//! Names that completion looks up: in the kubeconfig and in the cluster that the words before it point to.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap_complete::engine::CompletionCandidate;
use serde_json::Value;

use crate::{cluster::Connection, doctor};

/// Nobody waits longer for a word.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names that are offered at most.
const MOST: u32 = 500;
/// Only names are asked for, not whole objects.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// What was typed that says where to look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    context: Option<String>,
    cluster: Option<String>,
    user: Option<String>,
    act_as: Option<String>,
    as_group: Vec<String>,
    kubeconfig: Option<String>,
    namespace: Option<String>,
    snapshot: Option<String>,
}

impl Typed {
    /// Reads the words, but for the last one, which is being typed.
    pub(super) fn read(words: &[OsString]) -> Self {
        let mut typed = Self::default();
        let done = words.split_last().map_or(words, |(_, done)| done);
        let mut done = done.iter().filter_map(|word| word.to_str());
        while let Some(word) = done.next() {
            let joined =
                word.split_once('=').or_else(|| Some(("-n", word.strip_prefix("-n").filter(|v| !v.is_empty())?)));
            let (flag, value) = joined.map_or((word, None), |(flag, value)| (flag, Some(value)));
            let place = match flag {
                "--context" => &mut typed.context,
                "--cluster" => &mut typed.cluster,
                "--user" => &mut typed.user,
                "--as" => &mut typed.act_as,
                "--as-group" => {
                    typed.as_group.extend(value.or_else(|| done.next()).map(ToOwned::to_owned));
                    continue;
                }
                "--kubeconfig" => &mut typed.kubeconfig,
                "--namespace" | "-n" => &mut typed.namespace,
                "--snapshot" => &mut typed.snapshot,
                _ => continue,
            };
            *place = value.or_else(|| done.next()).map(ToOwned::to_owned);
        }
        typed
    }

    fn connection(&self) -> Connection {
        Connection {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            act_as: self.act_as.clone(),
            as_group: self.as_group.clone(),
            kubeconfig: self.kubeconfig.as_ref().map(PathBuf::from),
            ..Connection::default()
        }
    }
}

/// What an argument is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Contexts,
    Clusters,
    Users,
    Namespaces,
    Nodes,
    Pods,
    Checks,
}

impl Names {
    /// Of an argument, by the verb that it belongs to. Verbs call the same thing by the same name.
    pub(super) fn of(verb: &str, argument: &str) -> Option<Self> {
        match (verb, argument) {
            (_, "context") => Some(Self::Contexts),
            (_, "cluster") => Some(Self::Clusters),
            (_, "user") => Some(Self::Users),
            (_, "namespace") => Some(Self::Namespaces),
            ("pod" | "pods", "name" | "names") => Some(Self::Pods),
            (_, "node") | ("node" | "nodes" | "top", "name" | "names") => Some(Self::Nodes),
            ("doctor", "only") => Some(Self::Checks),
            _ => None,
        }
    }

    /// The names. None where they cannot be known in time.
    pub(super) fn candidates(self, typed: &Typed) -> Vec<CompletionCandidate> {
        let names = match self {
            Self::Contexts | Self::Clusters | Self::Users => self.in_kubeconfig(typed),
            Self::Checks => doctor::ids().map(ToOwned::to_owned).collect(),
            // The live cluster has nothing to do with a saved one.
            _ if typed.snapshot.is_some() => Vec::new(),
            Self::Namespaces | Self::Nodes | Self::Pods => self.ask(typed),
        };
        names.into_iter().map(CompletionCandidate::new).collect()
    }

    /// Where they are listed.
    fn path(self, namespace: &str) -> Option<String> {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let what = match self {
            Self::Namespaces => "namespaces".to_owned(),
            Self::Nodes => "nodes".to_owned(),
            Self::Pods if namespace.chars().all(named) => format!("namespaces/{namespace}/pods"),
            Self::Pods | Self::Contexts | Self::Clusters | Self::Users | Self::Checks => return None,
        };
        Some(format!("/api/v1/{what}?limit={MOST}"))
    }

    fn ask(self, typed: &Typed) -> Vec<String> {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return Vec::new();
        };
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, self.list(typed)).await });
        answer.ok().flatten().unwrap_or_default()
    }

    async fn list(self, typed: &Typed) -> Option<Vec<String>> {
        let (client, namespace) = typed.connection().client().await.ok()?;
        let path = self.path(typed.namespace.as_ref().unwrap_or(&namespace))?;
        let request = http::Request::get(path).header(http::header::ACCEPT, METADATA).body(Vec::new()).ok()?;
        let page: Value = client.request(request).await.ok()?;
        let items = page.get("items")?.as_array()?;
        Some(items.iter().filter_map(|item| Some(item.pointer("/metadata/name")?.as_str()?.to_owned())).collect())
    }

    fn in_kubeconfig(self, typed: &Typed) -> Vec<String> {
        let Ok(Some(file)) = typed.connection().file() else { return Vec::new() };
        match self {
            Self::Clusters => file.clusters.into_iter().map(|cluster| cluster.name).collect(),
            Self::Users => file.auth_infos.into_iter().map(|user| user.name).collect(),
            _ => file.contexts.into_iter().map(|context| context.name).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn what_was_typed() {
        let typed = Typed::read(&words(&["top", "pods", "--context=home", "-n", "shop", "--kubeconfig", "a", ""]));
        let expected = Typed {
            context: Some("home".to_owned()),
            kubeconfig: Some("a".to_owned()),
            namespace: Some("shop".to_owned()),
            ..Typed::default()
        };
        assert_eq!(typed, expected);
        let typed =
            Typed::read(&words(&["--cluster=k", "--user", "u", "--as", "b", "--as-group=g", "--as-group", "h", ""]));
        let expected = Typed {
            cluster: Some("k".to_owned()),
            user: Some("u".to_owned()),
            act_as: Some("b".to_owned()),
            as_group: vec!["g".to_owned(), "h".to_owned()],
            ..Typed::default()
        };
        assert_eq!(typed, expected);
        assert_eq!(Typed::read(&words(&["-nshop", ""])).namespace.as_deref(), Some("shop"));
        assert_eq!(Typed::read(&words(&["-n=shop", ""])).namespace.as_deref(), Some("shop"));
        // The last word is not finished.
        assert_eq!(Typed::read(&words(&["-n", "sh"])).namespace, None);
        assert_eq!(Typed::read(&[]), Typed::default());
    }

    #[test]
    fn what_is_named() {
        assert_eq!(Names::of("pod", "name"), Some(Names::Pods));
        assert_eq!(Names::of("pods", "names"), Some(Names::Pods));
        assert_eq!(Names::of("pods", "node"), Some(Names::Nodes));
        assert_eq!(Names::of("top", "names"), Some(Names::Nodes));
        assert_eq!(Names::of("snapshot", "context"), Some(Names::Contexts));
        assert_eq!(Names::of("snapshot", "file"), None);
    }

    #[test]
    fn where_names_are_listed() {
        assert_eq!(Names::Pods.path("shop").as_deref(), Some("/api/v1/namespaces/shop/pods?limit=500"));
        assert_eq!(Names::Nodes.path("shop").as_deref(), Some("/api/v1/nodes?limit=500"));
        assert_eq!(Names::Pods.path("../nodes"), None);
    }
}
