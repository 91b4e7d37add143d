//! What stays, what is shared and what may be lost, on clusters of a few machines of 4 GiB.

use std::collections::BTreeSet;

use headroom_core::{
    Now, Str,
    memory::MIB,
    object::{Affinity, NodeAffinity},
    selector::{NodeSelector, NodeSelectorTerm, Operator, Requirement},
    taint::Effect,
    testing::{NodeBuilder, PodBuilder, claim, node, pod, volume},
};
use headroom_engine::{Input, cache::StorageObject};

use super::{Answer, Question, cheapest};
use crate::{
    Catalogue, Cluster, Offer, Price, Scheduler,
    catalogue::Arch,
    cluster::{CONTROL_PLANE_ROLES, HOSTNAME, tests::daemon},
    fleet::Load,
    machine::INSTANCE_TYPE,
};

/// A machine type of 4 GiB: so many thousandths of a core for so many hundredths.
fn offer(name: &str, milli_cpu: i64, price: i64) -> Offer {
    Offer {
        name: name.into(),
        milli_cpu,
        memory: 4096 * MIB,
        pods: 110,
        price: Price(price),
        swap: false,
        arch: Arch::default(),
    }
}

fn catalogue(offers: Vec<Offer>) -> Catalogue {
    Catalogue {
        name: "mine".into(),
        provider: String::new(),
        date: "2026-11-29".into(),
        source: String::new(),
        currency: "$".into(),
        note: String::new(),
        offers,
    }
}

/// One core and 4 GiB, of a type.
fn machine(name: &str, kind: &str) -> NodeBuilder {
    node(name).capacity("1", "4Gi", 110).label(INSTANCE_TYPE, kind)
}

fn server(name: &str, kind: &str) -> NodeBuilder {
    machine(name, kind).label(CONTROL_PLANE_ROLES[0], "true")
}

/// A pod that asks for this CPU and takes 64 MiB.
fn web(name: &str, cpu: &str) -> PodBuilder {
    pod(name).requests(cpu, "64Mi").limits("", "64Mi").owner("ReplicaSet", "web", "web")
}

/// What differs between the questions.
#[derive(Default)]
struct Asked<'a> {
    most: Option<usize>,
    survive: bool,
    keep: &'a [&'a str],
    separate: Option<bool>,
}

fn answer(nodes: Vec<NodeBuilder>, pods: Vec<PodBuilder>, offers: Vec<Offer>, asked: &Asked<'_>) -> Answer {
    let nodes = nodes.into_iter().map(|node| Input::NodeApplied(node.arc()));
    let pods = pods.into_iter().map(|pod| Input::PodApplied(pod.arc()));
    let storage = [
        StorageObject::Volume(volume("v").affinity(HOSTNAME, &["w1"]).arc()),
        StorageObject::Claim(claim("c").bound("v").arc()),
    ];
    let inputs: Vec<Input> = nodes.chain(pods).chain(storage.map(Input::StorageApplied)).collect();
    let scheduler = Scheduler::standard();
    let cluster = Cluster::new(inputs, &scheduler, Now::at_secs(1_800_000_000));
    let load = Load::new(&cluster, &scheduler, []).unwrap();
    let catalogue = catalogue(offers);
    let question = Question {
        catalogue: &catalogue,
        swap: Some(0),
        max_nodes: asked.most.unwrap_or(20),
        survive: asked.survive,
        keep: asked.keep.iter().map(|name| Str::from(*name)).collect::<BTreeSet<_>>(),
        separate: asked.separate,
    };
    cheapest(&load, &question).unwrap()
}

/// The machines by name, and what they cost.
fn found(answer: &Answer) -> (Vec<&str>, i64) {
    assert!(answer.placed.is_some(), "{answer:?}");
    (answer.machines.iter().map(|machine| machine.name().as_str()).collect(), answer.price.0)
}

