//! `ImageLocality`: rather where the pod's images are (upstream `plugins/imagelocality`; reference 3.10).
//!
//! The size of an image is the one that the scored node reports; upstream takes that of the first node that reported an
//! image of this name (reference 3.10, "Measured").

use std::borrow::Cow;

use headroom_core::Str;

use crate::{
    cache::NodeInfo,
    framework::{MAX_NODE_SCORE, Plugin, PodInfo, Point, Points, Reads, Status, View},
};

const MIB: i64 = 1 << 20;
/// Sums of images below this score 0, in bytes.
const MIN_THRESHOLD: i64 = 23 * MIB;
/// Per container, sums above this score no more, in bytes.
const MAX_CONTAINER_THRESHOLD: i64 = 1000 * MIB;

/// The plugin.
#[derive(Debug)]
pub struct ImageLocality;

/// What of the pod's images each node has, in bytes by slot, each scaled by how many nodes have it.
#[derive(Debug, Clone, Default)]
pub struct ImageState {
    sums: Vec<i64>,
    containers: i64,
}

/// With the tag that is meant when none is given.
fn normalized(name: &Str) -> Cow<'_, str> {
    // `None`, "not there", is below every position.
    if name.rfind(':') <= name.rfind('/') { Cow::Owned(format!("{name}:latest")) } else { Cow::Borrowed(name.as_str()) }
}

fn images(pod: &PodInfo) -> impl Iterator<Item = &Str> {
    let spec = &pod.pod.spec;
    let containers = spec.init_containers.iter().chain(&spec.containers).map(|c| &c.image);
    containers.chain(&spec.image_volumes)
}

fn priority(sum: i64, containers: i64) -> i64 {
    let max = MAX_CONTAINER_THRESHOLD.saturating_mul(containers);
    let sum = if sum < MIN_THRESHOLD { MIN_THRESHOLD } else { sum.min(max) };
    MAX_NODE_SCORE.saturating_mul(sum - MIN_THRESHOLD) / (max - MIN_THRESHOLD)
}

impl Plugin for ImageLocality {
    type Filter = ();
    type Score = ImageState;
    /// The score.
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::Score])
    }

    fn reads(&self, _: &PodInfo) -> Reads {
        Reads::Cluster
    }

    fn may_score(&self, pod: &PodInfo, view: &View<'_>) -> bool {
        images(pod).any(|image| view.cache.has_image(&normalized(image)))
    }

    fn score_state(&self, pod: &PodInfo, view: &View<'_>) -> ImageState {
        let spec = &pod.pod.spec;
        let total = view.cache.node_count() as f64;
        let mut sums = vec![0_i64; view.cache.slots()];
        for image in images(pod) {
            let nodes = view.cache.nodes_with_image(&normalized(image));
            let spread = nodes.len() as f64 / total;
            for (slot, size) in nodes {
                if let Some(sum) = sums.get_mut(slot as usize) {
                    *sum = sum.saturating_add((size as f64 * spread) as i64);
                }
            }
        }
        ImageState { sums, containers: (spec.init_containers.len() + spec.containers.len()) as i64 }
    }

    fn score(&self, state: &ImageState, _: &PodInfo, node: &NodeInfo) -> Result<i64, Status> {
        Ok(priority(state.sums.get(node.slot as usize).copied().unwrap_or(0), state.containers))
    }

    fn normalize(&self, raw: &i64, (): &()) -> i64 {
        *raw
    }
}

