//! The process: flags, lease, informers, dispatcher, serving, and one task that runs the loops.
//!
//! Nothing is watched before this process leads: a standby holds the lease's loop, the server and nothing of the cluster.
//! Its loops need nothing warm: each begins with a complete list, and its clocks with the lead, as upstream's do.

mod check;
mod inputs;
mod loops;
mod manager_flags;
mod memory_config;
mod metrics;
mod options;
mod reference;
mod times;
mod watches;

use std::{ffi::OsString, io::Write, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use headroom_runtime::{
    client::{ClientOptions, Clients},
    clock,
    dispatcher::{DispatchHandle, Dispatcher, DispatcherConfig},
    events::Flavour,
    informer::InformerHealth,
    lease::{self, LeaderConfig, LeaderGate, Leadership, leader_event},
    metrics::{ClientMetrics, DispatcherMetrics, LeaderMetrics, ProcessCollector, Registry, register_build_info},
    process::{RUNTIME_PATIENCE, TASK_PATIENCE, init_logging, one_line, parse_or_explain, stop_requested},
    serving::{Authorizer, Health, Probe, Routes, Server, ServingOptions, serve},
};
use serde_json::json;
use tokio::sync::mpsc;

use self::{inputs::Input, loops::Loops, metrics::LoopMetrics, watches::Watches};
pub use self::{options::Options, reference::metric_families};
use crate::{
    node_headroom::{
        Answer,
        scrape::{Executor, KubeletTrust},
        token::{KubeTokens, TokenSource},
    },
    node_lifecycle::dial::Dialer,
    selection,
};

/// Inputs that may wait for the loops: two batches. Whoever sends more waits, but never the loops, which send nothing.
const CHANNEL: usize = 1024;
/// Inputs taken in at once before the loops get their turn.
const BATCH: usize = 512;
/// Answers of kubelets that may wait for the loop; as many as may be asked at a time.
const SCRAPES: usize = crate::node_headroom::MAX_SCRAPES;
/// Keys that one loop works on before the others and new inputs get their turn.
const BUDGET: usize = 64;
/// The longest sleep: metrics are refreshed and stray deadlines noticed.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Runs the process and returns its exit status: 0 after SIGTERM or `--help`, 1 when something is wrong. `check` as the
/// first argument asks instead whether such a process does its work: 0 yes, 1 it could not be found out, 2 no.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(args) = headroom_runtime::check::arguments(&args) {
        return check::run(args);
    }
    let options: Options = match parse_or_explain(args.iter().cloned()) {
        Ok(options) => options,
        Err(Ok(text)) => {
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Err(line)) => return complain(&manager_flags::explain(&args, line)),
    };
    init_logging(options.log.log_format, options.log.verbosity);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}")),
    };
    let ended = runtime.block_on(run(options));
    // Dropping it would wait for ever for a look-up of a name that hangs.
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&one_line(error.as_ref())),
    }
}

fn complain(line: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "headroom-controllers: {line}");
    ExitCode::FAILURE
}

async fn run(options: Options) -> anyhow::Result<()> {
    let selected = selection::select(&options.controllers)?;
    let ignored = options.ignored().map_err(anyhow::Error::msg)?;
    let leader = options.leader_config()?;
    let params = memory_config::load(options.memory_config.as_deref())?;
    for line in &ignored {
        tracing::warn!("ignored: {line}");
    }
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::new()?))?;
    register_build_info(&registry)?;
    let clients = Clients::new(&client_options(&options), &ClientMetrics::new(&registry)?).await?;

    let (tx, mut inputs) = mpsc::channel(CHANNEL);
    let health = InformerHealth::new(&registry)?;
    let mut loops = Loops::new(&selected, &options, &params, seed());
    let mut watches = Watches::new(clients.watch.clone(), health.clone(), tx.clone());

    let leadership = lease::start(&leader, clients.lease.clone(), &clients.fence, LeaderMetrics::new(&registry)?);
    let dispatcher = Dispatcher::start(
        clients.write.clone(),
        LeaderGate::new(clients.fence.clone()),
        DispatcherConfig::new(Flavour::CoreV1, "headroom-controllers"),
        DispatcherMetrics::new(&registry)?,
        tx.clone(),
        Input::Outcome,
    );
    let (answers_tx, answers) = mpsc::channel(SCRAPES);
    let executor = match selected.contains(&selection::NODE_HEADROOM) {
        true => Some(executor(&options, &clients, answers_tx).await?),
        false => None,
    };
    let dials = options.node_lifecycle.profile.dials() && selected.contains(&selection::NODE_LIFECYCLE);
    let dialer = if dials { Some(Dialer::new(tx.clone(), Input::Dialled)?) } else { None };
    let mut metrics = LoopMetrics::new(&registry, &selected)?;
    let server = start_serving(&options, &clients, &health, &leadership, registry, &selected).await?;
    tracing::info!(
        controllers = %selected.join(","),
        port = server.as_ref().map_or(0, |s| s.address.port()),
        "running"
    );

    let ended = drive(
        &mut loops,
        (&mut inputs, &mut watches),
        (executor, dialer, answers),
        &leadership,
        dispatcher.handle(),
        &mut metrics,
        &leader,
    )
    .await?;
    // Nobody takes anything in any more: informers notice that, and end.
    drop(inputs);
    match ended {
        Ended::Lost => anyhow::bail!("leader election lost"),
        Ended::Signal(name) => {
            tracing::info!(signal = name, "stopping: finishing writes in flight, then releasing the lease");
            let ((), watches) = tokio::join!(dispatcher.drain(), watches.join(TASK_PATIENCE));
            if watches > 0 {
                tracing::warn!(watches, "broke off what did not end by itself");
            }
            leadership.release().await;
            Ok(())
        }
    }
}

