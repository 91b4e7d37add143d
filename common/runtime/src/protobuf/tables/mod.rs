//! What is read of which kind, after `generated.proto` of `k8s.io/api` 0.36.4: numbers never change there, so that every
//! release can be read. The fields are those of `crate::wire`; a test compares the two on a pod that has everything.

mod cluster;
mod pod;
mod pod_spec;
mod volumes;

use super::schema::{Field, Message, Shape, table};

/// Number of the objects in every list.
pub(super) const ITEMS: u64 = 2;

/// A kind that is read.
pub(super) struct Kind {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) table: &'static Message,
    pub(super) list: &'static Message,
}

macro_rules! kinds {
    ($($api_version:literal $kind:literal $plural:literal $table:path;)*) => {
        /// The kinds that change often, or are large.
        pub(super) static KINDS: &[Kind] = &[$(Kind {
            api_version: $api_version,
            kind: $kind,
            plural: $plural,
            table: &$table,
            list: {
                static LIST: Message = Message(&[
                    Field { number: 1, name: "metadata", shape: Shape::Object(&LIST_META) },
                    Field { number: ITEMS, name: "items", shape: Shape::Objects(&$table) },
                ]);
                &LIST
            },
        }),*];
    };
}

kinds! {
    "v1" "Pod" "pods" pod::POD;
    "v1" "Node" "nodes" cluster::NODE;
    "v1" "Endpoints" "endpoints" cluster::ENDPOINTS;
    "discovery.k8s.io/v1" "EndpointSlice" "endpointslices" cluster::ENDPOINT_SLICE;
    "coordination.k8s.io/v1" "Lease" "leases" cluster::LEASE;
}

table!(LIST_META { 2 "resourceVersion": Text, 3 "continue": Text, 4 "remainingItemCount": Int });

table!(
    /// What is read of an object that was written.
    IDENTITY { 1 "metadata": Object(&IDENTITY_META) }
);
table!(IDENTITY_META { 1 "name": Text, 3 "namespace": Text, 5 "uid": Text, 6 "resourceVersion": Text });

table!(OBJECT_META {
    1 "name": Text,
    3 "namespace": Text,
    5 "uid": Text,
    6 "resourceVersion": Text,
    7 "generation": Int,
    8 "creationTimestamp": Time,
    9 "deletionTimestamp": Time,
    10 "deletionGracePeriodSeconds": Int,
    11 "labels": TextMap,
    12 "annotations": TextMap,
    13 "ownerReferences": Objects(&OWNER_REFERENCE),
    14 "finalizers": Texts,
});
table!(OWNER_REFERENCE {
    1 "kind": Text,
    3 "name": Text,
    4 "uid": Text,
    5 "apiVersion": Text,
    6 "controller": Bool,
    7 "blockOwnerDeletion": Bool,
});

table!(
    /// `metav1.Status`.
    STATUS {
        1 "metadata": Object(&LIST_META),
        2 "status": Text,
        3 "message": Text,
        4 "reason": Text,
        5 "details": Object(&STATUS_DETAILS),
        6 "code": Int,
    }
);
table!(STATUS_DETAILS {
    1 "name": Text,
    2 "group": Text,
    3 "kind": Text,
    4 "causes": Objects(&STATUS_CAUSE),
    5 "retryAfterSeconds": Int,
    6 "uid": Text,
});
table!(STATUS_CAUSE { 1 "reason": Text, 2 "message": Text, 3 "field": Text });

// Of labels and of nodes alike.
table!(REQUIREMENT { 1 "key": Text, 2 "operator": Text, 3 "values": Texts });
table!(LABEL_SELECTOR { 1 "matchLabels": TextMap, 2 "matchExpressions": Objects(&REQUIREMENT) });
