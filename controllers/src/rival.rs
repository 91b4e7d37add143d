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
//! Nodes and pods are written by kubelets and by other loops of the same program all the time; of them the last writer says
//! nothing. There one field counts that nobody else in that program writes ([`Rival::by_field`]): `managedFields` name as
//! its owner whoever changed it last. The entry of a program has one time for all of its fields, which another loop of it
//! may have made new; therefore an object is suspected there only when that field was seen to change ([`Authorship`]).
//!
//! Not noticed are deletions, which leave nothing to read (a manager that deletes writes as well), and a second Headroom
//! under another Lease, which has our name. Objects that are changed again and again by a program of another name are no
//! reason to yield: whoever may write one object must not be able to stop the loop for the whole cluster. (Who lies about
//! the name can. Kubernetes gives its users no right to write these objects unless an administrator does.)

use std::time::Duration;

use headroom_core::{
    Mono, Now, Timestamp,
    expectations::{Expectation, What},
    intent::{EventRecord, EventType, IntentId, Op, Outcome, WriteError, Written},
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
    /// The one field that counts, a JSON pointer into `fieldsV1`; absent for objects that are the loop's as a whole.
    field: Option<&'static str>,
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
            field: None,
            since: Now::default(),
            not_before: Mono(u64::MAX),
            suspect: None,
            asked: None,
            yielded: None,
        }
    }

    /// Others write these objects, too: only the owner of this field counts, a JSON pointer into `fieldsV1`.
    #[must_use]
    pub const fn by_field(mut self, pointer: &'static str) -> Self {
        self.field = Some(pointer);
        self
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
        let since = self.since.wall + GRACE;
        let written = match self.field {
            None => stock_writer(&found.body, since),
            Some(field) => stock_owner(&found.body, field, since),
        };
        let Some((manager, at)) = written else { return true };
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

    /// As after a look that has found another manager.
    #[cfg(test)]
    pub(crate) fn yield_for_test(&mut self) {
        self.yielded = Some("another manager".to_owned());
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

/// A change that was seen: after the first version, and in the second one at the latest.
type Span = (u64, u64);

/// Whose a change of an object is that a loop of ours makes, and no other program but a manager like ours. Only writes that
/// make such a change are told here.
#[derive(Debug, Default)]
pub struct Authorship {
    /// The version that our last write led to.
    ours: Option<u64>,
    /// A change was seen while a write of ours was under way.
    crossing: Option<Span>,
    /// Nobody knows what became of a write of ours: one change may be that.
    doubt: bool,
}

impl Authorship {
    /// The change is seen, between these versions. Returns whether somebody else has made it; while a write of ours is under
    /// way its answer will tell. A list after a watch that broke shows several writes as one change: where one of them is
    /// ours, so is the change. The field's owner is no evidence then: somebody may have changed the rest of it later, as a
    /// cloud's loop in k3s does to the taints of a new node.
    pub fn seen(&mut self, before: u64, after: u64, in_flight: bool) -> bool {
        if in_flight {
            self.crossing = Some((before, after));
            return false;
        }
        let ours = self.ours.is_some_and(|ours| has((before, after), ours));
        !ours && !std::mem::take(&mut self.doubt)
    }

    /// A write of ours was answered. Returns whether a change that was seen meanwhile is somebody else's.
    pub fn answered(&mut self, result: &Result<Written, WriteError>) -> bool {
        let crossing = self.crossing.take();
        let foreign = match result {
            Ok(written) => {
                self.ours = Some(written.resource_version);
                crossing.is_some_and(|seen| !has(seen, written.resource_version))
            }
            // What was seen, or else what will be, may be ours.
            Err(error) if error.is_unknown() => {
                self.doubt |= crossing.is_none();
                return false;
            }
            Err(_) => crossing.is_some(),
        };
        foreign && !std::mem::take(&mut self.doubt)
    }
}

/// Whether a write that led to this version is a part of the change.
const fn has((before, after): Span, version: u64) -> bool {
    before < version && version <= after
}

/// When an entry of `managedFields` was last written to.
fn time(entry: &Value) -> Option<Timestamp> {
    entry["time"].as_str().and_then(parse_rfc3339)
}

/// Which of [`STOCK`] owns the field and has written after `since`, and when.
pub(crate) fn stock_owner<'o>(object: &'o Value, field: &str, since: Timestamp) -> Option<(&'o str, Timestamp)> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    entries.iter().find_map(|entry| {
        let manager = entry["manager"].as_str().filter(|manager| STOCK.contains(manager))?;
        let at = time(entry).filter(|at| *at > since)?;
        entry["fieldsV1"].pointer(field).map(|_| (manager, at))
    })
}

