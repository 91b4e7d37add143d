//! The scheduler process: informers → engine → dispatcher.
//!
//! One thread runs tokio and all I/O. The engine has one owner ([`decider`]), which shares nothing with the rest but two
//! bounded queues: messages in, intents out. It decides on the same thread while little happens, and on a second one while
//! there is much to do. A scheduler with plugins of one's own is a binary that calls [`run`] with a registry that has them.

mod alarms;
mod check;
mod config_file;
mod decider;
mod ending;
mod extenders;
mod inputs;
mod metrics;
mod options;
mod reference;
mod resources;
mod shadow;
mod spans;
mod watches;
mod why;

use std::{collections::BTreeMap, ffi::OsString, io::Write, process::ExitCode, sync::Arc};

use anyhow::Context;
use headroom_core::{
    intent::{Intent, IntentId, Op},
    object::Kind,
};
use headroom_engine::{Engine, Mode, Registry};
use headroom_runtime::{
    client::{ClientOptions, Clients},
    clock,
    dispatcher::{Dispatcher, DispatcherConfig},
    events::Flavour,
    informer::InformerHealth,
    lease::{self, LeaderGate, Leadership, leader_event},
    metrics::{ClientMetrics, DispatcherMetrics, LeaderMetrics, ProcessCollector, register_build_info},
    moderation::Moderator,
    process::{RUNTIME_PATIENCE, Tasks, init_logging, one_line, parse_or_explain, stop_requested},
    serving::{Authorizer, Health, Probe, Routes, Server, ServingOptions, page, serve},
};
use serde_json::json;
use tokio::sync::mpsc;

use self::{
    alarms::{Alarms, Vitals},
    config_file::ConfigFile,
    decider::{Decider, Shared},
    ending::Running,
    inputs::Message,
    metrics::SchedulerMetrics,
    shadow::ShadowBook,
};
pub use self::{
    options::{ModeFlag, Options, OptionsError, Settings},
    reference::metric_families,
};

/// Messages that may wait for the decider: what it takes in at once. Whoever sends more waits, but never the decider
/// itself, which only hands intents over.
const CHANNEL: usize = 1024;
/// Why the process ends when the engine is gone.
const ENDED: &str = "what decides has ended";
/// The engine is asked for nothing before these are known.
const AWAITED: [Kind; 17] = [
    Kind::POD,
    Kind::NODE,
    Kind::NAMESPACE,
    Kind::NODE_HEADROOM,
    Kind::MEMORY_PROFILE,
    Kind::POD_DISRUPTION_BUDGET,
    Kind::SERVICE,
    Kind::REPLICATION_CONTROLLER,
    Kind::REPLICA_SET,
    Kind::STATEFUL_SET,
    Kind::PERSISTENT_VOLUME,
    Kind::PERSISTENT_VOLUME_CLAIM,
    Kind::STORAGE_CLASS,
    Kind::CSI_NODE,
    Kind::CSI_DRIVER,
    Kind::CSI_STORAGE_CAPACITY,
    Kind::VOLUME_ATTACHMENT,
];

/// Runs the process with the plugins of `registry`. Returns its exit status: 0 after SIGTERM or `--help`, 1 when
/// something is wrong, which one line on stderr explains. `check` as the first argument asks instead whether such a process
/// does its work: 0 yes, 1 it could not be found out, 2 no.
pub fn run(registry: Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(args) = headroom_runtime::check::arguments(&args) {
        return check::run(args);
    }
    let options: Options = match parse_or_explain(args) {
        Ok(options) => options,
        Err(Ok(text)) => {
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Err(line)) => return complain(&line),
    };
    init_logging(options.log.log_format, options.log.verbosity);
    let moderator = Moderator::default();
    let before_park = moderator.clone();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().on_thread_park(move || before_park.before_park());
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}")),
    };
    if let Some(path) = &options.write_config_to {
        return match write_config(&options, &registry, path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&one_line(error.as_ref())),
        };
    }
    let ended = runtime.block_on(serve_cluster(&options, registry, &moderator));
    // Dropping it would wait for ever for a look-up of a name that hangs.
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&one_line(error.as_ref())),
    }
}

fn complain(line: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "headroom-scheduler: {line}");
    ExitCode::FAILURE
}

