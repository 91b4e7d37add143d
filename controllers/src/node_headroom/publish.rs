//! Writing the objects: creation, replacement of foreign ones, the pace, and what to do when a write fails.

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{
    Mono, Now, Str,
    intent::{Op, Outcome, PatchKind, WriteError, Written},
    memory::{
        PodUsage,
        headroom::limits,
        publish::{Digest, Due, due},
    },
    object::{Kind, Node, ObjectKey},
};
use serde_json::Value;

use super::{
    NodeHeadroomController, WRITE_WEIGHT,
    alerts::outdated,
    status::{self, Parts},
    target::Object,
};
use crate::{
    creatable::{REFUSED_RETRY, concerns_all},
    framework::{HeadroomRow, Outbox, World},
};

/// A write in flight.
#[derive(Debug)]
pub(super) enum Write {
    /// The object without its status.
    Create,
    /// A foreign object, by UID.
    Delete(Str),
    /// The status; what is published when it succeeds.
    Status { digest: Digest, pods: Option<HashMap<Str, PodUsage>>, at: headroom_core::Timestamp },
    /// A consistent read, after a conflict.
    Get,
}

/// Whether an object belongs to the node as it is now.
pub(super) fn owned(row: &HeadroomRow, node: &Node) -> bool {
    row.meta.owners.iter().any(|o| o.kind == "Node" && o.api_version == "v1" && o.uid == node.meta.uid)
}

impl NodeHeadroomController {
    /// Writes what is due for this node; one write at a time.
    pub(super) fn publish(&mut self, name: &Str, node: &Node, world: &World, now: Now, out: &mut Outbox<'_>) {
        let pace = self.pace();
        let key = ObjectKey { namespace: Str::default(), name: name.clone() };
        let Some(target) = self.targets.get_mut(name) else { return };
        if target.writing || !target.answered {
            return;
        }
        if target.retry_at > now.mono {
            let at = target.retry_at;
            self.queue.add_at(name.clone(), at);
            return;
        }
        // The newer of what the row says and what our own writes said.
        let row = world.headrooms.get(name).filter(|row| target.deleted.as_ref() != Some(&row.meta.uid));
        if let Some(row) = row
            && target.object.as_ref().is_none_or(|o| o.resource_version <= row.meta.resource_version)
        {
            target.object = Some(Object {
                uid: row.meta.uid.clone(),
                resource_version: row.meta.resource_version,
                ours: owned(row, node),
            });
        }
        if target.must_read {
            return self.write(name, Write::Get, Op::Get { kind: Kind::NODE_HEADROOM, key }, now, out);
        }
        let Some(object) = &target.object else {
            if let Err(until) = self.creatable.admit(now.mono) {
                self.queue.add_at(name.clone(), until);
                return;
            }
            let body = Arc::new(status::new_object(node));
            let op = Op::Create { kind: Kind::NODE_HEADROOM, key, body };
            return self.write(name, Write::Create, op, now, out);
        };
        let (uid, resource_version) = (object.uid.clone(), object.resource_version);
        if !object.ours {
            let op = Op::Delete {
                kind: Kind::NODE_HEADROOM,
                key,
                uid: Some(uid.clone()),
                resource_version: None,
                grace_seconds: None,
            };
            return self.write(name, Write::Delete(uid), op, now, out);
        }

        let (fresh_seconds, _) = limits(Some(pace.interval_seconds), &self.params);
        let published = world.headrooms.get(name).map(|row| row.sample.at).filter(|at| at.0 > 0);
        let sample_at = target.measured.as_ref().filter(|m| m.working_set.is_some()).map(|m| m.at);
        let ram_only = target.measured.as_ref().is_some_and(|m| m.ram_only);
        let failure = target.failure.as_ref();
        let verdict = status::fresh(sample_at.or(published), failure, ram_only, now.wall, fresh_seconds);
        target.conditions.set(verdict, now.wall);
        if let Some(measured) = &target.measured {
            target.conditions.set(status::clock_skew(measured.skew_seconds), now.wall);
        }
        if sample_at.or(published).is_some_and(|at| outdated(at, now.wall)) {
            for verdict in target.alerts.stand(now.wall) {
                target.conditions.set(verdict, now.wall);
            }
        }
        let (Some(measured), Some(pressure)) = (&target.measured, &target.pressure) else {
            // No sample of ours: only the conditions are news.
            let digest = status::bare_digest(&target.conditions);
            let before = target.published.as_ref().map(|(digest, at)| (digest, *at));
            if matches!(due(before, &digest, 0, 0, now.wall, &pace), None | Some(Due::Heartbeat)) {
                return;
            }
            let body = status::conditions_body(&uid, &target.conditions, pace.interval_seconds, published.is_none());
            let op = Op::Patch {
                kind: Kind::NODE_HEADROOM,
                key,
                subresource: "status",
                patch: PatchKind::Merge,
                body: Arc::new(body),
            };
            return self.write(name, Write::Status { digest, pods: None, at: now.wall }, op, now, out);
        };
        let draft = status::draft(&Parts {
            node,
            world,
            measured,
            pressure,
            eviction: target.config.as_ref().and_then(|c| c.eviction),
            conditions: &target.conditions,
            published: &target.pods,
            interval_seconds: pace.interval_seconds,
            params: &self.params,
        });
        let before = target.published.as_ref().map(|(digest, at)| (digest, *at));
        match due(before, &draft.digest, node.capacity.memory, draft.swap, now.wall, &pace) {
            None => return,
            // A heartbeat says that there is a newer sample; without one there is nothing to say.
            Some(Due::Heartbeat) if target.sample_published => return,
            Some(_) => {}
        }
        let body = status::full_body(name, &uid, resource_version, &draft.status);
        let op = Op::Update { kind: Kind::NODE_HEADROOM, key, subresource: "status", body: Arc::new(body) };
        target.sample_published = true;
        let write = Write::Status { digest: draft.digest, pods: Some(draft.pods), at: now.wall };
        self.write(name, write, op, now, out);
    }

