//! Scoring nodes by how full their storage would be (`scorer.go`).

use std::collections::BTreeMap;

use headroom_core::Str;

use super::binder::PodVolumes;

/// The shape at `utilization` percent: linear between its points.
fn at(shape: &[(i64, i64)], utilization: i64) -> i64 {
    let Some(next) = shape.iter().position(|(u, _)| utilization <= *u) else {
        return shape.last().map_or(0, |(_, score)| *score);
    };
    let (u1, s1) = shape[next];
    match next.checked_sub(1).map(|before| shape[before]) {
        None => s1,
        Some((u0, s0)) => s0 + (s1 - s0) * (utilization - u0) / (u1 - u0),
    }
}

/// The score of a node: per storage class how much of the capacity is asked for, and the mean over the classes, rounded.
pub(super) fn score(shape: &[(i64, i64)], volumes: &PodVolumes) -> i64 {
    // Requested and capacity, by class.
    let mut classes: BTreeMap<&Str, (i64, i64)> = BTreeMap::new();
    if volumes.matches.is_empty() {
        for (claim, room) in &volumes.provisions {
            let Some(room) = room else { continue };
            let class = classes.entry(&claim.class).or_default();
            // Two claims of a class share its room.
            class.1 = room.capacity.unwrap_or(0);
            class.0 = class.0.saturating_add(claim.request.unwrap_or(0));
        }
    } else {
        for (volume, claim) in &volumes.matches {
            let class = classes.entry(&volume.class).or_default();
            class.0 = class.0.saturating_add(claim.request.unwrap_or(0));
            class.1 = class.1.saturating_add(volume.capacity);
        }
    }
    if classes.is_empty() {
        return 0;
    }
    let sum: i64 = classes
        .values()
        .map(|(requested, capacity)| {
            let full = *capacity == 0 || requested > capacity;
            // In 128 bits: sizes come from users.
            let percent = if full { 100 } else { i128::from(*requested) * 100 / i128::from(*capacity) };
            at(shape, i64::try_from(percent).unwrap_or(100))
        })
        .sum();
    // Rounded half away from zero; there are no negative scores.
    let n = i64::try_from(classes.len()).unwrap_or(1);
    (sum + n / 2) / n
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headroom_core::testing::{claim, csi_capacity, volume};

    use super::*;

    /// Upstream's `TestScore`, whose shape is 0→0, 100→100 or its reverse.
    #[test]
    fn by_class() {
        const FULL: &[(i64, i64)] = &[(0, 0), (100, 100)];
        const EMPTY: &[(i64, i64)] = &[(0, 100), (100, 0)];
        let volumes = |all: &[(&str, &str, &str)]| PodVolumes {
            matches: all
                .iter()
                .map(|(class, asked, has)| {
                    (volume("v").class(class).capacity(has).arc(), claim("c").request(asked).arc())
                })
                .collect(),
            provisions: Vec::new(),
        };
        let bent: &[(i64, i64)] = &[(0, 0), (50, 80), (70, 50), (100, 0)];
        for (shape, all, expected) in [
            (FULL, vec![], 0),
            (FULL, vec![("a", "50Gi", "50Gi")], 100),
            (FULL, vec![("a", "30Gi", "100Gi")], 30),
            (FULL, vec![("a", "10Gi", "0")], 100),
            (FULL, vec![("a", "20Gi", "10Gi")], 100),
            (FULL, vec![("a", "0", "10Gi"), ("b", "10Gi", "10Gi")], 50),
            (FULL, vec![("a", "1Gi", "100Gi"), ("b", "2Gi", "100Gi")], 2),
            (FULL, vec![("a", "10Gi", "100Gi"), ("a", "30Gi", "100Gi")], 20),
            (EMPTY, vec![("a", "30Gi", "100Gi")], 70),
            (bent, vec![("a", "25", "100")], 40),
            (bent, vec![("a", "60", "100")], 65),
            (bent, vec![("a", "85", "100")], 25),
            (FULL, vec![("a", "8E", "8E"), ("a", "8E", "8E")], 100),
        ] {
            assert_eq!(score(shape, &volumes(&all)), expected, "{all:?}");
        }
        let room = Arc::new(csi_capacity("r", "a", None, "100Gi"));
        let one = |size: &str| (claim("c").class("a").request(size).arc(), Some(room.clone()));
        let provisions = PodVolumes {
            matches: Vec::new(),
            provisions: vec![one("50Gi"), one("20Gi"), (claim("d").class("b").arc(), None)],
        };
        assert_eq!(score(FULL, &provisions), 70);
    }
}
