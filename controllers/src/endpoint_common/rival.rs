//! Another manager at work on the same objects (DESIGN.md 12, "Two of a kind"): the loop yields to it, for good.
//!
//! The rows do not say who wrote an object, and a write that is not ours proves little. People edit objects, which is put
//! right as upstream does. An answer of ours was lost. The last writes of an earlier leader arrive late. Therefore such
//! a write is a suspicion and no more: it leads to one consistent read of the object, whose `managedFields` say which
//! programs wrote it and when. A manager is at work when all of this holds:
//!
//! - The object's last writer is a program that runs upstream's loops ([`STOCK`]). Our own replicas, `kubectl` and other
//!   systems have other names, whatever they write and however often.
//! - It wrote more than metadata: the garbage collector of the same program touches owners.
//! - It did so later than [`GRACE`] after this process began to lead: before that it may have been a manager that was
//!   stopping. "Last writer" is asked for as well because the two clocks may differ: of an object that somebody edits now,
//!   an old entry of the stock manager is not the newest.
//!
//! Not noticed are deletions, which leave nothing to read (a manager that deletes writes as well), and a second Headroom
//! under another Lease, which has our name. Objects that are changed again and again by a program of another name are no
//! reason to yield: whoever may write one object must not be able to stop the loop for the whole cluster. (Who lies about
//! the name can. Kubernetes gives its users no right to write these objects unless an administrator does.)

use std::time::Duration;

use headroom_core::{
    Mono, Now, Timestamp,
    expectations::{Expectation, What},
    intent::{EventRecord, EventType, IntentId, Op, Outcome},
    object::{Kind, ObjectKey, ObjectReference},
};
use headroom_runtime::wire::time::parse_rfc3339;
use serde_json::Value;

use crate::framework::{Measurements, Metric, Outbox};

/// Programs that run upstream's loops, as `managedFields` name them: kube-controller-manager, and those that have it
/// built in (k3s, MicroK8s). The name is the first part of the client's user agent.
const STOCK: [&str; 3] = ["kube-controller-manager", "k3s", "kubelite"];
/// Event: the loop has stopped because of another manager.
const YIELDED: &str = "YieldedToAnotherManager";
/// So long after the beginning of our lead a write may be one that another manager had begun before it was stopped.
const GRACE: Duration = Duration::from_secs(30);
/// Between two looks. Whoever edits objects all day costs us few requests, and a manager gives more than one occasion.
const PAUSE: Duration = Duration::from_secs(10);

/// What is known of another manager.
#[derive(Debug)]
pub struct Rival {
    /// The loop that it would be, under upstream's name.
    controller: &'static str,
    /// Source of the event.
    component: &'static str,
    /// Kind of the objects.
    kind: Kind,
    /// When this process began to lead.
    since: Now,
    /// Nobody is suspected before this.
    not_before: Mono,
    /// Written by somebody else, and not looked at yet.
    suspect: Option<ObjectKey>,
    asked: Option<IntentId>,
    yielded: Option<String>,
}

impl Rival {
    /// For a loop with these names and objects. Nobody is suspected before it has [started](Self::started).
    #[must_use]
    pub fn new(controller: &'static str, component: &'static str, kind: Kind) -> Self {
        Self {
            controller,
            component,
            kind,
            since: Now::default(),
            not_before: Mono(u64::MAX),
            suspect: None,
            asked: None,
            yielded: None,
        }
    }

    /// This process leads from now on.
    pub fn started(&mut self, now: Now) {
        self.since = now;
        self.not_before = now.mono + GRACE;
        self.suspect = None;
        self.asked = None;
    }

    /// Why the loop has stopped for good, if it has.
    #[must_use]
    pub fn yielded(&self) -> Option<&str> {
        self.yielded.as_deref()
    }

    /// Somebody else may have written this object.
    pub fn suspect(&mut self, object: &ObjectKey, now: Now) {
        let idle = self.yielded.is_none() && self.asked.is_none() && self.suspect.is_none();
        if idle && now.mono >= self.not_before {
            self.suspect = Some(object.clone());
        }
    }

