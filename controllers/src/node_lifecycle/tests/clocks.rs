//! A pause of this process and an outage of the API server: with clocks that start afresh, and with upstream's.

use headroom_runtime::process::GoDuration;

use super::*;

/// Upstream's numbers, and clocks that start afresh.
fn careful() -> Cluster {
    let options = NodeLifecycleOptions {
        profile: LifecycleProfile::Patient,
        monitor_grace_period: Some(GoDuration(Duration::from_secs(50))),
        ..NodeLifecycleOptions::default()
    };
    Cluster::with(5, options, |n| n)
}

/// How many nodes were declared silent.
fn declared(c: &mut Cluster) -> usize {
    c.taken().iter().filter(|(_, what)| what.ends_with("conditions")).count()
}

#[test]
fn a_pause_of_ours_taints_nobody() {
    for pause in [7, 30, 49, 51, 300, 86_400] {
        let mut c = careful();
        c.run(43);
        c.rig.jump(Duration::from_secs(pause));
        // The watch delivers what it missed only later.
        c.run(15);
        c.renew();
        c.run(40);
        assert_eq!(c.taken(), [], "{pause} s");
    }
}

#[test]
fn an_outage_of_the_api_server_taints_nobody() {
    for outage in [30, 49, 55, 100, 103, 149, 3600] {
        let mut c = careful();
        c.run(43);
        c.api_down = true;
        c.run(outage);
        c.api_down = false;
        // Kubelets need a few seconds to find it again.
        let alive = std::mem::take(&mut c.alive);
        c.run(7);
        c.alive = alive;
        c.renew();
        c.run(100);
        assert_eq!(c.taken(), [], "{outage} s");
        // And a node that died meanwhile is found later.
        c.kill("n1");
        c.run(60);
        assert_eq!(c.taken().first().map(|(_, w)| w.as_str()), Some("n1 conditions"));
    }
}

#[test]
fn upstreams_clocks_go_on_during_a_pause() {
    // The kubelets slept as well: whoever has not renewed when we wake is silent.
    for (renewed, silent) in [(true, 0), (false, 5)] {
        let mut c = Cluster::new(5);
        c.run(43);
        c.rig.jump(Duration::from_secs(60));
        if renewed {
            c.renew();
        }
        c.run(15);
        assert_eq!(declared(&mut c), silent, "renewed: {renewed}");
        assert_eq!(c.tainted(), 0, "where nobody is ready nobody is evicted");
    }
}

#[test]
fn upstreams_clocks_go_on_during_an_outage() {
    for (renewed, silent) in [(true, 0), (false, 5)] {
        let mut c = Cluster::new(5);
        c.run(43);
        c.api_down = true;
        c.run(100);
        assert_eq!(c.taken(), [], "without an answer there is no evidence");
        c.api_down = false;
        if renewed {
            c.renew();
        } else {
            c.alive.clear();
        }
        c.run(7);
        assert_eq!(declared(&mut c), silent, "renewed: {renewed}");
        assert_eq!(c.tainted(), 0, "where nobody is ready nobody is evicted");
    }
}