    fn write(&mut self, name: &Str, write: Write, op: Op, now: Now, out: &mut Outbox<'_>) {
        if let Some(target) = self.targets.get_mut(name) {
            target.writing = true;
        }
        self.writes.insert(out.push(op), (name.clone(), write, now.mono));
    }

    /// What became of a write.
    pub(super) fn written(&mut self, outcome: &Outcome, world: &World, now: Now) {
        let Some((name, write, since)) = self.writes.remove(&outcome.id) else { return };
        // A creation may have waited for an API server that only just begins to store the kind, which says nothing of the rest.
        if outcome.result.is_ok() && !matches!(write, Write::Create) {
            self.note_duration(since, now.mono);
        }
        if matches!(write, Write::Create) && self.creatable.tried(&outcome.result, now.mono) {
            for name in self.targets.keys() {
                self.queue.add(name.clone());
            }
        }
        let Some(target) = self.targets.get_mut(&name) else { return };
        target.writing = false;
        self.queue.add(name.clone());
        let node = world.nodes.get(&name);
        match (&outcome.result, write) {
            (Ok(written), Write::Create) => {
                let known = written.uid.clone().filter(|_| written.resource_version > 0);
                target.must_read = known.is_none();
                target.object = known.map(|uid| Object { uid, resource_version: written.resource_version, ours: true });
                target.published = None;
                self.queue.forget(&name);
            }
            (Ok(_) | Err(WriteError::NotFound(_)), Write::Delete(uid)) => {
                target.object = None;
                target.deleted = Some(uid);
                target.published = None;
            }
            (Ok(written), Write::Status { digest, pods, at }) => {
                if let Some(object) = &mut target.object {
                    object.resource_version = object.resource_version.max(written.resource_version);
                }
                target.published = Some((digest, at));
                if let Some(pods) = pods {
                    target.pods = pods;
                }
                self.queue.forget(&name);
            }
            (Ok(written), Write::Get) => {
                target.object = found(written, node.map(|n| &**n));
                target.must_read = false;
            }
            (Err(error), write) => {
                if matches!(write, Write::Status { .. }) {
                    target.sample_published = false;
                }
                self.refused(&name, &write, error, now.mono);
            }
        }
    }

    /// A write was not done.
    fn refused(&mut self, name: &Str, write: &Write, error: &WriteError, now: Mono) {
        let Some(target) = self.targets.get_mut(name) else { return };
        match (write, error) {
            // The row lags, or somebody else wrote: a consistent read tells.
            (Write::Status { .. } | Write::Delete(_), WriteError::Conflict(_))
            | (Write::Create, WriteError::AlreadyExists(_)) => {
                target.must_read = true;
                target.retry_at = now + self.queue.add_rate_limited(name.clone(), now);
            }
            (Write::Get | Write::Status { .. }, WriteError::NotFound(_)) => {
                target.deleted = target.object.take().map(|object| object.uid).or(target.deleted.take());
                target.published = None;
                target.must_read = false;
                target.retry_at = now + self.queue.add_rate_limited(name.clone(), now);
            }
            // One tries for all: see [`crate::creatable`].
            (Write::Create, error) if concerns_all(error) => {}
            (_, WriteError::NotLeader) => {}
            (_, error) if error.is_retryable() => {
                target.retry_at = now + self.queue.add_rate_limited(name.clone(), now);
            }
            (_, error) => {
                if self.queue.failures(name) == 0 {
                    tracing::warn!(node = %name, "NodeHeadroom cannot be written: {error}");
                }
                self.queue.add_rate_limited(name.clone(), now);
                target.retry_at = now + REFUSED_RETRY;
            }
        }
    }

    fn note_duration(&mut self, since: Mono, now: Mono) {
        let micros = now.since(since).as_micros() as f64;
        self.write_micros += (micros - self.write_micros) * WRITE_WEIGHT;
    }
}

/// The object as a consistent read found it.
fn found(written: &Written, node: Option<&Node>) -> Option<Object> {
    let found = written.found.first()?;
    let owners = found.body.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let ours = owners.zip(node).is_some_and(|(owners, node)| {
        owners.iter().any(|o| o["kind"] == "Node" && o["apiVersion"] == "v1" && o["uid"] == *node.meta.uid)
    });
    Some(Object { uid: found.uid.clone(), resource_version: found.resource_version, ours })
}
