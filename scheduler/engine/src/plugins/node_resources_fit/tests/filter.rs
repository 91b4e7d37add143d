//! Upstream's tables of what fits (`fit_test.go`). Left out: cases of feature gates that are always on here (sidecars,
//! pod-level resources) set to off, and extended resources that devices of resource claims back, which Headroom does not
//! allocate.

use headroom_core::testing::PodBuilder;

use super::*;

/// Whether the node would lack it even if it were empty.
const NEVER: Code = Code::UnschedulableAndUnresolvable;
const NOT_NOW: Code = Code::Unschedulable;

fn p(containers: &[&str]) -> PodBuilder {
    pod("p").asks(containers)
}

fn with_init(containers: &[&str], init: &[&str]) -> PodBuilder {
    init.iter().fold(p(containers), |p, text| p.init(container("i").asks(text)))
}

fn check(
    fit: &NodeResourcesFit,
    i: usize,
    p: PodBuilder,
    capacity: &str,
    there: Option<&str>,
    code: Code,
    lacks: &[&str],
) {
    let mut n = NodeInfo::new(node("n").has(capacity).arc());
    if let Some(text) = there {
        n.add(PodInfo::new(pod("there").asks(&[text]).arc()));
    }
    let status = fit.filter(&(), &PodInfo::new(p.arc()), &n);
    let reasons: Vec<String> = lacks.iter().map(|name| format!("Insufficient {name}")).collect();
    assert_eq!(status.reasons(), reasons, "case {i}");
    assert_eq!(status.code(), if lacks.is_empty() { Code::Success } else { code }, "case {i}");
}

const CAPACITY: &str = "cpu=10m,memory=20,pods=32,example.com/aaa=5,ephemeral-storage=20,hugepages-2Mi=5";

/// `TestEnoughRequests`, CPU and memory: the pod, the requests on the node, what lacks.
#[test]
fn cpu_and_memory() {
    let ignored: [&str; 0] = [];
    let one = "cpu=1m,memory=1";
    for (i, (p, there, lacks)) in [
        (pod("p"), "cpu=10m,memory=20", &ignored[..]),
        (p(&[one]), "cpu=10m,memory=20", &["cpu", "memory"]),
        (with_init(&[one], &["cpu=3m,memory=1"]), "cpu=8m,memory=19", &["cpu"]),
        (with_init(&[one], &["cpu=3m,memory=1", "cpu=2m,memory=1"]), "cpu=8m,memory=19", &["cpu"]),
        (with_init(&[one], &["cpu=1m,memory=3"]), "cpu=9m,memory=19", &["memory"]),
        (with_init(&[one], &["cpu=1m,memory=3", "cpu=1m,memory=2"]), "cpu=9m,memory=19", &["memory"]),
        // The larger of both counts, not the sum.
        (with_init(&[one], &[one]), "cpu=9m,memory=19", &[]),
        (with_init(&[one], &[one, one]), "cpu=9m,memory=19", &[]),
        (p(&[one]), "cpu=5m,memory=5", &[]),
        (p(&["cpu=2m,memory=1"]), "cpu=9m,memory=5", &["cpu"]),
        (p(&["cpu=1m,memory=2"]), "cpu=5m,memory=19", &["memory"]),
        (p(&["cpu=5m,memory=1"]), "cpu=5m,memory=19", &[]),
        (with_init(&["cpu=4m,memory=1"], &["cpu=5m,memory=1"]), "cpu=5m,memory=19", &[]),
        (p(&[one]).overhead("3m", "13"), "cpu=5m,memory=5", &[]),
        (p(&[one]).overhead("1m", "15"), "cpu=5m,memory=5", &["memory"]),
        // Requests of the pod level.
        (p(&[one]).asks_together("cpu=1m,memory=2"), "cpu=5m,memory=5", &[]),
        (p(&[one]).asks_together("cpu=7m,memory=2"), "cpu=5m,memory=5", &["cpu"]),
        (p(&[one]).asks_together("cpu=3m,memory=2"), "cpu=5m,memory=19", &["memory"]),
        (with_init(&[one], &[one]).asks_together("cpu=3m,memory=2"), "cpu=5m,memory=19", &["memory"]),
    ]
    .into_iter()
    .enumerate()
    {
        check(&plugin("{}"), i, p, CAPACITY, Some(there), NOT_NOW, lacks);
    }
}

