//! `kubectl headroom top` on a real API server, as people type it: the tables, what scripts read, and `--watch`.

use std::process::Stdio;

use crate::common::{LONG, PATIENT};
use headroom_api::NodeHeadroom;
use headroom_e2e::{ControlPlane, Identity, eventually, our_binary};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    process::Command,
    time::timeout,
};

fn top(cluster: &ControlPlane, arguments: &str) -> Command {
    let mut command = Command::new(our_binary("kubectl-headroom").unwrap());
    command.arg("top").args(arguments.split(' ')).arg("--kubeconfig");
    command.arg(cluster.kubeconfig(&Identity::Admin).unwrap());
    command.kill_on_drop(true);
    command
}

/// What it prints, when it succeeds.
async fn printed(cluster: &ControlPlane, arguments: &str) -> String {
    let output = timeout(LONG, top(cluster, arguments).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The next line with all of these words.
async fn line_with<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>, words: &[&str]) -> String {
    let search = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
        panic!("it ended before a line with {words:?}")
    };
    timeout(LONG, search).await.unwrap_or_else(|_| panic!("no line with {words:?}"))
}

#[tokio::test]
async fn nodes_and_pods_are_shown_and_changes_are_followed() {
    let cluster = crate::common::control_plane_with_crds().await;
    let hollow = crate::common::hollow(&cluster, "worker=2:1Gi:swap=2Gi").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let flags: Vec<&str> = PATIENT.iter().copied().chain(["--node-headroom-interval=1s", trust.as_str()]).collect();
    let controllers = cluster.start_headroom_controllers(&flags).unwrap();
    cluster.wait_healthy(&controllers, "/readyz", LONG).await.unwrap();

    // A pod, so that there is something to see of pods.
    let pods = crate::common::pods(&cluster, "default");
    let mut pod = crate::common::pod("web", json!({"nodeName": "worker-1"}));
    let annotations = [("hollow.headroom.dev/memory".to_owned(), "150Mi".to_owned())];
    pod.metadata.annotations = Some(annotations.into());
    pod.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
    crate::common::create(&pods, &pod).await;

    let headrooms: Api<NodeHeadroom> = Api::all(cluster.admin_client());
    eventually(LONG, "samples of both nodes, one with the pod", async || {
        let all = headrooms.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        let sampled = all.iter().filter_map(|n| n.status.as_ref()).filter(|s| s.observed_at.is_some());
        let (nodes, pods) = sampled.fold((0, 0), |(nodes, pods), s| (nodes + 1, pods + s.pods.len()));
        if nodes == 2 && pods == 1 { Ok(()) } else { Err(format!("{nodes} nodes, {pods} pods")) }
    })
    .await
    .unwrap();

    let table = printed(&cluster, "nodes").await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("worker-1 ") && lines[2].starts_with("worker-2 "), "{table}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{table}");
    let pod_table = printed(&cluster, "pods -n default").await;
    assert!(pod_table.lines().nth(1).is_some_and(|line| line.contains("web") && line.contains("Mi")), "{pod_table}");
    for (arguments, found) in [
        ("pods -n default -l app=web", true),
        ("pods -n default -l app=none", false),
        ("pods -n kube-system -l app=web", false),
        ("pods -A -l app=web", true),
    ] {
        let selected = printed(&cluster, arguments).await;
        assert_eq!(selected.contains("web"), found, "{arguments}: {selected}");
    }
    let json: Value = serde_json::from_str(&printed(&cluster, "nodes worker-1 -o json").await).unwrap();
    assert!(json.to_string().contains("worker-1") && !json.to_string().contains("worker-2"), "{json}");

    // What changes becomes a line, and a node that goes is named.
    let mut following = top(&cluster, "nodes --watch").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut err = BufReader::new(following.stderr.take().unwrap()).lines();
    line_with(&mut out, &["worker-2"]).await;
    hollow.force_pressure("worker-1", Some((60.0, 45.0))).unwrap();
    line_with(&mut out, &["worker-1", "Thrash"]).await;
    hollow.kill("worker-2").unwrap();
    headrooms.delete("worker-2", &DeleteParams::default()).await.unwrap();
    line_with(&mut err, &["worker-2", "is gone"]).await;
    assert!(following.try_wait().unwrap().is_none(), "it goes on");

    // A name that does not exist is told in one line.
    let output = timeout(LONG, top(&cluster, "nodes nowhere").output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.lines().count() == 1 && said.contains("nowhere"), "{said}");

    following.kill().await.unwrap();
    hollow.stop().await;
}
