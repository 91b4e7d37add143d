//! What happened to one pod, and where each time comes from.

use headroom_core::Timestamp;
use serde_json::Value;

use super::{
    json::{condition, is_true, kind, list, name, namespace, number, text, time, uid},
    model::{Event, Moment, Object, Precision, Step},
    world::{World, service_of, words},
};
use crate::doctor::text::{counted, cut};

/// A pod that comes later than this many seconds after its owner last changed does not answer that change: it
/// replaces another one, and nothing says since when that was gone.
const ANSWER_SECONDS: f64 = 600.0;

/// Whether a pod is done.
pub(super) fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod may be sent requests.
pub(super) fn is_ready(pod: &Value) -> bool {
    !has_ended(pod) && is_condition(pod, "Ready")
}

fn is_condition(pod: &Value, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|condition| text(condition, "/status") == "True")
}

/// The pod as a step names it.
pub(super) fn object(of: &Value) -> Object {
    Object::new(kind(of), name(of))
}

/// Steps of a pod in the order of the chain. `owner` created it; `why` says why it is where it is.
pub(super) fn steps(world: &World<'_>, pod: &Value, owner: Option<&Value>, why: Option<&str>) -> Vec<Step> {
    let mut chain = Chain { pod: object(pod), before: None, steps: Vec::new() };
    created(&mut chain, pod, owner);
    scheduled(&mut chain, world, pod, why);
    started(&mut chain, world, pod);
    if has_ended(pod) {
        ended(&mut chain, pod);
    } else if let Some(when) = condition(pod, "Ready").filter(|ready| text(ready, "/status") == "True") {
        let when = time(when, "/lastTransitionTime").map(Moment::second);
        chain.push(Event::Ready, when, "condition Ready", String::new());
        in_slices(&mut chain, world, pod);
    }
    chain.steps
}

/// The steps so far.
struct Chain {
    pod: Object,
    before: Option<Moment>,
    steps: Vec<Step>,
}

impl Chain {
    fn push(&mut self, event: Event, when: Option<Moment>, source: &str, note: String) {
        let took_seconds = when.zip(self.before).map(|(when, before)| when.since(before));
        self.before = when.or(self.before);
        let (object, source) = (self.pod.clone(), source.to_owned());
        self.steps.push(Step { object, event, when, took_seconds, source, note });
    }
}

fn created(chain: &mut Chain, pod: &Value, owner: Option<&Value>) {
    let when = time(pod, "/metadata/creationTimestamp").map(Moment::second);
    let asked = owner.zip(when).and_then(|(owner, when)| asked_for(owner, when.at)).map(Moment::second);
    chain.before = asked;
    let waited = when.zip(asked).map(|(when, asked)| when.since(asked));
    chain.push(Event::Created, when, "creationTimestamp", String::new());
    if waited.is_some_and(|waited| waited > ANSWER_SECONDS)
        && let Some(step) = chain.steps.last_mut()
    {
        step.took_seconds = None;
        "long after its owner last changed: it replaces another pod".clone_into(&mut step.note);
    }
}

/// When an owner was last told how many pods there should be, before a pod of it came: its creation, or the last write
/// of it that was not one of its status.
fn asked_for(owner: &Value, pod: Timestamp) -> Option<Timestamp> {
    let writes = list(owner, "/metadata/managedFields").iter();
    let writes =
        writes.filter(|entry| text(entry, "/subresource") != "status").filter_map(|entry| time(entry, "/time"));
    writes.chain(time(owner, "/metadata/creationTimestamp")).filter(|at| *at <= pod).max()
}

fn scheduled(chain: &mut Chain, world: &World<'_>, pod: &Value, why: Option<&str>) {
    let node = text(pod, "/spec/nodeName");
    if node.is_empty() {
        return;
    }
    let event = world.newest(pod, "Scheduled");
    let exact = event.and_then(|event| time(event, "/eventTime"));
    let condition = condition(pod, "PodScheduled").and_then(|condition| time(condition, "/lastTransitionTime"));
    let (when, source) = match (exact, condition) {
        (Some(at), _) => (Some(Moment { at, precision: Precision::Exact }), "event Scheduled"),
        (None, Some(at)) => (Some(Moment::second(at)), "condition PodScheduled"),
        // A pod that was created with its node has no other time.
        (None, None) => (None, "spec.nodeName"),
    };
    let by = event.map(|event| match text(event, "/reportingComponent") {
        "" => text(event, "/source/component"),
        component => component,
    });
    let by = by.filter(|by| !by.is_empty()).map(|by| format!(" by {}", cut(by))).unwrap_or_default();
    let why = why.map(|why| format!("; {why}")).unwrap_or_default();
    // What other schedulers say in their own words is worth repeating; the usual sentence is not.
    let usual = format!("Successfully assigned {}/{} to {node}", namespace(pod), name(pod));
    let said = event.map(words).filter(|said| !said.is_empty() && *said != usual);
    let said = said.map(|said| format!(": {}", cut(said))).unwrap_or_default();
    chain.push(Event::Scheduled, when, source, format!("to {}{by}{said}{why}", cut(node)));
}

