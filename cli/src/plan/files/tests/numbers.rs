//! How many pods there are, and what is said of it.

use super::*;
use crate::redact::LAST_APPLIED;

#[test]
fn too_many_pods_are_refused_before_any_is_made() {
    let of = |replicas: &[u64]| {
        let one = |(number, replicas): (usize, &u64)| {
            format!(
                "kind: Deployment\nmetadata: {{name: d{number}}}\nspec: {{replicas: {replicas}, template: {{spec: \
                 {{containers: [{{name: c}}]}}}}}}\n"
            )
        };
        replicas.iter().enumerate().map(one).collect::<Vec<_>>().join("---\n")
    };
    let refused = |text: &str, replicas: Option<u64>| format!("{:#}", asked(text, "default", replicas).unwrap_err());
    let line = refused(&of(&[20_000, 20_000, 10_001, 1]), None);
    let expected = "with Deployment \"d2\" there are 50001 pods, and at most 50000 can be planned for: ";
    assert!(line.starts_with(expected) && !line.contains('\n'), "{line}");
    assert!(refused(&of(&[u64::MAX >> 1, u64::MAX >> 1, u64::MAX >> 1]), None).contains("at most 50000"));
    assert!(refused(&of(&[1, 1]), Some(25_001)).contains("there are 50002 pods"));
    let pod = "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c}]}\n";
    assert!(refused(pod, Some(50_001)).starts_with("with Pod \"p\" there are 50001 pods"));
    assert_eq!(number_of_pods(&json!({"kind": "DaemonSet", "spec": {"template": {}}}), Some(9)), 1);
    assert_eq!(number_of_pods(&json!({"kind": "Service"}), Some(9)), 0);
    assert!(asked(&of(&[2, 3]), "default", None).is_ok());
}

#[test]
fn daemons_count_on_every_node() {
    let daemon = |on: &str| {
        json!({"kind": "DaemonSet", "metadata": {"name": "d"},
               "spec": {"template": {"spec": {"nodeName": on}}}})
    };
    let pod = json!({"kind": "Pod", "metadata": {"name": "p"}});
    for (objects, nodes, sum) in [
        (vec![daemon("")], 50_000, None),
        (vec![daemon("")], 50_001, Some(50_001)),
        (vec![daemon(""), daemon("")], 25_001, Some(50_002)),
        (vec![daemon(""), pod], 50_000, Some(50_001)),
        // One that names its node has a pod there alone.
        (vec![daemon("a"), daemon("b")], 50_000, None),
        (vec![daemon("")], usize::MAX, Some(u64::MAX)),
    ] {
        let said = too_many(&objects, None, nodes);
        let expected = sum.map(|sum| format!(" there are {sum} pods, and at most 50000 can be planned for: "));
        assert_eq!(said.is_some(), expected.is_some(), "{said:?}");
        assert!(expected.is_none_or(|expected| said.unwrap().contains(&expected)), "{nodes}");
    }
}

#[test]
fn many_large_pods_are_refused_before_any_is_made() {
    let of = |replicas: u64, field: &str, bytes: usize| {
        let large = "x".repeat(bytes);
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"replicas": replicas, "template": {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}}});
        match field {
            "env" => {
                let env = json!([{"name": "E", "value": large}]);
                object["spec"]["template"]["spec"]["containers"][0]["env"] = env;
            }
            _ => object["spec"]["template"]["metadata"]["annotations"] = json!({"a": large}),
        }
        of_objects(vec![object], "default", None, &Cluster::default(), &Known::default())
    };
    // 200 of 1 MiB and a little.
    let line = format!("{:#}", of(200, "annotations", 1 << 20).unwrap_err());
    let expected = "with Deployment \"d\" there are pods of 201 MiB together, and at most 128 MiB can be planned for: ";
    assert!(line.starts_with(expected) && !line.contains('\n'), "{line}");
    for (replicas, field, bytes) in [(200, "env", 1 << 20), (2, "annotations", 1 << 20), (200, "annotations", 1 << 10)]
    {
        let asked = of(replicas, field, bytes).unwrap();
        assert_eq!(asked.pods.len() as u64, replicas, "{field} {bytes}");
    }
}

#[test]
fn numbers_that_are_not_in_the_file_are_said() {
    let there = |replicas: u64, applied: Option<&str>| {
        let metadata = json!({"name": "web", "namespace": "default", "annotations": {LAST_APPLIED: applied}});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}})
    };
    let three = Some(r#"{"spec":{"replicas":3}}"#);
    let kept = "1 workload without replicas in the file: as many pods are planned as in the cluster";
    let reset = "Deployment \"web\": without replicas, which was applied before: the API server makes it 1";
    for (objects, replicas, pods, notes) in [
        (vec![there(3, None)], None, 3, &[kept][..]),
        (vec![there(3, three)], None, 1, &[reset]),
        (vec![there(0, three)], None, 1, &[reset]),
        // It has one pod, and keeps it.
        (vec![there(1, three)], None, 1, &[]),
        (vec![there(1, None)], None, 1, &[]),
        (vec![], None, 1, &[]),
        (vec![there(3, three)], Some(2), 2, &[]),
    ] {
        let documents = documents(&scaled("Deployment", "web", "")).unwrap();
        let known = Known::of(&objects);
        let asked = of_objects(documents, "default", replicas, &Cluster::default(), &known).unwrap();
        assert_eq!(asked.pods.len(), pods, "{objects:?}");
        assert_eq!(asked.notes, notes, "{objects:?}");
    }
}

#[test]
fn daemons_of_a_node_that_is_not_there_are_said() {
    let node = json!({"kind": "Node", "metadata": {"name": "a"}});
    let inputs = Snapshot::from_objects([node]).inputs();
    let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
    let said = "DaemonSet \"d\": the node that the template names is not there, no pods are planned";
    for (named, notes) in [("a", &[][..]), ("''", &[]), ("nope", &[said])] {
        let text = scaled("DaemonSet", "d", "").replace("{spec: {", &format!("{{spec: {{nodeName: {named}, "));
        let asked = of_objects(documents(&text).unwrap(), "default", None, &cluster, &Known::default()).unwrap();
        assert_eq!(asked.daemons.len(), 1, "{named}");
        assert_eq!(asked.notes, notes, "{named}");
    }
}
