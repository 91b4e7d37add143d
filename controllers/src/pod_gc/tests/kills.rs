//! The process is killed in the middle of a pass: its successor, which begins with a list and with every quarantine anew, leaves
//! the same behind.

use std::collections::BTreeMap;

use super::*;

/// What the API server has.
type Server = BTreeMap<ObjectKey, Pod>;

/// Periods without a write after which a process is done: longer than any quarantine.
const IDLE: u32 = 9;

fn server() -> Server {
    let pods = [
        pod("orphan").on("gone").phase(Phase::Running),
        pod("ended").on("gone").phase(Phase::Succeeded),
        pod("held")
            .on("gone")
            .phase(Phase::Running)
            .with(|p| p.meta.change_ending(|ending| ending.has_finalizers = true)),
        pod("evicted").on("dead").phase(Phase::Running).deleted(9),
        pod("unbound").phase(Phase::Pending).deleted(9),
        pod("runs").on("alive").phase(Phase::Running),
    ];
    pods.map(|p| (p.clone().build().meta.key, p.build())).into()
}

/// What is left there.
fn left(server: &Server) -> Vec<String> {
    let line = |p: &Pod| format!("{} {} {}", p.meta.key.name, p.status.phase.as_str(), p.meta.is_terminating());
    server.values().map(line).collect()
}

/// One process, until nothing is left to do or until its n-th write, which is done and not answered. Answers how many it made.
fn live(server: &mut Server, kill: usize) -> usize {
    let mut rig = rig(-1, vec![]);
    for row in server.values() {
        rig.pod(Arc::new(row.clone()));
    }
    rig.node(node("alive").arc());
    let dead = node("dead").taint("node.kubernetes.io/out-of-service", "", Effect::NoExecute);
    rig.node(dead.condition("Ready", Status::Unknown, 1).arc());
    rig.start();
    let (mut written, mut idle) = (0, 0);
    while idle < IDLE {
        rig.settle();
        let ops = rig.take();
        if ops.is_empty() {
            idle += 1;
            rig.advance(PERIOD);
            continue;
        }
        for (id, op) in ops {
            what(&op);
            let key = match &op {
                Op::Get { key, .. } => {
                    rig.answer(id, Err(WriteError::NotFound(key.name.to_string())));
                    continue;
                }
                Op::Patch { key, .. } => {
                    server.get_mut(key).unwrap().status.phase = Phase::Failed;
                    key
                }
                Op::Delete { key, .. } => {
                    let row = server.get_mut(key).unwrap();
                    row.meta.set_deleted(rig.now.wall);
                    row.meta.change_ending(|ending| ending.grace_seconds = Some(0));
                    if !row.meta.has_finalizers() {
                        server.remove(key);
                    }
                    key
                }
                other => panic!("unexpected {other:?}"),
            };
            (written, idle) = (written + 1, 0);
            if written == kill {
                return written;
            }
            match server.get(key) {
                Some(row) => rig.pod(Arc::new(row.clone())),
                None => rig.remove_pod(key),
            }
            rig.ok(id, "", 0);
        }
    }
    written
}

#[test]
fn a_kill_after_any_write_changes_nothing_in_the_end() {
    let mut calm = server();
    let writes = live(&mut calm, usize::MAX);
    assert_eq!(left(&calm), ["held Failed true", "runs Running false"]);
    assert_eq!(writes, 9, "four are marked, five deleted");
    for kill in 1..=writes {
        let mut server = server();
        assert_eq!(live(&mut server, kill), kill);
        live(&mut server, usize::MAX);
        assert_eq!(left(&server), left(&calm), "killed after write {kill}");
    }
}