/// Which of [`STOCK`] wrote the object last and after `since`, and when.
fn stock_writer(object: &Value, since: Timestamp) -> Option<(&str, Timestamp)> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array)?;
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
    use headroom_core::intent::{Found, Intent};
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
    fn of_objects_that_all_write_the_owner_of_one_field_counts() {
        let entry = |manager: &str, at: i64, fields: Value| {
            let time = Timestamp::from_secs(at).to_string();
            json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields})
        };
        let taints = || json!({"f:spec": {"f:podCIDR": {}, "f:taints": {}}});
        let kubelet = || entry("kubelet", 900, json!({"f:status": {"f:conditions": {}}}));
        let owner = |entries: Vec<Value>| {
            let object = json!({"metadata": {"managedFields": entries}});
            stock_owner(&object, "/f:spec/f:taints", Timestamp::from_secs(100)).map(|(manager, _)| manager.to_owned())
        };
        let stock = || "kube-controller-manager";
        assert_eq!(owner(vec![kubelet(), entry(stock(), 101, taints())]).as_deref(), Some(stock()), "not the newest");
        assert_eq!(owner(vec![entry(stock(), 100, taints()), kubelet()]), None, "before our time");
        let other_loop = json!({"f:metadata": {"f:annotations": {}}, "f:spec": {"f:podCIDR": {}}});
        assert_eq!(owner(vec![entry(stock(), 200, other_loop), entry("headroom-controllers", 150, taints())]), None);
        assert_eq!(owner(vec![entry("kubectl-taint", 200, taints())]), None, "a hand");
        assert_eq!(owner(vec![json!(7), json!({"manager": "k3s", "time": "1970-01-01T01:00:00Z"})]), None);
        // The keys of lists of objects are objects.
        let marked = json!({"f:status": {"f:conditions": {"k:{\"type\":\"DisruptionTarget\"}": {".": {}}}}});
        let object = json!({"metadata": {"managedFields": [entry("k3s", 200, marked)]}});
        let field = "/f:status/f:conditions/k:{\"type\":\"DisruptionTarget\"}";
        assert!(stock_owner(&object, field, Timestamp::from_secs(100)).is_some());
    }

    #[test]
    fn a_change_is_ours_when_our_answer_says_so() {
        let done = |resource_version| Ok(Written { resource_version, ..Written::default() });
        let refused = Err(WriteError::Conflict("x".into()));
        let unknown = Err(WriteError::Unknown("x".into()));
        let mut authorship = Authorship::default();
        assert!(authorship.seen(4, 5, false), "nothing of ours");
        assert!(!authorship.answered(&done(6)), "nothing was seen meanwhile");
        assert!(!authorship.seen(5, 6, false) && authorship.seen(6, 7, false));
        // Seen before the answer.
        assert!(!authorship.seen(7, 8, true) && !authorship.answered(&done(8)));
        assert!(!authorship.seen(8, 9, true) && authorship.answered(&done(10)), "theirs, then ours");
        assert!(!authorship.seen(10, 11, true) && authorship.answered(&refused), "theirs, and ours was refused");
        assert!(!authorship.answered(&done(12)), "told once");
        // Nobody knows what became of ours: one change may be that, seen before the answer, after it, or during the next.
        assert!(!authorship.seen(12, 13, true) && !authorship.answered(&unknown));
        assert!(authorship.seen(13, 14, false));
        assert!(!authorship.answered(&unknown) && !authorship.seen(14, 15, false) && authorship.seen(15, 16, false));
        assert!(!authorship.answered(&unknown) && !authorship.seen(16, 17, true) && !authorship.answered(&refused));
        assert!(!authorship.seen(17, 18, true) && authorship.answered(&refused));
        // A list shows ours and what somebody wrote before or after it as one change.
        assert!(!authorship.answered(&done(20)) && !authorship.seen(18, 22, false) && authorship.seen(22, 23, false));
        assert!(!authorship.seen(23, 27, true) && !authorship.answered(&done(25)));
        assert!(!authorship.seen(27, 29, true) && authorship.answered(&done(30)), "theirs alone");
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
