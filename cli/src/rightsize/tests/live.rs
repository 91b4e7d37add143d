//! The live cluster, as far as canned answers go: what is asked for, what is written, what is said of it, and rights
//! that are missing.

use super::*;
use crate::{
    reach,
    testkit::{Asked, kubeconfig},
};

/// The objects of the namespace `default`, as lists of the API server have them.
fn listed(asked: &Asked) -> Value {
    let kind = match asked.path.split('?').next().and_then(|path| path.rsplit('/').next()) {
        Some("memoryprofiles") => "MemoryProfile",
        Some("pods") => "Pod",
        Some("deployments") => "Deployment",
        Some("replicasets") => "ReplicaSet",
        Some("replicationcontrollers") => "ReplicationController",
        _ => "",
    };
    let items: Vec<Value> = cluster().into_iter().filter(|object| object["kind"] == kind).collect();
    json!({"items": items})
}

/// A pod whose containers have what is suggested.
fn resized() -> Value {
    let status = |name: &str| json!({"name": name, "resources": {"requests": {"memory": "132Mi"}}});
    json!({"status": {"containerStatuses": [status("web"), status("c")]}})
}

/// Lists, and writes that succeed.
fn willing(asked: &Asked) -> (u16, Value) {
    match (asked.method.as_str(), asked.path.contains("/pods/")) {
        ("GET", true) => (200, resized()),
        ("GET", false) => (200, listed(asked)),
        _ => (200, json!({})),
    }
}

/// Runs `rightsize` against a server: exit status, or the line that is said.
fn run_at(server: &FakeServer, args: &[&str]) -> Result<String, String> {
    let file = kubeconfig(&server.url);
    let path = format!("--kubeconfig={}", file.path().display());
    let options = options(&[args, &["--at", AT, path.as_str()]].concat()).unwrap();
    let result = block_on(run(&options));
    result.map(|code| format!("{code:?}")).map_err(|error| {
        let line = reach::line(&error, options.connection().server());
        assert!(!line.contains('\n'), "{line}");
        line
    })
}

fn exit(code: u8) -> Result<String, String> {
    Ok(format!("{:?}", ExitCode::from(code)))
}

/// The writes: method, path without its query, body.
fn writes(server: &FakeServer) -> Vec<(String, String, Value)> {
    let written = server.asked().into_iter().filter(|asked| asked.method != "GET");
    let path = |asked: &Asked| asked.path.split('?').next().unwrap_or_default().to_owned();
    written.map(|asked| (asked.method.clone(), path(&asked), asked.body)).collect()
}

fn said(done: &Done) -> Vec<String> {
    done.lines.iter().map(ToString::to_string).collect()
}

const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const CACHE: &str = "/api/v1/namespaces/default/replicationcontrollers/cache";

#[test]
fn asked_alone_nothing_is_written() {
    for args in [&["-n", "default"][..], &["-A", "-o", "wide"], &["-n", "default", "deployment/web", "-o", "json"]] {
        let server = FakeServer::new(willing);
        assert_eq!(run_at(&server, args), exit(0), "{args:?}");
        assert_eq!(writes(&server), [], "{args:?}");
    }
}

#[test]
fn apply_patches_what_is_to_be_changed_and_says_what_restarts() {
    let server = FakeServer::new(willing);
    assert_eq!(run_at(&server, &["-n", "default", "--apply"]), exit(0));
    let size = |name: &str, resources: Value| {
        let container = json!({"name": name, "resources": resources});
        json!({"template": {"spec": {"containers": [container]}}})
    };
    // The version that was read goes along; other kinds than Kubernetes' own are left to their makers.
    let web =
        json!({"metadata": {"resourceVersion": "7"}, "spec": size("web", json!({"requests": {"memory": "132Mi"}}))});
    let both = json!({"requests": {"memory": "132Mi"}, "limits": {"memory": "132Mi"}});
    let cache = json!({"metadata": {"resourceVersion": ""}, "spec": size("c", both)});
    let patch = |path: &str, body: &Value| ("PATCH".to_owned(), path.to_owned(), body.clone());
    assert_eq!(writes(&server), [patch(WEB, &web), patch(CACHE, &cache)]);
    // Only what is named.
    let server = FakeServer::new(willing);
    assert_eq!(run_at(&server, &["-n", "default", "rc/cache", "--apply"]), exit(0));
    assert_eq!(writes(&server), [patch(CACHE, &cache)]);

    let server = FakeServer::new(willing);
    let done = block_on(async { apply::workloads(&server.client(), &reported(&cluster())).await });
    let lines = said(&done);
    assert_eq!(lines[0], "deployment/web in default: patched, which replaces its 2 pods, a few at a time");
    assert!(lines[1].starts_with("# to take it back:\nkubectl -n default patch deployment web "), "{}", lines[1]);
    assert!(lines[1].contains("\"256Mi\""), "{}", lines[1]);
    assert_eq!(lines[2], "rc/cache in default: patched, which restarts nothing: new pods have it; unchanged: 1 pod");
    assert_eq!((lines.len(), done.failed()), (4, false));
}

