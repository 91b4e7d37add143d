//! Upstream's `TestImageLocalityPriority` and `TestNormalizedImageName` (`image_locality_test.go`), whole: images have
//! several names there, and a volume is one.

use headroom_core::{
    Now, Str,
    testing::{NodeBuilder, PodBuilder, container, node, pod},
};

use super::*;
use crate::cache::Cache;

/// A node with images, written as `"40:latest,v1 300:latest"`: the sizes in MiB, which are the names too, and the tags.
fn with_images(name: &str, images: &str) -> NodeBuilder {
    images.split_whitespace().fold(node(name), |n, image| {
        let (size, tags) = image.split_once(':').unwrap();
        let names: Vec<String> = tags.split(',').map(|tag| format!("gcr.io/{size}:{tag}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        n.image(&names, size.parse::<i64>().unwrap() * MIB)
    })
}

/// A pod whose containers have these images.
fn running(images: &[&str]) -> PodBuilder {
    images.iter().fold(pod("p"), |p, image| p.container(container("c").image(image)))
}

fn scores(p: PodBuilder, nodes: &[&str]) -> Vec<i64> {
    let mut cache = Cache::default();
    for (i, images) in nodes.iter().enumerate() {
        cache.set_node(with_images(&format!("node{}", i + 1), images).arc());
    }
    let info = PodInfo::new(p.arc());
    let state = ImageLocality.score_state(&info, &View::new(&cache, Now::default()));
    cache.nodes().map(|(_, n)| ImageLocality.score(&state, &info, n).unwrap()).collect()
}

/// The pod, the images of the nodes, the scores.
#[test]
fn sizes_and_spread() {
    let many = "40:latest,v1,v1 300:latest,v1 2000:latest";
    let few = "250:latest 10:latest,v1";
    let other = "600:latest 40:latest 900:latest";
    let large = "300:latest 600:latest 900:latest";
    let extreme = "4000:latest 30:latest";
    let small = "20:latest 30:latest 40:latest";
    let extremes = || running(&["gcr.io/10", "gcr.io/4000"]);
    let three = running(&["gcr.io/300", "gcr.io/600", "gcr.io/900"]);
    let volume = running(&["gcr.io/30"]).spec(|s| s.image_volumes = Box::new(["gcr.io/300".into()]));
    let init = running(&["gcr.io/30"]).init(container("i").image("gcr.io/300"));
    for (i, (p, nodes, expected)) in [
        (running(&["gcr.io/40", "gcr.io/250"]), vec![many, few], vec![0, 5]),
        (running(&["gcr.io/40", "gcr.io/300"]), vec![many, few], vec![7, 0]),
        (extremes(), vec![extreme, few], vec![100, 0]),
        (extremes(), vec![extreme, few, ""], vec![66, 0, 0]),
        (three, vec![other, large, ""], vec![32, 36, 0]),
        (running(&["gcr.io/30", "gcr.io/40"]), vec![small, extreme], vec![1, 0]),
        // Volumes count with their images, but are no containers by which the sum is divided.
        (volume, vec![large, extreme], vec![12, 0]),
        (init, vec![many, small], vec![6, 0]),
        // Ours: another tag is another image.
        (running(&["gcr.io/300:v1", "gcr.io/250:v1"]), vec![many, few], vec![6, 0]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(scores(p, &nodes), expected, "case {i}");
    }
}

#[test]
fn names() {
    let digest = "root@sha256:4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2";
    for (given, expected) in [
        ("root", "root:latest"),
        ("gcr.io:5000/root", "gcr.io:5000/root:latest"),
        ("root:tag", "root:tag"),
        (digest, digest),
    ] {
        assert_eq!(normalized(&Str::from(given)), expected);
    }
}
