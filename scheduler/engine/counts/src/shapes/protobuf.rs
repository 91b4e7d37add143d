//! The same pod in the encoding in which watches get pods: messages as Go writes them by `generated.proto` of `k8s.io/api`.
//!
//! Fields come in the order of their numbers. What is no pointer in Go is written even where it is empty; all that nobody
//! here reads is there as well.

use headroom_runtime::wire::time::parse_rfc3339;
use serde_json::Value;

use self::Shape::{FieldsV1, Inline, Number, Object, Objects, Port, Quantities, Text, Texts, Time};

/// A message.
type Fields = &'static [Field];

/// A field of a message: its number, its name in JSON, what it is, and whether it is written when the object has none.
struct Field(u64, &'static str, Shape, bool);

#[derive(Clone, Copy)]
enum Shape {
    Text,
    /// Whole numbers and booleans.
    Number,
    Time,
    /// `intstr.IntOrString`, of which only texts occur.
    Port,
    /// `metav1.FieldsV1`: JSON within the message.
    FieldsV1,
    Object(Fields),
    Objects(Fields),
    /// A message whose fields are in JSON those of its parent.
    Inline(Fields),
    /// `map<string, string>`.
    Texts,
    /// `map<string, Quantity>`.
    Quantities,
}

const fn always(number: u64, name: &'static str, shape: Shape) -> Field {
    Field(number, name, shape, true)
}

const fn given(number: u64, name: &'static str, shape: Shape) -> Field {
    Field(number, name, shape, false)
}

const POD: Fields =
    &[always(1, "metadata", Object(META)), always(2, "spec", Object(SPEC)), always(3, "status", Object(STATUS))];

const META: Fields = &[
    always(1, "name", Text),
    always(2, "generateName", Text),
    always(3, "namespace", Text),
    always(4, "selfLink", Text),
    always(5, "uid", Text),
    always(6, "resourceVersion", Text),
    always(7, "generation", Number),
    always(8, "creationTimestamp", Time),
    given(11, "labels", Texts),
    given(12, "annotations", Texts),
    given(13, "ownerReferences", Objects(OWNER)),
    given(17, "managedFields", Objects(MANAGED)),
];
const OWNER: Fields = &[
    always(1, "kind", Text),
    always(3, "name", Text),
    always(4, "uid", Text),
    always(5, "apiVersion", Text),
    given(6, "controller", Number),
    given(7, "blockOwnerDeletion", Number),
];
const MANAGED: Fields = &[
    always(1, "manager", Text),
    always(2, "operation", Text),
    always(3, "apiVersion", Text),
    given(4, "time", Time),
    always(6, "fieldsType", Text),
    given(7, "fieldsV1", FieldsV1),
    always(8, "subresource", Text),
];

const SPEC: Fields = &[
    given(1, "volumes", Objects(VOLUME)),
    given(2, "containers", Objects(CONTAINER)),
    always(3, "restartPolicy", Text),
    given(4, "terminationGracePeriodSeconds", Number),
    always(6, "dnsPolicy", Text),
    always(8, "serviceAccountName", Text),
    always(9, "serviceAccount", Text),
    always(10, "nodeName", Text),
    always(11, "hostNetwork", Number),
    always(12, "hostPID", Number),
    always(13, "hostIPC", Number),
    given(14, "securityContext", Object(&[])),
    always(16, "hostname", Text),
    always(17, "subdomain", Text),
    always(19, "schedulerName", Text),
    given(22, "tolerations", Objects(TOLERATION)),
    always(24, "priorityClassName", Text),
    given(25, "priority", Number),
    given(30, "enableServiceLinks", Number),
    given(31, "preemptionPolicy", Text),
];
const VOLUME: Fields = &[always(1, "name", Text), always(2, "", Inline(VOLUME_SOURCE))];
const VOLUME_SOURCE: Fields = &[given(19, "configMap", Object(CONFIG_MAP)), given(26, "projected", Object(PROJECTED))];
const CONFIG_MAP: Fields =
    &[always(1, "", Inline(REFERENCE)), given(2, "items", Objects(KEY_TO_PATH)), given(3, "defaultMode", Number)];
const REFERENCE: Fields = &[always(1, "name", Text)];
const KEY_TO_PATH: Fields = &[always(1, "key", Text), always(2, "path", Text)];
const PROJECTED: Fields = &[given(1, "sources", Objects(PROJECTION)), given(2, "defaultMode", Number)];
const PROJECTION: Fields = &[
    given(2, "downwardAPI", Object(DOWNWARD)),
    given(3, "configMap", Object(CONFIG_MAP)),
    given(4, "serviceAccountToken", Object(TOKEN)),
];
const DOWNWARD: Fields = &[given(1, "items", Objects(DOWNWARD_FILE))];
const DOWNWARD_FILE: Fields = &[always(1, "path", Text), given(2, "fieldRef", Object(FIELD_REF))];
const FIELD_REF: Fields = &[always(1, "apiVersion", Text), always(2, "fieldPath", Text)];
const TOKEN: Fields = &[always(1, "audience", Text), given(2, "expirationSeconds", Number), always(3, "path", Text)];
const CONTAINER: Fields = &[
    always(1, "name", Text),
    always(2, "image", Text),
    always(5, "workingDir", Text),
    given(6, "ports", Objects(CONTAINER_PORT)),
    given(7, "env", Objects(ENV)),
    always(8, "resources", Object(RESOURCES)),
    given(9, "volumeMounts", Objects(MOUNT)),
    given(10, "livenessProbe", Object(PROBE)),
    always(13, "terminationMessagePath", Text),
    always(14, "imagePullPolicy", Text),
    given(15, "securityContext", Object(SECURITY)),
    always(16, "stdin", Number),
    always(17, "stdinOnce", Number),
    always(18, "tty", Number),
    always(20, "terminationMessagePolicy", Text),
];
const SECURITY: Fields = &[given(5, "runAsNonRoot", Number)];
const CONTAINER_PORT: Fields = &[
    always(1, "name", Text),
    always(2, "hostPort", Number),
    always(3, "containerPort", Number),
    always(4, "protocol", Text),
    always(5, "hostIP", Text),
];
const ENV: Fields = &[always(1, "name", Text), always(2, "value", Text), given(3, "valueFrom", Object(ENV_SOURCE))];
const ENV_SOURCE: Fields = &[given(4, "secretKeyRef", Object(SECRET_KEY))];
const SECRET_KEY: Fields = &[always(1, "", Inline(REFERENCE)), always(2, "key", Text)];
const RESOURCES: Fields = &[given(1, "limits", Quantities), given(2, "requests", Quantities)];
const MOUNT: Fields = &[
    always(1, "name", Text),
    always(2, "readOnly", Number),
    always(3, "mountPath", Text),
    always(4, "subPath", Text),
    always(6, "subPathExpr", Text),
];
const PROBE: Fields = &[
    always(1, "", Inline(HANDLER)),
    always(2, "initialDelaySeconds", Number),
    always(3, "timeoutSeconds", Number),
    always(4, "periodSeconds", Number),
    always(5, "successThreshold", Number),
    always(6, "failureThreshold", Number),
];
const HANDLER: Fields = &[given(2, "httpGet", Object(HTTP_GET))];
const HTTP_GET: Fields =
    &[always(1, "path", Text), always(2, "port", Port), always(3, "host", Text), always(4, "scheme", Text)];
const TOLERATION: Fields = &[
    always(1, "key", Text),
    always(2, "operator", Text),
    always(3, "value", Text),
    always(4, "effect", Text),
    given(5, "tolerationSeconds", Number),
];

const STATUS: Fields = &[
    always(1, "phase", Text),
    given(2, "conditions", Objects(CONDITION)),
    always(3, "message", Text),
    always(4, "reason", Text),
    always(5, "hostIP", Text),
    always(6, "podIP", Text),
    given(7, "startTime", Time),
    given(8, "containerStatuses", Objects(CONTAINER_STATUS)),
    always(9, "qosClass", Text),
    always(11, "nominatedNodeName", Text),
    given(12, "podIPs", Objects(IP)),
    always(14, "resize", Text),
    given(16, "hostIPs", Objects(IP)),
    always(17, "observedGeneration", Number),
];
const IP: Fields = &[always(1, "ip", Text)];
const CONDITION: Fields = &[
    always(1, "type", Text),
    always(2, "status", Text),
    always(3, "lastProbeTime", Time),
    always(4, "lastTransitionTime", Time),
    always(5, "reason", Text),
    always(6, "message", Text),
    always(7, "observedGeneration", Number),
];
const CONTAINER_STATUS: Fields = &[
    always(1, "name", Text),
    always(2, "state", Object(STATE)),
    always(3, "lastState", Object(STATE)),
    always(4, "ready", Number),
    always(5, "restartCount", Number),
    always(6, "image", Text),
    always(7, "imageID", Text),
    always(8, "containerID", Text),
    given(9, "started", Number),
    given(10, "allocatedResources", Quantities),
    given(11, "resources", Object(RESOURCES)),
];
const STATE: Fields = &[given(2, "running", Object(RUNNING))];
const RUNNING: Fields = &[always(1, "startedAt", Time)];

/// The `i`th pod of [`super::pod`].
#[must_use]
pub fn pod(i: usize, workloads: usize, nodes: usize) -> Vec<u8> {
    let object: Value = serde_json::from_str(&super::pod(i, workloads, nodes)).unwrap_or_default();
    let mut types = Vec::new();
    bytes(&mut types, 1, b"v1");
    bytes(&mut types, 2, b"Pod");
    let mut out = b"k8s\0".to_vec();
    bytes(&mut out, 1, &types);
    bytes(&mut out, 2, &message(POD, &object));
    bytes(&mut out, 3, b"");
    bytes(&mut out, 4, b"");
    out
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

fn number(out: &mut Vec<u8>, at: u64, n: i64) {
    varint(out, at << 3);
    varint(out, n.cast_unsigned());
}

fn bytes(out: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    varint(out, at << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn message(table: Fields, object: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for Field(at, name, shape, empty) in table {
        match (*shape, object.get(*name)) {
            (Inline(inner), _) => bytes(&mut out, *at, &message(inner, object)),
            (shape, Some(value)) => field(&mut out, *at, shape, value),
            (shape, None) if *empty => field(&mut out, *at, shape, &Value::Null),
            _ => {}
        }
    }
    out
}

fn field(out: &mut Vec<u8>, at: u64, shape: Shape, value: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match shape {
        Text => bytes(out, at, text(value).as_bytes()),
        Number => number(out, at, value.as_i64().unwrap_or_else(|| value.as_bool().unwrap_or_default().into())),
        Time => {
            let mut time = Vec::new();
            // The zero time is an empty message.
            if let Some(moment) = parse_rfc3339(&text(value)) {
                number(&mut time, 1, moment.0.div_euclid(1_000_000));
                number(&mut time, 2, 0);
            }
            bytes(out, at, &time);
        }
        Port => {
            let mut port = Vec::new();
            number(&mut port, 1, 1);
            number(&mut port, 2, 0);
            bytes(&mut port, 3, text(value).as_bytes());
            bytes(out, at, &port);
        }
        FieldsV1 => {
            let mut fields = Vec::new();
            bytes(&mut fields, 1, value.to_string().as_bytes());
            bytes(out, at, &fields);
        }
        Object(table) | Inline(table) => bytes(out, at, &message(table, value)),
        Objects(table) => {
            for one in value.as_array().into_iter().flatten() {
                bytes(out, at, &message(table, one));
            }
        }
        Texts | Quantities => {
            for (key, value) in value.as_object().into_iter().flatten() {
                let mut amount = Vec::new();
                bytes(&mut amount, 1, text(value).as_bytes());
                let value = if matches!(shape, Quantities) { amount } else { text(value).into_bytes() };
                let mut entry = Vec::new();
                bytes(&mut entry, 1, key.as_bytes());
                bytes(&mut entry, 2, &value);
                bytes(out, at, &entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_runtime::{
        protobuf::read_as_json,
        wire::{Interners, PodWire, WireObject},
    };

    use super::*;

    #[test]
    fn it_is_the_same_pod_as_in_json() {
        let row =
            |text: &str| serde_json::from_str::<PodWire>(text).unwrap().convert(&mut Interners::default()).unwrap();
        let (encoded, text) = (pod(23, 10, 7), super::super::pod(23, 10, 7));
        let json = String::from_utf8(read_as_json(&encoded).unwrap()).unwrap();
        assert_eq!(format!("{:?}", row(&json)), format!("{:?}", row(&text)));
        assert!(encoded.len() > 3000 && json.len() < text.len() * 2 / 3, "{} and {} bytes", encoded.len(), json.len());
        let whole = |part: &str| encoded.windows(part.len()).any(|window| window == part.as_bytes());
        assert!(whole("f:livenessProbe") && whole("/dev/termination-log") && whole("containerd://"));
        assert!(!json.contains("f:livenessProbe") && !json.contains("/dev/termination-log"));
    }
}