/// `TestEnoughRequests`, everything else: the pod, the requests on the node, how bad it is, what lacks.
#[test]
fn extended_resources_and_huge_pages() {
    const A: &str = "example.com/aaa";
    const B: &str = "example.com/bbb";
    const K: &str = "kubernetes.io/something";
    const SUB: &str = "subdomain.kubernetes.io/something";
    const HUGE: &str = "hugepages-2Mi";
    let a = |n: i64| format!("cpu=1m,memory=1,{A}={n}");
    let of = |name: &str, n: i64| format!("cpu=1m,memory=1,{name}={n}");
    let used = |name: &str, n: i64| format!("{name}={n}");
    let level = |n: i64| format!("cpu=3m,memory=2,{HUGE}={n}");
    let nothing = String::new;
    for (i, (p, there, code, lacks)) in [
        (p(&[&used(A, 1)]), nothing(), NOT_NOW, None),
        (with_init(&[""], &[&used(A, 1)]), nothing(), NOT_NOW, None),
        (p(&[&a(10)]), used(A, 0), NEVER, Some(A)),
        (with_init(&[""], &[&a(10)]), used(A, 0), NEVER, Some(A)),
        (p(&[&a(1)]), used(A, 5), NOT_NOW, Some(A)),
        (with_init(&[""], &[&a(1)]), used(A, 5), NOT_NOW, Some(A)),
        (p(&[&a(3), &a(3)]), used(A, 2), NEVER, Some(A)),
        (with_init(&[""], &[&a(3), &a(3)]), used(A, 2), NOT_NOW, None),
        (with_init(&[""], &[&a(6), &a(3)]), used(A, 2), NEVER, Some(A)),
        (p(&[&of(B, 1)]), nothing(), NEVER, Some(B)),
        (with_init(&[""], &[&of(B, 1)]), nothing(), NEVER, Some(B)),
        (p(&[&of(K, 10)]), nothing(), NEVER, Some(K)),
        (with_init(&[""], &[&of(SUB, 10)]), nothing(), NEVER, Some(SUB)),
        (p(&[&of(HUGE, 10)]), used(HUGE, 0), NEVER, Some(HUGE)),
        (with_init(&[""], &[&of(HUGE, 10)]), used(HUGE, 0), NEVER, Some(HUGE)),
        (p(&[&of(HUGE, 3), &of(HUGE, 3)]), used(HUGE, 2), NEVER, Some(HUGE)),
        // Nothing wanted is nothing lacking, however full the node is.
        (p(&[&a(0)]), used(A, 6), NOT_NOW, None),
        (p(&[&used(A, 1)]), format!("cpu=20m,memory=30,{A}=1"), NOT_NOW, None),
        (pod("p").asks_together(&level(5)), nothing(), NOT_NOW, None),
        (p(&[&of(HUGE, 3)]).asks_together(&level(5)), nothing(), NOT_NOW, None),
        (pod("p").asks_together(&level(10)), nothing(), NEVER, Some(HUGE)),
        (
            p(&[&of("extended.resource.dra.io/something", 1)]),
            nothing(),
            NEVER,
            Some("extended.resource.dra.io/something"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        check(&plugin("{}"), i, p, CAPACITY, Some(&there), code, lacks.as_slice());
    }
}

/// `TestEnoughRequests`, with arguments.
#[test]
fn ignored_resources() {
    let both = "cpu=1m,memory=1,example.com/bbb=1,kubernetes.io/something=1";
    let one = r#"{"ignoredResources":["example.com/bbb"]}"#;
    let group = r#"{"ignoredResourceGroups":["example.com"]}"#;
    let native = r#"{"ignoredResources":["kubernetes.io/something"],"ignoredResourceGroups":["kubernetes.io"]}"#;
    for (i, (args, asks, lacks)) in [
        (one, "cpu=1m,memory=1,example.com/bbb=1", &[][..]),
        (group, both, &["kubernetes.io/something"]),
        // Ours: Kubernetes' own resources are never ignored.
        (native, both, &["example.com/bbb", "kubernetes.io/something"]),
    ]
    .into_iter()
    .enumerate()
    {
        check(&plugin(args), i, p(&[asks]), CAPACITY, Some(""), NEVER, lacks);
    }
}

/// `TestNotEnoughRequests`: there is no place for another pod.
#[test]
fn too_many_pods() {
    for (p, there) in [
        (pod("p"), "cpu=10m,memory=20"),
        (p(&["cpu=1m,memory=1"]), "cpu=5m,memory=5"),
        (p(&["cpu=5m,memory=1"]), "cpu=5m,memory=19"),
        (with_init(&["cpu=5m,memory=1"], &["cpu=5m,memory=1"]), "cpu=5m,memory=19"),
    ] {
        let mut n = NodeInfo::new(node("n").has("cpu=10m,memory=20,pods=1").arc());
        n.add(PodInfo::new(pod("there").asks(&[there]).arc()));
        let status = plugin("{}").filter(&(), &PodInfo::new(p.arc()), &n);
        assert_eq!(status, Status::unschedulable("Too many pods"), "{there}");
    }
}

/// `TestStorageRequests`.
#[test]
fn ephemeral_storage() {
    const NAME: &str = "ephemeral-storage";
    for (i, (asks, there, lacks)) in [
        ("cpu=1m,memory=1", "cpu=2m,memory=10", None),
        ("ephemeral-storage=25", "cpu=2m,memory=2", Some(NAME)),
        ("ephemeral-storage=5", "cpu=2m,memory=2,ephemeral-storage=10", None),
        ("ephemeral-storage=10", "cpu=2m,memory=2", None),
    ]
    .into_iter()
    .enumerate()
    {
        check(&plugin("{}"), i, p(&[asks]), CAPACITY, Some(there), NEVER, lacks.as_slice());
    }
}

/// `TestRestartableInitContainers`.
#[test]
fn sidecars() {
    let with_sidecar = |asks, sidecar: &str| p(&[asks]).init(container("s").asks(sidecar).restartable());
    for (i, (p, lacks)) in [
        (pod("p"), None),
        (with_sidecar("", ""), None),
        (with_sidecar("cpu=1m", "cpu=1m"), None),
        (with_sidecar("cpu=1m", "cpu=2m"), Some("cpu")),
    ]
    .into_iter()
    .enumerate()
    {
        check(&plugin("{}"), i, p, "cpu=2m,pods=1", None, NEVER, lacks.as_slice());
    }
}
