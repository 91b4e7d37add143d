//! The looks themselves: the process, and the API server.

use std::{collections::BTreeSet, error::Error, path::Path};

use futures::{StreamExt, stream};
use headroom_api::NodeHeadroom;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    coordination::v1::{Lease, LeaseSpec},
    core::v1::{ConfigMap, Node},
};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams},
    client::Body,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{LeaseId, Right, Seen};
use crate::{
    client::{Fence, Purpose, build},
    metrics::ClientMetrics,
    process::{cut, one_line},
};

/// Questions about rights at a time.
const AT_ONCE: usize = 8;
/// Longest answer of `/readyz` that is read, bytes.
const LONGEST_ANSWER: usize = 4096;
/// Names of nodes and rights that are told; of more only the number.
const TOLD: usize = 8;
/// Namespace and name of the ConfigMap in which `kubectl headroom takeover` writes down what it has changed.
const RECORD: (&str, &str) = ("kube-system", "headroom-takeover");

/// Whom to ask.
#[derive(Default)]
pub(super) struct Context {
    /// The API server; `None` when no step needs it.
    pub(super) api: Option<Client>,
}

impl Context {
    fn api(&self) -> Result<Client, String> {
        self.api.clone().ok_or_else(|| "there is no connection to the API server".to_owned())
    }
}

/// Whether the process says that it is ready.
pub(super) async fn ready(url: &str, authority: Option<&Path>) -> Seen {
    let client = match process(url, authority) {
        Ok(client) => client,
        Err(why) => return Seen::Unknown(why),
    };
    let request = match Request::get("/readyz").body(Body::empty()) {
        Ok(request) => request,
        Err(error) => return Seen::Unknown(format!("--url {url}: {error}")),
    };
    let answer = match client.send(request).await {
        Ok(answer) => answer,
        Err(error) => return Seen::NotYet(format!("{url}/readyz does not answer: {}", words(&error))),
    };
    let code = answer.status();
    if code == StatusCode::OK {
        return Seen::Yes(format!("{url}/readyz answers"));
    }
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    Seen::NotYet(format!("{url}/readyz answers {}: {}", code.as_u16(), failing(&text)))
}

/// What fails by an answer of `/readyz`, or what somebody else says who listens there.
fn failing(answer: &str) -> String {
    let failed: Vec<&str> = answer.lines().filter(|line| line.starts_with("[-]")).collect();
    if failed.is_empty() { cut(answer) } else { cut(&failed.join(", ")) }
}

/// What an error says; webhooks and proxies of others write some of these.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => cut(&status.message),
        error => cut(&one_line(error)),
    }
}

/// A client without credentials.
fn process(url: &str, authority: Option<&Path>) -> Result<Client, String> {
    let wrong = || format!("--url {url:?} is not a URL: expected https://HOST:PORT");
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("https") || uri.host().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    let mut config = Config::new(uri);
    config.default_retry = false;
    config.accept_invalid_certs = authority.is_none();
    if let Some(path) = authority {
        let unusable = |error: &dyn std::fmt::Display| format!("--certificate-authority {}: {error}", path.display());
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(&error))?;
        if certificates.is_empty() {
            return Err(unusable(&"it has no certificate"));
        }
        config.root_cert = Some(certificates.iter().map(|der| der.as_ref().to_vec()).collect());
    }
    let line = |error: &(dyn Error + 'static)| one_line(error);
    let metrics = ClientMetrics::unregistered().map_err(|error| line(&error))?;
    build(&config, Purpose::Foreign, &Fence::closed(), &metrics).map_err(|error| line(&error))
}

/// Whether we may do all of it.
pub(super) async fn may(context: &Context, rights: &[Right]) -> Seen {
    let reviews = match context.api() {
        Ok(client) => Api::<SelfSubjectAccessReview>::all(client),
        Err(why) => return Seen::Unknown(why),
    };
    let ask = |right: Right| {
        let reviews = reviews.clone();
        async move {
            let answer = reviews.create(&PostParams::default(), &review(&right)).await?;
            Ok::<_, kube::Error>((right, answer.status.is_some_and(|status| status.allowed)))
        }
    };
    let mut answers = stream::iter(rights.to_vec()).map(ask).buffered(AT_ONCE);
    let mut missing = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok((_, true)) => {}
            Ok((right, false)) => missing.push(right.describe()),
            Err(error) => return Seen::Unknown(format!("cannot ask for rights: {}", words(&error))),
        }
    }
    if missing.is_empty() {
        Seen::Yes(format!("all {} of them", rights.len()))
    } else {
        Seen::NotYet(format!("this account may not {}", some_of(&missing)))
    }
}

