//! `hollow`: simulated kubelets on a real API server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use headroom_hollow::{Curve, Hollow, HollowConfig, HollowError, NodeClass, parse_nodes};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

const EXAMPLES: &str = "\
Examples:
  Three small workers with swap and a larger node without:
    hollow --kubeconfig admin.kubeconfig --nodes 'worker=3:1Gi:swap=2Gi,big=1:2Gi:swap=none'

  A thousand nodes for a bench, no servers, no node-lifecycle controller around:
    hollow --kubeconfig admin.kubeconfig --nodes node=1000:4Gi --cpu 8 --serve false --remove-not-ready-taint

  A zone, a taint, an old kubelet on a kernel without PSI:
    hollow --nodes 'edge=2:512Mi:label=topology.kubernetes.io/zone=z1:taint=edge=yes@NoSchedule:version=v1.33.1:psi=zero'

Options of a class: NAME=COUNT:MEMORY[:swap=SIZE|none][:behavior=NoSwap|LimitedSwap|Unlimited][:cpu=N][:pods=N]
  [:evict=SIZE][:version=V][:psi=on|zero|absent][:system=SIZE][:bandwidth=SIZE][:label=K=V]...[:taint=K=V@EFFECT]...

When ready, one line of JSON is printed: {\"ready\":true,\"nodes\":N,\"chaos\":\"127.0.0.1:PORT\",\"servingCa\":FILE}.
Then: curl -X POST 'http://CHAOS/kill?node=worker-1'; any unknown path lists the verbs.";

/// Simulates kubelets on a real API server: nodes, leases, pods, statistics.
#[derive(Debug, Parser)]
#[command(name = "hollow", version, after_help = EXAMPLES)]
struct Flags {
    /// Kubeconfig of the API server (admin rights); default: $KUBECONFIG, ~/.kube/config or in-cluster
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Node classes, separated by commas (see below)
    #[arg(long, conflicts_with = "config")]
    nodes: Option<String>,
    /// YAML file with everything instead of --nodes (fields of HollowConfig in camelCase)
    #[arg(long)]
    config: Option<PathBuf>,
    /// CPU of every class that does not say otherwise
    #[arg(long, default_value = "2")]
    cpu: String,
    /// Memory of everything outside pods, for classes that do not say otherwise; a size or a curve
    #[arg(long, default_value = "120Mi")]
    system: String,
    /// Port of every kubelet; 0 takes a free one for each
    #[arg(long)]
    kubelet_port: Option<u16>,
    /// Whether kubelets serve HTTPS
    #[arg(long, action = clap::ArgAction::Set)]
    serve: Option<bool>,
    /// Where the chaos API listens (loopback); port 0 takes a free one
    #[arg(long)]
    chaos: Option<SocketAddr>,
    /// First node address is the one after this, in 127.0.0.0/8
    #[arg(long)]
    address_base: Option<Ipv4Addr>,
    /// Write the CA of the kubelets' certificates to this file, PEM
    #[arg(long)]
    serving_ca_out: Option<PathBuf>,
    /// Seconds between lease renewals
    #[arg(long)]
    lease_interval: Option<f64>,
    /// Seconds between node status reports without a change
    #[arg(long)]
    status_interval: Option<f64>,
    /// Remove the not-ready taint of new nodes, where no node-lifecycle controller does
    #[arg(long)]
    remove_not_ready_taint: bool,
    /// Worker threads; 1 is enough for hundreds of nodes
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Log filter, for example info or headroom_hollow=debug
    #[arg(long, default_value = "warn")]
    log: Targets,
}

impl Flags {
    fn hollow_config(&self) -> Result<HollowConfig, HollowError> {
        let wrong = |field: &str, problem: &str| HollowError::Config { field: field.into(), problem: problem.into() };
        let mut config = match &self.config {
            Some(path) => HollowConfig::from_file(path)?,
            None => {
                let spec = self
                    .nodes
                    .as_deref()
                    .ok_or_else(|| wrong("--nodes", "give the nodes, for example worker=3:1Gi:swap=2Gi"))?;
                // The command line's own parser reads the quantity, so that errors look alike.
                let cpu = parse_nodes(&format!("x=1:cpu={}", self.cpu), &NodeClass::default())?;
                let base = NodeClass {
                    cpu_millis: cpu.first().map_or(2000, |class| class.cpu_millis),
                    system: Curve::parse(&self.system)?,
                    ..NodeClass::default()
                };
                HollowConfig { nodes: parse_nodes(spec, &base)?, ..HollowConfig::default() }
            }
        };
        let seconds = |field: &str, value: f64| {
            Duration::try_from_secs_f64(value).map_err(|_| wrong(field, "must be a positive number of seconds"))
        };
        if let Some(value) = self.lease_interval {
            config.lease_interval = seconds("--lease-interval", value)?;
        }
        if let Some(value) = self.status_interval {
            config.status_interval = seconds("--status-interval", value)?;
        }
        config.kubelet_port = self.kubelet_port.unwrap_or(config.kubelet_port);
        config.serve = self.serve.unwrap_or(config.serve);
        config.chaos = self.chaos.or(config.chaos);
        config.address_base = self.address_base.unwrap_or(config.address_base);
        config.remove_not_ready_taint |= self.remove_not_ready_taint;
        config.validate()?;
        Ok(config)
    }
}

async fn kube_config(path: Option<&PathBuf>) -> anyhow::Result<kube::Config> {
    Ok(match path {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("--kubeconfig {}: cannot be read", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("--kubeconfig {}: cannot be used", path.display()))?
        }
        None => kube::Config::infer().await.context("no kubeconfig found; give --kubeconfig FILE")?,
    })
}

#[expect(clippy::print_stdout, reason = "the ready line is this program's output")]
async fn run(flags: &Flags, config: HollowConfig) -> anyhow::Result<()> {
    let nodes: usize = config.nodes.iter().map(|class| class.count).sum();
    let kube = kube_config(flags.kubeconfig.as_ref()).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let started = Hollow::connect(config, &kube);
    let hollow = tokio::select! {
        hollow = started => hollow?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    if let Some(path) = &flags.serving_ca_out {
        std::fs::write(path, hollow.ca_pem())
            .with_context(|| format!("--serving-ca-out {}: cannot be written", path.display()))?;
    }
    let ready = serde_json::json!({
        "ready": true, "nodes": nodes, "chaos": hollow.chaos_address(), "servingCa": flags.serving_ca_out,
    });
    println!("{ready}");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    hollow.stop().await;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "one line for the user before the program ends")]
fn main() -> ExitCode {
    let flags = Flags::parse();
    registry().with(fmt::layer().with_writer(std::io::stderr).with_filter(flags.log.clone())).init();
    let result = flags.hollow_config().map_err(anyhow::Error::from).and_then(|config| {
        let runtime = if flags.threads > 1 {
            tokio::runtime::Builder::new_multi_thread().worker_threads(flags.threads).enable_all().build()
        } else {
            tokio::runtime::Builder::new_current_thread().enable_all().build()
        };
        runtime.context("cannot start the runtime")?.block_on(run(&flags, config))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hollow: {error:#}");
            ExitCode::FAILURE
        }
    }
}
