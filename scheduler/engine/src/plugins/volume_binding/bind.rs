//! What is reserved for a pod, how it is written, and waiting until the PV controller has done the rest (`binder.go`:
//! `AssumePodVolumes`, `bindAPIUpdate`, `checkBindings`).
//!
//! Writes are merge patches with UID and resource version of the object that the decision rests on, where upstream puts
//! whole objects: fields that are newer than our types are kept. While waiting, changes of the claims wake the pod;
//! upstream looks once a second, and so do we besides, since nodes change as well.

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Mono, Str,
    intent::{Op, Outcome, PatchKind, WriteError},
    object::{
        BOUND_BY_CONTROLLER, ClaimRef, Kind, Meta, ObjectKey, PersistentVolume, PersistentVolumeClaim, SELECTED_NODE,
    },
};
use serde_json::{Value, json};

use super::binder::{PodVolumes, reaches};
use crate::{
    cache::Storage,
    framework::{BindCx, Status, Step, View},
};

/// Pause between two looks.
const POLL: Duration = Duration::from_secs(1);

/// Something to be written.
#[derive(Debug, Clone, PartialEq)]
enum Write {
    /// The volume, as it is assumed to be, gets the claim's reference.
    Volume { volume: Arc<PersistentVolume>, claim: Arc<PersistentVolumeClaim>, mark: bool },
    /// The claim, as it is assumed to be, gets its node.
    Claim(Arc<PersistentVolumeClaim>),
}

impl Write {
    fn meta(&self) -> &Meta {
        match self {
            Self::Volume { volume, .. } => &volume.meta,
            Self::Claim(claim) => &claim.meta,
        }
    }

    fn claim(&self) -> &PersistentVolumeClaim {
        match self {
            Self::Volume { claim, .. } | Self::Claim(claim) => claim,
        }
    }

    fn restore(&self, storage: &mut Storage, version: u64) {
        let key = &self.meta().key;
        match self {
            Self::Volume { .. } => storage.volumes.restore(key, version),
            Self::Claim(_) => storage.claims.restore(key, version),
        }
    }

    fn op(&self) -> Op {
        let meta = self.meta();
        let mut body = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version.to_string()}});
        let mut annotate = |key: &str, value: &str| body["metadata"]["annotations"] = json!({key: value});
        let kind = match self {
            Self::Volume { claim, mark, .. } => {
                if *mark {
                    annotate(BOUND_BY_CONTROLLER, "yes");
                }
                body["spec"]["claimRef"] = reference(claim);
                Kind::PERSISTENT_VOLUME
            }
            Self::Claim(claim) => {
                annotate(SELECTED_NODE, claim.selected_node().map_or("", Str::as_str));
                Kind::PERSISTENT_VOLUME_CLAIM
            }
        };
        Op::Patch { kind, key: meta.key.clone(), subresource: "", patch: PatchKind::Merge, body: Arc::new(body) }
    }
}

