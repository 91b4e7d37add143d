//! Objects as JSON, by their paths: what differs from cluster to cluster needs no types.

use http::{Method, Request, header};
use kube::Client;
use serde_json::{Value, json};

use super::text;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Most objects of one list.
const MAX_OBJECTS: usize = 100_000;
/// Metadata alone, `managedFields` included.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const JSON: &str = "application/json";
/// Our name in `managedFields`.
const MANAGER: &str = "kubectl-headroom";
/// How often an object is looked at again that somebody writes at the same time.
const TRIES: u32 = 10;
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
        let path = format!("{path}?fieldManager={MANAGER}");
        self.send(Method::PATCH, &path, (JSON, kind), Some(patch)).await
    }

    /// Leaves the fields that [`Self::patch`] has changed to nobody: whoever applies the object on the server's side, as
    /// Helm 4 does, would be refused every later change of a field that is ours.
    pub(crate) async fn disown(&self, path: &str) -> Result<(), kube::Error> {
        let mut tries = 0;
        loop {
            let found = self.get(path).await?;
            let Some(patch) = found.as_ref().and_then(without_ours) else { return Ok(()) };
            match self.send(Method::PATCH, path, (JSON, MERGE), Some(&patch)).await {
                Err(error) if is(&error, 409) && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Deletes an object with what belongs to it. One that is gone is no error.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), kube::Error> {
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                             "propagationPolicy": "Background"});
        match self.send(Method::DELETE, path, (JSON, JSON), Some(&options)).await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, 404) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The patch after which none of an object's fields are ours; none where none are.
fn without_ours(object: &Value) -> Option<Value> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let of_others: Vec<&Value> = entries.iter().filter(|entry| text(entry, "/manager") != MANAGER).collect();
    if of_others.len() == entries.len() {
        return None;
    }
    // An empty list would change nothing: it may be that of somebody who does not know the field.
    let list = if of_others.is_empty() { json!([{}]) } else { json!(of_others) };
    let version = object.pointer("/metadata/resourceVersion")?;
    Some(json!({"metadata": {"resourceVersion": version, "managedFields": list}}))
}

/// Whether the API server answered with this status.
pub(crate) fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// A token of a list as a part of a URL: base64, of which three characters mean something there.
fn encoded(token: &str) -> String {
    token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_left_to_others() {
        let entry = |manager: &str| json!({"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {}}});
        let object = |entries: Vec<Value>| json!({"metadata": {"resourceVersion": "7", "managedFields": entries}});
        let left = |entries: Vec<Value>| without_ours(&object(entries));
        assert_eq!(left(vec![entry("helm")]), None);
        assert_eq!(without_ours(&json!({})), None);
        assert_eq!(left(vec![entry("helm"), entry(MANAGER)]), Some(object(vec![entry("helm")])));
        assert_eq!(left(vec![entry(MANAGER)]), Some(object(vec![json!({})])));
    }
}
