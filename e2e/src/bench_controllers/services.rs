//! A Service with many endpoints: when their pods become ready, and when a single one does.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::Serving;
use super::measure::{PODS, count, until};
use crate::bench::BenchError;
use crate::bench::requests::sum;
use crate::bench::wire::{JSON, MERGE_PATCH, Wire, each};
use crate::control_plane::{ControlPlane, Identity};
use crate::process::Process;

/// Requests at once, as many kubelets would send.
const IN_FLIGHT: usize = 50;
/// How often a single pod changes.
pub(super) const FLIPS: usize = 20;
/// Pause between two of them: each is alone, after whatever either contestant batches.
const APART: Duration = Duration::from_millis(300);
/// How long one may take to be seen.
const SEEN: Duration = Duration::from_secs(60);

/// Where all pods are: pods on nodes that do not exist are no endpoints.
const NODE: &str = "n1";
/// The Service's own: the API server's has one too.
const SLICES: &str =
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name=web";

pub(super) async fn serve(
    endpoints: u32,
    plane: &ControlPlane,
    wire: &Wire,
    process: &Process,
) -> Result<Serving, BenchError> {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    // Nobody is a kubelet for it; that is noticed after a minute, when all is over.
    wire.post("/api/v1/nodes", json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}).to_string())
        .await?;
    wire.post("/api/v1/namespaces/default/services", service.to_string()).await?;
    each(endpoints, IN_FLIGHT, |index| async move { wire.post(PODS, pod(index)).await }).await?;
    count(wire, u64::from(endpoints)).await?;
    // All have an address, and none is ready.
    each(endpoints, IN_FLIGHT, |index| report(wire, index, false)).await?;
    listed(wire, endpoints, false).await?;

    let (cpu, writes) = (process.cpu()?, written(wire).await?);
    each(endpoints, IN_FLIGHT, |index| report(wire, index, true)).await?;
    let began = Instant::now();
    listed(wire, endpoints, true).await?;
    let all_ready_seconds = began.elapsed().as_secs_f64();
    let cpu_milliseconds = process.cpu()?.saturating_sub(cpu).as_secs_f64() * 1000.0;
    let writes = written(wire).await?.saturating_sub(writes);

    let mut flips = Vec::new();
    let mut watch = Watch::start(plane).await?;
    for flip in 0..FLIPS {
        tokio::time::sleep(APART).await;
        let index = u32::try_from(flip / 2).unwrap_or(0) % endpoints;
        let ready = flip % 2 == 1;
        report(wire, index, ready).await?;
        let began = Instant::now();
        watch.until(&address(index), ready).await?;
        flips.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    flips.sort_by(f64::total_cmp);
    Ok(Serving {
        endpoints,
        all_ready_seconds,
        flip_milliseconds: flips.get(FLIPS / 2).copied().unwrap_or(0.0),
        worst_flip_milliseconds: flips.last().copied().unwrap_or(0.0),
        writes,
        cpu_milliseconds,
    })
}

fn address(index: u32) -> String {
    format!("10.{}.{}.{}", 1 + index / 62_500, index / 250 % 250, index % 250 + 1)
}

fn pod(index: u32) -> Bytes {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("web-{index}"), "labels": {"app": "web"}},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "registry.example/app:1"}]}})
    .to_string()
    .into()
}

async fn report(wire: &Wire, index: u32, ready: bool) -> Result<(), BenchError> {
    let status = if ready { "True" } else { "False" };
    let body = json!({"status": {"phase": "Running", "podIP": address(index), "podIPs": [{"ip": address(index)}],
        "conditions": [{"type": "Ready", "status": status}]}});
    let path = format!("{PODS}/web-{index}/status");
    wire.send(Method::PATCH, &path, MERGE_PATCH, body.to_string().into()).await?;
    Ok(())
}

/// Waits until so many addresses stand in slices with this readiness.
async fn listed(wire: &Wire, endpoints: u32, ready: bool) -> Result<(), BenchError> {
    until(&format!("{endpoints} endpoints"), async || {
        let list: Value = wire.get(SLICES).await?;
        let slices = list["items"].as_array().into_iter().flatten();
        let all = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let addresses = all.filter(|endpoint| endpoint["conditions"]["ready"] == ready);
        let seen = addresses.filter_map(|endpoint| endpoint["addresses"][0].as_str()).collect::<HashSet<_>>().len();
        Ok((seen == endpoints as usize, seen.to_string()))
    })
    .await
}

/// Writes of slices and Endpoints so far.
async fn written(wire: &Wire) -> Result<u64, BenchError> {
    let metrics = wire.text("/metrics").await?;
    let of = |resource, verb| sum(&metrics, "apiserver_request_total", &[("resource", resource), ("verb", verb)]);
    let resources = ["endpoints", "endpointslices"];
    let verbs = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
    Ok(resources.iter().flat_map(|resource| verbs.iter().map(|verb| of(resource, verb))).sum::<f64>() as u64)
}

/// A watch on the slices.
struct Watch {
    body: Incoming,
    rest: Vec<u8>,
}

impl Watch {
    async fn start(plane: &ControlPlane) -> Result<Self, BenchError> {
        let wire = Wire::connect(&plane.kubeconfig(&Identity::Admin)?).await?;
        let list: Value = wire.get(&format!("{SLICES}&limit=1")).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let path = format!("{SLICES}&watch=true&resourceVersion={version}");
        let (_, body) = wire.open(&Method::GET, &path, JSON, Bytes::new()).await?;
        Ok(Self { body, rest: Vec::new() })
    }

    /// Reads until a slice says this of an address.
    async fn until(&mut self, address: &str, ready: bool) -> Result<(), BenchError> {
        let broke = |reason: &str| BenchError::Watch { reason: reason.to_owned() };
        loop {
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line)
                    .map_err(|source| BenchError::Answer { what: SLICES.to_owned(), source })?;
                let mut endpoints = event["object"]["endpoints"].as_array().into_iter().flatten();
                if endpoints.any(|e| e["addresses"][0] == address && e["conditions"]["ready"] == ready) {
                    return Ok(());
                }
            }
            let frame = tokio::time::timeout(SEEN, self.body.frame()).await;
            let frame = frame.map_err(|_| broke("a change was not seen"))?.ok_or_else(|| broke("it ended"))?;
            let frame = frame.map_err(|error| broke(&error.to_string()))?;
            self.rest.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        }
    }
}