/// `--write-config-to`: the configuration with flags and defaults, checked, as a file.
fn write_config(options: &Options, plugins: &Registry, path: &std::path::Path) -> anyhow::Result<()> {
    let settings = options.settings()?;
    settings.configuration.build(plugins)?;
    let mut shown = settings.configuration.clone();
    shown.client_connection.kubeconfig = settings.kubeconfig.iter().map(|p| p.display().to_string()).collect();
    let durations = &settings.leader.durations;
    shown.leader_election = headroom_engine::config::LeaderElection {
        leader_elect: settings.leader.enabled,
        lease_duration: durations.lease,
        renew_deadline: durations.renew_deadline,
        retry_period: durations.retry_period,
        resource_name: Some(settings.leader.name.clone()),
        resource_namespace: settings.leader.namespace.clone(),
    };
    let text = shown.to_yaml(plugins).map_err(anyhow::Error::msg)?;
    std::fs::write(path, text).with_context(|| format!("--write-config-to {}", path.display()))?;
    tracing::info!(file = %path.display(), "wrote configuration");
    Ok(())
}

async fn serve_cluster(options: &Options, plugins: Registry, moderator: &Moderator) -> anyhow::Result<()> {
    let mut config_file = options.config.as_deref().map(ConfigFile::new);
    let settings = options.settings()?;
    for line in &settings.ignored {
        tracing::warn!("ignored: {line}");
    }
    let mode = Mode::from(options.mode);
    let mut configz = settings.configuration.to_value(&plugins);
    let mut engine = Engine::new(settings.configuration.clone(), plugins, seed(), mode).map_err(|error| {
        // What the registry refuses stands in the file as well: say in which.
        let error = anyhow::Error::new(error);
        match &options.config {
            Some(path) => error.context(format!("--config {}", path.display())),
            None => error,
        }
    })?;

    engine.set_max_unschedulable(options.pod_max_in_unschedulable_pods_duration.0);
    configz["mode"] = format!("{:?}", options.mode).to_lowercase().into();
    configz["leaderElection"]["resourceName"] = settings.leader.name.as_str().into();

    let registry = headroom_runtime::metrics::Registry::new();
    registry.register(Box::new(ProcessCollector::new()?))?;
    register_build_info(&registry)?;
    let connection = client_options(&settings, options);
    let clients = Clients::new(&connection, &ClientMetrics::new(&registry)?).await?;
    let (tx, messages) = mpsc::channel(CHANNEL);
    let health = InformerHealth::new(&registry)?;
    let mut informers = Tasks::default();
    watches::start(&clients, &health, &tx, &mut informers);

    let leadership =
        lease::start(&settings.leader, clients.lease.clone(), &clients.fence, LeaderMetrics::new(&registry)?);
    let reporter = settings.configuration.profiles.first().map_or("default-scheduler", |p| p.scheduler_name.as_str());
    let metrics = SchedulerMetrics::new(&registry)?;
    let dispatcher = Dispatcher::start(
        clients.write.clone(),
        LeaderGate::new(clients.fence.clone()),
        DispatcherConfig {
            moderator: moderator.clone(),
            since_seen: Some(metrics.seen_to_sent()),
            ..DispatcherConfig::new(Flavour::EventsV1, reporter)
        },
        DispatcherMetrics::new(&registry)?,
        tx.clone(),
        Message::Outcome,
    );
    let shared = Arc::new(Shared::default());
    let shadow = Arc::new(ShadowBook::default());
    let mut calling = Tasks::default();
    let calls = extenders::start(
        &settings.configuration.extenders,
        clients.watch.clone(),
        LeaderGate::new(clients.fence.clone()),
        tx.clone(),
        &mut calling,
    )
    .await?;
    let decider = Decider {
        engine,
        mode,
        messages,
        dispatch: dispatcher.handle(),
        extenders: calls,
        metrics,
        shared: shared.clone(),
        shadow: shadow.clone(),
        awaited: AWAITED.to_vec(),
    };
    let server =
        start_serving(options, &settings, &clients, &health, &leadership, registry, &shared, &shadow, &tx, configz)
            .await?;
    let deciding = tokio::spawn(decider.run(tokio::runtime::Handle::current()));
    let running = Running { deciding, shared: shared.clone(), wake: tx.clone(), dispatcher, calling, informers };
    tracing::info!(
        mode = ?options.mode,
        lease = %settings.leader.name,
        port = server.as_ref().map_or(0, |s| s.address.port()),
        "running"
    );

    let mut stop = std::pin::pin!(stop_requested());
    let mut dumps = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined2())?;
    let mut watchdog = tokio::time::interval(std::time::Duration::from_secs(1));
    let mut leading = false;
    let mut alarms = Alarms::default();
    let ended = loop {
        tokio::select! {
            biased;
            () = leadership.lost() => break Err(anyhow::anyhow!("leader election lost")),
            signal = &mut stop => break signal.context("cannot listen to signals"),
            () = leadership.acquired(), if !leading => {
                leading = true;
                if tx.send(Message::Lead).await.is_err() {
                    break Err(anyhow::anyhow!(ENDED));
                }
                if settings.leader.enabled {
                    let event = leader_event(&settings.leader, clock::wall());
                    let _ = running.dispatcher.handle().submit(Intent { id: IntentId(u64::MAX), op: Op::Event(event) });
                }
            }
            _ = dumps.recv() => {
                let _ = tx.try_send(Message::Dump);
            }
            _ = watchdog.tick() => {
                if running.deciding.is_finished() {
                    break Err(anyhow::anyhow!(ENDED));
                }
                let mut vitals = if leading { shared.vitals() } else { Vitals::default() };
                if options.mode == ModeFlag::Shadow {
                    // There somebody else is meant to bind.
                    vitals.foreign_bindings = 0;
                }
                for event in alarms.look(vitals, &settings.leader, clock::now()) {
                    let _ = running.dispatcher.handle().submit(Intent { id: IntentId(u64::MAX), op: Op::Event(event) });
                }
                if let Some(file) = &mut config_file
                    && file.has_changed()
                {
                    let path = file.path().display();
                    tracing::warn!(config = %path, "the configuration file has changed: restart to apply it");
                }
            }
        }
    };
    let signal = match ended {
        Ok(signal) => signal,
        Err(error) => {
            running.abandon().await;
            return Err(error);
        }
    };
    tracing::info!(signal, "stopping: finishing writes in flight, then releasing the lease");
    running.stop(leadership).await
}

