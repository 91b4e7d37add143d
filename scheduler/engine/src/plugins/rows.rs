//! Scores of all nodes at once, by slot.

/// Raw scores may differ by so much for [`normalize`] to be worth it.
const MAX_SPAN: usize = 4096;
/// A value that was not worked out yet: no normalised score.
const UNKNOWN: u8 = u8::MAX;

/// Normalises the open rows, every value once. False, and nothing of use done, when the values lie too far apart or a
/// score leaves its range.
pub(super) fn normalize<R: Copy>(
    raw: &[R],
    value: impl Fn(R) -> Option<i64>,
    (min, max): (i64, i64),
    open: &[bool],
    normalized: &mut [u8],
    score: impl Fn(i64) -> i64,
) -> bool {
    let Some(span) = max.checked_sub(min).and_then(|span| usize::try_from(span).ok()).filter(|s| *s < MAX_SPAN) else {
        return false;
    };
    let mut known = vec![UNKNOWN; span + 1];
    for ((raw, open), cell) in raw.iter().zip(open).zip(normalized) {
        if !open {
            continue;
        }
        let Some(value) = value(*raw) else {
            *cell = 0;
            continue;
        };
        let Some(one) = usize::try_from(value.wrapping_sub(min)).ok().and_then(|at| known.get_mut(at)) else {
            return false;
        };
        if *one == UNKNOWN {
            match u8::try_from(score(value)) {
                Ok(score) if i64::from(score) <= crate::framework::MAX_NODE_SCORE => *one = score,
                _ => return false,
            }
        }
        *cell = *one;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_row_gets_the_score_of_its_value() {
        let raw = [Some(5), Some(7), None, Some(6), Some(900_000)];
        let open = [true, true, true, true, false];
        let mut got = [9; 5];
        assert!(normalize(&raw, |r| r, (5, 7), &open, &mut got, |v| 10 * v));
        assert_eq!(got, [50, 70, 0, 60, 9]);
        assert!(!normalize(&raw, |r| r, (5, 7), &open, &mut got, |v| 100 * v), "out of range");
        assert!(!normalize(&raw, |r| r, (5, 900_000), &open, &mut got, |_| 1), "too far apart");
        assert!(!normalize(&raw, |r| r, (i64::MIN, i64::MAX), &open, &mut got, |_| 1));
    }
}
