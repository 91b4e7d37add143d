mod claims;
mod direct;
mod live;
mod machines;
mod shares;
mod small;
mod spread;
mod there;
mod waiting;

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Top {
    #[command(flatten)]
    options: Options,
}

const SIXTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sixty-dollars.yaml");

fn options(args: &[&str]) -> Options {
    Top::try_parse_from([&["plan"], args].concat()).unwrap().options
}

/// The plan for these arguments, on the sixty-dollar cluster.
fn plan(args: &[&str]) -> Plan {
    plan_of(&std::fs::read_to_string(SIXTY).unwrap(), args)
}

/// The plan for these arguments, on a saved cluster.
fn plan_of(saved: &str, args: &[&str]) -> Plan {
    let options = options(args);
    let scheduler = Scheduler::standard();
    let objects = snapshot::objects(saved).unwrap();
    let Taken { snapshot, known, resized } = taken(objects, &options, None);
    assert!(snapshot.notes.is_empty(), "{:?}", snapshot.notes);
    let cluster = Cluster::new(snapshot.inputs(), &scheduler, snapshot::now(snapshot.time().unwrap()));
    let catalogue = match &options.catalog {
        Some(name) => Some(catalogues::find(name).unwrap()),
        None => catalogues::of(&cluster),
    };
    let ask = ask::Ask { cluster: &cluster, scheduler: &scheduler, catalogue: catalogue.as_ref(), known: &known };
    let mut plan = ask.plan(&options, "default").unwrap();
    plan.assumptions.extend(resized);
    plan
}

