//! Files in, pods out.

mod numbers;

use headroom_core::Now;
use headroom_planner::{Scheduler, cluster::workload};
use serde_json::json;

use super::*;

/// What a text asks of a cluster that has nothing.
fn asked(text: &str, namespace: &str, replicas: Option<u64>) -> anyhow::Result<Asked> {
    of_objects(documents(text)?, namespace, replicas, &Cluster::default(), &Known::default())
}

const APP: &str = "
# what helm template prints
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, resources: {requests: {memory: 64Mi}}}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  template: {spec: {containers: [{name: c}]}}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec: {template: {spec: {containers: [{name: c}]}}}
";

#[test]
fn workloads_become_pods() {
    let asked = asked(APP, "default", None).unwrap();
    let keys: Vec<String> = asked.pods.iter().map(|pod| pod.meta.key.to_string()).collect();
    assert_eq!(keys, ["shop/web-0", "shop/web-1", "default/db-0"]);
    let web = workload(&asked.pods[0]).unwrap();
    assert_eq!((web.kind.as_str(), web.name.as_str()), ("Deployment", "web"));
    assert_eq!((asked.daemons.len(), asked.others.len(), asked.notes.len()), (1, 1, 0));
    assert!(asked.pods[2].spec.has_claims());
    assert_eq!(self::asked(APP, "default", Some(5)).unwrap().pods.len(), 10);
}

#[test]
fn hooks_of_helm_are_left_out_and_counted() {
    let pod = |name: &str, hook: &str| {
        format!(
            "kind: Pod\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: {hook}}}}}\nspec: {{containers: \
             [{{name: c}}]}}\n---\n"
        )
    };
    let hooks = [("a", "test"), ("b", "'pre-install,pre-upgrade'"), ("c", "post-delete"), ("d", "''"), ("e", "1")];
    let left: String = hooks.iter().map(|(name, hook)| pod(name, hook)).collect();
    let kept = pod("f", "crd-install");
    let asked = self::asked(&format!("{left}{kept}{APP}"), "default", None).unwrap();
    let names: Vec<&str> = asked.pods.iter().map(|pod| pod.meta.key.name.as_str()).collect();
    assert_eq!(names, ["f", "web-0", "web-1", "db-0"]);
    let why = "Helm makes hooks (helm.sh/hook) before or after a change or as tests, and not to stay";
    assert_eq!(asked.notes, [format!("5 objects left out: {why}")]);
    let nothing = format!("{:#}", self::asked(&pod("a", "test"), "default", None).unwrap_err());
    assert_eq!(nothing, format!("nothing to place: 1 object left out: {why}"));
}

#[test]
fn nodes_are_left_out_and_counted() {
    let node = "kind: Node\nmetadata: {name: a}\nstatus: {allocatable: {cpu: '64', memory: 64Gi, pods: '110'}}\n---\n";
    let measured = "apiVersion: headroom.dev/v1alpha1\nkind: NodeHeadroom\nmetadata: {name: a}\n---\n";
    let foreign = "apiVersion: longhorn.io/v1beta2\nkind: Node\nmetadata: {name: a}\n---\n";
    let asked = self::asked(&format!("{node}{measured}{foreign}{APP}"), "default", None).unwrap();
    let why = "nodes are not planned from files (--add and --resize do that)";
    assert_eq!(asked.notes, [format!("2 objects left out: {why}")]);
    assert_eq!((asked.pods.len(), asked.others.len()), (3, 1), "the claim of the StatefulSet");
    let nothing = format!("{:#}", self::asked(node, "default", None).unwrap_err());
    assert_eq!(nothing, format!("nothing to place: 1 object left out: {why}"));
}

