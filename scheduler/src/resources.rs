//! `/metrics/resources`: what every pod asks for and may use (`pkg/scheduler/metrics/resources`).
//!
//! Of the pods that wait only those of this scheduler are known.

use std::{fmt::Write as _, sync::Arc};

use futures::FutureExt;
use headroom_core::{
    Str,
    object::PodSpec,
    requests::{pod_limits, pod_requests},
    resource::Resources,
};
use headroom_engine::framework::PodInfo;
use headroom_runtime::{metrics::TEXT_FORMAT, serving::Page};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::inputs::Message;

const REQUEST: (&str, &str) = (
    "kube_pod_resource_request",
    "Resources requested by workloads on the cluster, broken down by pod. This shows the resource usage the scheduler and kubelet expect per pod for resources along with the unit for the resource if any.",
);
const LIMIT: (&str, &str) = (
    "kube_pod_resource_limit",
    "Resources limit for workloads on the cluster, broken down by pod. This shows the resource usage the scheduler and kubelet expect per pod for resources along with the unit for the resource if any.",
);

type Formula = fn(&PodSpec) -> Resources;

/// The page: the decider is asked for the pods, a thread beside it writes them down. One reader at a time, since the text
/// of a large cluster is long.
pub(crate) fn page(tx: mpsc::Sender<Message>) -> Page {
    let turn = Arc::new(Mutex::new(()));
    Arc::new(move || {
        let (tx, turn) = (tx.clone(), turn.clone());
        async move {
            let _turn = turn.lock().await;
            let (answer, pods) = oneshot::channel();
            // Nobody answers any more when the process ends.
            let asked = tx.send(Message::Pods(answer)).await;
            let pods = if asked.is_ok() { pods.await.unwrap_or_default() } else { Vec::new() };
            (TEXT_FORMAT, tokio::task::spawn_blocking(move || text(&pods)).await.unwrap_or_default())
        }
        .boxed()
    })
}

fn text(pods: &[(PodInfo, Str)]) -> String {
    let mut out = String::new();
    for ((name, help), of) in [(REQUEST, pod_requests as Formula), (LIMIT, pod_limits as Formula)] {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (info, node) in pods {
            lines(&mut out, name, info, node, &of(&info.pod.spec));
        }
    }
    out
}

fn lines(out: &mut String, metric: &str, info: &PodInfo, node: &str, amounts: &Resources) {
    let key = &info.pod.meta.key;
    let scheduler = info.pod.spec.scheduler_name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut line = |resource: &str, unit: &str, amount: &dyn std::fmt::Display| {
        let _ = writeln!(
            out,
            "{metric}{{namespace=\"{}\",pod=\"{}\",node=\"{node}\",scheduler=\"{scheduler}\",priority=\"{}\",\
             resource=\"{resource}\",unit=\"{unit}\"}} {amount}",
            key.namespace,
            key.name,
            info.priority()
        );
    };
    if amounts.milli_cpu != 0 {
        line("cpu", "cores", &(amounts.milli_cpu as f64 / 1000.0));
    }
    for (name, amount) in [("memory", amounts.memory), ("ephemeral-storage", amounts.ephemeral_storage)] {
        if amount != 0 {
            line(name, "bytes", &amount);
        }
    }
    for (name, amount) in amounts.scalars.iter().filter(|(_, amount)| *amount != 0) {
        let unit = match name.as_str() {
            name if name == "storage" || name.starts_with("hugepages-") => "bytes",
            name if name.starts_with("attachable-volumes-") => "integer",
            _ => "",
        };
        line(name, unit, amount);
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{container, pod};

    use super::*;

    #[test]
    fn a_line_per_resource() {
        let p =
            pod("p").priority(7).container(container("c").requests("1500m", "1Mi").limits("2", "1Mi")).spec(|spec| {
                spec.containers[0].requests.scalars = Box::new([("hugepages-2Mi".into(), 4), ("x.io/gpu".into(), 1)]);
            });
        let waiting = PodInfo::new(pod("w").requests("1", "1Mi").arc());
        let text = text(&[(PodInfo::new(p.arc()), "n".into()), (waiting, Str::default())]);
        let of = |pod: &str, node: &str, priority: i32| {
            format!(
                "{{namespace=\"default\",pod=\"{pod}\",node=\"{node}\",scheduler=\"default-scheduler\",priority=\"{priority}\","
            )
        };
        let p = of("p", "n", 7);
        for line in [
            format!("kube_pod_resource_request{p}resource=\"cpu\",unit=\"cores\"}} 1.5"),
            format!("kube_pod_resource_request{p}resource=\"memory\",unit=\"bytes\"}} 1048576"),
            format!("kube_pod_resource_request{p}resource=\"hugepages-2Mi\",unit=\"bytes\"}} 4"),
            format!("kube_pod_resource_request{p}resource=\"x.io/gpu\",unit=\"\"}} 1"),
            format!("kube_pod_resource_limit{p}resource=\"cpu\",unit=\"cores\"}} 2"),
            format!("kube_pod_resource_request{}resource=\"cpu\",unit=\"cores\"}} 1", of("w", "", 0)),
            "# TYPE kube_pod_resource_limit gauge".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("ephemeral-storage"), "what is not set has no line");
    }
}
