//! Objects as API servers send them, with all that nobody here reads: managed fields, probes, mounts, image digests.

pub mod protobuf;

use std::fmt::Write;

/// A pod of a Deployment's ReplicaSet that runs, without line ends.
const POD: &str = include_str!("pod.json");

/// The `i`th pod, bound and running. Pods of `workloads` Deployments take turns, on `nodes` nodes.
#[must_use]
pub fn pod(i: usize, workloads: usize, nodes: usize) -> String {
    let workload = i % workloads.max(1);
    let name = format!("service-{workload}");
    let hash = format!("7c9d{:06x}", workload * 7919 % 0xff_ffff);
    let values = [
        ("pod", format!("{name}-{hash}-{:05x}", i * 31 % 0xf_ffff)),
        ("workload", name),
        ("hash", hash),
        ("namespace", format!("team-{}", workload % 20)),
        ("uid", uid(0, i)),
        ("owner", uid(1, workload)),
        ("version", (100_000 + i).to_string()),
        ("minor", (workload % 10).to_string()),
        ("node", format!("node-{}", i % nodes.max(1))),
        ("ip", format!("10.{}.{}.{}", 64 + i / 65_536 % 64, i / 256 % 256, i % 256)),
        ("cpu", (50 + 10 * (workload % 8)).to_string()),
        ("request", (64 + 16 * (workload % 12)).to_string()),
        ("limit", (128 + 32 * (workload % 12)).to_string()),
    ];
    let text: String = POD.lines().collect();
    values.iter().fold(text, |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

/// The `i`th NodeHeadroom, with the use of so many pods.
#[must_use]
pub fn node_headroom(i: usize, pods: usize) -> String {
    let mut used = String::new();
    for pod in 0..pods {
        let comma = if pod == 0 { "" } else { "," };
        let n = i * pods + pod;
        let _ = write!(
            used,
            r#"{comma}{{"namespace":"team-{}","name":"service-{}-7c9d000000-{n:05x}","uid":"{}","workingSetBytes":{},"swapUsedBytes":{},"swapAvailableBytes":67108864}}"#,
            n % 20,
            n % 50,
            uid(0, n),
            (40 + n % 50) << 20,
            (n % 16) << 20,
        );
    }
    format!(
        r#"{{"kind":"NodeHeadroom","apiVersion":"headroom.dev/v1alpha1","metadata":{{"name":"node-{i}","uid":"{}","resourceVersion":"{}","generation":1,"creationTimestamp":"2026-11-22T10:00:00Z","ownerReferences":[{{"apiVersion":"v1","kind":"Node","name":"node-{i}","uid":"{}"}}]}},"status":{{"observedAt":"2026-11-22T10:00:{:02}.120000Z","source":"Kubelet","state":"Calm","stateSince":"2026-11-22T09:00:00Z","intervalSeconds":15,"protected":false,"memory":{{"capacityBytes":2073776128,"workingSetBytes":{},"evictionHardBytes":104857600,"systemOverheadBytes":268435456,"majorFaultsPerSecond":0.4,"pressure":{{"some":{{"avg10":0.1,"avg60":0.2}},"full":{{"avg10":0,"avg60":0.1}}}}}},"swap":{{"behavior":"LimitedSwap","capacityBytes":2147479552,"usedBytes":{}}},"pods":[{used}],"conditions":[{{"type":"MemoryPressureHigh","status":"False","lastTransitionTime":"2026-11-22T09:00:00Z","reason":"Calm","message":"memory is not pressed"}}]}}}}"#,
        uid(2, i),
        200_000 + i,
        uid(3, i),
        i % 60,
        (900 + i % 500) << 20,
        (100 + i % 300) << 20,
    )
}

/// A UID of the usual length.
fn uid(kind: usize, i: usize) -> String {
    format!("{:08x}-1c4f-4b1e-{kind:04x}-{:012x}", i * 2_654_435_761 % 0xffff_ffff, i)
}

#[cfg(test)]
mod tests {
    use headroom_runtime::wire::{Interners, NodeHeadroomWire, PodWire, WireObject};

    use super::*;

    #[test]
    fn a_pod_is_read_as_what_it_is() {
        let text = pod(23, 10, 7);
        assert!(text.len() > 6000 && !text.contains('\n'), "{} bytes", text.len());
        let row = serde_json::from_str::<PodWire>(&text).unwrap().convert(&mut Interners::default()).unwrap();
        assert_eq!(row.node_name.as_deref(), Some("node-2"));
        assert_eq!(row.spec.containers[0].requests.milli_cpu, Some(80));
        assert_eq!(row.meta.labels.get("app.kubernetes.io/name").map(headroom_core::Str::as_str), Some("service-3"));
        assert!(row.is_ready() && row.meta.controller().is_some());
    }

    #[test]
    fn only_the_digest_has_an_at_sign() {
        assert_eq!(pod(1, 1, 1).matches('@').count(), 1);
    }

    #[test]
    fn pods_of_a_workload_share_their_spec() {
        let mut interners = Interners::default();
        let mut row = |i| serde_json::from_str::<PodWire>(&pod(i, 10, 7)).unwrap().convert(&mut interners).unwrap();
        let (first, same, other) = (row(3), row(13), row(4));
        assert_ne!((&first.meta.uid, &first.meta.key), (&same.meta.uid, &same.meta.key));
        assert!(std::sync::Arc::ptr_eq(&first.spec, &same.spec));
        assert_ne!(first.spec, other.spec);
    }

    #[test]
    fn a_sample_is_read_with_all_its_pods() {
        let text = node_headroom(5, 20);
        let row = serde_json::from_str::<NodeHeadroomWire>(&text).unwrap().convert(&mut Interners::default()).unwrap();
        assert_eq!((row.pods.len(), row.swap_capacity), (20, Some(2_147_479_552)));
        assert_eq!(row.sample.unwrap().working_set, Some(905 << 20));
    }
}
