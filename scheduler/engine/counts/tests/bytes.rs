//! What a pod takes in memory: pods as API servers send them go the whole way of a watch, through client, parser and
//! store into the engine's cache, and the bytes that stay allocated are counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::alloc::System;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use headroom_core::{
    Mono, Now, Timestamp,
    memory::Sample,
    object::{Meta, NodeHeadroom, ObjectKey},
    testing::node,
};
use headroom_counts::shapes;
use headroom_engine::{Configuration, Engine, Input, Mode, Registry};
use headroom_runtime::informer::{Change, InformerConfig, InformerHealth, StreamLists, run};
use headroom_runtime::wire::{PodWire, scheduling_interners};
use http::{Request, Response};
use kube::client::Body;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PAGE: usize = 250;

/// A cluster. Pods of its workloads come in turns, so that the next of the same is always far away, and few share what
/// belongs to their template.
#[derive(Debug, Clone, Copy)]
struct Case {
    nodes: usize,
    workloads: usize,
    pods: usize,
    /// Most bytes per pod: measured, and a tenth more.
    budget: usize,
}

/// A process with 20,000 pods has to fit in 30 MiB (DESIGN.md 4), and one with 50,000 in 80: pods may take a part of
/// that only.
const CASES: [Case; 2] = [
    Case { nodes: 1000, workloads: 1000, pods: 10_000, budget: 830 },
    // More owners than an interner leaves alone when it sweeps.
    Case { nodes: 5000, workloads: 5000, pods: 50_000, budget: 830 },
];

/// Bytes that are allocated now.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// Pods in pages, and a watch in which nothing happens.
async fn serve(request: Request<Body>, case: Case) -> Result<Response<Body>, Infallible> {
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if value("watch").is_some() {
        return std::future::pending().await;
    }
    let from: usize = value("continue").and_then(|text| text.parse().ok()).unwrap_or(0);
    let to = (from + PAGE).min(case.pods);
    let more = if to < case.pods { to.to_string() } else { String::new() };
    let items: Vec<String> = (from..to).map(|i| shapes::pod(i, case.workloads, case.nodes)).collect();
    let body = format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"900000","continue":"{more}"}},"items":[{}]}}"#,
        items.join(",")
    );
    Ok(Response::new(Body::from(body.into_bytes())))
}

/// All in one test: what others allocate at the same time would be counted as well.
#[tokio::test]
async fn a_pod_stays_below_its_budget_of_bytes() {
    for case in CASES {
        let bytes = bytes_per_pod(case).await;
        let Case { pods, budget, .. } = case;
        let _ = writeln!(std::io::stderr(), "counts: one of {pods} cached pods takes {bytes} bytes of {budget}");
        assert!(bytes <= budget, "one of {pods} cached pods takes {bytes} bytes, more than its budget of {budget}");
        assert!(bytes >= 100, "{bytes} bytes for a pod: they were not counted");
    }
}

async fn bytes_per_pod(case: Case) -> usize {
    let now = Now { wall: Timestamp::from_secs(1_800_000_000), mono: Mono(1_800_000_000_000_000) };
    let mut engine = Engine::new(Configuration::default(), Registry::in_tree(), 7, Mode::Primary).unwrap();
    let mut out = Vec::new();
    for i in 0..case.nodes {
        let node = node(&format!("node-{i}")).capacity("64", "256Gi", 110).arc();
        engine.handle(Input::NodeApplied(node), now, &mut out);
        // With samples the memory model counts every pod as well.
        let row = NodeHeadroom {
            meta: Meta { key: ObjectKey::new("", format!("node-{i}")), ..Meta::default() },
            sample: Some(Sample { at: now.wall, working_set: Some(1 << 30), ..Sample::default() }),
            ..NodeHeadroom::default()
        };
        engine.handle(Input::SampleApplied(Arc::new(row)), now, &mut out);
    }
    let client = kube::Client::new(tower::service_fn(move |request| serve(request, case)), "default");
    let health = InformerHealth::default();
    let config =
        InformerConfig { stream_lists: StreamLists::Never, page_size: PAGE as u32, ..InformerConfig::default() };
    let (tx, mut rx) = tokio::sync::mpsc::channel(64);

    let before = allocated();
    let informer =
        tokio::spawn(run::<PodWire, _>(client, config, &health, tx, |change| change, scheduling_interners()));
    loop {
        match rx.recv().await.expect("the informer runs") {
            Change::Applied(pod) => engine.handle(Input::PodApplied(pod), now, &mut out),
            Change::Deleted { key, .. } => panic!("{key} was never deleted"),
            Change::Synced => break,
        }
    }
    // The last page is freed once the informer waits for its watch.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    out.clear();
    drop(engine.take_reports());
    let bytes = allocated().saturating_sub(before) / case.pods;

    assert_eq!(engine.cache().pods().count(), case.pods, "every pod is cached");
    assert!(!informer.is_finished());
    // What it holds must not be freed while the next case is counted.
    informer.abort();
    let _ = informer.await;
    bytes
}
