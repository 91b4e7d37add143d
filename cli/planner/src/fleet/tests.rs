//! Whether a search that ends without a way proves that there is none.

use headroom_core::{
    Now,
    memory::MIB,
    object::{Meta, Namespace, ObjectKey},
    testing::{PodBuilder, pod, spread, term},
};
use headroom_engine::Input;

use super::*;
use crate::{Offer, Price, catalogue::Arch, machine::Role};

fn web(name: &str) -> PodBuilder {
    pod(name).requests("100m", "64Mi").limits("", "64Mi")
}

fn critical(name: &str) -> PodBuilder {
    web(name).spec(|spec| spec.priority = 2_000_000_000)
}

/// A scheduler with a default constraint.
fn spreading(when: &str) -> Scheduler {
    let mut scheduler = Scheduler::standard();
    let arguments = format!(
        r#"{{"defaultingType": "List", "defaultConstraints": [
            {{"maxSkew": 1, "topologyKey": "{HOSTNAME}", "whenUnsatisfiable": "{when}"}}]}}"#
    );
    for profile in &mut scheduler.config.profiles {
        profile.plugin_config.insert("PodTopologySpread".to_owned(), arguments.parse().unwrap());
    }
    scheduler
}

/// Whether the order of these pods makes no difference, where namespace `scored` only scores.
fn order_free(pods: Vec<PodBuilder>, scheduler: &Scheduler, swap: i64) -> bool {
    let labels = [("headroom.dev/enforcement", "score")].into_iter().collect();
    let meta = Meta { key: ObjectKey::new("", "scored"), labels, ..Meta::default() };
    let namespace = Input::NamespaceApplied(Arc::new(Namespace { meta, ..Namespace::default() }));
    let pods = pods.into_iter().map(|pod| Input::PodApplied(pod.arc()));
    let inputs: Vec<Input> = std::iter::once(namespace).chain(pods).collect();
    let cluster = Cluster::new(inputs, scheduler, Now::at_secs(1_800_000_000));
    let load = Load::new(&cluster, scheduler, []).unwrap();
    let offer = Offer {
        name: "m".into(),
        milli_cpu: 1000,
        memory: 2048 * MIB,
        pods: 110,
        price: Price(500),
        swap: true,
        arch: Arch::default(),
    };
    let machine = Machine::new(&offer, "new", &Role::of(&cluster, false), swap, cluster.now);
    load.order_free(&[machine])
}

#[test]
fn what_makes_the_order_of_pods_matter() {
    let standard = Scheduler::standard();
    let scored = |name: &str| web(name).namespace("scored");
    for (what, pods, scheduler, swap, expected) in [
        ("nothing", vec![web("a"), web("b")], &standard, 0, true),
        ("swap", vec![web("a"), web("b")], &standard, 512 * MIB, false),
        ("affinity", vec![web("a"), web("b").affine(term("app=a", HOSTNAME))], &standard, 0, false),
        ("spreading", vec![web("a"), web("b").spread(spread(1, HOSTNAME, true, "app=a"))], &standard, 0, false),
        ("refusing each other", vec![web("a"), web("b").anti_affine(term("app=a", HOSTNAME))], &standard, 0, true),
        // The critical one is let in at last, but not the other after it.
        ("a critical one", vec![web("a"), critical("b")], &standard, 0, false),
        ("critical ones alone", vec![critical("a"), critical("b")], &standard, 0, true),
        ("a namespace that scores", vec![web("a"), scored("b")], &standard, 0, false),
        ("that namespace alone", vec![scored("a"), scored("b")], &standard, 0, true),
        ("defaults that must hold", vec![web("a"), web("b")], &spreading("DoNotSchedule"), 0, false),
        ("defaults that score", vec![web("a"), web("b")], &spreading("ScheduleAnyway"), 0, true),
    ] {
        assert_eq!(order_free(pods, scheduler, swap), expected, "{what}");
    }
}
