//! Another manager of the same nodes: who is yielded to, and who is not.

use super::*;
use crate::node_lifecycle::measure::YIELDED;

/// Three nodes, so many seconds after the beginning of our lead.
fn working(seconds: u64) -> Cluster {
    let mut c = Cluster::new(3);
    c.run(seconds);
    c.taken();
    c.rig.take_events();
    c
}

/// Somebody else taints a node, now; its kubelet writes it later than that.
fn taint_by(c: &mut Cluster, manager: &str) {
    c.rv += 1;
    let mut row = c.node_row("n1");
    row.meta.resource_version = c.rv;
    row.taints = [taint_of(&json!({"key": UNREACHABLE, "effect": "NoExecute"}))].into();
    let (now, later) = (c.rig.now.wall, c.rig.now.wall + Duration::from_secs(3));
    c.managed_fields = json!([
        {"manager": manager, "operation": "Update", "time": now.to_string(), "fieldsV1": {"f:spec": {"f:taints": {}}}},
        {"manager": "kubelet", "operation": "Update", "time": later.to_string(), "subresource": "status",
         "fieldsV1": {"f:status": {"f:conditions": {}}}},
    ]);
    c.rig.node(Arc::new(row));
}

fn yielded(c: &Cluster) -> bool {
    c.rig.controller.yielded().is_some()
}

#[test]
fn it_yields_to_a_manager_that_taints_its_nodes_and_says_so_once() {
    let mut c = working(40);
    taint_by(&mut c, "kube-controller-manager");
    c.run(1);
    let told = c.rig.take_events();
    let why = "YieldedToAnotherManager Node n1 was written by another manager, kube-controller-manager, at ";
    assert!(told.len() == 1 && told[0].starts_with(why), "{told:?}");
    assert!(told[0].contains("headroom-controllers stops its node-lifecycle-controller"), "{told:?}");
    assert!(yielded(&c));
    // What was under way when it found out.
    c.taken();
    c.kill("n2");
    c.run(200);
    assert_eq!((c.taken(), c.rig.take_events(), c.looks), (vec![], vec![], 1));
    assert_eq!(c.rig.controller.next_deadline(), None);
    let mut measured = Measurements::default();
    c.rig.controller.measure(&c.rig.world, &mut measured);
    assert_eq!(measured.texts(&YIELDED), ["=1"]);
}

#[test]
fn a_change_that_crosses_its_own_write_is_noticed() {
    let mut c = working(40);
    let mut row = c.node_row("n1");
    row.unschedulable = true;
    c.rig.node(Arc::new(row));
    c.rig.settle();
    let (id, op) = c.rig.take().remove(0);
    assert!(matches!(op, Op::Patch { .. }), "{op:?}");
    taint_by(&mut c, "k3s");
    c.rig.answer(id, Err(WriteError::Conflict("object has been modified".into())));
    c.run(1);
    assert!(yielded(&c));
}

#[test]
fn what_a_list_shows_together_with_its_own_write_is_no_occasion() {
    // The row of its own write never came: a list after it shows that, and what the cloud's loop of k3s took away since.
    let listed = |rv: u64| {
        let mut c = working(40);
        let mut row = c.node_row("n1");
        row.unschedulable = true;
        c.rig.node(Arc::new(row.clone()));
        c.rig.settle();
        let (id, _) = c.rig.take().remove(0);
        let ours = row.meta.resource_version + 5;
        c.rig.ok(id, "u", ours);
        row.meta.resource_version = ours + rv;
        row.taints = [taint_of(&json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}))].into();
        let now = c.rig.now.wall.to_string();
        c.managed_fields = json!([
            {"manager": "k3s", "operation": "Update", "time": now, "fieldsV1": {"f:spec": {"f:taints": {}}}},
        ]);
        c.rig.node(Arc::new(row.clone()));
        c.run(5);
        assert_eq!((yielded(&c), c.looks), (false, 0));
        (c, row)
    };
    for rv in [0, 1, 9] {
        let (mut c, mut row) = listed(rv);
        // What comes after that is somebody else's.
        row = Node { unschedulable: false, taints: Box::default(), ..row };
        row.meta.resource_version += 1;
        c.rig.node(Arc::new(row));
        c.run(5);
        assert_eq!((yielded(&c), c.looks), (true, 1), "{rv}");
    }
}

#[test]
fn nobody_else_is_yielded_to() {
    for manager in ["kubectl-taint", "headroom-controllers", "cloud-controller-manager"] {
        let mut c = working(40);
        taint_by(&mut c, manager);
        c.run(5);
        assert!(!yielded(&c) && c.looks == 1, "{manager}: {}", c.looks);
        assert_eq!(c.tainted(), 0, "{manager}: it is put right");
    }
    // A manager that was about to stop when ours began.
    let mut c = working(20);
    taint_by(&mut c, "kube-controller-manager");
    c.run(60);
    assert!(!yielded(&c) && c.looks == 0);
}

#[test]
fn what_others_write_of_nodes_is_no_occasion() {
    let mut c = working(40);
    let mut row = c.node_row("n1");
    c.rv += 1;
    row.meta.resource_version = c.rv;
    row.taints = [taint_of(&json!({"key": "example.com/mine", "effect": "NoExecute"}))].into();
    c.rig.node(Arc::new(row));
    c.post("n1", Status::False);
    c.run(20);
    assert_eq!((yielded(&c), c.looks), (false, 0));
}
