//! The live cluster, as far as canned answers go: rights that are missing, and clusters of which nothing can be said.

use serde_json::json;

use super::*;
use crate::{
    reach,
    testkit::{Asked, FakeServer, block_on, kubeconfig, refusal},
};

const FORBIDDEN: &str = "nodes is forbidden: User \"u\" cannot list resource \"nodes\" in API group \"\"";

/// What comes of it where lists are answered so: the exit status, or the one line that is said.
fn asked(answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static, args: &[&str]) -> Result<String, String> {
    let server = FakeServer::new(answer);
    let file = kubeconfig(&server.url);
    let path = format!("--kubeconfig={}", file.path().display());
    let options = options(&[args, &[path.as_str()]].concat());
    let result = block_on(run(&options, Registry::in_tree));
    result.map(|code| format!("{code:?}")).map_err(|error| {
        let line = reach::line(&error, options.connection().server());
        assert!(!line.contains('\n'), "{line}");
        line
    })
}

fn exit(code: u8) -> Result<String, String> {
    Ok(format!("{:?}", ExitCode::from(code)))
}

/// One node, and nothing else.
fn one_node(asked: &Asked) -> Value {
    let resources = json!({"cpu": "2", "memory": "4Gi", "pods": "110"});
    let node =
        json!({"metadata": {"name": "a", "uid": "a"}, "status": {"capacity": resources, "allocatable": resources}});
    if asked.path.starts_with("/api/v1/nodes?") { json!({"items": [node]}) } else { json!({"items": []}) }
}

#[test]
fn without_the_right_to_list_nodes_nothing_can_be_said() {
    for args in [&[][..], &["--remove", "a"], &["--cheapest", "--catalog", "home"]] {
        let line = asked(|_| refusal(403, FORBIDDEN), args).unwrap_err();
        assert_eq!(line, format!("cannot list nodes: {FORBIDDEN}; {}", reach::RIGHT));
    }
    let line = asked(|_| refusal(401, "Unauthorized"), &[]).unwrap_err();
    assert!(
        line.starts_with("cannot list nodes: http://127.0.0.1:") && line.contains("does not know who asks"),
        "{line}"
    );
}

#[test]
fn other_rights_are_done_without() {
    let only_nodes_and_pods = |asked: &Asked| match asked.path.split('?').next() {
        Some("/api/v1/nodes" | "/api/v1/pods") => (200, one_node(asked)),
        _ => refusal(403, "forbidden"),
    };
    assert_eq!(asked(only_nodes_and_pods, &[]), exit(0));
    // Without our resources as well.
    let without_crds = |asked: &Asked| {
        if asked.path.contains("headroom.dev") { refusal(404, "not found") } else { (200, one_node(asked)) }
    };
    assert_eq!(asked(without_crds, &["-o", "json"]), exit(0));
}

#[test]
fn after_rightsize_templates_are_read_as_a_snapshot_has_them() {
    for (args, expected) in [(&[][..], 0), (&["--after-rightsize"][..], 3)] {
        let server = FakeServer::new(|asked| (200, one_node(asked)));
        let file = kubeconfig(&server.url);
        let path = format!("--kubeconfig={}", file.path().display());
        block_on(run(&options(&[args, &[path.as_str()]].concat()), Registry::in_tree)).unwrap();
        let templates = ["/apps/v1/deployments?", "/apps/v1/daemonsets?", "/batch/v1/cronjobs?"];
        let all = server.asked();
        let read = templates.iter().filter(|template| all.iter().any(|asked| asked.path.contains(**template))).count();
        assert_eq!(read, expected, "{args:?}");
    }
    let forbidden = |asked: &Asked| match asked.path.split('?').next() {
        Some(path) if path.ends_with("/deployments") => refusal(403, "forbidden"),
        _ => (200, one_node(asked)),
    };
    assert_eq!(asked(forbidden, &["--after-rightsize"]), exit(0));
}

#[test]
fn a_cluster_without_nodes_is_said_to_have_none_whatever_is_asked() {
    for args in [&[][..], &["--remove", "a"], &["--cheapest", "--catalog", "home", "--keep", "a"]] {
        let line = asked(|_| (200, json!({"items": []})), args).unwrap_err();
        assert_eq!(line, "there are no nodes: nothing to plan", "{args:?}");
    }
}

#[test]
fn a_node_that_is_not_there_is_told_with_those_that_are() {
    assert_eq!(asked(|asked| (200, one_node(asked)), &["--remove", "b"]), exit(3));
    let said = |names: usize, args: &[&str]| {
        let nodes = (1..=names).map(|number| json!({"kind": "Node", "metadata": {"name": format!("n{number:02}")}}));
        let inputs = Snapshot::from_objects(nodes).inputs();
        let cluster = Cluster::new(inputs, &Scheduler::standard(), snapshot::now(clock::wall()));
        no_such_node(&options(args), &cluster)
    };
    let line = "there is no node \"x\": there are n01, n02";
    for args in [&["--remove", "n01", "--remove", "x"][..], &["--resize", "x=small"], &["--cheapest", "--keep", "x"]] {
        assert_eq!(said(2, args).as_deref(), Some(line), "{args:?}");
    }
    assert!(said(12, &["--remove", "x"]).unwrap().ends_with("n09, n10 and 2 more"));
    assert_eq!((said(2, &["--remove", "n02"]), said(0, &["--remove", "x"])), (None, None));
    let args = ["--remove", "x", "--snapshot", "c.yaml"];
    assert_eq!(said(1, &args).unwrap(), "there is no node \"x\" in c.yaml: there are n01");
}