#[test]
fn at_the_same_price_what_is_there_stays() {
    let both = || vec![offer("a", 1000, 500), offer("b", 1000, 500)];
    for kind in ["a", "b"] {
        let workers = answer(vec![machine("w", kind)], vec![web("p", "100m").on("w")], both(), &Asked::default());
        assert_eq!(found(&workers), (vec!["w"], 500), "{kind}");
        let servers = answer(vec![server("s", kind)], vec![web("p", "100m").on("s")], both(), &Asked::default());
        assert_eq!(found(&servers), (vec!["s"], 500), "{kind}");
    }
    // For less it goes.
    let cheaper = vec![offer("a", 1000, 499), offer("b", 1000, 500)];
    let less = answer(vec![machine("w", "b")], vec![web("p", "100m").on("w")], cheaper, &Asked::default());
    assert_eq!(found(&less), (vec!["new-1"], 499));
}

#[test]
fn a_dearer_machine_may_have_what_a_pod_asks_for() {
    let required = || {
        let values = Box::new([Str::from("big")]);
        let is_big = Requirement { key: INSTANCE_TYPE.into(), operator: Operator::In, values };
        let term = NodeSelectorTerm { match_expressions: Box::new([is_big]), ..NodeSelectorTerm::default() };
        let node = NodeAffinity { required: Some(NodeSelector { terms: Box::new([term]) }), ..NodeAffinity::default() };
        Affinity { node: Some(node), ..Affinity::default() }
    };
    // There is one machine of the dearer type, which has a device; the cheaper one has as much of all that is counted.
    for (asks, expected) in [
        ("nothing", (vec!["new-1"], 500)),
        ("selector", (vec!["w"], 900)),
        ("affinity", (vec!["w"], 900)),
        ("device", (vec!["w"], 900)),
    ] {
        let p = web("p", "100m").on("w");
        let p = match asks {
            "selector" => p.node_selector(INSTANCE_TYPE, "big"),
            "affinity" => p.spec(|spec| spec.affinity = Some(required().into())),
            "device" => pod("p").asks(&["cpu=100m,memory=64Mi,example.com/gpu=1"]).on("w"),
            _ => p,
        };
        let offers = vec![offer("small", 1000, 500), offer("big", 1000, 900)];
        let nodes = vec![machine("w", "big").extended("example.com/gpu", 1)];
        let found_one = answer(nodes, vec![p], offers, &Asked::default());
        assert_eq!(found(&found_one), expected, "{asks}");
    }
    // Nor need it be there: new machines have the label of their type.
    let offers = vec![offer("small", 1000, 500), offer("big", 1000, 900)];
    let new = answer(Vec::new(), vec![web("p", "100m").node_selector(INSTANCE_TYPE, "big")], offers, &Asked::default());
    assert_eq!(found(&new), (vec!["new-1"], 900));
}

#[test]
fn of_machines_that_cost_nothing_the_smallest_that_do() {
    let of_size = |gib: i64, price: i64| Offer { memory: gib * 1024 * MIB, ..offer(&format!("{gib}gi"), 4000, price) };
    let kinds = |answer: &Answer| -> Vec<String> {
        assert!(answer.placed.is_some(), "{answer:?}");
        answer.machines.iter().map(|machine| machine.kind.as_ref().unwrap().to_string()).collect()
    };
    let asked = |pods: usize, price: i64| {
        let all = [16, 1, 4, 2].map(|gib| of_size(gib, price)).to_vec();
        // 700 MiB each.
        let pods =
            (0..pods).map(|n| pod(&format!("p{n}")).requests("10m", "700Mi").owner("ReplicaSet", "web", "web").on("w"));
        kinds(&answer(vec![machine("w", "another")], pods.collect(), all, &Asked::default()))
    };
    assert_eq!((asked(1, 0), asked(3, 0)), (vec!["2gi".to_owned()], vec!["4gi".to_owned()]));
    // Of those at one price one takes what is most.
    assert_eq!(asked(1, 500), ["16gi"]);
}

