//! Objects as JSON, by their paths: what differs from cluster to cluster needs no types.

use http::{Method, Request, header};
use kube::Client;
use serde_json::Value;

use crate::doctor::text::clean;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Most objects of one list.
const MAX_OBJECTS: usize = 100_000;
/// Metadata alone, `managedFields` included.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const JSON: &str = "application/json";
/// Lists of named items are merged by name.
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Fields are replaced; `null` takes one away.
pub(crate) const MERGE: &str = "application/merge-patch+json";

/// Asks one API server.
#[derive(Clone)]
pub(crate) struct Requests(Client);

impl Requests {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        (accept, content): (&str, &str),
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
        let mut bytes = Vec::new();
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, content);
            bytes = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        }
        self.0.request(request.body(bytes).map_err(kube::Error::HttpError)?).await
    }

    /// An object, if it exists.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, kube::Error> {
        match self.send(Method::GET, path, (JSON, JSON), None).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if is(&error, 404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The objects of a list; none where the cluster does not have the kind.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, kube::Error> {
        self.pages(path, JSON, MAX_OBJECTS).await
    }

    /// The metadata of at most so many objects of a list.
    pub(crate) async fn metadata(&self, path: &str, most: usize) -> Result<Vec<Value>, kube::Error> {
        self.pages(path, METADATA, most).await
    }

    async fn pages(&self, path: &str, accept: &str, most: usize) -> Result<Vec<Value>, kube::Error> {
        let join = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let next = if token.is_empty() { String::new() } else { format!("&continue={}", encoded(&token)) };
            let uri = format!("{path}{join}limit={PAGE}{next}");
            let mut page = match self.send(Method::GET, &uri, (accept, JSON), None).await {
                Ok(page) => page,
                Err(error) if is(&error, 404) => return Ok(all),
                Err(error) => return Err(error),
            };
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                all.extend(items);
            }
            token = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().to_owned();
            if token.is_empty() || all.len() >= most {
                all.truncate(most);
                return Ok(all);
            }
        }
    }

    /// Makes an object in a collection.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, kube::Error> {
        self.send(Method::POST, path, (JSON, JSON), Some(object)).await
    }

    /// Changes an object by a patch of the kind [`STRATEGIC`] or [`MERGE`].
    pub(crate) async fn patch(&self, path: &str, kind: &str, patch: &Value) -> Result<Value, kube::Error> {
        self.send(Method::PATCH, path, (JSON, kind), Some(patch)).await
    }

    /// Deletes an object with what belongs to it. One that is gone is no error.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), kube::Error> {
        let options = serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                                         "propagationPolicy": "Background"});
        match self.send(Method::DELETE, path, (JSON, JSON), Some(&options)).await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, 404) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether the API server answered with this status.
pub(crate) fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// What an error says, in one line.
pub(crate) fn why(error: &kube::Error) -> String {
    match error {
        // Webhooks of others write some of these.
        kube::Error::Api(status) => clean(&status.message).split_whitespace().collect::<Vec<_>>().join(" "),
        other => headroom_runtime::process::one_line(other),
    }
}

/// A token of a list as a part of a URL: base64, of which three characters mean something there.
fn encoded(token: &str) -> String {
    token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
