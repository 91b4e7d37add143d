//! What the documents tell people to type, typed: blocks marked `sh test` on the saved cluster in `examples`, blocks marked
//! `sh cluster` on a control plane with simulated nodes and both our processes, blocks marked `sh kubeadm` on one with the
//! stock components as kubeadm sets them up, blocks marked `sh helm` on one that has nothing, and blocks marked `sh files` in a
//! directory. Blocks marked `sh demo` are [`crate::demo`]'s. What is mentioned of Helm elsewhere is tried with the chart.
//!
//! A block `text output` right behind one is what it prints, to the letter. `make docs-output` (`HEADROOM_DOCS_WRITE=1`)
//! writes there what was printed instead of comparing, into `text sample` as well.

mod files;
pub(crate) mod helm;
mod kubeadm;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use crate::common::{
    LONG, PATIENT, control_plane_with_crds, create, hollow, measured, object, pod, pods, start_scheduler, wait_placed,
};
use headroom_docs::{
    blocks::{Block, Document, Mark, documents},
    root,
};
use headroom_e2e::{
    ControlPlane, Identity,
    control_plane::assets::{Assets, Component},
    eventually,
    helm::helm_binary,
    our_binary,
};
use k8s_openapi::api::core::v1::{ReplicationController, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;
use tokio::{process::Command, time::timeout};

/// In which a block has to end: some wait for a Deployment to be rolled out.
const BLOCK: Duration = Duration::from_secs(480);

/// Write what is printed into the documents.
const WRITE: &str = "HEADROOM_DOCS_WRITE";

/// The loops of our controllers on the live cluster: by default the first two.
const LOOPS: &str = "--controllers=node-headroom-controller,memory-profile-controller,replicationcontroller-controller,\
                     endpoints-controller,endpointslice-controller";

/// A directory with kubectl, Helm and our programs, before everything else on the path.
pub(crate) fn programs(kubectl: &Path, helm: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    symlink(kubectl, directory.path().join("kubectl")).unwrap();
    symlink(helm, directory.path().join("helm")).unwrap();
    for name in ["kubectl-headroom", "headroom-scheduler", "headroom-controllers"] {
        symlink(our_binary(name).unwrap(), directory.path().join(name)).unwrap();
    }
    directory
}

/// Runs a block in the root of the repository: what it printed on stdout, or what is wrong.
async fn run(block: &Block, programs: &Path, kubeconfig: &Path) -> Result<String, String> {
    let inherited = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command
        .args(["-eu", "-c", block.script().as_str()])
        .current_dir(root())
        .env("PATH", format!("{}:{inherited}", programs.display()))
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", programs)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(BLOCK, command.output()).await.map_err(|_| "it does not end".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let expected = block.statuses();
    if !output.status.code().is_some_and(|code| expected.contains(&code)) {
        return Err(format!("ended with {}, not one of {expected:?}:\n{out}{err}", output.status));
    }
    Ok(as_on_a_server(&out))
}

/// Without the name of the machine that tests: a process outside of a cluster calls itself `HOSTNAME_UUID` in its lease.
fn as_on_a_server(out: &str) -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => out.to_owned(),
        name => out.replace(&format!("{name}_"), "server-1_"),
    }
}

/// The document with something else in the block that begins at this line.
fn replaced(document: &Document, block: &Block, with: &str) -> String {
    let mut lines: Vec<&str> = document.text.lines().collect();
    let (first, count) = (block.line, block.text.lines().count());
    let _ = lines.splice(first..first + count, with.lines());
    lines.join("\n") + "\n"
}