#[test]
fn machines_that_carry_pods_beside_the_control_plane_are_lost_as_well() {
    let price = |servers: usize, survive: bool| {
        let names: Vec<String> = (1..=servers).map(|number| format!("s{number}")).collect();
        let nodes = names.iter().map(|name| server(name, "m")).collect();
        // Each leaves 400 of 1000 thousandths of a core.
        let pods = names.iter().map(|name| web(&format!("on-{name}"), "600m").on(name)).collect();
        let asked = Asked { survive, ..Asked::default() };
        found(&answer(nodes, pods, vec![offer("m", 1000, 1000)], &asked)).1
    };
    assert_eq!((price(3, false), price(3, true)), (3000, 4000));
    // One server is not lost without everything else: that is said, and not planned for.
    assert_eq!((price(1, false), price(1, true)), (1000, 1000));
}

#[test]
fn what_cannot_leave_is_down_with_its_node_whatever_survives() {
    // The first cannot leave w1; each of the others takes as much as two of them leave of a machine.
    let of = |movable: usize, survive: bool| {
        let local = web("db", "100m").on("w1").claim("c");
        let others = (0..movable).map(|number| web(&format!("p{number}"), "400m").on("w1"));
        let pods = std::iter::once(local).chain(others).collect();
        let nodes = vec![machine("w1", "m"), machine("w2", "m")];
        let answer = answer(nodes, pods, vec![offer("m", 1000, 1000)], &Asked { survive, ..Asked::default() });
        assert_eq!(answer.immovable.len(), 1);
        let (names, price) = found(&answer);
        (names.join(" "), price)
    };
    for (movable, survive, expected) in [
        (0, false, ("w1", 1000)),
        (0, true, ("w1", 1000)),
        (1, false, ("w1", 1000)),
        (1, true, ("w1 w2", 2000)),
        (2, false, ("w1", 1000)),
        (2, true, ("w1 w2", 2000)),
        // Without w1 three need two others.
        (3, false, ("w1 w2", 2000)),
        (3, true, ("w1 w2 new-1", 3000)),
    ] {
        let (names, price) = of(movable, survive);
        assert_eq!((names.as_str(), price), expected, "{movable} {survive}");
    }
}

#[test]
fn what_stays_may_be_more_than_is_allowed() {
    let workers = || vec![machine("w1", "m"), machine("w2", "m"), server("s", "m")];
    let pods = || vec![web("p", "100m").on("w1").claim("c")];
    let of = |most: usize| {
        let asked = Asked { most: Some(most), keep: &["w2"], ..Asked::default() };
        answer(workers(), pods(), vec![offer("m", 1000, 1000)], &asked)
    };
    let none = of(2);
    let too_many = none.too_many.as_ref().unwrap();
    assert!(none.placed.is_none() && none.machines.is_empty());
    let local = "w1 (default/p: its claim c is a local volume of w1)";
    assert_eq!(too_many.which, [local, "w2 (it is to stay)", "1 server of the control plane"]);
    assert_eq!((too_many.machines, none.immovable.len()), (3, 1));
    let three = of(3);
    assert!(three.too_many.is_none());
    assert_eq!(found(&three).1, 3000);
}

#[test]
fn a_node_that_is_to_stay_does() {
    let with = |keep: &[&str]| {
        let nodes = vec![machine("w1", "m"), machine("w2", "m")];
        let asked = Asked { keep, ..Asked::default() };
        let answer = answer(nodes, vec![web("p", "100m").on("w1")], vec![offer("m", 1000, 1000)], &asked);
        found(&answer).0.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        (with(&[]), with(&["w2"]), with(&["w1", "w2"])),
        (vec!["w1".to_owned()], vec!["w2".to_owned()], vec!["w1".to_owned(), "w2".to_owned()])
    );
}