fn review(right: &Right) -> SelfSubjectAccessReview {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let resource_attributes = Some(ResourceAttributes {
        verb: given(right.verb),
        group: given(right.group),
        resource: given(resource),
        subresource: given(subresource),
        namespace: given(&right.namespace),
        name: given(&right.name),
        ..ResourceAttributes::default()
    });
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes, ..SelfSubjectAccessReviewSpec::default() },
        ..SelfSubjectAccessReview::default()
    }
}

/// What a Lease says; `None` when there is none.
pub(super) async fn lease_of(context: &Context, id: &LeaseId) -> Result<Option<LeaseSpec>, String> {
    let leases: Api<Lease> = Api::namespaced(context.api()?, &id.namespace);
    let lease = leases.get_opt(&id.name).await;
    Ok(lease.map_err(|error| format!("cannot read the lease {id}: {}", words(&error)))?.and_then(|lease| lease.spec))
}

/// Whether no takeover is in effect. It changes Deployments and not the values with which they were installed, and so does
/// what else was changed for it: rights, files of hosts.
pub(super) async fn nothing_taken(context: &Context) -> Seen {
    let (namespace, name) = RECORD;
    let maps: Api<ConfigMap> = match context.api() {
        Ok(client) => Api::namespaced(client, namespace),
        Err(why) => return Seen::Unknown(why),
    };
    match maps.get_metadata_opt(name).await {
        Ok(None) => Seen::Yes(format!("no ConfigMap {namespace}/{name} says that anything was taken over")),
        Ok(Some(_)) => Seen::No(format!(
            "ConfigMap {namespace}/{name} says that work of stock components was taken over: kubectl headroom handback \
             first; if all of it was given back by hand, delete that ConfigMap"
        )),
        Err(error) => Seen::Unknown(format!(
            "cannot read the ConfigMap {namespace}/{name}, which says whether anything was taken over: {}; where you know that \
             nothing was: helm uninstall --no-hooks",
            words(&error)
        )),
    }
}

/// Whether every node has a sample that its NodeHeadroom calls fresh.
pub(super) async fn fresh_samples(context: &Context) -> Seen {
    let client = match context.api() {
        Ok(client) => client,
        Err(why) => return Seen::Unknown(why),
    };
    let cannot = |what: &str, error: &kube::Error| Seen::Unknown(format!("cannot list {what}: {}", words(error)));
    let nodes = match Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await {
        Ok(nodes) => nodes.items.into_iter().filter_map(|node| node.metadata.name).collect::<BTreeSet<_>>(),
        Err(error) => return cannot("nodes", &error),
    };
    let samples = match Api::<NodeHeadroom>::all(client).list(&ListParams::default()).await {
        Ok(samples) => samples.items,
        Err(error) => return cannot("nodeheadrooms.headroom.dev", &error),
    };
    let fresh: BTreeSet<String> = samples
        .into_iter()
        .filter(|sample| {
            let mut conditions = sample.status.iter().flat_map(|status| &status.conditions);
            conditions.any(|condition| condition.kind == "Fresh" && condition.status == "True")
        })
        .filter_map(|sample| sample.metadata.name)
        .collect();
    let stale: Vec<String> = nodes.difference(&fresh).cloned().collect();
    if stale.is_empty() {
        Seen::Yes(format!("all {} nodes have a fresh one", nodes.len()))
    } else {
        Seen::NotYet(format!(
            "no fresh one of {}: `kubectl describe nodeheadrooms` says why, in the condition Fresh",
            some_of(&stale)
        ))
    }
}

fn some_of(all: &[String]) -> String {
    let told = all.get(..TOLD.min(all.len())).unwrap_or(all).join(", ");
    match all.len().saturating_sub(TOLD) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_asks_for_subresource_and_name() {
        let right = Right {
            verb: "create",
            group: "",
            resource: "serviceaccounts/token",
            namespace: "a".into(),
            name: "b".into(),
        };
        let asked = review(&right).spec.resource_attributes.unwrap();
        assert_eq!((asked.resource.as_deref(), asked.subresource.as_deref()), (Some("serviceaccounts"), Some("token")));
        assert_eq!((asked.group, asked.name.as_deref()), (None, Some("b")));
    }

    #[test]
    fn answers_of_others_are_short_and_plain() {
        assert_eq!(failing("[+]a ok\n[-]b failed: x\u{1b}[2J\r\n[-]c failed\n"), "[-]b failed: x [2J, [-]c failed");
        assert_eq!(failing("<html>\n\u{7}who?\n"), "<html> who?");
        assert!(failing(&"x".repeat(4096)).chars().count() < 400);
        let status = kube::core::Status::failure("no\n\u{1b}[1A", "Forbidden").with_code(403);
        assert_eq!(words(&kube::Error::Api(status.boxed())), "no [1A");
    }

    #[test]
    fn long_lists_are_cut_off() {
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(some_of(&names), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
        assert_eq!(some_of(&names[..2]), "0, 1");
    }
}
