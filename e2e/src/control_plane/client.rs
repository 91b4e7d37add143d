//! Kubeconfig files and clients.

use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};

use crate::error::{HarnessError, Result};

use super::identity::Identity;
use super::pki::Pki;

/// Writes the kubeconfig of an identity and returns its path. Processes that were started with it before may be
/// reading it: it is replaced as a whole. `suffix` tells several of one identity apart.
pub(crate) fn write_kubeconfig(dir: &Path, pki: &Pki, identity: &Identity, port: u16, suffix: &str) -> Result<PathBuf> {
    let pair = pki.identity(identity)?;
    let path = dir.join("kubeconfig").join(format!("{}{suffix}.yaml", identity.stem()));
    // A JSON string is a valid YAML scalar whatever characters a path holds.
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: headroom-e2e
clusters:
- name: headroom-e2e
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority: {ca}
users:
- name: {user}
  user:
    client-certificate: {cert}
    client-key: {key}
contexts:
- name: headroom-e2e
  context: {{cluster: headroom-e2e, user: {user}}}
",
        ca = quoted(&pki.ca_cert()),
        cert = quoted(&pair.cert),
        key = quoted(&pair.key),
        user = serde_json::Value::from(identity.user()),
    );
    let new = tempfile::NamedTempFile::new_in(dir.join("kubeconfig")).map_err(HarnessError::io("write", &path))?;
    std::fs::write(new.path(), text).map_err(HarnessError::io("write", &path))?;
    new.persist(&path).map_err(|error| error.error).map_err(HarnessError::io("write", &path))?;
    Ok(path)
}

/// A client for a kubeconfig file.
pub(crate) async fn from_kubeconfig(path: &Path) -> Result<kube::Client> {
    client(path, |_| Ok(())).await
}

/// A client without any credentials.
pub(crate) async fn anonymous(path: &Path) -> Result<kube::Client> {
    client(path, |config| {
        config.auth_info = AuthInfo::default();
        Ok(())
    })
    .await
}

/// A client with the certificates of a kubeconfig file for another server on 127.0.0.1.
pub(crate) async fn for_port(path: &Path, port: u16) -> Result<kube::Client> {
    client(path, |config| to_port(config, port)).await
}

/// A client without credentials for another server on 127.0.0.1, whose certificate is not checked: it made it itself.
pub(crate) async fn unchecked(path: &Path, port: u16) -> Result<kube::Client> {
    client(path, |config| {
        config.auth_info = AuthInfo::default();
        config.root_cert = None;
        config.accept_invalid_certs = true;
        to_port(config, port)
    })
    .await
}

/// The same with a bearer token.
pub(crate) async fn unchecked_with_token(path: &Path, port: u16, token: String) -> Result<kube::Client> {
    client(path, |config| {
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        config.root_cert = None;
        config.accept_invalid_certs = true;
        to_port(config, port)
    })
    .await
}

fn to_port(config: &mut kube::Config, port: u16) -> Result<()> {
    let url = http::Uri::builder().scheme("https").authority(format!("127.0.0.1:{port}")).path_and_query("/");
    config.cluster_url = url.build().map_err(|error| HarnessError::Manifest {
        name: "URL".to_owned(),
        index: 0,
        reason: error.to_string(),
    })?;
    Ok(())
}

async fn client(path: &Path, adapt: impl FnOnce(&mut kube::Config) -> Result<()>) -> Result<kube::Client> {
    let failed = |source| HarnessError::Kubeconfig { path: path.to_path_buf(), source: Box::new(source) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(failed)?;
    config.proxy_url = None;
    adapt(&mut config)?;
    kube::Client::try_from(config).map_err(HarnessError::api("cannot make a client"))
}

/// A client with a bearer token for a process that serves HTTPS on another port of 127.0.0.1.
pub(crate) async fn with_token(path: &Path, port: u16, token: String) -> Result<kube::Client> {
    client(path, |config| {
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        to_port(config, port)
    })
    .await
}

/// The text that a server answers on a path.
pub(crate) async fn get(client: &kube::Client, path: &str) -> Result<String> {
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| HarnessError::Manifest {
        name: path.to_owned(),
        index: 0,
        reason: error.to_string(),
    })?;
    client.request_text(request).await.map_err(HarnessError::api(format!("GET {path}")))
}
