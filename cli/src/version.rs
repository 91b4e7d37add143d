//! `kubectl headroom version`: that of this tool, and that of the API server.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};
use headroom_runtime::process::KUBERNETES;
use serde::Serialize;
use serde_json::Value;

use crate::{cluster::Connection, doctor::text::clean};

/// How to print for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Yaml,
}

/// Flags of `version`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl headroom version
  kubectl headroom version --client -o json    without a cluster")]
pub(crate) struct Options {
    /// That of this tool alone: no API server is asked
    #[arg(long)]
    client: bool,
    /// How to print; a line for each if not given
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// What scripts get, under kubectl's names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    api_version: &'static str,
    kind: &'static str,
    client_version: Own,
    /// As the API server tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Own {
    git_version: String,
    /// The release of Kubernetes that is followed.
    kubernetes_version: &'static str,
    platform: String,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (server, failed) = match server(options).await {
        Ok(server) => (server, None),
        Err(error) => (None, Some(error)),
    };
    // One's own is known even where nobody answers.
    print!("{}", printed(&versions(server), options.output)?);
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

async fn server(options: &Options) -> anyhow::Result<Option<Value>> {
    if options.client {
        return Ok(None);
    }
    let (client, _) = options.connection.client().await?;
    let request = http::Request::get("/version").body(Vec::new()).context("cannot ask")?;
    client.request(request).await.map(Some).context("cannot ask for the version")
}

fn versions(server_version: Option<Value>) -> Versions {
    let [_, _, kubernetes_version] = KUBERNETES;
    // As Go names them.
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Versions {
        api_version: "headroom.dev/v1alpha1",
        kind: "Version",
        client_version: Own {
            git_version: format!("v{}", env!("CARGO_PKG_VERSION")),
            kubernetes_version,
            platform: format!("{}/{machine}", std::env::consts::OS),
        },
        server_version,
    }
}

fn printed(versions: &Versions, output: Option<Output>) -> anyhow::Result<String> {
    Ok(match output {
        Some(Output::Json) => serde_json::to_string_pretty(versions)? + "\n",
        Some(Output::Yaml) => serde_saphyr::to_string(versions)?,
        None => {
            let own = &versions.client_version;
            let mut text = format!("Client Version: {} (for Kubernetes {})\n", own.git_version, own.kubernetes_version);
            if let Some(server) = &versions.server_version {
                let version = server.get("gitVersion").and_then(Value::as_str).unwrap_or("not told");
                let _ = writeln!(text, "Server Version: {}", clean(version));
            }
            text
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::{
        reach,
        testkit::{FakeServer, block_on, kubeconfig, refusal},
    };

    fn options(args: &[&str]) -> Options {
        #[derive(Debug, Parser)]
        struct Version {
            #[command(flatten)]
            options: Options,
        }
        Version::try_parse_from(std::iter::once("version").chain(args.iter().copied())).unwrap().options
    }

    /// The exit status, or the line that is said.
    fn run_at(url: &str, args: &[&str]) -> Result<String, String> {
        let file = kubeconfig(url);
        let path = format!("--kubeconfig={}", file.path().display());
        let options = options(&[args, &[path.as_str()]].concat());
        let result = block_on(run(&options));
        result.map(|code| format!("{code:?}")).map_err(|error| reach::line(&error, options.connection().server()))
    }

    #[test]
    fn the_client_alone_asks_nobody() {
        let server = FakeServer::new(|_| refusal(500, "who asks?"));
        let done: Result<String, String> = Ok(format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(run_at(&server.url, &["--client", "-o", "json"]), done);
        assert_eq!(run_at("not a url", &["--client"]), done);
        assert!(server.asked().is_empty(), "{:?}", server.asked());
    }

    #[test]
    fn the_server_is_asked_for_its_own() {
        let server = FakeServer::new(|_| (200, json!({"major": "1", "minor": "36", "gitVersion": "v1.36.4"})));
        assert_eq!(run_at(&server.url, &[]), Ok(format!("{:?}", ExitCode::SUCCESS)));
        let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
        assert_eq!(asked, ["/version"]);
        let server = FakeServer::new(|_| refusal(403, "you may not"));
        let line = run_at(&server.url, &["-o", "yaml"]).unwrap_err();
        assert!(line.starts_with("cannot ask for the version: you may not"), "{line}");
    }

    #[test]
    fn what_is_printed() {
        let own = env!("CARGO_PKG_VERSION");
        let text = |server| printed(&versions(server), None).unwrap();
        let client = format!("Client Version: v{own} (for Kubernetes v1.36.4)\n");
        assert_eq!(text(None), client);
        assert_eq!(
            text(Some(json!({"gitVersion": "v1.35.1+k3s1"}))),
            format!("{client}Server Version: v1.35.1+k3s1\n")
        );
        assert_eq!(text(Some(json!([]))), format!("{client}Server Version: not told\n"));

        let json = printed(&versions(None), Some(Output::Json)).unwrap();
        let parsed: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&parsed["apiVersion"], &parsed["kind"]), (&json!("headroom.dev/v1alpha1"), &json!("Version")));
        assert_eq!(parsed["clientVersion"]["gitVersion"], format!("v{own}"));
        assert_eq!(parsed["clientVersion"]["kubernetesVersion"], "v1.36.4");
        assert!(parsed["clientVersion"]["platform"].as_str().unwrap().contains('/'), "{json}");
        assert!(parsed.get("serverVersion").is_none() && json.ends_with("}\n"), "{json}");
        let server = json!({"gitVersion": "v1.36.4", "minor": "36"});
        let yaml = printed(&versions(Some(server.clone())), Some(Output::Yaml)).unwrap();
        let parsed: Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(parsed["serverVersion"], server, "{yaml}");
    }
}
