//! Objects as JSON on a real API server.

use anyhow::Context;
use serde_json::Value;

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn plural(kind: &str) -> String {
    match kind {
        "Endpoints" => "endpoints".to_owned(),
        "RuntimeClass" | "PriorityClass" | "StorageClass" => format!("{}es", kind.to_lowercase()),
        kind => format!("{}s", kind.to_lowercase()),
    }
}

/// The URL of the objects of a kind, in a namespace unless that is empty.
pub(crate) fn collection(version: &str, kind: &str, namespace: &str) -> String {
    let root = if version.contains('/') { "apis" } else { "api" };
    let plural = plural(kind);
    match namespace {
        "" => format!("/{root}/{version}/{plural}"),
        namespace => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
    }
}

/// The URL of the objects of its kind, in its namespace.
pub(crate) fn path_of(object: &Value) -> String {
    collection(text(object, "/apiVersion"), text(object, "/kind"), text(object, "/metadata/namespace"))
}

/// Sends a request with a JSON body. The inner error is a refusal by the API server.
pub(crate) async fn send(
    client: &kube::Client,
    request: http::request::Builder,
    body: &Value,
) -> anyhow::Result<Result<Value, kube::Error>> {
    let request = request.body(serde_json::to_vec(body)?)?;
    match client.request::<Value>(request).await {
        Ok(answer) => Ok(Ok(answer)),
        Err(error @ kube::Error::Api(_)) => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}

/// Creates an object. The inner error is a refusal by the API server.
pub(crate) async fn post(client: &kube::Client, object: &Value) -> anyhow::Result<Result<Value, kube::Error>> {
    send(client, http::Request::post(path_of(object)).header("content-type", "application/json"), object).await
}

/// Reads an object.
///
/// # Errors
/// Also when it is not there.
pub(crate) async fn get(client: &kube::Client, path: &str) -> anyhow::Result<Value> {
    let request = http::Request::get(path).body(Vec::new())?;
    client.request::<Value>(request).await.with_context(|| format!("GET {path}"))
}

/// Changes an object by a merge patch.
///
/// # Errors
/// Also when the API server refuses it.
pub(crate) async fn patch(client: &kube::Client, path: &str, patch: &Value) -> anyhow::Result<Value> {
    let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
    send(client, request, patch).await?.with_context(|| format!("PATCH {path} {patch}"))
}

/// Writes the status of an object, which no server takes at its creation.
pub(crate) async fn patch_status(client: &kube::Client, object: &Value) -> anyhow::Result<Value> {
    let path = format!("{}/{}/status", path_of(object), text(object, "/metadata/name"));
    patch(client, &path, &serde_json::json!({"status": object["status"]})).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let path = |version: &str, kind: &str, namespace: &str| {
            path_of(&json!({"apiVersion": version, "kind": kind, "metadata": {"namespace": namespace}}))
        };
        assert_eq!(path("v1", "Pod", "a"), "/api/v1/namespaces/a/pods");
        assert_eq!(path("v1", "Endpoints", "a"), "/api/v1/namespaces/a/endpoints");
        assert_eq!(path("storage.k8s.io/v1", "StorageClass", ""), "/apis/storage.k8s.io/v1/storageclasses");
        assert_eq!(path("policy/v1", "PodDisruptionBudget", "a"), "/apis/policy/v1/namespaces/a/poddisruptionbudgets");
    }
}
