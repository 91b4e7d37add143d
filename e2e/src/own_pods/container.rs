//! One container of ours: what is run for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Container as Spec, Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use crate::binaries::our_binary;
use crate::control_plane::ControlPlane;
use crate::error::{HarnessError, Result};
use crate::process::Process;
use crate::reserve::Port;

/// The images that we have binaries for.
const IMAGES: [&str; 2] = ["headroom-scheduler", "headroom-controllers"];

/// Lifetime of tokens, seconds: longer than any test.
const LIFETIME: i64 = 3600;

/// A container of one of our images.
pub(super) struct Container<'a> {
    spec: &'a Spec,
    binary: &'static str,
}

impl<'a> Container<'a> {
    /// The pod's first container, when its image is one of ours.
    pub(super) fn ours(pod: &'a Pod) -> Option<Self> {
        let spec = pod.spec.as_ref()?.containers.first()?;
        let image = image_name(spec.image.as_deref()?);
        let binary = IMAGES.into_iter().find(|known| *known == image)?;
        Some(Self { spec, binary })
    }

    /// Whether it is the process itself, and no question about it.
    pub(super) fn serves(&self) -> bool {
        let arguments = self.spec.args.as_deref().unwrap_or_default();
        !arguments.iter().any(|argument| argument == "check" || argument == "--version")
    }

    /// Starts its process. `serving` finds the port of the process behind a Service.
    pub(super) async fn start(
        &self,
        cluster: &ControlPlane,
        pod: &Pod,
        serving: &dyn Fn(&str) -> Option<u16>,
    ) -> Result<Process> {
        let name = pod.name_any();
        let root = cluster.dir().join("pods").join(pod.uid().unwrap_or_default());
        std::fs::create_dir_all(&root).map_err(HarnessError::io("create", &root))?;
        let mounts = self.mount(cluster, pod, &root).await?;
        let mut command = Command::new(our_binary(self.binary)?);
        command.current_dir(&root);
        for argument in self.spec.args.as_deref().unwrap_or_default() {
            command.arg(adapt(argument, &mounts, serving));
        }
        for variable in self.spec.env.iter().flatten() {
            let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
            let value = match field.map(|field| field.field_path.as_str()) {
                Some("metadata.name") => Some(name.clone()),
                _ => variable.value.clone(),
            };
            command.env(&variable.name, value.unwrap_or_default());
        }
        let has_token = pod.spec.as_ref().and_then(|spec| spec.automount_service_account_token) != Some(false);
        if has_token {
            let kubeconfig = token_kubeconfig(cluster, pod, &root).await?;
            command.arg(format!("--kubeconfig={}", kubeconfig.display()));
        }
        if !self.serves() {
            return cluster.start_process(&name, command);
        }
        let port = Port::reserve()?;
        command.arg("--bind-address=127.0.0.1").arg(format!("--secure-port={}", port.number()));
        cluster.start_with_port(&name, command, port)
    }

    /// Writes the ConfigMaps that are mounted; pairs of the path inside and the path here.
    async fn mount(&self, cluster: &ControlPlane, pod: &Pod, root: &Path) -> Result<Vec<(String, PathBuf)>> {
        let namespace = pod.namespace().unwrap_or_default();
        let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client(), &namespace);
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        let mut mounts = Vec::new();
        for mount in self.spec.volume_mounts.iter().flatten() {
            let volume = volumes.iter().find(|volume| volume.name == mount.name);
            // Of the token that admission mounts, the path is fixed in the client: a kubeconfig stands in for it.
            let Some(source) = volume.and_then(|volume| volume.config_map.as_ref()) else { continue };
            let map = maps
                .get(&source.name)
                .await
                .map_err(HarnessError::api(format!("cannot mount the ConfigMap {}", source.name)))?;
            let dir = root.join(&mount.name);
            std::fs::create_dir_all(&dir).map_err(HarnessError::io("create", &dir))?;
            for (file, text) in map.data.iter().flatten() {
                let path = dir.join(file);
                std::fs::write(&path, text).map_err(HarnessError::io("write", &path))?;
            }
            mounts.push((mount.mount_path.clone(), dir));
        }
        Ok(mounts)
    }
}

/// `registry/path/NAME:tag@digest`.
fn image_name(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(':').next().unwrap_or(last)
}

/// An argument with the paths of this machine, and with the address that the name of a Service leads to.
fn adapt(argument: &str, mounts: &[(String, PathBuf)], serving: &dyn Fn(&str) -> Option<u16>) -> String {
    if let Some(host) = argument.strip_prefix("--url=https://") {
        let service = host.split('.').next().unwrap_or(host);
        // Nobody behind it: a port that nobody listens on.
        let port = serving(&format!("{service}-")).unwrap_or(1);
        return format!("--url=https://127.0.0.1:{port}");
    }
    let Some((flag, value)) = argument.split_once('=') else { return argument.to_owned() };
    for (inside, here) in mounts {
        if let Some(rest) = value.strip_prefix(inside.as_str()).filter(|rest| rest.starts_with('/')) {
            return format!("{flag}={}{rest}", here.display());
        }
    }
    argument.to_owned()
}

/// Gets a token of the pod's ServiceAccount, bound to the pod, and writes a kubeconfig with it and with the cluster's CA.
async fn token_kubeconfig(cluster: &ControlPlane, pod: &Pod, root: &Path) -> Result<PathBuf> {
    let namespace = pod.namespace().unwrap_or_default();
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin_client(), &namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(LIFETIME),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .map_err(HarnessError::api(format!("cannot get a token of {namespace}/{account} for {}", pod.name_any())))?;
    let token = answer.status.and_then(|status| status.token).unwrap_or_default();
    let token_file = root.join("token");
    std::fs::write(&token_file, token).map_err(HarnessError::io("write", &token_file))?;
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "pod",
        "clusters": [{"name": "pod", "cluster": {
            "server": cluster.url(), "certificate-authority": cluster.pki().ca_cert()}}],
        "users": [{"name": "pod", "user": {"tokenFile": token_file}}],
        "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
    });
    let path = root.join("kubeconfig.yaml");
    std::fs::write(&path, text.to_string()).map_err(HarnessError::io("write", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_last_name() {
        for image in
            ["headroom-scheduler:0.1.0", "registry.example:5000/me/headroom-scheduler@sha256:00", "headroom-scheduler"]
        {
            assert_eq!(image_name(image), "headroom-scheduler", "{image}");
        }
    }

    #[test]
    fn arguments_lead_to_this_machine() {
        let mounts = [("/etc/headroom/config".to_owned(), PathBuf::from("/tmp/x"))];
        let serving = |prefix: &str| (prefix == "headroom-scheduler-").then_some(20_001);
        let adapted = |argument: &str| adapt(argument, &mounts, &serving);
        assert_eq!(adapted("--config=/etc/headroom/config/scheduler.yaml"), "--config=/tmp/x/scheduler.yaml");
        assert_eq!(adapted("--config=/etc/headroom/configured"), "--config=/etc/headroom/configured");
        assert_eq!(adapted("--url=https://headroom-scheduler.kube-system.svc:10259"), "--url=https://127.0.0.1:20001");
        assert_eq!(adapted("--url=https://other.kube-system.svc:10259"), "--url=https://127.0.0.1:1");
        assert_eq!(adapted("check"), "check");
    }
}
