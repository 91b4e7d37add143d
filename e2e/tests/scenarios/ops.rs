//! What whoever runs the scheduler can ask a running process, and what it says by itself: a signal has it write down cache
//! and queue, and a configuration file that changes under it is told.

use crate::common::{
    LONG, STOCK_LEASE, asking, assert_nothing_forbidden, bound, caller, control_plane, create, get, node, pod, pods,
    reader_token, start_scheduler, wait_for_log, waiting,
};
use headroom_e2e::{Identity, RbacSet, Signal};
use serde_json::{Value, json};

const CHANGED: &str = "the configuration file has changed: restart to apply it";

#[tokio::test]
async fn a_signal_writes_the_state_down_and_a_changed_file_is_told() {
    let cluster = control_plane(RbacSet::Primary).await;
    let file = cluster.dir().join("ops.yaml");
    let write = |most: u32| {
        let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        std::fs::write(&file, format!("{head}podMaxBackoffSeconds: {most}\n")).unwrap();
    };
    write(11);
    let config = format!("--config={}", file.display());
    node(&cluster, "n1", json!({})).await;
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary", config.as_str()]).await;
    let pods = pods(&cluster, "default");
    create(&pods, &pod("runs", asking(json!({"cpu": "1", "memory": "1Gi"})))).await;
    bound(&pods, "runs").await;
    create(&pods, &pod("waits", asking(json!({"cpu": "100"})))).await;
    waiting(&pods, "waits", "Insufficient cpu").await;

    // Pods come after nodes.
    assert!(!scheduler.log().contains("cache and queue"), "nobody has asked");
    scheduler.signal(Signal::USR2).unwrap();
    wait_for_log(&scheduler, "pod default/waits: Unschedulable, ").await;
    let log = scheduler.log();
    for line in ["cache and queue", "node n1: 1 pods of 110, cpu 1000m of 4000m, memory 1073741824 of 8589934592"] {
        assert!(log.contains(line), "{line} is missing in\n{log}");
    }

    // It goes on with what it has read.
    assert!(!log.contains(CHANGED), "{log}");
    write(12);
    wait_for_log(&scheduler, CHANGED).await;
    let reader = caller(&cluster, &scheduler, Some(&reader_token(&cluster, "reader", &["/configz"]).await)).await;
    let configz: Value = serde_json::from_str(&get(&reader, "/configz").await.unwrap()).unwrap();
    assert_eq!(configz["componentconfig"]["podMaxBackoffSeconds"], 11, "{configz}");
    assert!(scheduler.terminate(LONG).await.unwrap().success());
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
}
