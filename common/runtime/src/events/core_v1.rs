//! Core `v1` events: equal ones are counted, many similar ones become one, and an object has only so many
//! (`client-go/tools/record`: 25 at once and one per 5 minutes; more than 10 that differ in the message alone within 10
//! minutes are combined).

use std::time::Duration;

use hashbrown::HashMap;
use headroom_core::{Mono, Now, Str, Timestamp, intent::EventRecord};
use serde_json::json;

use super::{EventWrite, Key, MAX_REMEMBERED, Reporter, body, make_room};

/// Events of one object that may come at once.
const BURST: f64 = 25.0;
/// One more after each such time.
const REFILL: Duration = Duration::from_secs(300);
/// Similar events within [`SIMILAR_WITHIN`] before they are combined.
const MAX_SIMILAR: usize = 10;
/// The window of similarity.
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// What has not been touched for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Mono,
}

#[derive(Debug)]
struct Similar {
    messages: Vec<String>,
    since: Mono,
}

#[derive(Debug)]
struct Counted {
    namespace: Str,
    name: String,
    count: i32,
    at: Mono,
}

#[derive(Debug)]
pub(super) struct CoreV1 {
    reporter: Reporter,
    buckets: HashMap<Key, Bucket>,
    similar: HashMap<Key, Similar>,
    counted: HashMap<Key, Counted>,
    sequence: u64,
}

impl CoreV1 {
    pub(super) fn new(reporter: Reporter) -> Self {
        Self { reporter, buckets: HashMap::new(), similar: HashMap::new(), counted: HashMap::new(), sequence: 0 }
    }

    pub(super) fn next(&mut self, record: &EventRecord, now: Now) -> Option<EventWrite> {
        let component = record.reporter.clone().unwrap_or_else(|| self.reporter.component.clone());
        let alike = body::series_key(record, &component);
        let (message, key) = self.aggregate(record, &alike, now.mono);
        if !self.has_token(record, &component, now.mono) {
            return None;
        }
        if let Some(counted) = self.counted.get_mut(&key) {
            counted.count = counted.count.saturating_add(1);
            counted.at = now.mono;
            let patch = json!({"count": counted.count, "lastTimestamp": seconds(record.at), "message": message});
            return Some(EventWrite {
                namespace: counted.namespace.clone(),
                name: counted.name.clone(),
                create: false,
                body: patch.to_string().into(),
                key,
            });
        }
        make_room(&mut self.counted, MAX_REMEMBERED, |c| c.at);
        self.sequence += 1;
        let (namespace, name) = (body::namespace(record), body::name(record, self.sequence));
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": body::reference(record.regarding_api_version, &record.regarding),
            "reason": record.reason,
            "message": message,
            "source": {"component": component, "host": self.reporter.host},
            "firstTimestamp": seconds(record.at),
            "lastTimestamp": seconds(record.at),
            "count": 1,
            "type": record.kind.as_str(),
            "reportingComponent": component,
            "reportingInstance": self.reporter.host,
        });
        self.counted
            .insert(key.clone(), Counted { namespace: namespace.clone(), name: name.clone(), count: 1, at: now.mono });
        Some(EventWrite { namespace, name, create: true, body: event.to_string().into(), key })
    }

    /// The message to write, and what it is counted under: the message is part of that, unless there were too many.
    fn aggregate(&mut self, record: &EventRecord, alike: &Key, now: Mono) -> (String, Key) {
        let message = body::cut(&record.note).into_owned();
        if !self.similar.contains_key(alike) {
            make_room(&mut self.similar, MAX_REMEMBERED, |s| s.since);
        }
        let similar = self.similar.entry(alike.clone()).or_insert_with(|| Similar { messages: Vec::new(), since: now });
        if now.since(similar.since) > SIMILAR_WITHIN {
            similar.messages.clear();
        }
        similar.since = now;
        if !similar.messages.contains(&message) {
            if similar.messages.len() >= MAX_SIMILAR {
                return (body::cut(&format!("(combined from similar events): {message}")).into_owned(), alike.clone());
            }
            similar.messages.push(message.clone());
        }
        let mut parts = alike.0.to_vec();
        parts.push(message.as_str().into());
        (message, Key(parts.into()))
    }

    fn has_token(&mut self, record: &EventRecord, component: &Str, now: Mono) -> bool {
        let mut parts = vec![component.clone()];
        body::push_reference(&mut parts, &record.regarding);
        let key = Key(parts.into());
        if !self.buckets.contains_key(&key) {
            make_room(&mut self.buckets, MAX_REMEMBERED, |b| b.at);
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { tokens: BURST, at: now });
        let refilled = now.since(bucket.at).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + refilled).min(BURST);
        bucket.at = now;
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.counted.remove(key);
    }

    pub(super) fn tick(&mut self, now: Now) {
        let young = |at: Mono| now.mono.since(at) < FORGET_AFTER;
        self.counted.retain(|_, c| young(c.at));
        self.similar.retain(|_, s| young(s.since));
        // An untouched bucket is full again only after 25 refills.
        self.buckets.retain(|_, b| now.mono.since(b.at) < REFILL * 25);
    }
}

/// `metav1.Time`.
fn seconds(t: Timestamp) -> String {
    t.truncated().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::record;
    use serde_json::Value;

    fn recorder() -> CoreV1 {
        CoreV1::new(Reporter { component: "replication-controller".into(), host: "h".into() })
    }

    fn json(w: &EventWrite) -> Value {
        serde_json::from_slice(&w.body).unwrap()
    }

    #[test]
    fn equal_ones_are_counted() {
        let mut c = recorder();
        let first = c.next(&record("a", "m"), Now::at_secs(0)).unwrap();
        assert_eq!(json(&first)["source"], json!({"component": "replication-controller", "host": "h"}));
        let second = c.next(&record("a", "m"), Now::at_secs(5)).unwrap();
        assert!(!second.create && second.name == first.name && json(&second)["count"] == 2);
    }

    #[test]
    fn many_similar_ones_become_one() {
        let mut c = recorder();
        for i in 0..MAX_SIMILAR {
            assert!(c.next(&record("a", &format!("m{i}")), Now::at_secs(i as u32)).is_some_and(|w| w.create));
        }
        let eleventh = c.next(&record("a", "m-other"), Now::at_secs(20)).unwrap();
        assert!(eleventh.create);
        assert_eq!(json(&eleventh)["message"], "(combined from similar events): m-other");
        assert!(c.next(&record("a", "m-yet-another"), Now::at_secs(21)).is_some_and(|w| !w.create));
    }

    #[test]
    fn an_object_has_only_so_many() {
        let mut c = recorder();
        let sent = (0..100).filter(|_| c.next(&record("a", "m"), Now::at_secs(0)).is_some()).count();
        assert_eq!(sent, 25);
        assert!(c.next(&record("b", "m"), Now::at_secs(0)).is_some(), "others are not concerned");
        assert!(c.next(&record("a", "m"), Now::at_secs(300)).is_some());
        assert!(c.next(&record("a", "m"), Now::at_secs(301)).is_none());
    }
}
