//! What is mirrored, what is left out, and what is said about it.

use super::*;

/// Translated from `TestSyncEndpoints`, and the event handlers.
#[test]
fn mirrors_only_what_people_write_and_takes_back_the_rest() {
    let object = endpoints(json!([subset(&[("10.0.0.1", "")], &[], &[("", 80)])]));
    let edit = |object: &Value, path: &str, field: &str, value: &str| {
        let mut object = object.clone();
        object["metadata"][path][field] = json!(value);
        endpoints_row(&object)
    };
    let skip = "endpointslice.kubernetes.io/skip-mirror";
    type Case<'a> = (&'a str, Box<dyn Fn(&mut Bench) + 'a>, usize);
    let cases: [Case<'_>; 7] = [
        ("Endpoints gone", Box::new(|b| b.rig.remove_endpoints(&key())), 1),
        ("service gone", Box::new(|b| b.rig.remove_service(&key())), 1),
        ("selector", Box::new(|b| b.rig.service(service(Some(&[("a", "b")])))), 1),
        ("empty selector", Box::new(|b| b.rig.service(service(Some(&[])))), 0),
        ("skipped", Box::new(|b| b.rig.endpoints(edit(&object, "labels", skip, "true"))), 1),
        (
            "lock",
            Box::new(|b| {
                b.rig.endpoints(edit(&object, "annotations", "control-plane.alpha.kubernetes.io/leader", ""));
            }),
            1,
        ),
        ("nothing", Box::new(|_| {}), 0),
    ];
    for (what, change, deleted) in cases {
        let (mut bench, writes) = Bench::mirrored(&object, vec![]);
        assert_eq!(writes, (1, 0, 0), "{what}");
        change(&mut bench);
        assert_eq!(bench.run(), (0, 0, deleted), "{what}");
        assert_eq!(bench.store.objects.len(), 1 - deleted, "{what}");
        assert_eq!(bench.rig.controller.figures.len(), 1 - deleted, "{what}");
        // And back again.
        bench.rig.service(service(None));
        bench.rig.endpoints(endpoints_row(&object));
        assert_eq!(bench.run(), (deleted, 0, 0), "{what}: back");
    }
    // Left over while nobody looked; slices of others stay.
    let mut foreign = slice("foreign", json!([]), &[]);
    foreign["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = json!("me");
    let mut bench = Bench::new(1000, vec![slice("left", json!([]), &[]), foreign]);
    bench.rig.start();
    assert_eq!(bench.run(), (0, 0, 1));
    assert_eq!(bench.store.objects.keys().map(|k| k.name.to_string()).collect::<Vec<_>>(), ["foreign"]);
}

#[test]
fn says_what_is_left_out() {
    let list: Vec<(String, &str)> = (0..1001).map(|i| (format!("10.0.{}.{}", i / 250, i % 250), "")).collect();
    let list: Vec<(&str, &str)> = list.iter().map(|(ip, h)| (ip.as_str(), *h)).collect();
    let port = [("", 80)];
    let too_many = |n: usize| {
        format!(
            "TooManyAddressesToMirror A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. \
             {n} addresses were skipped"
        )
    };
    let invalid =
        |n: usize| format!("InvalidIPAddress Skipped {n} invalid IP addresses when mirroring to EndpointSlices");
    for (what, ready, not_ready, size, events) in [
        ("fits", &list[..1000], &list[..0], 1000, vec![]),
        ("one too many", &list[..], &list[..0], 1000, vec![too_many(1)]),
        ("ready ones first", &list[500..1000], &list[..500], 1000, vec![]),
        ("no address", &[("x", ""), ("10.0.0.1", "")][..], &[("10.0.0.256", "")][..], 1, vec![invalid(2)]),
    ] {
        let (mut bench, writes) = Bench::mirrored(&endpoints(json!([subset(ready, not_ready, &port)])), vec![]);
        assert_eq!(writes, (1, 0, 0), "{what}");
        assert_eq!(bench.slices()[0].endpoints.len(), size, "{what}");
        assert_eq!(bench.rig.take_events(), events, "{what}");
    }
    let (mut bench, _) = Bench::mirrored(&endpoints(json!([subset(&list[400..], &list[..400], &port)])), vec![]);
    let ready = |s: &EndpointSlice| s.endpoints.iter().filter(|e| e.ready == Some(true)).count();
    assert_eq!((ready(&bench.slices()[0]), bench.rig.take_events()), (601, vec![too_many(1)]));
}

#[test]
fn a_product_without_end_is_not_mirrored_and_said() {
    let list: Vec<String> = (0..1000).map(|i| format!("10.0.{}.{}", i / 250, i % 250)).collect();
    let list: Vec<(&str, &str)> = list.iter().map(|ip| (ip.as_str(), "")).collect();
    let mut subsets: Vec<_> = (1..=1000).map(|p| subset(&[(list[p - 1].0, "own")], &[], &[("", p as u16)])).collect();
    let all: Vec<_> = (1..=1000).map(|p| ("", p)).collect();
    subsets.push(subset(&list, &[], &all));
    let (mut bench, writes) = Bench::mirrored(&endpoints(json!(subsets)), vec![]);
    assert_eq!(writes, (0, 0, 0));
    assert!(bench.rig.take_events()[0].starts_with("TooManyAddressesToMirror More than 100000 addresses"));
}

#[test]
fn endpoints_being_deleted_get_no_new_slices() {
    let mut row: Endpoints =
        (*endpoints_row(&endpoints(json!([subset(&[("10.0.0.1", "")], &[], &[("", 80)])])))).clone();
    row.meta.set_deleted(Timestamp::from_secs(1));
    let mut bench = Bench::new(1000, vec![]);
    bench.rig.service(service(None));
    bench.rig.endpoints(Arc::new(row));
    bench.rig.start();
    assert_eq!(bench.run(), (0, 0, 0));
}
