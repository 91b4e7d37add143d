//! Finding the configuration: flags, then `$KUBECONFIG`, then the pod's service account.

use std::path::PathBuf;

use http::HeaderValue;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::{ClientError, ClientOptions};

/// The configuration that the options lead to. `$KUBECONFIG` may list several files, as for kubectl; `~/.kube/config`
/// is not looked at, as upstream's components do not either.
///
/// # Errors
/// [`ClientError`], which names the file or the flag.
pub async fn load_config(options: &ClientOptions) -> Result<Config, ClientError> {
    let file = options
        .kubeconfig
        .clone()
        .filter(|p| !p.as_os_str().is_empty())
        .or_else(|| std::env::var_os("KUBECONFIG").filter(|v| !v.is_empty()).map(PathBuf::from));
    let mut config = match (&file, &options.master) {
        (Some(path), _) => from_file(path.clone(), options).await?,
        (None, Some(url)) if !url.is_empty() => Config::new(parse_master(url)?),
        (None, _) => Config::incluster().map_err(|source| ClientError::NoConfig { source: Box::new(source) })?,
    };
    if let Some(url) = options.master.as_ref().filter(|u| !u.is_empty()) {
        config.cluster_url = parse_master(url)?;
    }
    if !options.user_agent.is_empty() {
        let agent = HeaderValue::from_str(&options.user_agent)
            .map_err(|_| ClientError::UserAgent { agent: options.user_agent.clone() })?;
        config.headers.push((http::header::USER_AGENT, agent));
    }
    config.default_retry = false;
    Ok(config)
}

async fn from_file(path: PathBuf, options: &ClientOptions) -> Result<Config, ClientError> {
    let failed = |source| ClientError::Kubeconfig { path: path.clone(), source: Box::new(source) };
    let kubeconfig = if options.kubeconfig.is_some() {
        Kubeconfig::read_from(&path).map_err(failed)?
    } else {
        // The variable may hold a list of files, which kube splits and merges.
        Kubeconfig::from_env().map_err(failed)?.unwrap_or_default()
    };
    let choice = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &choice)
        .await
        .map_err(|source| ClientError::Kubeconfig { path: path.clone(), source: Box::new(source) })
}

fn parse_master(url: &str) -> Result<http::Uri, ClientError> {
    let wrong = || ClientError::Master { url: url.to_owned() };
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|h| !h.is_empty()) => Ok(uri),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(file: &str) -> ClientOptions {
        ClientOptions { kubeconfig: Some(file.into()), user_agent: "headroom".into(), ..ClientOptions::default() }
    }

    #[tokio::test]
    async fn errors_are_one_line_and_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        std::fs::write(path("broken"), "a: [").unwrap();
        std::fs::write(
            path("bad-ca"),
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n\
             clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1', certificate-authority: /nonexistent/ca.crt}}]\n\
             users: [{name: u, user: {}}]\n",
        )
        .unwrap();
        for name in ["missing", "broken", "bad-ca"] {
            let error = load_config(&options(&path(name))).await.unwrap_err();
            assert!(matches!(error, ClientError::Kubeconfig { .. }), "{error:?}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[tokio::test]
    async fn master_overrides_and_is_checked() {
        for (url, good) in [("https://127.0.0.1:6443", true), ("not a url", false), ("ftp://x", false), ("/x", false)] {
            let options = ClientOptions { master: Some(url.into()), ..ClientOptions::default() };
            let result = parse_master(options.master.as_deref().unwrap());
            assert_eq!(result.is_ok(), good, "{url}");
        }
    }
}
