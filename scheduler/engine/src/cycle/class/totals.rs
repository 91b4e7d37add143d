//! Weighted sums of scores by slot, and the largest of them.
//!
//! They have 32 bits: a profile whose weights could add up to more has no classes (`Profile::narrow`). So the loops
//! need no checks, and over slices of one length they become vector instructions.

/// Rows of which the largest total is kept: what changed a few rows looks at their blocks alone.
const BLOCK: usize = 64;
/// The total of a row that is not open: less than any other.
pub(super) const CLOSED: i32 = i32::MIN;

/// Totals by slot.
#[derive(Debug, Default)]
pub(super) struct Totals {
    all: Vec<i32>,
    /// The largest of each block.
    tops: Vec<i32>,
}

fn largest(totals: &[i32]) -> i32 {
    totals.iter().fold(CLOSED, |most, total| most.max(*total))
}

impl Totals {
    /// Bytes per row, about.
    pub(super) const ROW_BYTES: usize = size_of::<i32>();

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// New rows are closed.
    pub(super) fn resize(&mut self, rows: usize) {
        self.all.resize(rows, CLOSED);
        self.tops.resize(rows.div_ceil(BLOCK), CLOSED);
    }

    pub(super) fn copy(&mut self, other: &Self) {
        self.all.clone_from(&other.all);
        self.tops.clone_from(&other.tops);
    }

    /// Gives every row this total. [`Totals::close`] has to follow once all is added.
    pub(super) fn fill(&mut self, total: i32) {
        self.all.fill(total);
    }

    /// Adds the weighted scores of all rows. [`Totals::close`] has to follow.
    pub(super) fn add(&mut self, scores: &[u8], weight: i32) {
        for (total, score) in self.all.iter_mut().zip(scores) {
            // What is added to a closed row stays below zero.
            *total += i32::from(*score) * weight;
        }
    }

    /// Closes the rows that are not open, and looks for the largest totals.
    pub(super) fn close(&mut self, open: &[bool]) {
        for ((totals, open), top) in self.all.chunks_mut(BLOCK).zip(open.chunks(BLOCK)).zip(&mut self.tops) {
            for (total, open) in totals.iter_mut().zip(open) {
                *total = if *open { *total } else { CLOSED };
            }
            *top = largest(totals);
        }
    }

    /// Sets the total of one row.
    pub(super) fn set(&mut self, row: usize, total: i32) {
        let block = row / BLOCK;
        let (Some(cell), Some(top)) = (self.all.get_mut(row), self.tops.get_mut(block)) else { return };
        let before = std::mem::replace(cell, total);
        if total >= *top {
            *top = total;
        } else if before == *top {
            *top = self.all.chunks(BLOCK).nth(block).map_or(CLOSED, largest);
        }
    }

    /// The largest; absent when no row is open.
    pub(super) fn best(&self) -> Option<i32> {
        Some(largest(&self.tops)).filter(|best| *best != CLOSED)
    }

    /// The rows that have the largest, in order.
    pub(super) fn rows_of(&self, best: i32) -> impl Iterator<Item = usize> {
        let blocks = self.all.chunks(BLOCK).zip(&self.tops).enumerate();
        blocks.filter(move |(_, (_, top))| **top == best).flat_map(move |(block, (totals, _))| {
            let rows = totals.iter().enumerate().filter(move |(_, total)| **total == best);
            rows.map(move |(at, _)| block * BLOCK + at)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Rows in no whole number of blocks.
    const ROWS: usize = 3 * BLOCK + 7;

    fn matches(totals: &Totals, expected: &[Option<i64>]) -> Result<(), TestCaseError> {
        let best = expected.iter().flatten().max().copied();
        prop_assert_eq!(totals.best().map(i64::from), best);
        let rows: Vec<usize> = totals.best().into_iter().flat_map(|best| totals.rows_of(best)).collect();
        let wanted: Vec<usize> = (0..ROWS).filter(|row| best.is_some() && expected[*row] == best).collect();
        prop_assert_eq!(rows, wanted);
        Ok(())
    }

    proptest! {
        /// Whatever is added, opened, closed and set: the largest and its rows are those of sums in 64 bits.
        #[test]
        fn the_largest_is_found(
            columns in vec((vec(any::<u8>(), ROWS), 1..2_000_000_i32), 1..4),
            open in vec(any::<bool>(), ROWS),
            changes in vec((0..ROWS, proptest::option::of(0..40_i32)), 0..60),
        ) {
            let mut totals = Totals::default();
            totals.resize(ROWS);
            matches(&totals, &[None; ROWS])?;
            totals.fill(1);
            let mut expected = [1_i64; ROWS];
            for (scores, weight) in &columns {
                totals.add(scores, *weight);
                for (total, score) in expected.iter_mut().zip(scores) {
                    *total += i64::from(*score) * i64::from(*weight);
                }
            }
            totals.close(&open);
            let mut expected: Vec<_> = expected.iter().zip(&open).map(|(total, open)| open.then_some(*total)).collect();
            matches(&totals, &expected)?;
            // Added to what is closed already, as plugins do that are not of the class.
            let mut more = Totals::default();
            more.copy(&totals);
            more.add(&columns[0].0, columns[0].1);
            more.close(&open);
            let weighted = |score: &u8| i64::from(*score) * i64::from(columns[0].1);
            let added = expected.iter().zip(&columns[0].0).map(|(total, score)| total.map(|t| t + weighted(score)));
            matches(&more, &added.collect::<Vec<_>>())?;
            for (row, total) in changes {
                totals.set(row, total.unwrap_or(CLOSED));
                expected[row] = total.map(i64::from);
                matches(&totals, &expected)?;
            }
        }
    }
}
