//! What goes wrong on the way to the API server, in one line: which server, why, and what to do about it.

use std::error::Error;

use headroom_runtime::process::one_line;

use crate::doctor::text::clean;

/// Where else to go.
const ELSEWHERE: &str = "another one: --kubeconfig FILE or --context NAME";
/// What to do about a right that is missing.
pub(crate) const RIGHT: &str = "ask for that right, or be somebody else: --kubeconfig FILE or --context NAME";

/// The address of a server for people, without what a URL could hold of passwords.
pub(crate) fn address(url: &http::Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}{}", url.scheme_str().unwrap_or("https"), url.path().trim_end_matches('/'))
}

/// The error and its causes in one line. What a request to the API server came to is told with the server that was asked,
/// if any was, and with what to do.
pub(crate) fn line(error: &anyhow::Error, server: Option<&str>) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<kube::Error>() {
            parts.push(said(error, server));
            return parts.join(": ");
        }
        parts.push(flat(&cause.to_string()));
    }
    one_line(error.as_ref())
}

/// What a request came to, and what to do.
fn said(error: &kube::Error, server: Option<&str>) -> String {
    let server = server.unwrap_or("the API server");
    match error {
        kube::Error::Api(status) if status.code == 401 => format!(
            "{server} does not know who asks ({}); have the credentials of the kubeconfig expired? {ELSEWHERE}",
            why(error)
        ),
        kube::Error::Api(status) if status.code == 403 => format!("{}; {RIGHT}", why(error)),
        _ if is_unreachable(error) => {
            let cause = why(error);
            let hint = if cause.contains("certificate") {
                "does the kubeconfig have the certificate authority of this server?"
            } else {
                "is the server up?"
            };
            format!("cannot reach {server}: {cause}; {hint} {ELSEWHERE}")
        }
        error => why(error),
    }
}

/// Whether the server gave no answer, or not all of it.
const fn is_unreachable(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_))
}

/// What an error says, in one line: the words of the API server, or the last cause, which says more than those above it.
pub(crate) fn why(error: &kube::Error) -> String {
    match error {
        // Webhooks of others write some of these.
        kube::Error::Api(status) => flat(&clean(&status.message)),
        error if is_unreachable(error) => {
            let mut last: &(dyn Error + 'static) = error;
            while let Some(cause) = last.source() {
                last = cause;
            }
            flat(&last.to_string())
        }
        error => one_line(error),
    }
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use anyhow::Context;

    use super::*;
    use crate::{
        cluster::{self, Connection},
        testkit::{FakeServer, block_on, kubeconfig, refusal},
    };

    /// What is said when all that is read at first is asked for at this address.
    fn asked_at(url: &str) -> String {
        let file = kubeconfig(url);
        let connection = Connection { kubeconfig: Some(file.path().to_owned()), ..Connection::default() };
        let error = block_on(async {
            let (client, namespace) = connection.client().await.unwrap();
            assert_eq!(namespace, "shop");
            cluster::read(&client, &mut Vec::new()).await.unwrap_err()
        });
        let line = line(&error, connection.server());
        assert!(!line.contains('\n') && !line.contains("Error"), "{line}");
        line
    }

    #[test]
    fn nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let line = asked_at(&url);
        assert!(line.starts_with(&format!("cannot list nodes: cannot reach {url}: Connection refused")), "{line}");
        let hint = "; is the server up? another one: --kubeconfig FILE or --context NAME";
        assert!(line.ends_with(hint), "{line}");
    }

    #[test]
    fn nobody_is_known_or_nothing_is_allowed() {
        let server = FakeServer::new(|_| refusal(401, "Unauthorized"));
        let line = asked_at(&server.url);
        let expected = format!("cannot list nodes: {} does not know who asks (Unauthorized); ", server.url);
        assert!(line.starts_with(&expected) && line.ends_with(ELSEWHERE), "{line}");
        let message = "nodes is forbidden: User \"u\" cannot list resource \"nodes\" in API group \"\"";
        let server = FakeServer::new(move |_| refusal(403, message));
        assert_eq!(asked_at(&server.url), format!("cannot list nodes: {message}; {RIGHT}"));
    }

    #[test]
    fn other_errors_are_told_as_they_are() {
        let error = Err::<(), _>(std::io::Error::other("broken\npipe")).context("cannot write").unwrap_err();
        assert_eq!(line(&error, Some("https://a")), "cannot write: broken pipe");
        let tls = kube::Error::Service("invalid peer certificate: UnknownIssuer".into());
        let error = anyhow::Error::new(tls).context("cannot list pods");
        let line = line(&error, None);
        assert!(line.starts_with("cannot list pods: cannot reach the API server: invalid peer certificate"), "{line}");
        assert!(line.contains("the certificate authority of this server?"), "{line}");
    }

    #[test]
    fn addresses_tell_no_passwords() {
        for (url, expected) in [
            ("https://10.0.0.1:6443", "https://10.0.0.1:6443"),
            ("https://10.0.0.1:6443/", "https://10.0.0.1:6443"),
            ("https://u:p@a.example/k8s/clusters/c-1/", "https://a.example/k8s/clusters/c-1"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(address(&url.parse().unwrap()), expected);
        }
    }
}