#[cfg(test)]
mod upstream;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headroom_core::{
        Now,
        testing::{container, node, pod},
    };

    use super::*;
    use crate::cache::Cache;

    #[test]
    fn names() {
        for (given, expected) in [
            ("root:80/a", "root:80/a:latest"),
            ("root:80/a:1", "root:80/a:1"),
            ("a", "a:latest"),
            ("a:1", "a:1"),
            ("reg/a@sha256:0", "reg/a@sha256:0"),
        ] {
            assert_eq!(normalized(&given.into()), expected);
        }
    }

    fn scores(nodes: &[&[(&str, i64)]], images: &[&str]) -> Vec<i64> {
        let mut cache = Cache::default();
        for (i, images) in nodes.iter().enumerate() {
            let n = node(&format!("n{i}"));
            cache.set_node(images.iter().fold(n, |n, (name, mib)| n.image(&[name], mib * MIB)).arc());
        }
        let p = images.iter().enumerate().fold(pod("p"), |p, (i, image)| {
            let c = container(&format!("c{i}")).image(image);
            if i == 2 { p.init(c) } else { p.container(c) }
        });
        let p = PodInfo::new(p.arc());
        let view = View::new(&cache, Now::default());
        let state = ImageLocality.score_state(&p, &view);
        let scores: Vec<i64> = cache.nodes().map(|(_, n)| ImageLocality.score(&state, &p, n).unwrap()).collect();
        assert!(ImageLocality.may_score(&p, &view) || scores.iter().all(|s| *s == 0));
        scores
    }

    /// Upstream's `TestImageLocalityPriority`.
    #[test]
    fn upstreams_table() {
        let n1 = &[("40:latest", 40), ("300:latest", 300), ("2000:latest", 2000)][..];
        let n2 = &[("250:latest", 250), ("10:latest", 10)][..];
        let n3 = &[("600:latest", 600), ("40:latest", 40), ("900:latest", 900)][..];
        let n4 = &[("300:latest", 300), ("600:latest", 600), ("900:latest", 900)][..];
        let n5 = &[("4000:latest", 4000), ("30:latest", 30)][..];
        let n6 = &[("20:latest", 20), ("30:latest", 30), ("40:latest", 40)][..];
        let none: &[(&str, i64)] = &[];
        for (nodes, images, expected) in [
            (&[n1, n2][..], &["40", "250"][..], &[0, 5][..]),
            (&[n1, n2], &["40", "300"], &[7, 0]),
            (&[n5, n2], &["10", "4000"], &[100, 0]),
            (&[n5, n2, none], &["10", "4000"], &[66, 0, 0]),
            (&[n3, n4, none], &["300", "600", "900"], &[32, 36, 0]),
            (&[n6, none], &["30", "40"], &[0, 0]),
            (&[n1, n6], &["300", "30"], &[6, 0]),
            (&[n1, n2], &["unknown"], &[0, 0]),
        ] {
            assert_eq!(scores(nodes, images), expected, "{images:?}");
        }
    }

    #[test]
    fn each_node_counts_once_with_its_own_size() {
        let mut cache = Cache::default();
        cache.set_node(node("a").image(&["x:1", "x@sha256:1"], 500 * MIB).image(&["x:1"], 9 * MIB).arc());
        cache.set_node(node("b").image(&["x:1"], 100 * MIB).arc());
        let sizes: Vec<i64> = cache.nodes_with_image("x:1").iter().map(|(_, size)| size / MIB).collect();
        assert_eq!(sizes, [500, 100]);
        cache.set_node(node("a").arc());
        assert_eq!((cache.nodes_with_image("x:1").len(), cache.has_image("x@sha256:1")), (1, false));
        cache.remove_node("b");
        assert!(!cache.has_image("x:1"));
        assert_eq!(cache.difference(&cache.recomputed()), None);
    }

    #[test]
    fn absurd_pods_score_something() {
        assert_eq!([priority(0, 0), priority(i64::MAX, 0), priority(i64::MAX, i64::MAX)], [0, 100, 1]);
        let big = PodInfo::new(pod("p").spec(|s| s.image_volumes = Box::new(["a".into()])).arc());
        let mut cache = Cache::default();
        cache.set_node(Arc::new(node("n").image(&["a:latest"], i64::MAX).build()));
        let state = ImageLocality.score_state(&big, &View::new(&cache, Now::default()));
        assert_eq!(ImageLocality.score(&state, &big, cache.node("n").unwrap()), Ok(100));
    }
}