#[test]
fn of_several_files_each_is_named_where_it_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let pod = |name: &str| format!("kind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c}}]}}\n");
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), pod("first")).unwrap();
    write("b.yaml", &pod("third"));
    write("a.yaml", &pod("second"));
    let paths = [other.path().to_owned(), directory.path().to_owned()];
    let asked = || super::asked(&paths, "default", None, &Cluster::default(), &Known::default());
    let pods = asked().unwrap().pods;
    let names: Vec<&str> = pods.iter().map(|pod| pod.meta.key.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);
    let values = write("values.yaml", "replicas: 3\n");
    let expected = format!("-f {}: a document without kind: expected Kubernetes objects", values.display());
    assert_eq!(format!("{:#}", asked().unwrap_err()), expected);
    let nothing = write("none.json", "{\"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"c\"}}");
    let twice = [nothing.clone(), nothing.clone()];
    let line = super::asked(&twice, "default", None, &Cluster::default(), &Known::default()).unwrap_err();
    let twice = format!("-f {0} -f {0}: nothing to place: nothing in it makes pods", nothing.display());
    assert_eq!(format!("{line:#}"), twice);
}

#[test]
fn what_asks_for_nothing_gets_one_line() {
    for (text, expected) in [
        ("kind: ConfigMap\nmetadata: {name: c}\n", "nothing in it makes pods"),
        ("a: [", "not valid YAML or JSON"),
        ("a: b", "a document without kind"),
        ("kind: Pod\nmetadata: [a]\n", "Pod \"\": metadata is no mapping"),
        (
            "kind: Deployment\nspec: {template: {metadata: {labels: a}, spec: {containers: []}}}\n",
            "Deployment \"\": spec.template.metadata.labels is no mapping",
        ),
        ("kind: StatefulSet\nspec: {template: {spec: a}}\n", "StatefulSet \"\": spec.template.spec is no mapping"),
        ("kind: List\nitems: [{kind: Pod, metadata: a}]\n", "Pod \"\": metadata is no mapping"),
        ("", "nothing in it makes pods"),
    ] {
        let line = format!("{:#}", asked(text, "default", None).unwrap_err());
        assert!(line.contains(expected) && !line.contains('\n'), "{text:?}: {line}");
    }
}

#[test]
fn numbers_of_pods_that_the_api_server_refuses_are_said() {
    let expected = "expected a whole number, 0 or more";
    for (text, line) in [
        (scaled("Deployment", "web", "replicas: '3',"), "Deployment \"web\": spec.replicas is \"3\""),
        (scaled("StatefulSet", "db", "replicas: -1,"), "StatefulSet \"db\": spec.replicas is -1"),
        (scaled("ReplicaSet", "web", "replicas: 1.5,"), "ReplicaSet \"web\": spec.replicas is 1.5"),
        (scaled("Job", "j", "parallelism: 2, completions: true,"), "Job \"j\": spec.completions is true"),
        (cron("c", "", "parallelism: -2,"), "CronJob \"c\": spec.jobTemplate.spec.parallelism is -2"),
        (
            scaled("Job", "j", "parallelism: '2',").replace("{name: j}", "{generateName: j-}"),
            "Job \"j-\": spec.parallelism is \"2\"",
        ),
    ] {
        // What --replicas replaces has to be right as well.
        for replicas in [None, Some(2)] {
            let said = format!("{:#}", asked(&text, "default", replicas).unwrap_err());
            assert_eq!(said, format!("{line}: {expected}"));
        }
    }
    let list = json!({"kind": "List", "items": [{"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web"}, "spec": {"replicas": "3", "template": {"spec": {"containers": []}}}}]});
    let said = format!("{:#}", asked(&list.to_string(), "default", None).unwrap_err());
    assert_eq!(said, format!("Deployment \"web\": spec.replicas is \"3\": {expected}"));
    // kubectl makes a 3 of it; and what is null is not given.
    for (replicas, pods) in [("replicas: 3.0,", 3), ("replicas: null,", 1), ("replicas: 0.0,", 0)] {
        let asked = self::asked(&scaled("Deployment", "web", replicas), "default", None).unwrap();
        assert_eq!(asked.pods.len(), pods, "{replicas}");
    }
    // A Service has its own fields of these names, and a DaemonSet has none.
    let other = "kind: Service\nmetadata: {name: s}\nspec: {replicas: a}\n---\n";
    let daemon = scaled("DaemonSet", "d", "replicas: a,");
    assert_eq!(asked(&format!("{other}{daemon}"), "default", None).unwrap().daemons.len(), 1);
}