    /// Looks at the object under suspicion, if there is one. It comes before the loop's own next write of the object.
    pub fn ask(&mut self, out: &mut Outbox<'_>) {
        if let Some(key) = self.suspect.take() {
            self.asked = Some(out.push(Op::Get { kind: self.kind, key }));
        }
    }

    /// Takes in what the object says. Returns whether the outcome was that of a look.
    pub fn outcome(&mut self, outcome: &Outcome, now: Now, out: &mut Outbox<'_>) -> bool {
        if self.asked != Some(outcome.id) {
            return false;
        }
        self.asked = None;
        self.not_before = now.mono + PAUSE;
        // One that is gone, or cannot be read, says nothing.
        let Some(found) = outcome.result.as_ref().ok().and_then(|written| written.found.first()) else { return true };
        let Some((manager, at)) = stock_writer(&found.body, self.since.wall + GRACE) else { return true };
        let (kind, controller) = (self.kind.kind, self.controller);
        let note = format!(
            "{kind} {} was written by another manager, {manager}, at {at}: headroom-controllers stops its {controller}. \
             Stop the other manager's {controller}, then restart headroom-controllers",
            found.key.name
        );
        tracing::warn!(controller, "{note}");
        out.event(EventRecord {
            regarding_api_version: if self.kind.group.is_empty() { "v1" } else { "discovery.k8s.io/v1" },
            regarding: ObjectReference {
                kind: kind.into(),
                namespace: found.key.namespace.clone(),
                name: found.key.name.clone(),
                uid: found.uid.clone(),
            },
            related: None,
            kind: EventType::Warning,
            reason: YIELDED,
            action: "",
            note: note.clone(),
            reporter: Some(self.component.into()),
            at: now.wall,
        });
        self.yielded = Some(format!("{}: {note}", found.key));
        true
    }

    /// Hands the gauge over: 1 when the loop has stopped.
    pub fn measure(&self, metric: &'static Metric, into: &mut Measurements) {
        into.count(metric, &[], u64::from(self.yielded.is_some()));
    }
}

/// Whether a version that the view shows is later than what is expected of our own last write, or comes without one.
#[must_use]
pub fn is_beyond(expected: Option<&Expectation>, resource_version: u64) -> bool {
    match expected.map(|e| e.what) {
        Some(What::Version(ours)) => resource_version > ours,
        // Which version that will be is not known.
        Some(What::Exists | What::Gone) => false,
        None => true,
    }
}