fn run_with(args: &[&str]) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(run(&options(args), Registry::in_tree))
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// Compares with a file of `golden/`, or writes it when `HEADROOM_BLESS` is set.
fn golden(name: &str, text: &str) {
    let path = format!("{}/src/plan/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("HEADROOM_BLESS").is_some() {
        std::fs::create_dir_all(format!("{}/src/plan/golden", env!("CARGO_MANIFEST_DIR"))).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{path}: if the change is meant, HEADROOM_BLESS=1 writes it down");
}

#[test]
fn plans_of_the_sixty_dollar_cluster_as_they_are_printed() {
    let then = ["--catalog", "digitalocean-2019"];
    let app = file(APP);
    let app = format!("-f={}", app.path().display());
    for (name, args) in [
        ("now", vec![]),
        ("cheapest", vec!["--cheapest"]),
        ("remove", vec!["--remove", "crawl-4"]),
        ("add", vec!["--add", "s-1vcpu-1gb=1", "--remove", "rancher"]),
        ("resize", vec!["--resize", "app=s-1vcpu-2gb"]),
        ("survive", vec!["--cheapest", "--survive", "1"]),
        ("fit", vec![app.as_str()]),
    ] {
        let plan = plan(&[&then[..], &args].concat());
        let table = printed(&plan, Output::Table).unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        golden(&format!("{name}.txt"), &table);
        golden(&format!("{name}.json"), &printed(&plan, Output::Json).unwrap());
        // The others are made of the same.
        let json: serde_json::Value = serde_json::from_str(&printed(&plan, Output::Json).unwrap()).unwrap();
        let yaml: serde_json::Value = serde_saphyr::from_str(&printed(&plan, Output::Yaml).unwrap()).unwrap();
        assert_eq!(yaml, json, "{name}");
        assert_eq!(printed(&plan, Output::Csv).unwrap().lines().count(), plan.nodes.len() + 1);
        assert!(printed(&plan, Output::Wide).unwrap().lines().count() >= table.lines().count());
    }
}

#[test]
fn the_same_plans_wide_for_spreadsheets_and_as_yaml() {
    for (name, args, output) in [
        ("now-wide.txt", &[][..], Output::Wide),
        ("cheapest-wide.txt", &["--cheapest"][..], Output::Wide),
        ("cheapest.csv", &["--cheapest"][..], Output::Csv),
        ("remove.yaml", &["--remove", "crawl-4"][..], Output::Yaml),
    ] {
        let plan = plan(&[&["--catalog", "digitalocean-2019"][..], args].concat());
        golden(name, &printed(&plan, output).unwrap());
    }
}

#[test]
fn from_sixty_dollars_to_forty_or_less() {
    let plan = plan(&["--cheapest", "--catalog", "digitalocean-2019"]);
    let cheapest = plan.cheapest.as_ref().unwrap();
    assert_eq!(cheapest.today_per_month.0, 6000);
    assert!(cheapest.price_per_month.0 <= 4000, "{cheapest:?}");
    assert!(cheapest.lower_bound_per_month <= cheapest.price_per_month);
    assert!(plan.fits && plan.pending.is_empty());
    // Two servers that carry nothing but the control plane become one.
    let servers: usize = cheapest.machines.iter().filter(|m| m.role == "control-plane").map(|m| m.count).sum();
    assert_eq!(servers, 1);
    let last = cheapest.moves.last().unwrap();
    assert_eq!(last.price_per_month_after, cheapest.price_per_month);
    assert!(cheapest.moves.iter().any(|step| step.action == "Remove" && step.node == "rancher"));
    // Without swap under everything it takes no less.
    let dry = self::plan(&["--cheapest", "--catalog", "digitalocean-2019", "--swap", "none"]);
    assert!(dry.cheapest.is_none_or(|dry| dry.price_per_month >= cheapest.price_per_month));
}

#[test]
fn prices_of_another_provider_are_not_subtracted() {
    let plan = plan(&["--cheapest", "--catalog", "hetzner"]);
    let cheapest = plan.cheapest.as_ref().unwrap();
    assert_eq!((cheapest.unpriced_nodes, cheapest.today_is_known()), (7, false));
    let unknown = "; what today's 7 nodes cost is not known from catalogue hetzner";
    assert!(plan.summary.ends_with(unknown), "{}", plan.summary);
    // Two of 10 dollars' type (12 since), one of 20 (24), four of 5 (6).
    let own = "today's 7 nodes cost $72 a month by catalogue digitalocean of 2022-07-01: another currency";
    assert!(plan.assumptions.iter().any(|line| line.starts_with(own)), "{:?}", plan.assumptions);
    assert!(plan.assumptions.iter().any(|line| line.starts_with("catalogue hetzner: ")), "{:?}", plan.assumptions);
    let table = printed(&plan, Output::Table).unwrap();
    assert!(table.starts_with('€') && !table.contains("difference"), "{table}");
    assert!(cheapest.moves.iter().any(|step| step.text.ends_with(": what it costs is not known")), "{cheapest:?}");
    let dollars = self::plan(&["--cheapest", "--catalog", "linode"]);
    let line = dollars.assumptions.iter().find(|line| line.starts_with("today's 7 nodes cost $72")).unwrap();
    assert!(line.ends_with(": another provider's prices, so nothing is subtracted"), "{line}");
    assert!(self::plan(&["--catalog", "hetzner"]).price_per_month.is_none());
}

#[test]
fn overhead_and_the_loss_of_a_node() {
    let plan = plan(&["--catalog", "digitalocean-2019"]);
    assert_eq!(plan.price_per_month.unwrap().0, 6000);
    let etcd = plan.nodes.iter().find(|node| node.name == "etcd").unwrap();
    assert_eq!((etcd.overhead_bytes, etcd.overhead_measured, etcd.role), (520 << 20, true, "control-plane"));
    assert_eq!(plan.losses.len(), 7);
    // No other machine has the CPU that the application server asks for.
    let lost = plan.losses.iter().find(|loss| loss.node == "app").unwrap();
    assert!(lost.pending.iter().any(|pod| pod.name.starts_with("backend")), "{lost:?}");
    let fetcher = plan.workloads.iter().find(|workload| workload.name == "fetcher").unwrap();
    assert_eq!((fetcher.kind.as_str(), fetcher.replicas, fetcher.more), ("Deployment", 4, 1));
}

#[test]
fn after_rightsize_pods_request_what_it_suggests() {
    let requested = |plan: &Plan| plan.nodes.iter().map(|node| node.requested_memory_bytes >> 20).sum::<i64>();
    let (today, after) = (plan(&[]), plan(&["--after-rightsize"]));
    // What pods have been seen with, and 15 % (at least 16 MiB) on top, in steps of 4 MiB: fetcher (which takes more now
    // than it was seen with before), backend, mysql, web, redis, traefik, coredns; both of ours; svclb on all nodes.
    let more = 4 * (460 - 128) + (920 - 512) + (404 - 256) + 2 * (108 - 64) + (116 - 64) + (76 - 64) + (48 - 70);
    let more = more + 2 * (28 - 16) + 7 * (24 - 8);
    assert_eq!(requested(&after) - requested(&today), more, "{:?}", after.assumptions);
    let said = after.assumptions.last().unwrap();
    assert!(said.starts_with("the pods of 10 workloads are as if made anew with what rightsize suggests: "), "{said}");
    assert!(said.ends_with("more requested") && !today.assumptions.contains(said), "{said}");
    // Every other question takes it into account as well.
    let cheapest = plan(&["--after-rightsize", "--cheapest", "--catalog", "digitalocean-2019"]);
    assert!(cheapest.cheapest.is_some() && cheapest.assumptions.contains(said), "{:?}", cheapest.assumptions);
}

const APP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: report, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: report}}
    spec: {containers: [{name: c, resources: {requests: {cpu: 100m, memory: 128Mi}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: huge, namespace: shop}
spec: {containers: [{name: c, resources: {requests: {cpu: '3', memory: 128Mi}}}]}
";

#[test]
fn what_does_not_fit_is_named_with_what_would_have_to_give() {
    let app = file(APP);
    let plan = plan(&["-f", app.path().to_str().unwrap()]);
    assert_eq!((plan.fits, plan.placements.len(), plan.pending.len()), (false, 2, 1));
    assert_eq!(plan.pending[0].name, "huge");
    assert!(plan.pending[0].fixes.iter().any(|fix| fix.contains("lower its CPU request")), "{:?}", plan.pending);
}

#[test]
fn exit_status_says_whether_it_fits() {
    let app = file(APP);
    let app = app.path().to_str().unwrap();
    let fits = file(APP.split("---").next().unwrap());
    let fits = fits.path().to_str().unwrap();
    let snapshot = format!("--snapshot={SIXTY}");
    let code = |number: u8| format!("{:?}", ExitCode::from(number));
    for (args, expected) in [
        (vec![], 0),
        (vec!["--fail-on", "loss"], 2),
        (vec!["--after-rightsize", "--fail-on", "never"], 0),
        (vec!["-f", app], 2),
        (vec!["-f", app, "--fail-on", "unschedulable"], 2),
        (vec!["-f", fits], 0),
        (vec!["-f", fits, "--fail-on", "unschedulable"], 0),
        (vec!["-f", fits, "--fail-on", "unschedulable", "--replicas", "100"], 2),
        (vec!["-f", app, "--fail-on", "never"], 0),
        (vec!["--remove", "crawl-4", "--fail-on", "unschedulable"], 0),
        (vec!["--remove", "app"], 2),
        (vec!["--remove", "app", "--fail-on", "never"], 0),
        (vec!["--add", "s-1vcpu-1gb=1"], 0),
        (vec!["--remove", "etcd"], 0),
        (vec!["--remove", "etcd", "--remove", "rancher"], 2),
        (vec!["--remove", "etcd", "--remove", "rancher", "--fail-on", "never"], 0),
        (vec!["--resize", "etcd=s-1vcpu-512mb-10gb", "--catalog", "digitalocean"], 2),
        (vec!["--remove", "crawl-4", "--fail-on", "loss"], 2),
        (vec!["--add", "s-2vcpu-4gb=1", "--fail-on", "loss"], 0),
        (vec!["-f", fits, "--fail-on", "loss"], 2),
        (vec!["--remove", "nowhere"], 3),
        (vec!["--cheapest", "--catalog", "digitalocean-2019", "--keep", "nowhere"], 3),
        (vec!["--cheapest", "--catalog", "digitalocean-2019"], 0),
        (vec!["--cheapest", "--catalog", "digitalocean-2019", "--fail-on", "loss"], 2),
        (vec!["--cheapest", "--catalog", "digitalocean-2019", "--max-nodes", "2"], 2),
        (vec!["--list-catalogs"], 0),
    ] {
        let got = run_with(&[&[snapshot.as_str()][..], &args].concat()).unwrap();
        assert_eq!(format!("{got:?}"), code(expected), "{args:?}");
    }
}

#[test]
fn errors_are_one_line() {
    let snapshot = format!("--snapshot={SIXTY}");
    let empty = file("kind: List\napiVersion: v1\nitems: []\n");
    let empty = format!("--snapshot={}", empty.path().display());
    let broken = file(&include_str!("../../../catalogues/home.yaml").replace("kind: MachineCatalog", "kind: Prices"));
    let broken = broken.path().to_str().unwrap();
    let unlabelled = file("kind: List\napiVersion: v1\nitems:\n- {kind: Node, metadata: {name: a}}\n");
    let unlabelled = format!("--snapshot={}", unlabelled.path().display());
    let text = file(&APP.replace("replicas: 2", "replicas: '2'"));
    let text = text.path().to_str().unwrap();
    let refused =
        format!("-f {text}: Deployment \"report\": spec.replicas is \"2\": expected a whole number, 0 or more");
    for (args, expected) in [
        (vec![snapshot.as_str(), "-f", text], refused.as_str()),
        (vec![snapshot.as_str(), "--cheapest", "--catalog", "moon"], "--catalog moon: neither a file nor"),
        (
            vec![snapshot.as_str(), "--add", "x-large=1"],
            "there is no machine type \"x-large\" in catalogue digitalocean",
        ),
        (
            vec![snapshot.as_str(), "--catalog", broken],
            "expected apiVersion headroom.dev/v1alpha1 and kind MachineCatalog",
        ),
        (
            vec![snapshot.as_str(), "--resize=app=small", "--resize=etcd=small", "--resize=app=large"],
            "--resize app is given twice, with small and with large",
        ),
        (vec![snapshot.as_str(), "-f", "/does/not/exist"], "-f /does/not/exist: No such file"),
        (vec!["--snapshot", "/does/not/exist"], "--snapshot /does/not/exist: No such file"),
        (vec![empty.as_str()], "there are no nodes: nothing to plan"),
        (vec![empty.as_str(), "--remove", "crawl-4"], "there are no nodes: nothing to plan"),
        (vec![empty.as_str(), "--cheapest", "--catalog", "home"], "there are no nodes: nothing to plan"),
        (vec![unlabelled.as_str(), "--cheapest"], "no catalogue: give --catalog NAME or FILE"),
    ] {
        let line = format!("{:#}", run_with(&args).unwrap_err());
        assert!(line.contains(expected) && !line.contains('\n'), "{line}");
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for args in [
        &["--cheapest", "--remove", "a"][..],
        &["--replicas", "2"],
        &["--add", "=1"],
        &["--add", "x=0"],
        &["--resize", "a"],
        &["--cheapest", "--swap", "lots"],
        &["--swap", "2Gi"],
        &["--swap", "none", "-f", "app.yaml"],
        &["--swap", "none", "--remove", "a"],
        &["--cheapest", "--survive", "2"],
        &["--cheapest", "--max-nodes", "0"],
        &["--cheapest", "--max-nodes", "99999999999"],
        &["-o", "xml"],
    ] {
        assert!(Top::try_parse_from([&["plan"], args].concat()).is_err(), "{args:?}");
    }
    assert_eq!(options(&["--add", "x=3", "--add", "y"]).add, [("x".to_owned(), 3), ("y".to_owned(), 1)]);
    for (new, size, swap) in
        [("--cheapest", "none", 0), ("--add=x=1", "2Gi", 2 << 30), ("--resize=a=x", "2Gi", 2 << 30)]
    {
        assert_eq!(options(&[new, "--swap", size]).swap, Some(swap), "{new}");
    }
    let both = options(&["--add=x=1", "--resize=a=x", "--remove=b", "--swap=none"]);
    assert_eq!((both.add.len(), both.resize.len(), both.swap), (1, 1, Some(0)));
}