fn client_options(settings: &Settings, options: &Options) -> ClientOptions {
    ClientOptions {
        kubeconfig: settings.kubeconfig.clone(),
        context: None,
        master: options.connection.master.clone(),
        user_agent: concat!("headroom-scheduler/", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

#[allow(clippy::too_many_arguments, reason = "what is served comes from everywhere")]
async fn start_serving(
    options: &Options,
    settings: &Settings,
    clients: &Clients,
    informers: &InformerHealth,
    leadership: &Leadership,
    metrics: headroom_runtime::metrics::Registry,
    shared: &Arc<Shared>,
    shadow: &Arc<ShadowBook>,
    tx: &mpsc::Sender<Message>,
    configz: serde_json::Value,
) -> anyhow::Result<Option<Server>> {
    if options.secure_port() == 0 {
        return Ok(None);
    }
    let health = Health::new()?;
    let watchdog = leadership.watchdog();
    health.add(Probe::Health, "leaderElection", watchdog.clone());
    health.add(Probe::Ready, "leaderElection", watchdog);
    let informers = informers.clone();
    health.add(Probe::Ready, "informers", Arc::new(move || informers.check()));
    let reviews = async |kubeconfig: &Option<std::path::PathBuf>| -> anyhow::Result<kube::Client> {
        let Some(path) = kubeconfig else { return Ok(clients.watch.clone()) };
        let other = ClientOptions { kubeconfig: Some(path.clone()), master: None, ..client_options(settings, options) };
        Ok(Clients::new(&other, &ClientMetrics::unregistered()?).await?.watch)
    };
    let authorizer = Authorizer::new(
        reviews(&options.serving.authentication_kubeconfig).await?,
        reviews(&options.serving.authorization_kubeconfig).await?,
    );
    let (shadow, shared) = (shadow.clone(), shared.clone());
    let shadow_page = page(move || ("application/json", shadow.json()));
    let stats_page = page(move || ("text/plain; charset=utf-8", format!("{:#?}\n", shared.stats())));
    let resources_page = resources::page(tx.clone());
    let routes = Routes {
        health,
        metrics,
        configz: json!({"componentconfig": configz}),
        pages: BTreeMap::from([
            ("/debug/shadow", shadow_page),
            ("/debug/engine", stats_page),
            ("/metrics/resources", resources_page),
        ]),
        authorizer: Some(Arc::new(authorizer)),
    };
    let serving = ServingOptions {
        bind_address: options.serving.bind_address,
        port: options.secure_port(),
        certificate: options.serving.tls_cert_file.clone().zip(options.serving.tls_private_key_file.clone()),
    };
    Ok(Some(serve(&serving, routes).await?))
}

/// Differs from process to process; logged decisions can be repeated with it.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
