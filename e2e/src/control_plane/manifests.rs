//! Applying manifests (YAML with any number of documents) by server-side apply.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, Scope, pinned_kind};
use serde_json::Value;

use crate::error::{HarnessError, Result};
use crate::wait::{eventually, wait_for};

use super::ControlPlane;

/// The field manager of what the harness applies.
const MANAGER: &str = "headroom-e2e";

/// How long a new custom resource may take until it is served.
const ESTABLISH: Duration = Duration::from_secs(180);

impl ControlPlane {
    /// Applies every document of `yaml` as admin, in order; `name` stands in error messages. Objects without a
    /// namespace go to `default`. A CustomResourceDefinition is waited for until it is established.
    ///
    /// # Errors
    /// [`HarnessError::Manifest`] names the document that is wrong or refused.
    pub async fn apply_yaml(&self, name: &str, yaml: &str) -> Result<()> {
        let wrong = |index, reason: String| HarnessError::Manifest { name: name.to_owned(), index, reason };
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|error| wrong(0, error.to_string()))?;
        let mut known: BTreeMap<String, (ApiResource, ApiCapabilities)> = BTreeMap::new();
        for (index, document) in documents.into_iter().filter(|document| !document.is_null()).enumerate() {
            let index = index.saturating_add(1);
            self.apply_document(&document, &mut known).await.map_err(|reason| wrong(index, reason))?;
        }
        Ok(())
    }

    async fn apply_document(
        &self,
        document: &Value,
        known: &mut BTreeMap<String, (ApiResource, ApiCapabilities)>,
    ) -> Result<(), String> {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let api_version = text("/apiVersion").ok_or("apiVersion is missing")?;
        let kind = text("/kind").ok_or("kind is missing")?;
        let name = text("/metadata/name").ok_or("metadata.name is missing")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));

        let key = format!("{api_version}/{kind}");
        if !known.contains_key(&key) {
            let gvk = GroupVersionKind::gvk(group, version, kind);
            // Discovery of a custom resource follows its establishment with a delay.
            let what = format!("{key} to be served");
            let found = eventually(ESTABLISH, &what, || pinned_kind(&self.client, &gvk)).await;
            known.insert(key.clone(), found.map_err(|error| error.to_string())?);
        }
        let Some((resource, capabilities)) = known.get(&key) else { return Err(format!("{key} is not served")) };
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), resource),
            Scope::Namespaced => {
                Api::namespaced_with(self.client.clone(), text("/metadata/namespace").unwrap_or("default"), resource)
            }
        };
        api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(document))
            .await
            .map_err(|error| format!("{kind} {name}: {error}"))?;
        if kind == "CustomResourceDefinition" {
            self.wait_established(name).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn wait_established(&self, name: &str) -> Result<()> {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
        let api: Api<CustomResourceDefinition> = Api::all(self.admin_client());
        let condition = kube::runtime::conditions::is_crd_established();
        wait_for(api, name, ESTABLISH, "the custom resource to be established", condition).await?;
        Ok(())
    }
}
