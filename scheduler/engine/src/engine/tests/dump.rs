//! What SIGUSR2 has the process write.

use headroom_core::testing::{node, pod};

use super::*;

#[test]
fn nodes_and_then_the_pods_of_the_queue_by_name() {
    let mut s = Simulator::new(Mode::Primary);
    s.node(node("n2").capacity("4", "4Gi", 110).build());
    s.node(node("n1").capacity("2", "1Gi", 10).build());
    s.pod(pod("runs").on("n2").requests("1500m", "1Gi").build());
    s.pod(pod("waits").requests("9", "1Gi").build());
    s.pod(pod("gated").gate("example.com/wait").build());
    s.run();
    s.pod(pod("comes").build());
    assert_eq!(
        s.engine.dump().lines().collect::<Vec<_>>(),
        [
            "node n1: 0 pods of 10, cpu 0m of 2000m, memory 0 of 1073741824",
            "node n2: 1 pods of 110, cpu 1500m of 4000m, memory 1073741824 of 4294967296",
            "pod default/comes: Active, 0 attempts, rejected by []",
            "pod default/gated: Unschedulable, 0 attempts, rejected by [\"SchedulingGates\"]",
            "pod default/waits: Unschedulable, 1 attempts, rejected by [\"NodeResourcesFit\"]",
        ]
    );
}

#[test]
fn a_dump_is_bounded() {
    let mut s = Simulator::new(Mode::Primary);
    for i in 0..1010 {
        s.node(node(&format!("n{i:04}")).build());
        s.pod(pod(&format!("p{i:04}")).gate("example.com/wait").build());
    }
    let text = s.engine.dump();
    let lines = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
    assert_eq!((lines("node "), lines("pod "), text.lines().count()), (1000, 1000, 2000));
    assert!(text.contains("node n0999:") && !text.contains("node n1000:"));
}
