//! Objects of the API as others write them: each kind, whole snapshot files, answers of extenders.

use headroom_core::{Str, Timestamp, object::ObjectKey};
use headroom_engine::{
    Configuration, Registry,
    extender::{self, ExtenderRequest},
};
use headroom_runtime::wire::{self, Interners, Row, WireObject};
use kubectl_headroom::snapshot::Snapshot;
use serde_json::Value;

/// Most pods of a snapshot that are explained.
const EXPLAINED: usize = 4;

/// Decodes a text as one kind, alone and within a list. Whatever is wrong with it is told of it alone.
fn one<W: WireObject>(text: &str) {
    let mut interners = Interners::default();
    let Ok(decoded) = serde_json::from_str::<W>(text) else { return };
    let alone = decoded.convert(&mut interners).map(|row| row.key().clone()).map_err(|e| e.reason);
    let list = format!("[{{\"metadata\":{{\"name\":\"before\"}}}},{text},{{\"metadata\":{{\"name\":\"after\"}}}}]");
    let within: Vec<W> = match serde_json::from_str(&list) {
        Ok(within) => within,
        Err(error) => {
            assert!(error.to_string().contains("recursion limit"), "what is read alone is read in a list: {error}");
            return;
        }
    };
    let rows: Vec<Result<ObjectKey, String>> = within
        .into_iter()
        .map(|w| w.convert(&mut interners).map(|row| row.key().clone()).map_err(|e| e.reason))
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[1], alone, "the object itself");
    // Some kinds want more than a name; then neither neighbour is a row.
    let name = |row: &Result<ObjectKey, String>| row.as_ref().ok().map(|key| key.name.to_string());
    assert_eq!(name(&rows[0]).is_some(), name(&rows[2]).is_some(), "the neighbours: {rows:?}");
}

/// Reads bytes as what an API server sends in protobuf, with its beginning and without. What is read is JSON.
pub(crate) fn protobuf(bytes: &[u8]) {
    let encoded = [&b"k8s\0"[..], bytes].concat();
    for bytes in [bytes, encoded.as_slice()] {
        for text in headroom_runtime::protobuf::fuzz(bytes) {
            let read = serde_json::from_slice::<Value>(&text);
            assert!(read.is_ok(), "{read:?}: {}", text.escape_ascii());
        }
    }
}

macro_rules! kinds {
    ($which:expr, $text:expr, $($wire:ident)*) => {{
        const ALL: &[fn(&str)] = &[$(one::<wire::$wire>),*];
        ALL[$which % ALL.len()]($text);
    }};
}

/// The first byte says which kind.
pub(crate) fn objects(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    kinds!(usize::from(*which), text,
        PodWire NodeWire NamespaceWire ServiceWire EndpointsWire EndpointSliceWire ReplicationControllerWire LeaseWire
        PriorityClassWire PodDisruptionBudgetWire ReplicaSetWire ServiceSelectorWire ReplicationControllerSelectorWire
        ReplicaSetSelectorWire StatefulSetSelectorWire PersistentVolumeWire PersistentVolumeClaimWire StorageClassWire
        CsiNodeWire CsiDriverWire CsiStorageCapacityWire VolumeAttachmentWire NodeHeadroomWire MemoryProfileWire);
    if let Ok(value) = serde_json::from_str::<Value>(text)
        && let Some(kind) = value.get("kind").and_then(Value::as_str).map(str::to_owned)
    {
        let mut interners = Interners::default();
        let _ = wire::from_json(&kind, value.clone(), &mut interners);
        let _ = wire::selector_from_json(&kind, value, &mut interners);
    }
}

/// A saved cluster is read, fed to an engine, and pods of it are explained.
pub(crate) fn snapshot(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(snapshot) = Snapshot::parse(text) else { return };
    let at = snapshot.time().unwrap_or(Timestamp::from_secs(1_800_000_000));
    let engine = snapshot.engine(Configuration::default(), Registry::in_tree(), at).expect("the default configuration");
    let cache = engine.cache();
    assert_eq!(cache.difference(&cache.recomputed()), None);
    assert_eq!(cache.memory_difference(), None);
    assert_eq!(engine.queue().inconsistency(), None);
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let pods = document.get("items").and_then(Value::as_array).into_iter().flatten().take(EXPLAINED);
    for item in pods {
        let of = |pointer| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (of("/metadata/namespace"), of("/metadata/name"));
        let explained =
            snapshot.explain(Configuration::default(), Registry::in_tree(), at, namespace, name).expect("as above");
        if let Some(e) = explained {
            let _ = serde_json::to_string(&e).expect("an explanation is JSON");
        }
    }
}

/// The first byte says what was asked, the rest is the answer.
pub(crate) fn extender(data: &[u8]) {
    let Some((which, body)) = data.split_first() else { return };
    let requests = [
        ExtenderRequest::Filter { nodes: Vec::new() },
        ExtenderRequest::Prioritize { nodes: Vec::new() },
        ExtenderRequest::Preempt { nodes: Vec::new() },
        ExtenderRequest::Bind { node: Str::default() },
    ];
    let request = &requests[usize::from(*which) % requests.len()];
    let _ = extender::decode(request, *which >= 128, body);
}
