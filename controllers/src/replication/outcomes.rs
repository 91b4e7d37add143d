//! What became of the loop's intents.

use std::sync::Arc;

use headroom_core::{
    Now, Str,
    expectations::What,
    intent::{EventType, Op, PatchKind, WriteError, Written},
    object::{Kind, ObjectKey, Pod, ReplicationController, ReplicationControllerStatus},
};
use serde_json::Value;

use super::{
    Action, FAILED_CREATE, FAILED_DELETE, NAMESPACE_PAUSE, Replication, SUCCESSFUL_CREATE, SUCCESSFUL_DELETE, body,
    book::{Book, Failure, Inventory},
    event, plan,
    plan::Victim,
};
use crate::{
    answers::{is_gone, is_refusal, server_message},
    framework::{Outbox, World},
};

/// What a manage intent's outcome says about going on.
enum Verdict {
    /// Go on.
    Good,
    /// Not now. What was refused, if the server refused something.
    Bad(Option<(&'static str, String)>),
    /// The namespace goes away: not for a long time.
    Pause,
}

impl Replication {
    #[allow(clippy::too_many_arguments, reason = "an outcome, its intent and the surroundings of every call")]
    pub(super) fn settle(
        &mut self,
        key: &ObjectKey,
        uid: &Str,
        action: Action,
        result: &Result<Written, WriteError>,
        world: &World,
        now: Now,
        out: &mut Outbox<'_>,
    ) {
        let Some(book) = self.books.get_mut(key).filter(|b| b.uid == *uid) else { return };
        let rc = world.rcs.get(key).filter(|rc| rc.meta.uid == *uid);
        if let Action::Status(status) = action {
            self.status_written(key, *status, result, now);
            return;
        }
        book.in_flight = book.in_flight.saturating_sub(1);
        let is_claim = matches!(action, Action::CheckOwner | Action::Adopt(_) | Action::Release(_));
        let creates_or_deletes = matches!(action, Action::Create { .. } | Action::Delete(_));
        let verdict = match action {
            Action::Status(_) => Verdict::Good,
            Action::TakeStock => took_stock(book, result, world, now),
            Action::CheckOwner => {
                let allowed = match (rc, result) {
                    (Some(rc), Ok(written)) => may_adopt(rc, written),
                    (None, _) => Ok(()),
                    (_, Err(e)) => Err(server_message(e)),
                };
                match allowed {
                    Ok(()) => {
                        if let Some(rc) = rc
                            && self.rival.yielded().is_none()
                        {
                            self.adopt(rc, world, out);
                        }
                        Verdict::Good
                    }
                    // No condition: upstream's sync ends here, before it writes a status.
                    Err(why) => {
                        tracing::warn!(rc = %key, "pods are not adopted: {why}");
                        Verdict::Bad(None)
                    }
                }
            }
            Action::Adopt(pod) => claimed(book, &pod, result, now, false),
            Action::Release(pod) => claimed(book, &pod, result, now, true),
            Action::Create { name } => {
                let (verdict, told) = created(book, key, &name, result, world, now);
                if let (Some(rc), Some((kind, reason, note))) = (rc, told) {
                    out.event(event(rc, kind, reason, note, now));
                }
                verdict
            }
            Action::Delete(victim) => {
                let (verdict, told) = deleted(book, victim, result, now);
                if let (Some(rc), Some((kind, reason, note))) = (rc, told) {
                    out.event(event(rc, kind, reason, note, now));
                }
                verdict
            }
        };
        let Some(book) = self.books.get_mut(key) else { return };
        let pause = match verdict {
            Verdict::Good => None,
            Verdict::Pause => Some(NAMESPACE_PAUSE),
            Verdict::Bad(refused) => {
                if let Some((reason, message)) = refused
                    && !book.batch_failed
                {
                    book.failure = Some(Failure { reason, message, at: now.wall });
                }
                book.batch_failed = true;
                None
            }
        };
        if let Some(pause) = pause {
            book.retry_at = Some(now.mono + pause);
            self.queue.add_at(key.clone(), now.mono + pause);
        }
        if book.in_flight > 0 {
            return;
        }
        // The batch is complete.
        let failed = std::mem::take(&mut book.batch_failed);
        book.claims_failed = failed && is_claim;
        if failed {
            book.batch = 1;
            let delay = self.queue.add_rate_limited(key.clone(), now.mono);
            book.retry_at = Some(book.retry_at.unwrap_or_default().max(now.mono + delay));
            // The condition should not wait for the next try.
            self.queue.add(key.clone());
        } else {
            if creates_or_deletes && pause.is_none() {
                book.batch = book.batch.saturating_mul(2).min(plan::BURST);
                book.failure = None;
                self.queue.forget(key);
            }
            self.queue.add(key.clone());
        }
    }

    fn status_written(
        &mut self,
        key: &ObjectKey,
        status: ReplicationControllerStatus,
        result: &Result<Written, WriteError>,
        now: Now,
    ) {
        let Some(book) = self.books.get_mut(key) else { return };
        book.status_in_flight = false;
        match result {
            Ok(written) => {
                book.status = Some((written.resource_version, status));
                self.queue.add(key.clone());
            }
            Err(WriteError::NotFound(_)) => {}
            // Conflicts resolve themselves with the next version of the object.
            Err(_) => {
                self.queue.add_rate_limited(key.clone(), now.mono);
            }
        }
    }

    /// The replication controller lives: its orphans are adopted.
    fn adopt(&mut self, rc: &ReplicationController, world: &World, out: &mut Outbox<'_>) {
        let Some(book) = self.books.get_mut(&rc.meta.key) else { return };
        for pod in plan::classify(rc, &world.pods, book).orphans {
            book.in_flight += 1;
            let id = out.push(Op::Patch {
                kind: Kind::POD,
                key: pod.meta.key.clone(),
                subresource: "",
                patch: PatchKind::Strategic,
                body: Arc::new(body::adopt(rc, &pod)),
            });
            self.intents.insert(id, (rc.meta.key.clone(), rc.meta.uid.clone(), Action::Adopt(pod)));
        }
    }
}

fn took_stock(book: &mut Book, result: &Result<Written, WriteError>, world: &World, now: Now) -> Verdict {
    match result {
        Ok(written) => {
            book.listed(written.resource_version, &written.found, &world.pods, now.mono);
            Verdict::Good
        }
        Err(_) => {
            book.inventory = Inventory::Needed;
            Verdict::Bad(None)
        }
    }
}

/// Upstream's `CanAdopt`: the live object is the one we mean, and is not being deleted; or why not.
fn may_adopt(rc: &ReplicationController, written: &Written) -> Result<(), String> {
    let key = &rc.meta.key;
    let Some(found) = written.found.first() else { return Err(format!("{key} is gone")) };
    if found.uid != rc.meta.uid {
        return Err(format!("original {key} is gone: got uid {}, wanted {}", found.uid, rc.meta.uid));
    }
    match found.body.pointer("/metadata/deletionTimestamp") {
        None | Some(Value::Null) => Ok(()),
        Some(at) => Err(format!("{key} has just been deleted at {}", at.as_str().unwrap_or_default())),
    }
}

/// An adoption or a release was answered.
fn claimed(book: &mut Book, pod: &Pod, result: &Result<Written, WriteError>, now: Now, release: bool) -> Verdict {
    let mut expect = |what| book.expected.expect(pod.meta.key.clone(), pod.meta.uid.clone(), what, true, now.mono);
    match result {
        Ok(written) => {
            // An unchanged version means that it was so before: the view will not change because of us.
            if written.resource_version > pod.meta.resource_version {
                expect(What::Version(written.resource_version));
            }
            Verdict::Good
        }
        Err(WriteError::NotFound(_)) => {
            expect(What::Gone);
            Verdict::Good
        }
        // It has no such owner any more (upstream ignores it): wait for the view to say so.
        Err(WriteError::Invalid(_)) if release => {
            expect(What::Version(pod.meta.resource_version.saturating_add(1)));
            Verdict::Good
        }
        Err(_) => Verdict::Bad(None),
    }
}

/// For an event: type, reason and text.
type Told = Option<(EventType, &'static str, String)>;

fn created(
    book: &mut Book,
    rc: &ObjectKey,
    name: &Str,
    result: &Result<Written, WriteError>,
    world: &World,
    now: Now,
) -> (Verdict, Told) {
    book.creating.remove(name);
    let key = ObjectKey { namespace: rc.namespace.clone(), name: name.clone() };
    match result {
        Ok(written) => {
            match written.uid.clone().filter(|uid| !uid.is_empty()) {
                Some(uid) => book.created(key, uid, &world.pods, now.mono),
                None => doubt(book, name, true),
            }
            (Verdict::Good, Some((EventType::Normal, SUCCESSFUL_CREATE, format!("Created pod: {name}"))))
        }
        // Either an earlier request of ours got through after all, or the name is taken: a list will tell.
        Err(WriteError::AlreadyExists(_)) => {
            doubt(book, name, false);
            (Verdict::Good, None)
        }
        Err(e) if e.is_unknown() => {
            doubt(book, name, true);
            (Verdict::Bad(None), None)
        }
        Err(WriteError::NamespaceTerminating(_)) => {
            book.spare.insert(0, name.clone());
            (Verdict::Pause, None)
        }
        Err(e) => {
            book.spare.insert(0, name.clone());
            if !is_refusal(e) {
                return (Verdict::Bad(None), None);
            }
            let message = server_message(e);
            let note = format!("Error creating: {message}");
            (Verdict::Bad(Some((FAILED_CREATE, message))), Some((EventType::Warning, FAILED_CREATE, note)))
        }
    }
}

/// The name may be taken now, by a pod of ours.
fn doubt(book: &mut Book, name: &Str, reusable: bool) {
    book.in_doubt.insert(name.clone(), reusable);
    book.inventory = Inventory::Needed;
    book.suspicious = true;
}

fn deleted(book: &mut Book, victim: Victim, result: &Result<Written, WriteError>, now: Now) -> (Verdict, Told) {
    match result {
        Ok(_) => {
            let note = format!("Deleted pod: {}", victim.key.name);
            (Verdict::Good, Some((EventType::Normal, SUCCESSFUL_DELETE, note)))
        }
        // Gone already, or another pod under the name by now: this one is no more.
        Err(e) if is_gone(e) => (Verdict::Good, None),
        Err(e) => {
            let was = book.expected.forget(&victim.key);
            if was.is_some_and(|w| !w.in_view) {
                // It stands, and is still not in view.
                book.expected.expect(victim.key.clone(), victim.uid.clone(), What::Exists, false, now.mono);
            }
            if e.is_unknown() || matches!(e, WriteError::Conflict(_)) {
                book.deletes_in_doubt.insert(victim.key, victim.uid);
                return (Verdict::Bad(None), None);
            }
            if !is_refusal(e) {
                return (Verdict::Bad(None), None);
            }
            let message = server_message(e);
            let note = format!("Error deleting: {message}");
            let text = format!("unable to delete pods: {message}");
            (Verdict::Bad(Some((FAILED_DELETE, text))), Some((EventType::Warning, FAILED_DELETE, note)))
        }
    }
}
