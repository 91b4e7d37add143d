//! `--watch`: a line for whatever happens. A watch of each kind is a bell only; when one rings, all is read again, so
//! that what is printed is what one look would have shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    process::ExitCode,
    time::Duration,
};

use futures::{StreamExt, stream};
use headroom_engine::{Configuration, Registry};
use headroom_runtime::clock;
use kube::{
    Api, Client,
    api::{WatchEvent, WatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use super::{
    Options, Output,
    api::{self, Listed},
    build::{self, Whys, build, whys_key},
    is_placed,
    model::{Object, Step, Trace, Wait},
    or_a_note, read, table,
    world::World,
};
use crate::reach::RIGHT;

/// How long what belongs together is waited for before it is read: an event comes after what it tells of.
const SETTLE: Duration = Duration::from_secs(1);
/// Lines that are remembered of an object beyond those of the last look: what comes and goes is printed once.
const REMEMBERED: usize = 64;

/// Prints what happens until something fails.
pub(super) async fn watch(
    options: &Options,
    client: &Client,
    namespace: &str,
    config: &Configuration,
    registry: fn() -> Registry,
) -> anyhow::Result<ExitCode> {
    let mut printed = Printed::default();
    let mut whys = Whys::new();
    let mut noted = BTreeSet::new();
    loop {
        let read = read::live(client, namespace, &options.target).await?;
        for note in &read.notes {
            if noted.insert(note.clone()) {
                eprintln!("{note}");
            }
        }
        let at = clock::wall();
        let world = World::new(&read.objects, namespace);
        let pods = build::pods(&world, &options.target);
        forget(&mut whys, &pods);
        let mut unexplained: Vec<_> = pods.into_iter().filter(|pod| is_placed(pod)).collect();
        unexplained.retain(|pod| !whys.contains_key(whys_key(pod)));
        if !options.no_why && !unexplained.is_empty() {
            let found = or_a_note(options, read::whys(client, &unexplained, config.clone(), registry(), at).await);
            whys.extend(found);
            // Asked once, whatever the answer: the engine is no clock.
            for pod in &unexplained {
                whys.entry(whys_key(pod).to_owned()).or_default();
            }
        }
        let told: Whys = whys.iter().filter(|(_, why)| !why.is_empty()).map(|(k, v)| (k.clone(), v.clone())).collect();
        match build(&world, &options.target, &told, at) {
            Some(trace) => printed.show(&trace, options.output)?,
            None if printed.is_new() => return Ok(options.nothing(namespace, None)),
            None => {
                eprintln!("{} {:?} is gone", options.target.of.kind, options.target.name);
                return Ok(ExitCode::SUCCESS);
            }
        }
        rings(client, namespace, &read.versions).await?;
        tokio::time::sleep(SETTLE).await;
    }
}

/// Keeps what is said of pods that are still there.
fn forget(whys: &mut Whys, pods: &[&Value]) {
    let there: BTreeSet<&str> = pods.iter().map(|pod| whys_key(pod)).collect();
    whys.retain(|key, _| there.contains(key.as_str()));
}

/// What a kind's bell rings for. Most events tell of what shows in the objects as well; what keeps a pod from starting
/// (FailedMount, FailedCreatePodSandBox) or is said of its probes is told by warnings alone.
fn heard(listed: Listed) -> WatchParams {
    if listed == api::EVENTS { WatchParams::default().fields("type=Warning") } else { WatchParams::default() }
}

/// Returns when anything in the namespace is not as it was read.
async fn rings(client: &Client, namespace: &str, versions: &[(Listed, String)]) -> anyhow::Result<()> {
    let mut bells = Vec::new();
    for (listed, version) in versions {
        let events = *listed == api::EVENTS;
        let (group, of_group) = listed.api_version.split_once('/').unwrap_or(("", listed.api_version));
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, of_group, listed.kind), listed.plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        match api.watch_metadata(&heard(*listed), version).await {
            Ok(bell) => {
                // That the API server forgets old ones is no news.
                let heard = bell.filter(move |rung| ready(!(events && matches!(rung, Ok(WatchEvent::Deleted(_))))));
                bells.push(heard.boxed_local());
            }
            // So long ago that the API server does not remember: read again.
            Err(kube::Error::Api(status)) if status.code == 410 => return Ok(()),
            // What else happens rings as well, and then they are read.
            Err(error) if events && is_forbidden(&error) => {}
            Err(error) if is_forbidden(&error) => {
                anyhow::bail!("{}; {RIGHT}", listed.forbidden("watch", Some(namespace)));
            }
            Err(error) => return Err(anyhow::Error::new(error).context(format!("cannot watch {}", listed.plural))),
        }
    }
    let mut bells = stream::select_all(bells);
    while let Some(rung) = bells.next().await {
        match rung {
            Ok(WatchEvent::Bookmark(_)) => {}
            Ok(_) => return Ok(()),
            // A stream that breaks is followed by a list, which says whether the API server is there.
            Err(error) if is_forbidden(&error) => return Err(anyhow::Error::new(error).context("cannot watch")),
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Keys of lines that were printed, by object, each with the look that had it last. A watch goes on for as long as its
/// target, and pods come and go: of those that are gone nothing is kept.
#[derive(Default)]
struct Lines {
    objects: BTreeMap<String, BTreeMap<String, u64>>,
    look: u64,
}

impl Lines {
    /// Takes note of a line; whether it is a new one.
    fn insert(&mut self, object: &Object, key: String) -> bool {
        self.objects.entry(object.to_string()).or_default().insert(key, self.look).is_none()
    }

    /// Forgets objects of which this look had nothing, and of others what is older than enough.
    fn end_look(&mut self) {
        let look = self.look;
        self.objects.retain(|_, lines| lines.values().any(|last| *last == look));
        for lines in self.objects.values_mut() {
            let mut old: Vec<u64> = lines.values().copied().filter(|last| *last != look).collect();
            old.sort_unstable_by(|a, b| b.cmp(a));
            if let Some(last) = old.get(REMEMBERED) {
                let forgotten = *last;
                lines.retain(|_, last| *last > forgotten);
            }
        }
        self.look += 1;
    }
}

/// What was printed.
#[derive(Default)]
struct Printed {
    lines: Lines,
    head: Option<String>,
    /// What times are counted from: that of the first look, so that lines can be compared.
    start: Option<headroom_core::Timestamp>,
}

impl Printed {
    fn is_new(&self) -> bool {
        self.head.is_none()
    }

    /// Prints what was not printed before.
    fn show(&mut self, trace: &Trace, output: Output) -> anyhow::Result<()> {
        let text = match output {
            Output::Table => self.news(trace),
            _ if !self.changed(trace) => String::new(),
            Output::Yaml => format!("---\n{}", serde_saphyr::to_string(trace)?),
            Output::Json | Output::Svg => serde_json::to_string(trace)? + "\n",
        };
        print!("{text}");
        Ok(())
    }

    /// The lines of a table that were not there before.
    fn news(&mut self, trace: &Trace) -> String {
        let mut text = String::new();
        self.start = self.start.or_else(|| trace.start());
        let table = table::columns();
        let first = self.is_new();
        let head = table::head(trace);
        if self.head.as_ref() != Some(&head) {
            text.push_str(&head);
        }
        self.head = Some(head);
        if first {
            text.push_str(&table.head());
        }
        for step in &trace.steps {
            if self.lines.insert(&step.object, step_key(step)) {
                text.push_str(&table.line(&table::cells(step, self.start)));
                table::note(&mut text, step);
            }
        }
        for wait in &trace.waiting {
            if self.lines.insert(&wait.object, wait_key(wait)) {
                table::waits(&mut text, wait);
            }
        }
        self.lines.end_look();
        text
    }

    /// Whether a document says something that none before it said.
    fn changed(&mut self, trace: &Trace) -> bool {
        let head = table::head(trace);
        let mut changed = self.head.as_ref() != Some(&head);
        self.head = Some(head);
        let steps = trace.steps.iter().map(|step| (&step.object, step_key(step)));
        for (object, key) in steps.chain(trace.waiting.iter().map(|wait| (&wait.object, wait_key(wait)))) {
            changed |= self.lines.insert(object, key);
        }
        self.lines.end_look();
        changed
    }
}

/// What makes a step another one. Times that only bound it move with every write.
fn step_key(step: &Step) -> String {
    let slice = step.note.split(';').next().unwrap_or_default();
    let when = step.when.filter(|when| !matches!(when.precision, super::model::Precision::NotLater));
    let when = when.map(|when| when.at.truncated().to_string()).unwrap_or_default();
    let place = if step.event == super::model::Event::InEndpointSlice { slice } else { "" };
    format!("{} {} {when} {place}", step.object, step.event.as_str())
}

fn wait_key(wait: &Wait) -> String {
    format!("{} {} {}", wait.object, wait.next.as_str(), wait.why)
}

#[cfg(test)]
mod tests {
    use headroom_core::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::trace::model::{Event, Moment, Pods};

    fn trace(events: &[(Event, i64)]) -> Trace {
        traced(&[("p", events)])
    }

    /// Of several pods.
    fn traced(pods: &[(&str, &[(Event, i64)])]) -> Trace {
        let step = |name: &str, (event, seconds): &(Event, i64)| Step {
            object: Object::new("Pod", name),
            event: *event,
            when: Some(Moment::second(Timestamp::from_secs(*seconds))),
            took_seconds: None,
            source: "s".to_owned(),
            note: String::new(),
        };
        Trace {
            api_version: "v",
            kind: "Trace",
            at: Timestamp::from_secs(100),
            namespace: "default".to_owned(),
            target: Object::new("Pod", "p"),
            pods: Pods::default(),
            steps: pods.iter().flat_map(|(name, events)| events.iter().map(|event| step(name, event))).collect(),
            waiting: Vec::new(),
        }
    }

    #[test]
    fn of_events_warnings_ring() {
        for (listed, fields) in [(api::EVENTS, Some("type=Warning")), (api::PODS, None), (api::JOBS, None)] {
            assert_eq!(heard(listed).field_selector.as_deref(), fields, "{listed:?}");
        }
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let mut printed = Printed::default();
        assert!(printed.is_new());
        let first = printed.news(&trace(&[(Event::Created, 1)]));
        assert!(first.contains("AT ") && first.contains("Created") && !printed.is_new(), "{first}");
        assert_eq!(printed.news(&trace(&[(Event::Created, 1)])), "");
        let second = printed.news(&trace(&[(Event::Created, 1), (Event::Started, 3)]));
        assert!(second.starts_with("+2s ") && second.lines().count() == 1, "{second}");
        assert!(!printed.changed(&trace(&[(Event::Created, 1), (Event::Started, 3)])));
        assert!(printed.changed(&trace(&[(Event::Started, 9)])), "a restart");
    }

    #[test]
    fn what_comes_and_goes_is_printed_once() {
        let mut printed = Printed::default();
        printed.news(&trace(&[(Event::Created, 1), (Event::Ready, 2)]));
        assert_eq!(printed.news(&trace(&[(Event::Created, 1)])), "");
        assert_eq!(printed.news(&trace(&[(Event::Created, 1), (Event::Ready, 2)])), "");
    }

    #[test]
    fn a_long_watch_keeps_what_there_is() {
        let mut printed = Printed::default();
        let lines = |printed: &Printed| printed.lines.objects.values().map(BTreeMap::len).sum::<usize>();
        // A pod after the other ends and is gone, as those of a CronJob.
        for number in 0..1000 {
            let name = format!("p-{number}");
            let events = [(Event::Created, number), (Event::Ended, number + 1)];
            let text = printed.news(&traced(&[(name.as_str(), &events[..])]));
            assert!(text.contains(&name), "{text}");
            assert_eq!((printed.lines.objects.len(), lines(&printed)), (1, 2));
        }
        // One pod starts again and again.
        for number in 0..1000 {
            let text = printed.news(&trace(&[(Event::Created, 1), (Event::Started, number)]));
            assert!(text.contains("Started"), "{text}");
        }
        assert_eq!((printed.lines.objects.len(), lines(&printed)), (1, 2 + REMEMBERED));
        let mut whys = Whys::from([("u1".to_owned(), String::new()), ("u2".to_owned(), "the only one".to_owned())]);
        forget(&mut whys, &[&json!({"metadata": {"name": "p", "uid": "u2"}})]);
        assert_eq!(whys.into_keys().collect::<Vec<_>>(), ["u2"]);
    }
}
