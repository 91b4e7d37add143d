//! Nodes and their leases, and what stands behind Services.

use super::{
    super::schema::{Field, Message, Shape, table},
    OBJECT_META,
};

table!(NODE { 1 "metadata": Object(&OBJECT_META), 2 "spec": Object(&NODE_SPEC), 3 "status": Object(&NODE_STATUS) });
table!(NODE_SPEC { 4 "unschedulable": Bool, 5 "taints": Objects(&TAINT) });
table!(TAINT { 1 "key": Text, 2 "value": Text, 3 "effect": Text, 4 "timeAdded": Time });
table!(NODE_STATUS {
    1 "capacity": QuantityMap,
    2 "allocatable": QuantityMap,
    4 "conditions": Objects(&NODE_CONDITION),
    5 "addresses": Objects(&NODE_ADDRESS),
    6 "daemonEndpoints": Object(&DAEMON_ENDPOINTS),
    7 "nodeInfo": Object(&NODE_INFO),
    8 "images": Objects(&CONTAINER_IMAGE),
    14 "declaredFeatures": Texts,
});
table!(NODE_CONDITION {
    1 "type": Text,
    2 "status": Text,
    3 "lastHeartbeatTime": Time,
    4 "lastTransitionTime": Time,
    5 "reason": Text,
    6 "message": Text,
});
table!(NODE_ADDRESS { 1 "type": Text, 2 "address": Text });
table!(DAEMON_ENDPOINTS { 1 "kubeletEndpoint": Object(&DAEMON_ENDPOINT) });
table!(DAEMON_ENDPOINT { 1 "Port": Int });
table!(NODE_INFO { 7 "kubeletVersion": Text, 11 "swap": Object(&SWAP) });
table!(SWAP { 1 "capacity": Int });
table!(CONTAINER_IMAGE { 1 "names": Texts, 2 "sizeBytes": Int });

table!(LEASE { 1 "metadata": Object(&OBJECT_META), 2 "spec": Object(&LEASE_SPEC) });
table!(LEASE_SPEC { 1 "holderIdentity": Text, 2 "leaseDurationSeconds": Int, 4 "renewTime": MicroTime });

table!(ENDPOINTS { 1 "metadata": Object(&OBJECT_META), 2 "subsets": Objects(&SUBSET) });
table!(SUBSET {
    1 "addresses": Objects(&ADDRESS),
    2 "notReadyAddresses": Objects(&ADDRESS),
    3 "ports": Objects(&ENDPOINTS_PORT),
});
table!(ADDRESS { 1 "ip": Text, 2 "targetRef": Object(&REFERENCE), 3 "hostname": Text, 4 "nodeName": Text });
table!(ENDPOINTS_PORT { 1 "name": Text, 2 "port": Int, 3 "protocol": Text, 4 "appProtocol": Text });
table!(REFERENCE {
    1 "kind": Text,
    2 "namespace": Text,
    3 "name": Text,
    4 "uid": Text,
    5 "apiVersion": Text,
    7 "fieldPath": Text,
});

table!(ENDPOINT_SLICE {
    1 "metadata": Object(&OBJECT_META),
    2 "endpoints": Objects(&ENDPOINT),
    3 "ports": Objects(&SLICE_PORT),
    4 "addressType": Text,
});
table!(ENDPOINT {
    1 "addresses": Texts,
    2 "conditions": Object(&ENDPOINT_CONDITIONS),
    3 "hostname": Text,
    4 "targetRef": Object(&REFERENCE),
    6 "nodeName": Text,
    7 "zone": Text,
    8 "hints": Object(&HINTS),
});
table!(ENDPOINT_CONDITIONS { 1 "ready": Bool, 2 "serving": Bool, 3 "terminating": Bool });
table!(HINTS { 1 "forZones": Objects(&HINT), 2 "forNodes": Objects(&HINT) });
table!(HINT { 1 "name": Text });
table!(SLICE_PORT { 1 "name": Text, 2 "protocol": Text, 3 "port": Int, 4 "appProtocol": Text });