#[test]
fn json_and_lists_are_read_as_well() {
    let pod = r#"{"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}"#;
    assert_eq!(asked(pod, "ns", Some(2)).unwrap().pods.len(), 2);
    let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{pod}]}}"#);
    assert_eq!(asked(&list, "ns", None).unwrap().pods[0].meta.key.to_string(), "ns/p");
}

/// A workload without anything but its name, kind and number of pods.
fn scaled(kind: &str, name: &str, replicas: &str) -> String {
    let group = if kind == "Job" { "batch" } else { "apps" };
    format!(
        "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{replicas} template: {{spec: \
         {{containers: [{{name: c}}]}}}}}}\n---\n"
    )
}

fn names(asked: &Asked) -> Vec<&str> {
    asked.pods.iter().map(|pod| pod.meta.key.name.as_str()).collect()
}

#[test]
fn of_what_is_given_again_the_last_one_counts() {
    let (two, three) = (scaled("Deployment", "web", "replicas: 2,"), scaled("Deployment", "web", "replicas: 3,"));
    let other = scaled("StatefulSet", "db", "");
    let asked = self::asked(&format!("{two}{other}{three}"), "default", None).unwrap();
    assert_eq!(names(&asked), ["db-0", "web-0", "web-1", "web-2"]);
    assert_eq!(asked.notes, ["Deployment \"web\" is given more than once: the last one counts"]);
    // A namespace that is named and the one that is meant are one; others are others, as are other groups.
    let named = |namespace: &str| two.replace("{name: web}", &format!("{{name: web, namespace: {namespace}}}"));
    let foreign = two.replace("apps/v1", "example.com/v1");
    for (text, pods, notes) in [
        (format!("{two}{}", named("default")), 2, 1),
        (format!("{two}{}", named("shop")), 4, 0),
        (format!("{two}{foreign}"), 4, 0),
        (two.repeat(3), 2, 1),
    ] {
        let asked = self::asked(&text, "default", None).unwrap();
        assert_eq!((asked.pods.len(), asked.notes.len()), (pods, notes), "{text}");
    }
    let many: String = (0..7).map(|number| scaled("Deployment", &format!("d{number}"), "")).collect();
    let asked = self::asked(&many.repeat(2), "default", None).unwrap();
    let list =
        "Deployment \"d0\", Deployment \"d1\", Deployment \"d2\", Deployment \"d3\", Deployment \"d4\" and 2 more";
    let said = format!("7 objects are given more than once, of each the last one counts: {list}");
    assert_eq!((asked.pods.len(), asked.notes), (7, vec![said]));
}

#[test]
fn objects_without_a_name_get_one_of_their_own_as_it_begins() {
    let generated = |text: &str| text.replace("{name: zz}", "{generateName: zz-}");
    let job = scaled("Job", "zz", "parallelism: 2, completions: 2,");
    let pod = "kind: Pod\nmetadata: {name: zz}\nspec: {containers: [{name: c}]}\n---\n";
    let asked = self::asked(&generated(&job).repeat(2), "default", None).unwrap();
    assert_eq!((names(&asked), asked.notes.len()), (vec!["zz-0-0", "zz-0-1", "zz-1-0", "zz-1-1"], 0));
    let workloads: Vec<&str> = asked.workloads.iter().map(|name| name.name.as_str()).collect();
    assert_eq!(workloads, ["zz-0", "zz-1"]);
    // Next to one that has the name already, here or in the cluster.
    let named = pod.replace("{name: zz}", "{name: zz-1}");
    let pods = format!("{}{named}", generated(pod).repeat(2));
    assert_eq!(names(&self::asked(&pods, "default", None).unwrap()), ["zz-0", "zz-2", "zz-1"]);
    let there = json!({"kind": "Pod", "metadata": {"name": "zz-0", "namespace": "default", "uid": "u"},
                       "spec": {"containers": [{"name": "c"}]}});
    let inputs = Snapshot::from_objects([there]).inputs();
    let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
    let objects = documents(&generated(pod)).unwrap();
    let beside = of_objects(objects, "default", None, &cluster, &Known::default()).unwrap();
    assert_eq!(names(&beside), ["zz-1"]);
    // A name that is given counts.
    let both = pod.replace("{name: zz}", "{name: p, generateName: zz-}");
    assert_eq!(names(&self::asked(&both, "default", None).unwrap()), ["p"]);
}