/// A full reference to a claim; what a user's reservation had besides is taken out.
fn reference(claim: &PersistentVolumeClaim) -> Value {
    let meta = &claim.meta;
    json!({
        "kind": Kind::PERSISTENT_VOLUME_CLAIM.kind,
        "apiVersion": Kind::PERSISTENT_VOLUME_CLAIM.api_version(),
        "namespace": meta.key.namespace,
        "name": meta.key.name,
        "uid": meta.uid,
        "resourceVersion": meta.resource_version.to_string(),
        "fieldPath": null,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Writes before this one are done.
    Writing(usize),
    /// This write was asked for.
    Asked(usize),
    /// All is written; until when the PV controller may take.
    Waiting(Mono),
}

/// What is reserved for a pod on its way to a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reserved {
    node: Str,
    writes: Vec<Write>,
    /// Versions: of the objects from which was decided, then of what was written.
    versions: Vec<u64>,
    stage: Stage,
}

/// Assumes that the volumes are the pod's (`AssumePodVolumes`).
///
/// # Errors
/// The text of a failure; then nothing is assumed.
pub(super) fn assume(storage: &mut Storage, volumes: &PodVolumes, node: &Str) -> Result<Reserved, String> {
    let mut reserved =
        Reserved { node: node.clone(), writes: Vec::new(), versions: Vec::new(), stage: Stage::Writing(0) };
    for (volume, claim) in &volumes.matches {
        let was_reserved = volume.is_bound_to(claim);
        let mark = !was_reserved && !volume.meta.annotations.has(BOUND_BY_CONTROLLER);
        let meta = &claim.meta;
        let claim_ref =
            ClaimRef { namespace: meta.key.namespace.clone(), name: meta.key.name.clone(), uid: meta.uid.clone() };
        let dirty = mark || volume.claim_ref.as_ref() != Some(&claim_ref);
        let mut bound = PersistentVolume { claim_ref: Some(claim_ref), ..(**volume).clone() };
        if mark {
            bound.meta.annotations = bound.meta.annotations.with(BOUND_BY_CONTROLLER, "yes");
        }
        let bound = Arc::new(bound);
        if dirty && !storage.volumes.assume(bound.clone()) {
            reserved.revert(storage);
            return Err(out_of_sync(&bound.meta));
        }
        reserved.push(Write::Volume { volume: bound, claim: claim.clone(), mark });
    }
    for (claim, _) in &volumes.provisions {
        let mut selected = (**claim).clone();
        selected.meta.annotations = selected.meta.annotations.with(SELECTED_NODE, node);
        let selected = Arc::new(selected);
        if !storage.claims.assume(selected.clone()) {
            reserved.revert(storage);
            return Err(out_of_sync(&selected.meta));
        }
        reserved.push(Write::Claim(selected));
    }
    Ok(reserved)
}

fn out_of_sync(meta: &Meta) -> String {
    format!("{:?} is out of sync (assume: {})", meta.key.to_string(), meta.resource_version)
}

/// What the server said, without our words around it.
fn server_message(error: &WriteError) -> String {
    match error {
        WriteError::Conflict(m)
        | WriteError::AlreadyExists(m)
        | WriteError::NotFound(m)
        | WriteError::Forbidden(m)
        | WriteError::Invalid(m)
        | WriteError::NamespaceTerminating(m) => m.clone(),
        other => other.to_string(),
    }
}

impl Reserved {
    fn push(&mut self, write: Write) {
        self.versions.push(write.meta().resource_version);
        self.writes.push(write);
    }

    /// Takes back what is assumed and was not written. What was written stays as it is until the watch shows it.
    pub(super) fn revert(&self, storage: &mut Storage) {
        for (write, version) in self.writes.iter().zip(&self.versions) {
            write.restore(storage, *version);
        }
    }

    /// Writes, one after the other, then waits.
    pub(super) fn step(&mut self, cx: &mut BindCx<'_>, timeout: Duration) -> Step {
        if let Stage::Asked(at) = self.stage {
            let Some(outcome) = cx.outcome else { return Step::Wait(None) };
            if let Err(error) = self.written(at, outcome) {
                return Step::Done(Status::error(error));
            }
        }
        if let Stage::Writing(next) = self.stage {
            if let Some(write) = self.writes.get(next) {
                cx.emit(write.op());
                self.stage = Stage::Asked(next);
                return Step::Wait(None);
            }
            self.stage = Stage::Waiting(cx.now.mono + timeout);
        }
        let Stage::Waiting(deadline) = self.stage else { return Step::Wait(None) };
        let failed = |why: &str| Step::Done(Status::error(format!("binding volumes: {why}")));
        match self.is_done(&cx.view()) {
            Ok(true) => Step::Done(Status::SUCCESS),
            Err(why) => failed(&why),
            Ok(false) if cx.now.mono >= deadline => failed("context deadline exceeded"),
            Ok(false) => {
                for write in &self.writes {
                    cx.wake_on_claim(&write.claim().meta.uid);
                }
                Step::Wait(Some(deadline.min(cx.now.mono + POLL)))
            }
        }
    }

    fn written(&mut self, at: usize, outcome: &Outcome) -> Result<(), String> {
        let written = outcome.result.as_ref().map_err(server_message)?;
        if let Some(version) = self.versions.get_mut(at) {
            *version = written.resource_version.max(*version);
        }
        self.stage = Stage::Writing(at + 1);
        Ok(())
    }

    /// Whether the PV controller has bound all (`checkBindings`). It looks at what the API server has, since claims may
    /// be assumed again meanwhile.
    fn is_done(&self, view: &View<'_>) -> Result<bool, String> {
        let storage = view.cache.storage();
        let Some(row) = view.cache.node(&self.node) else {
            return Err(format!("failed to get node {0:?}: node {0:?} not found", &*self.node));
        };
        let reach = |volume: &PersistentVolume| {
            if reaches(storage, volume, &row.node) {
                return Ok(());
            }
            let (volume, node) = (&**volume.name(), &*self.node);
            Err(format!("pv {volume:?} node affinity doesn't match node {node:?}: no matching NodeSelectorTerms"))
        };
        for (write, version) in self.writes.iter().zip(&self.versions) {
            let (Write::Volume { claim, .. } | Write::Claim(claim)) = write;
            let key = claim.meta.key.to_string();
            let stored = storage.claims.stored(&claim.meta.key);
            match write {
                Write::Volume { volume, .. } => {
                    let Some(volume) = storage.volumes.stored(&volume.meta.key) else {
                        let name = &**volume.name();
                        return Err(format!("failed to check binding: persistentvolumes {name:?} not found"));
                    };
                    let Some(claim) = stored else {
                        return Err(format!("failed to check binding: persistentvolumeclaims {key:?} not found"));
                    };
                    if volume.meta.resource_version < *version {
                        return Ok(false);
                    }
                    reach(volume)?;
                    if volume.claim_ref.as_ref().is_none_or(|r| r.uid.is_empty()) {
                        return Err(format!("ClaimRef got reset for pv {:?}", &**volume.name()));
                    }
                    if !claim.is_fully_bound() {
                        return Ok(false);
                    }
                }
                Write::Claim(_) => {
                    let Some(claim) = stored else {
                        let text = "failed to check provisioning pvc: persistentvolumeclaims";
                        return Err(format!("{text} {key:?} not found"));
                    };
                    if claim.meta.resource_version < *version {
                        return Ok(false);
                    }
                    let name = &**claim.name();
                    if claim.meta.annotations.is_empty() {
                        return Err(format!("selectedNode annotation reset for PVC {name:?}"));
                    }
                    // A provisioner that cannot do it takes the annotation away.
                    if claim.selected_node() != Some(&self.node) {
                        return Err(format!("provisioning failed for PVC {name:?}"));
                    }
                    if !claim.volume_name.is_empty() {
                        let key = ObjectKey { namespace: Str::default(), name: claim.volume_name.clone() };
                        let Some(volume) = storage.volumes.stored(&key) else { return Ok(false) };
                        reach(volume)?;
                    }
                    if !claim.is_fully_bound() {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}