fn started(chain: &mut Chain, world: &World<'_>, pod: &Value) {
    let containers = list(pod, "/status/containerStatuses");
    let all = list(pod, "/spec/containers").len().max(1);
    let began = |status: &Value| {
        time(status, "/state/running/startedAt").or_else(|| time(status, "/state/terminated/startedAt"))
    };
    let times: Vec<Timestamp> = containers.iter().filter_map(began).collect();
    // The pod runs when the last of them does.
    let Some(at) = times.iter().max().filter(|_| times.len() >= all) else { return };
    let mut notes = Vec::new();
    let restarts = containers.iter().filter_map(|status| number(status, "/restartCount")).fold(0, i64::saturating_add);
    if restarts > 0 {
        let count = usize::try_from(restarts).unwrap_or(usize::MAX);
        notes.push(format!("{}: this is the last start", counted(count, "restart")));
    }
    if let Some(pulled) =
        world.newest(pod, "Pulled").map(words).filter(|pulled| pulled.starts_with("Successfully pulled"))
    {
        notes.push(cut(pulled));
    }
    chain.push(Event::Started, Some(Moment::second(*at)), "containerStatuses", notes.join("; "));
}

fn ended(chain: &mut Chain, pod: &Value) {
    let containers = list(pod, "/status/containerStatuses").iter();
    let at = containers.filter_map(|status| time(status, "/state/terminated/finishedAt")).max();
    let how = match (text(pod, "/status/phase"), text(pod, "/status/reason")) {
        (phase, "") => phase.to_owned(),
        (phase, reason) => format!("{phase} ({reason})"),
    };
    let message = text(pod, "/status/message");
    let note = if message.is_empty() { how } else { format!("{how}: {message}") };
    chain.push(Event::Ended, at.map(Moment::second), "containerStatuses", cut(&note));
}

/// The slices that have the pod as ready. Their times are those of their last write: the pod was in by then. How long
/// that took can be told only while no other pod became ready after it.
fn in_slices(chain: &mut Chain, world: &World<'_>, pod: &Value) {
    let ready = chain.before;
    for slice in world.of("EndpointSlice").filter(|slice| endpoint(slice, pod).is_some_and(serves)) {
        let (when, source) = written(slice);
        let others = list(slice, "/endpoints").iter();
        let later = others.filter_map(|endpoint| became_ready(world, endpoint)).max();
        let overtaken = later.zip(ready).is_some_and(|(later, ready)| later.truncated() > ready.at.truncated());
        let service = service_of(slice);
        let mut note = format!("{} of service {}", cut(name(slice)), cut(service));
        if overtaken {
            note.push_str("; written again since, for another pod");
        }
        chain.before = ready;
        chain.push(Event::InEndpointSlice, when, source, note);
        if overtaken && let Some(step) = chain.steps.last_mut() {
            step.took_seconds = None;
        }
    }
}

/// The endpoint of a pod in a slice.
pub(super) fn endpoint<'a>(slice: &'a Value, pod: &Value) -> Option<&'a Value> {
    let wanted = name(pod);
    list(slice, "/endpoints").iter().find(|endpoint| {
        // Every pod is looked for in every slice: most are passed over by their names.
        let Some(target) = endpoint.get("targetRef") else { return false };
        let of = |field: &str| target.get(field).and_then(Value::as_str).unwrap_or_default();
        if of("name") != wanted {
            return false;
        }
        let known = of("uid").is_empty() || uid(pod).is_empty() || of("uid") == uid(pod);
        of("kind") == "Pod" && known
    })
}

/// Whether proxies send requests there. Absent means yes.
pub(super) fn serves(endpoint: &Value) -> bool {
    endpoint.pointer("/conditions/ready").is_none_or(|_| is_true(endpoint, "/conditions/ready"))
}

fn became_ready(world: &World<'_>, endpoint: &Value) -> Option<Timestamp> {
    let pod = world.find("Pod", text(endpoint, "/targetRef/name")).filter(|pod| is_ready(pod))?;
    time(condition(pod, "Ready")?, "/lastTransitionTime")
}

/// When a slice was last written, as its managedFields say. Without them its annotation says what that write answered.
fn written(slice: &Value) -> (Option<Moment>, &'static str) {
    let entries = list(slice, "/metadata/managedFields");
    let of_endpoints = |entry: &&Value| entry.pointer("/fieldsV1/f:endpoints").is_some();
    if let Some(at) = entries.iter().filter(of_endpoints).filter_map(|entry| time(entry, "/time")).max() {
        return (Some(Moment { at, precision: Precision::NotLater }), "managedFields");
    }
    let trigger = "/metadata/annotations/endpoints.kubernetes.io~1last-change-trigger-time";
    match time(slice, trigger) {
        Some(at) => (Some(Moment { at, precision: Precision::NotEarlier }), "annotation"),
        None => (None, "endpoints of the slice"),
    }
}