#[test]
fn workloads_of_one_name_have_pods_of_their_own() {
    let job = scaled("Job", "web", "parallelism: 2, completions: 2,");
    let all = [job, scaled("Deployment", "web", "replicas: 2,"), scaled("StatefulSet", "web", "")].concat();
    let asked = self::asked(&all, "default", None).unwrap();
    assert_eq!(names(&asked), ["web-job-0", "web-1", "web-deployment-0", "web-deployment-1", "web-0"]);
    let uids: BTreeSet<&str> = asked.pods.iter().map(|pod| pod.meta.uid.as_str()).collect();
    assert_eq!(uids.len(), 5);
    // Pods that are asked for several times are numbered as well.
    let pod = "kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c}]}\n---\n";
    let asked = self::asked(&format!("{}{pod}", scaled("Deployment", "web", "")), "default", Some(2)).unwrap();
    assert_eq!(names(&asked), ["web-0", "web-1", "web-pod-0", "web-pod-1"]);
    // Ordinals are part of the names of a StatefulSet.
    let text = scaled("StatefulSet", "db", "replicas: 2, ordinals: {start: 3},");
    assert_eq!(names(&self::asked(&text, "default", None).unwrap()), ["db-3", "db-4"]);
}

#[test]
fn pods_that_are_asked_for_several_times_take_no_names_of_the_cluster() {
    let there = |name: &str, owners: Value| {
        json!({"kind": "Pod", "metadata": {"name": name, "namespace": "default", "uid": name, "ownerReferences": owners},
               "spec": {"containers": [{"name": "c"}], "nodeName": "a"}})
    };
    let set = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "s", "controller": true}]);
    let running = [there("web-0", set.clone()), there("web-1", set)];
    let pod = "kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c}]}\n---\n";
    let beside = format!("{}{pod}", scaled("StatefulSet", "web", ""));
    for (objects, text, replicas, expected) in [
        (&[][..], pod, Some(3), &["web-0", "web-1", "web-2"][..]),
        (&running, pod, Some(3), &["web-pod-0", "web-pod-1", "web-2"]),
        (&[there("web-1", json!([]))], pod, Some(2), &["web-0", "web-pod-1"]),
        // One that is asked for once is the one of its name.
        (&[there("web", json!([]))], pod, Some(1), &["web"]),
        (&[there("web", json!([]))], pod, None, &["web"]),
        // What the file replaces makes room; its StatefulSet has its names whatever comes first.
        (&running, &beside, Some(2), &["web-0", "web-1", "web-pod-0", "web-pod-1"]),
    ] {
        let inputs = Snapshot::from_objects(objects.iter().cloned()).inputs();
        let cluster = Cluster::new(inputs, &Scheduler::standard(), Now::at_secs(1_800_000_000));
        let asked = of_objects(documents(text).unwrap(), "default", replicas, &cluster, &Known::default()).unwrap();
        assert_eq!(names(&asked), expected, "{replicas:?} {text}");
    }
}

#[test]
fn pods_that_were_there_are_made_anew() {
    let pod = json!({"kind": "Pod", "metadata": {"name": "p", "uid": "u", "deletionTimestamp": "2026-11-29T10:00:00Z"},
                     "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Succeeded"}});
    let asked = self::asked(&pod.to_string(), "default", Some(2)).unwrap();
    assert_eq!(names(&asked), ["p-0", "p-1"]);
    assert!(asked.pods.iter().all(|pod| pod.is_active() && pod.meta.uid != "u"));
    assert_ne!(asked.pods[0].meta.uid, asked.pods[1].meta.uid);
}