#[test]
fn in_place_resizes_pods_and_says_what_the_next_rollout_reverts() {
    let pods = |server: &FakeServer| {
        let paths = writes(server).into_iter().map(|(_, path, _)| path);
        paths.map(|path| path.replace("/api/v1/namespaces/default/", "")).collect::<Vec<_>>()
    };
    let (server, report) = (FakeServer::new(willing), reported(&cluster()));
    let done = block_on(async { apply::in_place(&server.client(), &report, &cluster(), &BTreeSet::new()).await });
    let expected = ["pods/web-1-a/resize", "pods/web-1-b/resize", "pods/cache-a/resize", "pods/odd-a/resize"];
    assert_eq!(pods(&server), expected);
    let (_, _, body) = writes(&server).remove(0);
    let resources = json!({"requests": {"memory": "132Mi"}});
    assert_eq!(body["spec"], json!({"containers": [{"name": "web", "resources": resources}]}));
    let lines = said(&done);
    let reverted = "is as it was: its next rollout, and every new pod, has the\n# old sizes. To keep the new ones";
    for (whose, how) in [
        ("deployment/web", ":\nkubectl -n default patch deployment web "),
        ("rc/cache", ":\nkubectl -n default patch replicationcontroller cache "),
        ("rollout/odd", ", set them where its containers are declared."),
    ] {
        let start = format!("# the template of {whose} {reverted}{how}");
        assert!(lines.iter().any(|line| line.starts_with(&start)), "{whose}: {lines:?}");
    }
    for pod in ["web-1-a", "web-1-b", "cache-a", "odd-a"] {
        assert!(lines.contains(&format!("pod/{pod} in default: resized")), "{pod}: {lines:?}");
    }

    // Together with --apply only pods that no patch makes anew, and templates that have the sizes revert nothing.
    let server = FakeServer::new(willing);
    let patched: BTreeSet<String> = ["deployment/web in default", "rc/cache in default"].map(str::to_owned).into();
    let done = block_on(async { apply::in_place(&server.client(), &report, &cluster(), &patched).await });
    assert_eq!(pods(&server), ["pods/cache-a/resize", "pods/odd-a/resize"]);
    assert_eq!(said(&done).iter().filter(|line| line.contains(reverted)).count(), 1, "{done:?}");
    let server = FakeServer::new(willing);
    assert_eq!(run_at(&server, &["-n", "default", "--apply", "--in-place"]), exit(0));
    let paths: Vec<String> = writes(&server).into_iter().map(|(_, path, _)| path).collect();
    let resize = |pod: &str| format!("/api/v1/namespaces/default/pods/{pod}/resize");
    assert_eq!(paths, [WEB.to_owned(), CACHE.to_owned(), resize("cache-a"), resize("odd-a")]);
}

#[test]
fn clusters_that_cannot_resize_say_so() {
    let old = |asked: &Asked| match asked.method.as_str() {
        "GET" => willing(asked),
        _ => refusal(404, "the server could not find the requested resource"),
    };
    let (server, report) = (FakeServer::new(old), reported(&cluster()));
    let done = block_on(async { apply::in_place(&server.client(), &report, &cluster(), &BTreeSet::new()).await });
    let why = "not resized: this API server cannot resize pods that run; Kubernetes 1.33 and later can";
    assert!(done.failed() && done.lines.iter().all(|line| line.to_string().ends_with(why)), "{done:?}");
    // Of what was not resized no rollout reverts anything.
    assert_eq!(done.lines.len(), 4);
}

#[test]
fn lists_are_of_the_namespace_or_of_all() {
    let lists = |args: &[&str]| {
        let server = FakeServer::new(|asked| (200, listed(asked)));
        assert_eq!(run_at(&server, args), exit(0), "{args:?}");
        server.asked().into_iter().map(|asked| asked.path).collect::<Vec<_>>()
    };
    let profiles = "/apis/headroom.dev/v1alpha1/";
    let cases = [(&[][..], "namespaces/shop/"), (&["-n", "x"][..], "namespaces/x/"), (&["-A"][..], "")];
    for (args, within) in cases {
        let asked = lists(args);
        assert_eq!(asked.len(), KINDS.len());
        assert!(asked.contains(&format!("{profiles}{within}memoryprofiles?limit=500")), "{args:?}: {asked:?}");
        assert!(asked.contains(&format!("/api/v1/{within}pods?limit=500")), "{args:?}: {asked:?}");
        assert!(asked.contains(&format!("{profiles}nodeheadrooms?limit=500")), "{args:?}: {asked:?}");
    }
}

#[test]
fn rights_that_are_missing_are_one_line() {
    let without = |plural: &'static str, code: u16| {
        FakeServer::new(move |asked| {
            let refused = asked.path.split('?').next().is_some_and(|path| path.ends_with(plural));
            if refused { refusal(code, "no") } else { willing(asked) }
        })
    };
    let of = |what: &str| {
        format!("you may not list {what} in namespace \"default\": nothing can be said without them; {}", reach::RIGHT)
    };
    let asked = |server: &FakeServer| run_at(server, &["-n", "default"]);
    assert_eq!(asked(&without("/memoryprofiles", 403)), Err(of("memoryprofiles.headroom.dev")));
    assert_eq!(asked(&without("/pods", 403)), Err(of("pods")));
    let missing = "the cluster has no MemoryProfile objects: install Headroom's CRDs first";
    assert_eq!(asked(&without("/memoryprofiles", 404)), Err(missing.to_owned()));
    assert_eq!(asked(&without("/nodeheadrooms", 403)), exit(0));
    // A workload that may not be listed is told of by its pods, and one that may not be written is said.
    assert_eq!(asked(&without("/replicasets", 403)), exit(0));
    let read_only = FakeServer::new(|asked| match asked.method.as_str() {
        "GET" => willing(asked),
        _ => refusal(403, "deployments.apps \"web\" is forbidden: User \"u\" cannot patch it"),
    });
    assert_eq!(run_at(&read_only, &["-n", "default", "--apply"]), exit(1));
    let done = block_on(async { apply::workloads(&read_only.client(), &reported(&cluster())).await });
    let line =
        "deployment/web in default: not patched: deployments.apps \"web\" is forbidden: User \"u\" cannot patch it";
    assert_eq!(said(&done)[0], line);
    assert!(done.patched.is_empty() && done.failed());
}
