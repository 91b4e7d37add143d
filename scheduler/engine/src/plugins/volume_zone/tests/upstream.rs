//! Upstream's tables (`volume_zone_test.go`), whole but for the messages of `TestWithBinding`, which are in
//! [`super::what_is_wrong_with_a_claim_is_told`].

use super::*;

/// Volume, labels of the node, whether it is in the right place; absent when PreFilter skips.
type Row<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], Option<bool>);

fn check(volumes: Vec<VolumeBuilder>, rows: Vec<Row<'_>>) {
    let cache = world(volumes);
    for (i, (name, labels, expected)) in rows.into_iter().enumerate() {
        let p = name.map_or(pod("p"), |name| pod("p").claim(&format!("claim-{name}")));
        let p = PodInfo::new(p.arc());
        let n = labels.iter().fold(node("host1"), |n, (key, value)| n.label(key, value));
        let status = match VolumeZone.pre_filter(&p, &View::new(&cache, Now::default())) {
            PreFilter::Skip => Status::SKIP,
            PreFilter::Continue(places) => VolumeZone.filter(&places, &p, &NodeInfo::new(n.arc())),
            other => panic!("{other:?}"),
        };
        let expected = match expected {
            None => Status::SKIP,
            Some(true) => Status::SUCCESS,
            Some(false) => Status::unresolvable(REASON),
        };
        assert_eq!(status, expected, "case {i}");
    }
}

const OTHER: (&str, &str) = ("uselessLabel", "none");

/// `TestSingleZone`.
#[test]
fn single_zone() {
    let (zone, not_zone) = ("us-west1-a", "no_us-west1-a");
    let (region, not_region) = ("us-west1", "no_us-west1");
    let (right, wrong) = (Some(true), Some(false));
    check(
        vec![
            volume("beta-zone").label(BETA_ZONE, zone),
            volume("beta-region").label(BETA_REGION, region).label(OTHER.0, OTHER.1),
            volume("zone").label(ZONE, zone),
            volume("region").label(REGION, region).label(OTHER.0, OTHER.1),
            volume("both").label(ZONE, zone).label(REGION, zone),
        ],
        vec![
            (None, &[(BETA_ZONE, zone)][..], None),
            (Some("beta-zone"), &[], right),
            (Some("beta-zone"), &[(BETA_ZONE, zone), OTHER], right),
            (Some("beta-region"), &[(BETA_REGION, region), OTHER], right),
            (Some("beta-region"), &[(BETA_REGION, not_region), OTHER], wrong),
            (Some("beta-zone"), &[(BETA_ZONE, not_zone), OTHER], wrong),
            (Some("zone"), &[(ZONE, zone), OTHER], right),
            (Some("region"), &[(REGION, region), OTHER], right),
            (Some("region"), &[(REGION, not_region), OTHER], wrong),
            (Some("zone"), &[(ZONE, not_zone), OTHER], wrong),
            (Some("both"), &[(ZONE, zone)], wrong),
            // A node's label of today stands for the volume's old one, but not the other way round.
            (Some("zone"), &[(BETA_ZONE, zone)], wrong),
            (Some("beta-zone"), &[(ZONE, zone)], right),
            (Some("beta-zone"), &[(ZONE, "us-west1-b")], wrong),
        ],
    );
}

/// `TestMultiZone`, and the first case of `TestWithBinding`.
#[test]
fn multi_zone() {
    let (a, b, several) = ("us-west1-a", "us-west1-b", "us-west1-c__us-west1-a");
    let (right, wrong) = (Some(true), Some(false));
    check(
        vec![
            volume("beta-one").label(BETA_ZONE, a),
            volume("beta-several").label(BETA_ZONE, several),
            volume("one").label(ZONE, a),
            volume("several").label(ZONE, several),
        ],
        vec![
            (Some("beta-several"), &[][..], right),
            (Some("beta-several"), &[(BETA_ZONE, a), OTHER], right),
            (Some("beta-one"), &[(BETA_ZONE, b), OTHER], wrong),
            (Some("several"), &[(ZONE, a), OTHER], right),
            (Some("one"), &[(ZONE, b), OTHER], wrong),
            (Some("beta-one"), &[(BETA_ZONE, a), OTHER], right),
        ],
    );
}

fn hint(p: PodBuilder, old: Option<StorageObject>, new: StorageObject) -> Hint {
    let cache = Cache::default();
    let change = Change::Storage { old, new: Some(new) };
    VolumeZone.hint(&change, &PodInfo::new(p.arc()), &View::new(&cache, Now::default()))
}

/// `TestIsSchedulableAfterPersistentVolumeClaimAdded`: the pod's claim, the namespace of the claim `c` that came or was
/// bound.
#[test]
fn after_claims() {
    let unbound = || StorageObject::Claim(claim("c").arc());
    for (i, (mine, namespace, old, expected)) in [
        (None, "default", None, Hint::Skip),
        (Some("d"), "default", None, Hint::Skip),
        (Some("c"), "ns1", None, Hint::Skip),
        (Some("c"), "default", None, Hint::Queue),
        (Some("c"), "default", Some(unbound()), Hint::Queue),
        (None, "default", Some(unbound()), Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let p = mine.map_or(pod("p"), |name| pod("p").claim(name));
        let new = claim("c").volume("v").with(|c| c.meta.key.namespace = namespace.into());
        assert_eq!(hint(p, old, StorageObject::Claim(new.arc())), expected, "case {i}");
    }
}

/// `TestIsSchedulableAfterStorageClassAdded`.
#[test]
fn after_classes() {
    let waits = || waiting_class("s", "p");
    for (class, expected) in [(StorageClass { binding_mode: None, ..waits() }, Hint::Skip), (waits(), Hint::Queue)] {
        let text = format!("{class:?}");
        assert_eq!(hint(pod("p").claim("c"), None, StorageObject::Class(Arc::new(class))), expected, "{text}");
    }
}

/// `TestIsSchedulableAfterPersistentVolumeChange`: labels of the volume before, when there was one, and after.
#[test]
fn after_volumes() {
    let (a, b) = ((BETA_ZONE, "us-west1-a"), (BETA_ZONE, "us-west1-b"));
    let today = (ZONE, "zone");
    let of = |labels: &[(&str, &str)]| {
        let v = labels.iter().fold(volume("v"), |v, (key, value)| v.label(key, value));
        StorageObject::Volume(v.arc())
    };
    for (i, (old, new, expected)) in [
        (None, of(&[b]), Hint::Queue),
        (Some(of(&[a])), of(&[b]), Hint::Queue),
        (Some(of(&[a])), of(&[a, today]), Hint::Queue),
        (Some(of(&[a, today])), of(&[a, today]), Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(hint(pod("p").claim("c"), old, new), expected, "case {i}");
    }
}
