//! `events.k8s.io/v1`: the first of its kind is created, the second starts a series, further ones only count until the
//! series is refreshed or ends (`client-go/tools/events`; kube-scheduler reference 5.4).

use std::{borrow::Cow, fmt, time::Duration};

use hashbrown::HashMap;
use headroom_core::{Mono, Now, Str, Timestamp, intent::EventRecord};
use serde::Serialize;
use serde_json::json;

use super::{EventWrite, Key, MAX_SERIES, Reporter, body, make_room};

/// A series ends when nothing was added for so long.
const FINISH_AFTER: Duration = Duration::from_secs(6 * 60);
/// The count of a long series is written this often.
const REFRESH_EVERY: Duration = Duration::from_secs(30 * 60);

/// What a pod is told once in its life: there is no series to remember.
const ONCE: &str = "Scheduled";

/// A new event. One is written per pod, so nothing is built twice for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: body::Metadata<'a>,
    event_time: String,
    reporting_controller: &'a str,
    reporting_instance: fmt::Arguments<'a>,
    action: &'a str,
    reason: &'a str,
    regarding: body::Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<body::Reference<'a>>,
    note: Cow<'a, str>,
    r#type: &'a str,
}

#[derive(Debug)]
struct Series {
    namespace: Str,
    name: String,
    count: i32,
    written: i32,
    last: Timestamp,
    last_mono: Mono,
    written_at: Mono,
}

#[derive(Debug)]
pub(super) struct EventsV1 {
    reporter: Reporter,
    series: HashMap<Key, Series>,
    sequence: u64,
}

impl EventsV1 {
    pub(super) fn new(reporter: Reporter) -> Self {
        Self { reporter, series: HashMap::new(), sequence: 0 }
    }

    pub(super) fn next(&mut self, record: &EventRecord, now: Now) -> Option<EventWrite> {
        let reporter = record.reporter.clone().unwrap_or_else(|| self.reporter.component.clone());
        if record.reason == ONCE {
            return Some(self.create(record, &reporter, Key::default()));
        }
        let key = body::series_key(record, &reporter);
        if let Some(series) = self.series.get_mut(&key) {
            if now.mono.since(series.last_mono) < FINISH_AFTER {
                series.count = series.count.saturating_add(1);
                (series.last, series.last_mono) = (record.at, now.mono);
                return (series.count == 2).then(|| series.patch(&key, now.mono));
            }
            self.series.remove(&key);
        }
        let write = self.create(record, &reporter, key.clone());
        make_room(&mut self.series, MAX_SERIES, |s| s.last_mono);
        self.series.insert(
            key,
            Series {
                namespace: write.namespace.clone(),
                name: write.name.clone(),
                count: 1,
                written: 1,
                last: record.at,
                last_mono: now.mono,
                written_at: now.mono,
            },
        );
        Some(write)
    }

    fn create(&mut self, record: &EventRecord, reporter: &Str, key: Key) -> EventWrite {
        self.sequence += 1;
        let (namespace, name) = (body::namespace(record), body::name(record, self.sequence));
        let body = serde_json::to_vec(&Event {
            api_version: "events.k8s.io/v1",
            kind: "Event",
            metadata: body::Metadata { name: &name, namespace: &namespace },
            event_time: body::micro_time(record.at),
            reporting_controller: reporter,
            reporting_instance: format_args!("{reporter}-{}", self.reporter.host),
            action: record.action,
            reason: record.reason,
            regarding: body::reference(record.regarding_api_version, &record.regarding),
            related: record.related.as_ref().map(|r| body::reference("v1", r)),
            note: body::cut(&record.note),
            r#type: record.kind.as_str(),
        });
        // Writing texts to memory does not fail.
        EventWrite { namespace, name, create: true, body: body.unwrap_or_default(), key }
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.series.remove(key);
    }

    pub(super) fn tick(&mut self, now: Now) -> Vec<EventWrite> {
        let mut writes = Vec::new();
        self.series.retain(|key, series| {
            let over = now.mono.since(series.last_mono) >= FINISH_AFTER;
            let stale = now.mono.since(series.written_at) >= REFRESH_EVERY;
            if series.count > series.written && (over || stale) {
                writes.push(series.patch(key, now.mono));
            }
            !over
        });
        writes
    }
}

