//! `make demo`: the main job on a real API server with simulated nodes, step by step, each step verified.

mod objects;
mod show;
mod stage;
mod steps;

use std::time::{Duration, Instant};

use clap::Parser;

use self::{show::Narrator, stage::Stage};

/// Anything that goes wrong ends the demo with one line.
pub type DemoError = Box<dyn std::error::Error + Send + Sync>;
/// Result of a step.
pub type DemoResult<T = ()> = Result<T, DemoError>;

/// Flags of `demo`.
#[derive(Debug, Parser)]
#[command(
    name = "demo",
    about = "Shows Headroom's main job on a real kube-apiserver and etcd with simulated nodes",
    after_help = "Examples:
  make demo              the show, about a minute
  make demo KEEP=1       the same, then leaves the cluster running for a look around"
)]
pub struct Options {
    /// Leave everything running at the end, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// Runs the demo. Every step is verified against the API server; the first that fails ends it.
///
/// # Errors
/// What went wrong, in one line.
pub async fn run(options: &Options) -> DemoResult {
    let began = Instant::now();
    let say = Narrator::new();
    say.title("Headroom: a scheduler and controllers for small clusters");
    say.note("real: kube-apiserver, etcd, kube-controller-manager; simulated: kubelets");
    let stage = Stage::build(&say).await?;
    let outcome = async {
        steps::measure(&stage, &say).await?;
        let web = steps::replicate(&stage, &say).await?;
        steps::expose(&stage, &say).await?;
        steps::thrash(&stage, &say, &web).await?;
        steps::lose_a_node(&stage, &say).await
    }
    .await;
    if let Err(error) = outcome {
        stage.keep_logs();
        return Err(error);
    }
    steps::account(&stage, &say, began.elapsed())?;
    if options.keep {
        say.step("left running; to look around in another terminal");
        say.line(&format!("export KUBECONFIG=\"{}\"", stage.kubeconfig()?.display()));
        say.line(&format!("export PATH=\"{}:$PATH\"", stage.programs()?));
        for command in LOOK {
            say.line(command);
        }
        say.note("Ctrl-C ends it");
        tokio::signal::ctrl_c().await?;
    }
    stage.end().await;
    Ok(())
}

/// What there is to ask of the cluster that is left.
const LOOK: [&str; 10] = [
    "kubectl get nodeheadrooms",
    "kubectl get pods -o wide",
    "kubectl get endpointslices",
    "kubectl describe node worker-1",
    "kubectl headroom top",
    "kubectl headroom plan",
    "kubectl headroom plan --cheapest --catalog home",
    "kubectl headroom trace rc/web",
    "kubectl headroom rightsize",
    "kubectl headroom doctor",
];

/// How long a step may take before the demo gives up: on a busy machine each takes several times as long as usual.
const PATIENCE: Duration = Duration::from_secs(240);