/// Runs the blocks of a mark in all documents, and compares or writes what they print.
pub(crate) async fn run_all(mark: Mark, programs: &Path, kubeconfig: &Path) -> usize {
    let write = std::env::var_os(WRITE).is_some_and(|value| !value.is_empty());
    let (mut wrong, mut count) = (Vec::new(), 0);
    for mut document in documents(&root()).unwrap() {
        let blocks = document.blocks();
        // From the end, so that lines before stay where they are when something is written.
        let mut printed: Vec<(Block, String)> = Vec::new();
        for (i, block) in blocks.iter().enumerate().filter(|(_, block)| block.is_shell() && block.mark() == Ok(mark)) {
            count += 1;
            let at = format!("{}:{}", document.path.display(), block.line);
            let out = match run(block, programs, kubeconfig).await {
                Ok(out) => out,
                Err(said) => {
                    wrong.push(format!("{at}: {said}"));
                    continue;
                }
            };
            let Some(shown) = blocks.get(i + 1) else { continue };
            if write && (shown.is_output() || shown.is_sample()) {
                printed.push((shown.clone(), out));
            } else if shown.is_output() && trimmed(&shown.text) != trimmed(&out) {
                wrong.push(format!(
                    "{at}: prints something else than the document (`make docs-output` writes it):\n{out}"
                ));
            }
        }
        for (block, out) in printed.into_iter().rev() {
            document.text = replaced(&document, &block, &trimmed(&out));
            fs::write(root().join(&document.path), &document.text).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    count
}

/// Without spaces at the ends of lines, which editors take away.
fn trimmed(text: &str) -> String {
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn commands_on_the_saved_cluster_print_what_the_documents_show() {
    let helm = helm_binary().unwrap();
    let kubectl = Assets::from_env().unwrap().require(Component::Kubectl).unwrap();
    let programs = programs(&kubectl, &helm);
    // Nothing there: a command that asks a cluster fails.
    let count = run_all(Mark::Test, programs.path(), &programs.path().join("no-kubeconfig")).await;
    assert!(count > 0, "no document has a block marked `sh test`");
}

/// What the documents speak of: a namespace with two pods that are placed and one that fits nowhere, and a Service whose
/// two pods a ReplicationController has made.
async fn stage(cluster: &ControlPlane) {
    cluster.create_namespace("shop").await.unwrap();
    let pods = pods(cluster, "shop");
    for (name, request) in [("web-1", "96Mi"), ("web-2", "96Mi"), ("report", "1500Mi")] {
        let resources = json!({"requests": {"memory": request}});
        let spec = json!({"containers": [{"name": "c", "image": "registry.example/app", "resources": resources}]});
        create(&pods, &pod(name, spec)).await;
    }
    let client = cluster.admin_client();
    let app = json!({"app": "api"});
    let container =
        json!({"name": "c", "image": "registry.example/api", "resources": {"requests": {"memory": "64Mi"}}});
    let template = json!({"metadata": {"labels": app}, "spec": {"containers": [container]}});
    let api: ReplicationController = object(json!({
        "metadata": {"name": "api"}, "spec": {"replicas": 2, "selector": app, "template": template}}));
    let controllers: Api<ReplicationController> = Api::namespaced(client.clone(), "shop");
    controllers.create(&PostParams::default(), &api).await.unwrap();
    let service: Service =
        object(json!({"metadata": {"name": "api"}, "spec": {"selector": app, "ports": [{"port": 80}]}}));
    let services: Api<Service> = Api::namespaced(client.clone(), "shop");
    services.create(&PostParams::default(), &service).await.unwrap();
    wait_placed(&pods, 4).await;
    let slices: Api<EndpointSlice> = Api::namespaced(client, "shop");
    eventually(LONG, "both pods to serve", || async {
        let all = slices.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let ready = all.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let ready = ready.filter(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true)).count();
        if ready == 2 { Ok(()) } else { Err(format!("{ready} do")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn commands_on_a_live_cluster_do_what_the_documents_say() {
    let helm = helm_binary().unwrap();
    let cluster = control_plane_with_crds().await;
    let hollow = hollow(&cluster, "worker=3:1Gi:swap=2Gi").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let flags: Vec<&str> = PATIENT.iter().copied().chain([LOOPS, "--node-headroom-interval=1s", &trust]).collect();
    let controllers = cluster.start_headroom_controllers(&flags).unwrap();
    cluster.wait_healthy(&controllers, "/readyz", LONG).await.unwrap();
    measured(&cluster, 3).await;
    let _scheduler = start_scheduler(&cluster, crate::common::STOCK_LEASE, &[]).await;
    stage(&cluster).await;

    let kubectl: PathBuf = cluster.assets().require(Component::Kubectl).unwrap();
    let programs = programs(&kubectl, &helm);
    let kubeconfig = cluster.kubeconfig(&Identity::Admin).unwrap();
    let count = run_all(Mark::Cluster, programs.path(), &kubeconfig).await;
    assert!(count > 0, "no document has a block marked `sh cluster`");
    hollow.stop().await;
}