#[test]
fn pods_of_daemon_sets_that_wait_for_a_node_have_it_before_others() {
    let of = |waits: Option<&str>, keep: &[&str]| {
        let agent = waits.map(|cpu| daemon("agent", "w").requests(cpu, "64Mi").limits("", "64Mi"));
        let pods = std::iter::once(web("p", "800m").on("w")).chain(agent).collect();
        let offers = vec![offer("m", 1000, 1000), offer("l", 2000, 1900)];
        let answer = answer(vec![machine("w", "m")], pods, offers, &Asked { keep, ..Asked::default() });
        let (names, price) = found(&answer);
        let world = &answer.placed.as_ref().unwrap().world;
        let on: Vec<usize> = names.iter().map(|name| world.engine().cache().node(name).unwrap().pods.len()).collect();
        (names.join(" "), price, on)
    };
    assert_eq!(of(None, &[]), ("w".to_owned(), 1000, vec![1]));
    assert_eq!(of(Some("100m"), &[]), ("w".to_owned(), 1000, vec![2]));
    // Beside it there is too little for the other: a larger machine has both.
    assert_eq!(of(Some("300m"), &[]), ("new-1".to_owned(), 1900, vec![2]));
    // A node that does not even hold it alone goes; if it is to stay, it is as if nobody waited for it.
    assert_eq!(of(Some("1100m"), &[]), ("new-1".to_owned(), 1900, vec![2]));
    assert_eq!(of(Some("1100m"), &["w"]), ("w".to_owned(), 1000, vec![1]));
}

#[test]
fn a_control_plane_has_its_machines_for_itself_or_shares_them() {
    let of = |taints: bool, separate: Option<bool>| {
        let s = server("s", "m");
        let s = if taints { s.taint(CONTROL_PLANE_ROLES[0], "", Effect::NoSchedule) } else { s };
        // It is on the server where it may be.
        let p = if taints { web("p", "100m") } else { web("p", "100m").on("s") };
        let asked = Asked { separate, ..Asked::default() };
        let answer = answer(vec![s], vec![p], vec![offer("m", 1000, 1000)], &asked);
        let on = answer.placed.as_ref().unwrap().nodes[0].to_string();
        (answer.separate, answer.price.0, on)
    };
    let (shared, separate) = ((false, 1000, "s".to_owned()), (true, 2000, "new-1".to_owned()));
    for (taints, asked, expected) in [
        (false, None, &shared),
        (true, None, &separate),
        (false, Some(false), &shared),
        (true, Some(false), &shared),
        (false, Some(true), &separate),
        (true, Some(true), &separate),
    ] {
        assert_eq!(of(taints, asked), *expected, "{taints} {asked:?}");
    }
    // What cannot leave does not, whatever came after it.
    let s = server("w1", "m").taint(CONTROL_PLANE_ROLES[0], "", Effect::NoSchedule);
    let stays = answer(
        vec![s],
        vec![web("p", "100m").on("w1").claim("c")],
        vec![offer("m", 1000, 1000)],
        &Asked { separate: Some(true), ..Asked::default() },
    );
    assert_eq!(found(&stays), (vec!["w1"], 1000));
}

#[test]
fn too_many_sets_for_the_ordered_search_get_the_best_fleet_of_one_type() {
    // Each thousandth of a core costs the same in all twenty types, and each machine holds one pod: fewer than twelve
    // machines do not do, and there are 230,230 sets of up to six, each of which could cost as little when complete.
    let offers =
        (0..20).map(|number| offer(&format!("m{number:02}"), 1000 + 10 * number, 1000 + 10 * number)).collect();
    let pods = (0..12).map(|number| web(&format!("p{number:02}"), "900m")).collect();
    let answer = answer(Vec::new(), pods, offers, &Asked::default());
    let (names, price) = found(&answer);
    assert_eq!((names.len(), price), (12, 12_000));
    assert!(answer.machines.iter().all(|machine| machine.kind.as_deref() == Some("m00")));
    // Twelve times 900 thousandths of a core: that the machines do not fill up is not known of sets nobody looked at.
    assert_eq!((answer.lower_bound, answer.sets_tried), (Price(10_800), 1));
}