enum Ended {
    Lost,
    Signal(&'static str),
}

/// The loop of loops. One task owns all state; everything else sends to it.
async fn drive(
    loops: &mut Loops,
    (inputs, watches): (&mut mpsc::Receiver<Input>, &mut Watches),
    (executor, dialer, mut answers): (Option<Executor>, Option<Dialer<Input>>, mpsc::Receiver<Answer>),
    leadership: &Leadership,
    dispatch: DispatchHandle,
    metrics: &mut LoopMetrics,
    leader: &LeaderConfig,
) -> anyhow::Result<Ended> {
    let mut stop = std::pin::pin!(stop_requested());
    let mut batch = Vec::with_capacity(BATCH);
    let mut leading = false;
    loop {
        let more = loops.work(clock::now, BUDGET, |intent| dispatch.submit(intent));
        if let Some(executor) = &executor {
            for command in loops.take_commands() {
                executor.execute(command);
            }
        }
        if let Some(dialer) = &dialer {
            for command in loops.take_dials() {
                dialer.execute(command);
            }
        }
        metrics.refresh(loops, clock::mono());
        let sleep =
            if more { Duration::ZERO } else { loops.next_deadline().map_or(HEARTBEAT, clock::until).min(HEARTBEAT) };
        tokio::select! {
            biased;
            () = leadership.lost() => return Ok(Ended::Lost),
            signal = &mut stop => return Ok(Ended::Signal(signal.context("cannot listen to signals")?)),
            () = leadership.acquired(), if !leading => {
                leading = true;
                watches.start(&loops.kinds());
                loops.lead();
                metrics.lead();
                if leader.enabled {
                    let event = leader_event(leader, clock::wall());
                    let id = headroom_core::intent::IntentId(u64::MAX);
                    // An event about ourselves may be dropped like any other.
                    let _ = dispatch.submit(headroom_core::intent::Intent { id, op: headroom_core::intent::Op::Event(event) });
                }
            }
            received = inputs.recv_many(&mut batch, BATCH) => {
                anyhow::ensure!(received > 0, "all informers have ended");
                let now = clock::now();
                for input in batch.drain(..) {
                    loops.handle(input, now);
                }
            }
            Some(answer) = answers.recv() => {
                metrics.answered(&answer);
                loops.handle(Input::Answer(answer), clock::now());
            }
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

fn client_options(options: &Options) -> ClientOptions {
    ClientOptions {
        kubeconfig: options.connection.kubeconfig.clone(),
        context: None,
        master: options.connection.master.clone(),
        user_agent: concat!("headroom-controllers/", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// What reads kubelets. Its token is asked for with our own rights, and never is our own token.
async fn executor(options: &Options, clients: &Clients, answers: mpsc::Sender<Answer>) -> anyhow::Result<Executor> {
    let cluster = headroom_runtime::client::load_config(&client_options(options)).await?;
    let flags = &options.node_headroom;
    let trust = KubeletTrust::from_flags(flags.insecure_tls, flags.certificate_authority.as_ref(), &cluster)?;
    let tokens = TokenSource::new(KubeTokens::new(clients.watch.clone(), flags.token_service_account.clone()));
    let api = Some(clients.watch.clone());
    Ok(Executor::new(&trust, tokens, api, answers, flags.timeout.0, clock::now)?)
}

async fn start_serving(
    options: &Options,
    clients: &Clients,
    informers: &InformerHealth,
    leadership: &Leadership,
    metrics: Registry,
    selected: &[&'static str],
) -> anyhow::Result<Option<Server>> {
    if options.secure_port() == 0 {
        return Ok(None);
    }
    let health = Health::new()?;
    let watchdog = leadership.watchdog();
    health.add(Probe::Health, "leaderElection", watchdog.clone());
    health.add(Probe::Ready, "leaderElection", watchdog);
    health.add(Probe::Ready, "lease", leadership.seen());
    let informers = informers.clone();
    health.add(Probe::Ready, "informers", Arc::new(move || informers.check()));
    let reviews = async |kubeconfig: &Option<std::path::PathBuf>| -> anyhow::Result<kube::Client> {
        let Some(path) = kubeconfig else { return Ok(clients.watch.clone()) };
        let other = ClientOptions { kubeconfig: Some(path.clone()), master: None, ..client_options(options) };
        Ok(Clients::new(&other, &ClientMetrics::unregistered()?).await?.watch)
    };
    let authorizer = Authorizer::new(
        reviews(&options.serving.authentication_kubeconfig).await?,
        reviews(&options.serving.authorization_kubeconfig).await?,
    );
    let routes = Routes {
        health,
        metrics,
        configz: json!({"headroom-controllers": {"controllers": selected}}),
        pages: std::collections::BTreeMap::new(),
        authorizer: Some(Arc::new(authorizer)),
    };
    let serving = ServingOptions {
        bind_address: options.serving.bind_address,
        port: options.secure_port(),
        certificate: options.serving.tls_cert_file.clone().zip(options.serving.tls_private_key_file.clone()),
    };
    Ok(Some(serve(&serving, routes).await?))
}

/// Differs from process to process.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
