use super::*;
use crate::framework::{Point, Points};

const ROWS: usize = 200;

/// Scores by the part of the largest, as `MemoryHeadroom` does.
#[derive(Debug)]
struct Share<const JOINS: bool>;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Top(f64);

impl Default for Top {
    fn default() -> Self {
        Self(1.0)
    }
}

impl<const JOINS: bool> Plugin for Share<JOINS> {
    type Filter = ();
    type Score = ();
    type Raw = f64;
    type Bounds = Top;

    fn name(&self) -> &'static str {
        "Share"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::Score])
    }

    fn inside(&self, top: &Top, raw: &f64) -> bool {
        *raw < top.0
    }

    fn bound(&self, top: &mut Top, raw: &f64) {
        top.0 = top.0.max(*raw);
    }

    fn join(&self, top: &mut Top, other: &Top) -> bool {
        top.0 = top.0.max(other.0);
        JOINS
    }

    fn around(&self, top: &Top) -> Option<[Top; 2]> {
        Some([Top(top.0 * 0.999), Top(top.0 * 1.001)])
    }

    fn between(&self, top: &Top, [least, most]: &[Top; 2]) -> bool {
        least.0 <= top.0 && top.0 <= most.0
    }

    fn normalize(&self, raw: &f64, top: &Top) -> i64 {
        (100.0 * (raw / top.0).clamp(0.0, 1.0)) as i64
    }
}

struct Dice(u64);

impl Dice {
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn roll(&mut self, sides: usize) -> usize {
        (self.part() * sides as f64) as usize
    }
}

/// How often all rows were normalised, and how often only some although the largest had changed; and how many scores
/// changed then.
#[derive(Debug, Default)]
struct Seen {
    all: usize,
    spared: usize,
    moved: usize,
}

/// Changes rows at random, mostly a little and mostly where the largest is, and looks whether everything is as if it had
/// been worked out anew.
fn course<const JOINS: bool>(seed: u64, seen: &mut Seen) {
    let (plugin, mut dice) = (Share::<JOINS>, Dice(seed));
    let (mut column, mut scores) = (TypedColumn::<f64, Top>::default(), Scores::default());
    column.resize(ROWS);
    scores.normalized.resize(ROWS, 0);
    let mut open = [true; ROWS];
    let mut raw = [0.0; ROWS];
    for (row, cell) in raw.iter_mut().enumerate() {
        *cell = 1000.0 * dice.part();
        column.put(&plugin, row, *cell);
    }
    assert_eq!(column.normalize(&plugin, &mut scores, &open, &[], true), Ok(Normalized::All));
    for step in 0..300 {
        let mut changed = Vec::new();
        for _ in 0..dice.roll(4) {
            let largest = (0..ROWS).filter(|row| open[*row]).max_by(|a, b| raw[*a].total_cmp(&raw[*b]));
            let row = if dice.roll(2) == 0 { largest.unwrap() } else { dice.roll(ROWS) };
            match dice.roll(12) {
                0 => open[row] = !open[row],
                1 => raw[row] = 1000.0 * dice.part(),
                _ => raw[row] *= 1.0 - 0.0003 * dice.part(),
            }
            column.put(&plugin, row, raw[row]);
            changed.push(row as u32);
        }
        let (before, bounds) = (scores.normalized.clone(), column.bounds);
        let done = column.normalize(&plugin, &mut scores, &open, &changed, false).unwrap();
        let top = bounds_of(&plugin, &raw, &open);
        assert_eq!(column.bounds, top, "seed {seed}, step {step}");
        for row in (0..ROWS).filter(|row| open[*row]) {
            let now = scores.normalized[row];
            assert_eq!(i64::from(now), plugin.normalize(&raw[row], &top), "seed {seed}, step {step}, row {row}");
            let told = changed.contains(&(row as u32)) || scores.moved.contains(&(row as u32));
            assert!(done == Normalized::All || now == before[row] || told, "seed {seed}, step {step}, row {row}");
        }
        if done == Normalized::All {
            seen.all += 1;
        } else if bounds != top {
            (seen.spared, seen.moved) = (seen.spared + 1, seen.moved + scores.moved.len());
        }
    }
}

#[test]
fn what_is_kept_is_what_there_would_be_anew() {
    let mut seen = Seen::default();
    for seed in 0..100 {
        course::<true>(seed, &mut seen);
        course::<false>(seed, &mut seen);
    }
    println!("{seen:?}");
    assert!(seen.all > 1000 && seen.spared > 2000 && seen.moved > 1000, "{seen:?}");
}