/// Which of [`STOCK`] wrote the object last and after `since`, and when.
fn stock_writer(object: &Value, since: Timestamp) -> Option<(&str, Timestamp)> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let time = |entry: &Value| entry["time"].as_str().and_then(parse_rfc3339);
    // Whole seconds: two writers may both be the last one.
    let newest = entries.iter().filter_map(time).max().filter(|at| *at > since)?;
    entries.iter().find_map(|entry| {
        let manager = entry["manager"].as_str().filter(|manager| STOCK.contains(manager))?;
        let content = entry["fieldsV1"].as_object()?.keys().any(|field| field != "f:metadata");
        (content && time(entry) == Some(newest)).then_some((manager, newest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::intent::{Found, Intent, WriteError, Written};
    use serde_json::json;
    use std::sync::Arc;

    /// `(manager, second, fields)`.
    fn object(entries: &[(&str, i64, &str)]) -> Value {
        let entry = |(manager, at, field): &(&str, i64, &str)| {
            json!({"manager": manager, "operation": "Update", "time": Timestamp::from_secs(*at).to_string(),
                   "fieldsV1": {"f:metadata": {}, *field: {}}})
        };
        json!({"metadata": {"managedFields": entries.iter().map(entry).collect::<Vec<_>>()}})
    }

    #[test]
    fn only_the_last_writer_of_content_counts_and_only_upstreams_programs() {
        let since = Timestamp::from_secs(100);
        for (what, entries, expected) in [
            ("stock", vec![("kube-controller-manager", 101, "f:subsets")], Some("kube-controller-manager")),
            ("k3s after ours", vec![("headroom-controllers", 150, "f:x"), ("k3s", 151, "f:endpoints")], Some("k3s")),
            ("the same second", vec![("kubelite", 150, "f:x"), ("headroom-controllers", 150, "f:x")], Some("kubelite")),
            ("before our time", vec![("kube-controller-manager", 100, "f:subsets")], None),
            ("ours afterwards", vec![("k3s", 150, "f:subsets"), ("headroom-controllers", 151, "f:subsets")], None),
            ("a hand", vec![("kubectl-edit", 200, "f:subsets")], None),
            ("a hand on stock's", vec![("k3s", 150, "f:subsets"), ("kubectl-edit", 200, "f:metadata")], None),
            ("the garbage collector", vec![("kube-controller-manager", 200, "f:metadata")], None),
            ("another system", vec![("argocd-controller", 200, "f:endpoints")], None),
            ("nobody", vec![], None),
        ] {
            let object = object(&entries);
            assert_eq!(stock_writer(&object, since).map(|(manager, _)| manager), expected, "{what}");
        }
        assert_eq!(stock_writer(&json!({"metadata": {"managedFields": [7, {"manager": "k3s"}]}}), since), None);
        assert_eq!(stock_writer(&Value::Null, since), None);
    }

    #[test]
    fn it_looks_seldom_and_says_what_it_found_once() {
        let (mut next, mut intents) = (0, Vec::<Intent>::new());
        let key = ObjectKey::new("default", "web");
        let mut rival = Rival::new("endpoints-controller", "endpoint-controller", Kind::ENDPOINTS);
        let mut look = |rival: &mut Rival, second: u32, entries: &[(&str, i64, &str)]| {
            let now = Now::at_secs(second);
            rival.suspect(&key, now);
            rival.suspect(&key, now);
            rival.ask(&mut Outbox::new(1, &mut next, &mut intents));
            let Some(Intent { id, op: Op::Get { .. } }) = intents.pop() else { return None };
            assert!(intents.is_empty(), "one at a time");
            let found =
                Found { key: key.clone(), uid: "u".into(), resource_version: 9, body: Arc::new(object(entries)) };
            let result = Ok(Written { uid: None, resource_version: 9, found: vec![found] });
            assert!(rival.outcome(&Outcome { id, result }, now, &mut Outbox::new(1, &mut next, &mut intents)));
            let told = intents.drain(..).filter(|i| matches!(i.op, Op::Event(_))).count();
            Some((rival.yielded().is_some(), told))
        };
        let stock = |at: i64| [("kube-controller-manager", at, "f:subsets")];
        assert_eq!(look(&mut rival, 100, &stock(100)), None, "it does not lead");
        rival.started(Now::at_secs(100));
        assert_eq!(look(&mut rival, 129, &stock(129)), None, "too early");
        assert_eq!(look(&mut rival, 130, &stock(130)), Some((false, 0)), "begun before it was stopped");
        assert_eq!(look(&mut rival, 139, &stock(139)), None, "it has just looked");
        assert_eq!(look(&mut rival, 140, &[("kubectl-edit", 140, "f:subsets")]), Some((false, 0)));
        assert_eq!(look(&mut rival, 150, &stock(149)), Some((true, 1)));
        assert_eq!(look(&mut rival, 999, &stock(998)), None, "nothing more to find out");
        // A new lead is one of the same process: it does not resume.
        rival.started(Now::at_secs(2000));
        assert!(rival.yielded().is_some_and(|text| text.starts_with("default/web: Endpoints web was written by")));
    }

    #[test]
    fn an_object_that_cannot_be_read_says_nothing() {
        let (mut next, mut intents) = (0, Vec::new());
        let mut rival = Rival::new("endpoints-controller", "endpoint-controller", Kind::ENDPOINTS);
        rival.started(Now::at_secs(0));
        rival.suspect(&ObjectKey::new("default", "web"), Now::at_secs(60));
        rival.ask(&mut Outbox::new(1, &mut next, &mut intents));
        let id = intents[0].id;
        let mut answer = |id, result| {
            rival.outcome(&Outcome { id, result }, Now::at_secs(60), &mut Outbox::new(1, &mut 7, &mut Vec::new()))
        };
        assert!(!answer(IntentId(u64::MAX), Ok(Written::default())), "another's");
        assert!(answer(id, Err(WriteError::NotFound("gone".into()))));
        assert!(!answer(id, Ok(Written::default())), "answered already");
        assert_eq!(rival.yielded(), None);
    }
}
