//! What the documents tell people to type, typed: blocks marked `sh test` on the saved cluster in `examples`, blocks marked
//! `sh cluster` on a control plane with simulated nodes and both our processes.
//!
//! A block `text output` right behind one is what it prints, to the letter. `make docs-output` (`HEADROOM_DOCS_WRITE=1`)
//! writes there what was printed instead of comparing, into `text sample` as well.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::common::{
    LONG, PATIENT, control_plane_with_crds, create, hollow, measured, pod, pods, start_scheduler, wait_placed,
};
use headroom_docs::{
    blocks::{Block, Document, Mark, documents},
    root,
};
use headroom_e2e::{
    ControlPlane, Identity,
    control_plane::assets::{Assets, Component},
    our_binary,
};
use serde_json::json;
use tokio::{process::Command, time::timeout};

/// Write what is printed into the documents.
const WRITE: &str = "HEADROOM_DOCS_WRITE";

/// A directory with kubectl and our programs, before everything else on the path.
fn programs(kubectl: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    symlink(kubectl, directory.path().join("kubectl")).unwrap();
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
        .args(["-eu", "-c", block.text.as_str()])
        .current_dir(root())
        .env("PATH", format!("{}:{inherited}", programs.display()))
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", programs)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LONG, command.output()).await.map_err(|_| "it does not end".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() != Some(block.status()) {
        return Err(format!("ended with {}, not {}:\n{out}{err}", output.status, block.status()));
    }
    Ok(out.into_owned())
}

/// The document with something else in the block that begins at this line.
fn replaced(document: &Document, block: &Block, with: &str) -> String {
    let mut lines: Vec<&str> = document.text.lines().collect();
    let (first, count) = (block.line, block.text.lines().count());
    let _ = lines.splice(first..first + count, with.lines());
    lines.join("\n") + "\n"
}

/// Runs the blocks of a mark in all documents, and compares or writes what they print.
async fn run_all(mark: Mark, programs: &Path, kubeconfig: &Path) -> usize {
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
    let kubectl = Assets::from_env().unwrap().require(Component::Kubectl).unwrap();
    let programs = programs(&kubectl);
    // Nothing there: a command that asks a cluster fails.
    let count = run_all(Mark::Test, programs.path(), &programs.path().join("no-kubeconfig")).await;
    assert!(count > 0, "no document has a block marked `sh test`");
}

/// What the documents speak of: a namespace with two pods that are placed and one that fits nowhere.
async fn stage(cluster: &ControlPlane) {
    cluster.create_namespace("shop").await.unwrap();
    let pods = pods(cluster, "shop");
    for (name, request) in [("web-1", "96Mi"), ("web-2", "96Mi"), ("report", "1500Mi")] {
        let resources = json!({"requests": {"memory": request}});
        let spec = json!({"containers": [{"name": "c", "image": "registry.example/app", "resources": resources}]});
        create(&pods, &pod(name, spec)).await;
    }
    wait_placed(&pods, 2).await;
}

#[tokio::test]
async fn commands_on_a_live_cluster_do_what_the_documents_say() {
    let cluster = control_plane_with_crds().await;
    let hollow = hollow(&cluster, "worker=3:1Gi:swap=2Gi").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let flags: Vec<&str> = PATIENT.iter().copied().chain(["--node-headroom-interval=1s", trust.as_str()]).collect();
    let controllers = cluster.start_headroom_controllers(&flags).unwrap();
    cluster.wait_healthy(&controllers, "/readyz", LONG).await.unwrap();
    measured(&cluster, 3).await;
    let _scheduler = start_scheduler(&cluster, crate::common::STOCK_LEASE, &[]).await;
    stage(&cluster).await;

    let kubectl: PathBuf = cluster.assets().require(Component::Kubectl).unwrap();
    let programs = programs(&kubectl);
    let kubeconfig = cluster.kubeconfig(&Identity::Admin).unwrap();
    let count = run_all(Mark::Cluster, programs.path(), &kubeconfig).await;
    assert!(count > 0, "no document has a block marked `sh cluster`");
    hollow.stop().await;
}
