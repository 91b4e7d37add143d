//! `spec` of a pod.

use super::{
    super::schema::{Field, Message, PRESENT, Shape, table},
    LABEL_SELECTOR, REQUIREMENT,
    volumes::VOLUME,
};

table!(POD_SPEC {
    1 "volumes": Objects(&VOLUME),
    2 "containers": Objects(&CONTAINER),
    3 "restartPolicy": Text,
    4 "terminationGracePeriodSeconds": Int,
    7 "nodeSelector": TextMap,
    10 "nodeName": Text,
    11 "hostNetwork": Bool,
    16 "hostname": Text,
    17 "subdomain": Text,
    18 "affinity": Object(&AFFINITY),
    19 "schedulerName": Text,
    20 "initContainers": Objects(&CONTAINER),
    22 "tolerations": Objects(&TOLERATION),
    24 "priorityClassName": Text,
    25 "priority": Int,
    31 "preemptionPolicy": Text,
    32 "overhead": QuantityMap,
    33 "topologySpreadConstraints": Objects(&SPREAD),
    37 "hostUsers": Bool,
    38 "schedulingGates": Objects(&GATE),
    39 "resourceClaims": Objects(&PRESENT),
    40 "resources": Object(&RESOURCES),
    // Renamed, with a new number, between two alphas.
    42 "workloadRef": Object(&PRESENT),
    43 "schedulingGroup": Object(&PRESENT),
});
table!(RESOURCES { 1 "limits": QuantityMap, 2 "requests": QuantityMap });
table!(CONTAINER {
    1 "name": Text,
    2 "image": Text,
    6 "ports": Objects(&PORT),
    8 "resources": Object(&RESOURCES),
    24 "restartPolicy": Text,
    25 "restartPolicyRules": Objects(&RESTART_RULE),
});
table!(PORT {
    1 "name": Text,
    2 "hostPort": Int,
    3 "containerPort": Int,
    4 "protocol": Text,
    5 "hostIP": Text,
});
table!(RESTART_RULE { 1 "action": Text });
table!(TOLERATION {
    1 "key": Text,
    2 "operator": Text,
    3 "value": Text,
    4 "effect": Text,
    5 "tolerationSeconds": Int,
});
table!(GATE { 1 "name": Text });
table!(SPREAD {
    1 "maxSkew": Int,
    2 "topologyKey": Text,
    3 "whenUnsatisfiable": Text,
    4 "labelSelector": Object(&LABEL_SELECTOR),
    5 "minDomains": Int,
    6 "nodeAffinityPolicy": Text,
    7 "nodeTaintsPolicy": Text,
    8 "matchLabelKeys": Texts,
});

table!(AFFINITY {
    1 "nodeAffinity": Object(&NODE_AFFINITY),
    2 "podAffinity": Object(&POD_AFFINITY),
    3 "podAntiAffinity": Object(&POD_AFFINITY),
});
table!(NODE_AFFINITY {
    1 "requiredDuringSchedulingIgnoredDuringExecution": Object(&NODE_SELECTOR),
    2 "preferredDuringSchedulingIgnoredDuringExecution": Objects(&PREFERRED_TERM),
});
table!(NODE_SELECTOR { 1 "nodeSelectorTerms": Objects(&NODE_SELECTOR_TERM) });
table!(NODE_SELECTOR_TERM {
    1 "matchExpressions": Objects(&REQUIREMENT),
    2 "matchFields": Objects(&REQUIREMENT),
});
table!(PREFERRED_TERM { 1 "weight": Int, 2 "preference": Object(&NODE_SELECTOR_TERM) });
table!(POD_AFFINITY {
    1 "requiredDuringSchedulingIgnoredDuringExecution": Objects(&POD_TERM),
    2 "preferredDuringSchedulingIgnoredDuringExecution": Objects(&WEIGHTED_TERM),
});
table!(POD_TERM {
    1 "labelSelector": Object(&LABEL_SELECTOR),
    2 "namespaces": Texts,
    3 "topologyKey": Text,
    4 "namespaceSelector": Object(&LABEL_SELECTOR),
});
table!(WEIGHTED_TERM { 1 "weight": Int, 2 "podAffinityTerm": Object(&POD_TERM) });