#[test]
fn pods_have_the_priority_of_their_class() {
    let class = |name: &str, value: i64, more: &str| {
        format!(
            "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {{name: {name}}}\nvalue: \
             {value}\n{more}\n---\n"
        )
    };
    let of = |name: &str, class: &str| {
        let spec = format!("template: {{spec: {{priorityClassName: {class}, ");
        scaled("Deployment", name, "").replace("template: {spec: {", &spec)
    };
    let pods = [of("a", "mine"), of("b", "system-cluster-critical"), of("c", "none"), of("d", "lost"), of("e", "''")];
    let text = format!("{}{}{}", class("mine", 7, ""), class("low", -5, "globalDefault: true"), pods.concat());
    let asked = self::asked(&text, "default", None).unwrap();
    let priorities: Vec<i32> = asked.pods.iter().map(|pod| pod.spec.priority).collect();
    assert_eq!(priorities, [7, 2_000_000_000, 0, 0, -5]);
    let said =
        "PriorityClass \"lost\", PriorityClass \"none\": neither in the cluster nor in the file, priority 0 is planned";
    assert_eq!(asked.notes, [said]);
}

/// A CronJob of so many pods at a time.
fn cron(name: &str, more: &str, job: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: {name}}}\nspec: {{{more} jobTemplate: {{spec: {{{job} \
         template: {{spec: {{containers: [{{name: c}}]}}}}}}}}}}\n---\n"
    )
}

#[test]
fn jobs_that_do_not_run_make_no_pods() {
    let ended = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "done"},
                       "status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    let known = Known::of(&[ended]);
    let of = |text: &str, replicas: Option<u64>| {
        of_objects(documents(text).unwrap(), "default", replicas, &Cluster::default(), &known)
    };
    let paused = [scaled("Job", "paused", "suspend: true,"), cron("never", "suspend: true,", "")].concat();
    let idle = format!("{paused}{}", scaled("Job", "done", ""));
    let notes = [
        "Job \"paused\", CronJob \"never\": suspended, no pods are planned",
        "Job \"done\": ended in the cluster, where it does not run again: no pods are planned",
    ];
    for replicas in [None, Some(3)] {
        let asked = of(&idle, replicas).unwrap();
        assert_eq!((asked.pods.len(), asked.notes.clone()), (0, notes.map(str::to_owned).to_vec()));
        // Pods that a CronJob has go on; those of the Job end.
        let replaced: Vec<&str> = asked.workloads.iter().map(|name| name.name.as_str()).collect();
        assert_eq!(replaced, ["paused"]);
    }
    // Of the same name elsewhere, and not suspended.
    let elsewhere = scaled("Job", "done", "suspend: false,").replace("{name: done}", "{name: done, namespace: shop}");
    let asked = of(&elsewhere, None).unwrap();
    assert_eq!((names(&asked), asked.notes.len()), (vec!["done-0"], 0));
    // A Deployment has no such field.
    assert_eq!(names(&of(&scaled("Deployment", "web", "suspend: true,"), None).unwrap()), ["web-0"]);
}

#[test]
fn one_run_of_a_cron_job_is_planned() {
    let all = [cron("a", "", ""), cron("b", "suspend: false,", "parallelism: 3, completions: 2,")].concat();
    let asked = self::asked(&all, "default", None).unwrap();
    assert_eq!(names(&asked), ["a-0", "b-0", "b-1"]);
    assert_eq!(asked.notes, ["CronJob \"a\", CronJob \"b\": one run at a time is planned"]);
}

#[test]
fn workloads_without_pods_are_workloads() {
    let asked = self::asked(&scaled("Deployment", "web", "replicas: 0,"), "default", None).unwrap();
    assert_eq!((asked.pods.len(), asked.workloads.len()), (0, 1));
}
