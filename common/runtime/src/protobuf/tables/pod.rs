//! Pods and their status.

use super::{
    super::schema::{Field, Message, Shape, table},
    OBJECT_META,
    pod_spec::{POD_SPEC, RESOURCES},
};

table!(POD { 1 "metadata": Object(&OBJECT_META), 2 "spec": Object(&POD_SPEC), 3 "status": Object(&POD_STATUS) });
table!(POD_STATUS {
    1 "phase": Text,
    2 "conditions": Objects(&CONDITION),
    4 "reason": Text,
    5 "hostIP": Text,
    6 "podIP": Text,
    7 "startTime": Time,
    8 "containerStatuses": Objects(&CONTAINER_STATUS),
    10 "initContainerStatuses": Objects(&CONTAINER_STATUS),
    11 "nominatedNodeName": Text,
    12 "podIPs": Objects(&POD_IP),
    19 "allocatedResources": QuantityMap,
    20 "resources": Object(&RESOURCES),
});
table!(POD_IP { 1 "ip": Text });
table!(CONDITION {
    1 "type": Text,
    2 "status": Text,
    4 "lastTransitionTime": Time,
    5 "reason": Text,
    6 "message": Text,
    7 "observedGeneration": Int,
});
table!(CONTAINER_STATUS {
    1 "name": Text,
    2 "state": Object(&STATE),
    3 "lastState": Object(&STATE),
    4 "ready": Bool,
    5 "restartCount": Int,
    10 "allocatedResources": QuantityMap,
    11 "resources": Object(&RESOURCES),
});
table!(STATE { 2 "running": Object(&RUNNING), 3 "terminated": Object(&TERMINATED) });
table!(RUNNING { 1 "startedAt": Time });
table!(TERMINATED { 3 "reason": Text, 6 "finishedAt": Time });
