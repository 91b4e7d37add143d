//! The steps. Each waits for a state of the API server, verifies it and shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use headroom_api::NodeHeadroom;
use k8s_openapi::api::{
    core::v1::{Endpoints, Event, Node, Pod, ReplicationController, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{DemoResult, PATIENCE, objects, objects::APP, show::Narrator, stage::Stage};
use crate::eventually;

/// The node that is made to thrash.
const THRASHING: &str = "worker-1";

/// Every node is measured and published.
pub(super) async fn measure(stage: &Stage, say: &Narrator) -> DemoResult {
    say.step("node-headroom reads each kubelet and publishes NodeHeadroom objects");
    let api: Api<NodeHeadroom> = Api::all(stage.client.clone());
    eventually(PATIENCE, "a fresh NodeHeadroom of every node", || async {
        let fresh = headrooms(&api).await?;
        if fresh.len() == 4 { Ok(()) } else { Err(format!("{} of 4 nodes have a sample", fresh.len())) }
    })
    .await?;
    show_headrooms(&api, say).await?;
    say.check("4 of 4 nodes measured, with a token that opens nodes/stats only");
    Ok(())
}

async fn headrooms(api: &Api<NodeHeadroom>) -> Result<Vec<NodeHeadroom>, String> {
    let all = api.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
    let sampled = |n: &NodeHeadroom| n.status.as_ref().is_some_and(|s| s.observed_at.is_some());
    Ok(all.items.into_iter().filter(sampled).collect())
}

async fn show_headrooms(api: &Api<NodeHeadroom>, say: &Narrator) -> DemoResult {
    let rows: Vec<Vec<String>> = headrooms(api)
        .await?
        .iter()
        .map(|n| {
            let v = serde_json::to_value(&n.status).unwrap_or(Value::Null);
            let text = |pointer: &str| v.pointer(pointer).map_or_else(|| "-".to_owned(), plain);
            vec![
                n.name_any(),
                text("/display/ram"),
                text("/display/headroom"),
                text("/display/swap"),
                text("/swap/behavior"),
                text("/memory/pressure/some/avg60"),
                text("/state"),
            ]
        })
        .collect();
    say.table(&["NODE", "RAM", "HEADROOM", "SWAP", "BEHAVIOR", "PRESSURE", "STATE"], &rows);
    Ok(())
}

fn plain(v: &Value) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

/// A replication controller of 6 becomes pods, and the pods get nodes. Returns the pods' names.
pub(super) async fn replicate(stage: &Stage, say: &Narrator) -> DemoResult<BTreeSet<String>> {
    say.step("creating ReplicationController web: 6 pods, 64Mi asked, 150Mi used");
    let began = Instant::now();
    let rcs: Api<ReplicationController> = Api::default_namespaced(stage.client.clone());
    rcs.create(&PostParams::default(), &objects::replication_controller(6)?).await?;
    let pods = wait_ready(stage, 6).await?;
    say.line(&format!("6 pods ready after {:.1} s", began.elapsed().as_secs_f64()));
    show_placements(stage, say, &pods);
    verify_bound_once(stage, &pods)?;
    say.check("6 of 6 bound by headroom-scheduler, ready; the RC's status agrees");
    Ok(pods.iter().map(ResourceExt::name_any).collect())
}

/// The active pods of the app, when exactly `count` are ready and the controller's status agrees.
async fn wait_ready(stage: &Stage, count: usize) -> DemoResult<Vec<Pod>> {
    let pods: Api<Pod> = Api::default_namespaced(stage.client.clone());
    let rcs: Api<ReplicationController> = Api::default_namespaced(stage.client.clone());
    let params = ListParams::default().labels(&format!("app={APP}"));
    let what = format!("{count} ready pods");
    Ok(eventually(PATIENCE, &what, || async {
        let all = pods.list(&params).await.map_err(|e| e.to_string())?.items;
        let active: Vec<Pod> = all.into_iter().filter(|p| p.metadata.deletion_timestamp.is_none()).collect();
        let ready = active.iter().filter(|p| is_ready(p)).count();
        if active.len() != count || ready != count {
            return Err(format!("{} active pods, {ready} of them ready", active.len()));
        }
        let status = rcs.get_status(APP).await.map_err(|e| e.to_string())?.status.unwrap_or_default();
        if status.ready_replicas != i32::try_from(count).ok() {
            return Err(format!("the RC's status counts {:?} ready", status.ready_replicas));
        }
        Ok(active)
    })
    .await?)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn node_of(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default()
}

/// One line per pod: where it went and why, from the scheduler's own log of the decision.
fn show_placements(stage: &Stage, say: &Narrator, pods: &[Pod]) {
    let decisions = decisions(stage);
    let rows: Vec<Vec<String>> = pods
        .iter()
        .map(|pod| {
            let key = format!("default/{}", pod.name_any());
            let why = decisions.get(&key).map_or_else(|| "-".to_owned(), |d| d.why.clone());
            vec![pod.name_any(), node_of(pod), why]
        })
        .collect();
    say.table(&["POD", "NODE", "WHY"], &rows);
}

struct Placed {
    node: String,
    times: usize,
    why: String,
}

/// The scheduler's decisions by pod, from its JSON log.
fn decisions(stage: &Stage) -> BTreeMap<String, Placed> {
    let mut found: BTreeMap<String, Placed> = BTreeMap::new();
    for line in stage.scheduler.log().lines() {
        let Ok(v) = serde_json::from_str::<Value>(line) else { continue };
        if v["message"] != "placed" {
            continue;
        }
        let (pod, node) = (plain(&v["pod"]), plain(&v["node"]));
        let why = match &v["why"] {
            Value::String(why) => why.clone(),
            _ => format!("best of {} feasible nodes, total {}", v["feasible"], v["total"]),
        };
        let times = found.get(&pod).map_or(0, |p| p.times) + 1;
        found.insert(pod, Placed { node, times, why });
    }
    found
}

/// The scheduler decided each pod exactly once, and it is where it decided.
fn verify_bound_once(stage: &Stage, pods: &[Pod]) -> DemoResult {
    let decisions = decisions(stage);
    for pod in pods {
        let key = format!("default/{}", pod.name_any());
        let placed = decisions.get(&key).ok_or_else(|| format!("{key}: no decision in the scheduler's log"))?;
        if placed.node != node_of(pod) || placed.times != 1 {
            return Err(
                format!("{key}: decided {} times for {}, is on {}", placed.times, placed.node, node_of(pod)).into()
            );
        }
    }
    Ok(())
}

/// A service gets its Endpoints and EndpointSlices.
pub(super) async fn expose(stage: &Stage, say: &Narrator) -> DemoResult {
    say.step("creating Service web: its Endpoints and EndpointSlice follow");
    let services: Api<Service> = Api::default_namespaced(stage.client.clone());
    services.create(&PostParams::default(), &objects::service()?).await?;
    let addresses = wait_endpoints(stage, 6).await?;
    let list: Vec<&str> = addresses.iter().map(String::as_str).collect();
    say.line(&format!("Endpoints web, port 8080: {}", list[..3.min(list.len())].join(" ")));
    say.line(&format!("                          {}", list[3.min(list.len())..].join(" ")));
    say.check("Endpoints and EndpointSlices list exactly the 6 ready pods");
    Ok(())
}

/// The addresses, when both kinds list exactly those of the ready pods, `count` of them.
async fn wait_endpoints(stage: &Stage, count: usize) -> DemoResult<BTreeSet<String>> {
    let endpoints: Api<Endpoints> = Api::default_namespaced(stage.client.clone());
    let slices: Api<EndpointSlice> = Api::default_namespaced(stage.client.clone());
    let pods: Api<Pod> = Api::default_namespaced(stage.client.clone());
    let what = format!("{count} addresses in Endpoints and EndpointSlices");
    Ok(eventually(PATIENCE, &what, || async {
        let text = |e: kube::Error| e.to_string();
        let labels = ListParams::default().labels(&format!("app={APP}"));
        let wanted: BTreeSet<String> = pods
            .list(&labels)
            .await
            .map_err(text)?
            .into_iter()
            .filter(|p| p.metadata.deletion_timestamp.is_none() && is_ready(p))
            .filter_map(|p| p.status.and_then(|s| s.pod_ip))
            .collect();
        let in_endpoints: BTreeSet<String> = endpoints
            .get_opt(APP)
            .await
            .map_err(text)?
            .into_iter()
            .flat_map(|e| e.subsets.unwrap_or_default())
            .flat_map(|s| s.addresses.unwrap_or_default())
            .map(|a| a.ip)
            .collect();
        let labels = ListParams::default().labels(&format!("kubernetes.io/service-name={APP}"));
        let in_slices: BTreeSet<String> = slices
            .list(&labels)
            .await
            .map_err(text)?
            .into_iter()
            .flat_map(|s| s.endpoints.unwrap_or_default())
            .filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready == Some(true)))
            .flat_map(|e| e.addresses)
            .collect();
        if wanted.len() == count && in_endpoints == wanted && in_slices == wanted {
            Ok(wanted)
        } else {
            Err(format!(
                "{} ready pods, {} in Endpoints, {} in slices",
                wanted.len(),
                in_endpoints.len(),
                in_slices.len()
            ))
        }
    })
    .await?)
}

/// A node starts to thrash and gets no new pods.
pub(super) async fn thrash(stage: &Stage, say: &Narrator, before: &BTreeSet<String>) -> DemoResult {
    say.step(&format!("{THRASHING} thrashes: its tasks wait for memory half of the time"));
    stage.hollow.force_pressure(THRASHING, Some((60.0, 45.0)))?;
    let api: Api<NodeHeadroom> = Api::all(stage.client.clone());
    eventually(PATIENCE, "state Thrash of the node", || async {
        let v = api.get(THRASHING).await.map_err(|e| e.to_string())?;
        let state = serde_json::to_value(&v.status).map(|v| plain(&v["state"])).unwrap_or_default();
        if state == "Thrash" { Ok(()) } else { Err(format!("its state is {state}")) }
    })
    .await?;
    show_headrooms(&api, say).await?;
    say.step("scaling web to 10");
    scale(stage, 10).await?;
    let pods = wait_ready(stage, 10).await?;
    let new: Vec<Pod> = pods.into_iter().filter(|p| !before.contains(&p.name_any())).collect();
    show_placements(stage, say, &new);
    if let Some(wrong) = new.iter().find(|p| node_of(p) == THRASHING) {
        return Err(format!("{} was placed on the thrashing node", wrong.name_any()).into());
    }
    say.check(&format!("4 new pods, none on {THRASHING}"));
    Ok(())
}

async fn scale(stage: &Stage, replicas: i32) -> DemoResult {
    let rcs: Api<ReplicationController> = Api::default_namespaced(stage.client.clone());
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    rcs.patch(APP, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// A node dies: it is detected, its pods are evicted and replaced elsewhere, slices follow.
pub(super) async fn lose_a_node(stage: &Stage, say: &Narrator) -> DemoResult {
    let pods: Api<Pod> = Api::default_namespaced(stage.client.clone());
    let nodes: Api<Node> = Api::all(stage.client.clone());
    let labels = ListParams::default().labels(&format!("app={APP}"));
    let mut on: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods.list(&labels).await? {
        *on.entry(node_of(&pod)).or_default() += 1;
    }
    let (victim, carried) = on
        .into_iter()
        .filter(|(node, _)| node.starts_with("worker-") && node != THRASHING)
        .max_by_key(|(_, n)| *n)
        .ok_or("no worker carries a pod")?;
    say.step(&format!("{victim} dies, with {carried} of the 10 pods"));
    let began = Instant::now();
    let since = |t: Instant| format!("{:4.1} s", t.elapsed().as_secs_f64());
    stage.hollow.kill(&victim)?;
    eventually(PATIENCE, "the node's Ready condition to become Unknown", || async {
        let node = nodes.get(&victim).await.map_err(|e| e.to_string())?;
        let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|c| c.type_ == "Ready").map(|c| c.status).unwrap_or_default();
        if ready == "Unknown" { Ok(()) } else { Err(format!("Ready is {ready}")) }
    })
    .await?;
    say.line(&format!("after {}: Lease old, kubelet cannot be dialled: Ready Unknown", since(began)));
    eventually(PATIENCE, "the dead node's pods to be evicted", || async {
        let all = pods.list(&labels).await.map_err(|e| e.to_string())?;
        let left = all.iter().filter(|p| node_of(p) == victim && p.metadata.deletion_timestamp.is_none()).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} pods are not evicted")) }
    })
    .await?;
    say.line(&format!("after {}: its pods are evicted, as the rest can take them", since(began)));
    for note in held_back(stage, &victim).await? {
        say.line("              on the way, its event EvictionsHeldBack:");
        // Behind the parenthesis it names pods.
        let short = note.split(" (").next().unwrap_or_default();
        say.line(&format!("              {}", short.chars().take(60).collect::<String>()));
    }
    let alive = wait_ready(stage, 10).await?;
    say.line(&format!("after {}: 10 pods ready again", since(began)));
    if let Some(wrong) = alive.iter().find(|p| node_of(p) == victim || node_of(p).is_empty()) {
        return Err(format!("{} is on {:?}", wrong.name_any(), node_of(wrong)).into());
    }
    wait_endpoints(stage, 10).await?;
    say.line(&format!("after {}: Endpoints and EndpointSlices follow", since(began)));
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in &alive {
        rows.entry(node_of(pod)).or_default().push(pod.name_any());
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(node, pods)| vec![node, pods.len().to_string()]).collect();
    say.table(&["NODE", "PODS"], &rows);
    say.check("no pod on the dead node, 10 of 10 ready, traffic only to live ones");
    verify_no_cascade(stage, &victim, &alive).await?;
    say.check("no cascade: no other node began to thrash, no container was killed");
    Ok(())
}

/// What was said of pods that had to wait for room elsewhere.
async fn held_back(stage: &Stage, node: &str) -> DemoResult<Vec<String>> {
    let events: Api<Event> = Api::all(stage.client.clone());
    let of_node = ListParams::default().fields(&format!("involvedObject.name={node},reason=EvictionsHeldBack"));
    Ok(events.list(&of_node).await?.into_iter().filter_map(|e| e.message).collect())
}

/// The pods of a dead node must not drag the next one down.
async fn verify_no_cascade(stage: &Stage, dead: &str, pods: &[Pod]) -> DemoResult {
    let api: Api<NodeHeadroom> = Api::all(stage.client.clone());
    let others = || async {
        let all = headrooms(&api).await?;
        let is_other = |n: &NodeHeadroom| ![dead, THRASHING].contains(&n.name_any().as_str());
        Ok::<_, String>(all.into_iter().filter(is_other).collect::<Vec<_>>())
    };
    // Samples with the new pods in them: the next ones.
    let times = |all: &[NodeHeadroom]| -> Vec<Option<String>> {
        all.iter().map(|n| n.status.as_ref().and_then(|s| s.observed_at.clone())).collect()
    };
    let before = times(&others().await?);
    let sampled = eventually(PATIENCE, "another sample of each live node", || async {
        let all = others().await?;
        let newer = times(&all).iter().zip(&before).all(|(now, before)| now != before);
        if newer { Ok(all) } else { Err("some have none".to_owned()) }
    })
    .await?;
    for node in &sampled {
        let state = serde_json::to_value(&node.status).map(|v| plain(&v["state"]))?;
        if state == "Thrash" {
            return Err(format!("{} thrashes now", node.name_any()).into());
        }
    }
    for pod in pods {
        let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
        if let Some(killed) = statuses.into_iter().find(|c| c.restart_count > 0) {
            return Err(format!("container {} of {} was restarted", killed.name, pod.name_any()).into());
        }
    }
    Ok(())
}

/// What our processes used.
pub(super) fn account(stage: &Stage, say: &Narrator, took: Duration) -> DemoResult {
    say.step("what it took");
    let mut rows = Vec::new();
    for (name, process) in [("headroom-scheduler", &stage.scheduler), ("headroom-controllers", &stage.controllers)] {
        process.expect_running("the demo")?;
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        rows.push(vec![
            name.to_owned(),
            mib(process.rss()?),
            mib(process.peak_rss()?),
            format!("{} ms", process.cpu()?.as_millis()),
        ]);
    }
    say.table(&["PROCESS", "RSS", "PEAK", "CPU TIME"], &rows);
    say.note(&format!("{:.0} s in all; every step above was verified against the API server", took.as_secs_f64()));
    Ok(())
}