impl Series {
    fn patch(&mut self, key: &Key, now: Mono) -> EventWrite {
        (self.written, self.written_at) = (self.count, now);
        let body = json!({"series": {"count": self.count, "lastObservedTime": body::micro_time(self.last)}});
        EventWrite {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            create: false,
            body: body.to_string().into(),
            key: key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::record;
    use serde_json::Value;

    fn recorder() -> EventsV1 {
        EventsV1::new(Reporter { component: "default-scheduler".into(), host: "h".into() })
    }

    fn json(w: &EventWrite) -> Value {
        serde_json::from_slice(&w.body).unwrap()
    }

    #[test]
    fn create_then_series_then_silence_then_the_last_count() {
        let mut e = recorder();
        let first = e.next(&record("a", "0/1 nodes"), Now::at_secs(0)).unwrap();
        assert!(first.create);
        let v = json(&first);
        assert_eq!(v["reportingInstance"], "default-scheduler-h");
        assert_eq!(
            v["regarding"],
            json!({"apiVersion": "v1", "kind": "Pod", "name": "a", "namespace": "default", "uid": "uid-a"})
        );
        assert_eq!(v["eventTime"], "2026-11-22T00:00:00.123456Z");
        assert_eq!(v["metadata"]["namespace"], "default");
        let mut fields: Vec<&String> = v.as_object().unwrap().keys().collect();
        fields.sort();
        let expected = "action apiVersion eventTime kind metadata note reason regarding reportingController reportingInstance type";
        assert_eq!(fields, expected.split(' ').collect::<Vec<_>>());
        // Another note is the same series.
        let second = e.next(&record("a", "0/2 nodes"), Now::at_secs(10)).unwrap();
        assert!(!second.create && second.name == first.name);
        assert_eq!(json(&second)["series"]["count"], 2);
        assert_eq!(e.next(&record("a", "x"), Now::at_secs(20)), None);
        assert!(e.tick(Now::at_secs(100)).is_empty());
        let last = e.tick(Now::at_secs(20 + 360));
        assert_eq!(last.iter().map(|w| json(w)["series"]["count"].clone()).collect::<Vec<_>>(), [3]);
        assert!(e.next(&record("a", "x"), Now::at_secs(400)).is_some_and(|w| w.create), "a new series");
    }

    #[test]
    fn other_objects_are_other_events_and_memory_is_bounded() {
        let mut e = recorder();
        for i in 0..MAX_SERIES + 10 {
            assert!(e.next(&record(&format!("p{i}"), ""), Now::at_secs(i as u32)).is_some_and(|w| w.create));
        }
        assert!(e.series.len() <= MAX_SERIES && e.series.len() > MAX_SERIES / 2);
        let newest = record(&format!("p{}", MAX_SERIES + 9), "");
        assert!(e.next(&newest, Now::at_secs(MAX_SERIES as u32 + 10)).is_some_and(|w| !w.create), "the old go first");
    }

    #[test]
    fn what_happens_once_is_not_remembered() {
        let mut e = recorder();
        let scheduled = EventRecord { reason: ONCE, ..record("a", "Successfully assigned") };
        for i in 0..2 {
            let write = e.next(&scheduled, Now::at_secs(i)).unwrap();
            assert!(write.create && write.key == Key::default(), "no key is made that nobody asks for: {write:?}");
            assert_eq!(json(&write)["reportingInstance"], "default-scheduler-h");
        }
        assert!(e.series.is_empty());
    }

    #[test]
    fn an_event_that_expired_is_created_anew() {
        let mut e = recorder();
        e.next(&record("a", ""), Now::at_secs(0));
        let patch = e.next(&record("a", ""), Now::at_secs(1)).unwrap();
        e.forget(&patch.key);
        assert!(e.next(&record("a", ""), Now::at_secs(2)).is_some_and(|w| w.create));
    }
}
