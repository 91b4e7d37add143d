//! The scores of one plugin for all nodes, and how little of them is worked out anew when some have changed.
//!
//! Raw scores become scores from 0 to 100 by bounds that all of them make together, for example their maximum. Bounds
//! are kept per block of rows, so that those who made them can go without all others being looked at. And when bounds
//! move a little, most scores stay what they are, being whole numbers: a plugin can say within which ends that is certain
//! ([`Plugin::around`]), and only the other rows are normalised again while the bounds stay within them.

use std::{any::Any, fmt::Debug};

use super::{
    plugin::{MAX_NODE_SCORE, Plugin},
    status::Status,
};

/// Rows of which the bounds are kept.
const BLOCK: usize = 32;
/// When more than this part of all rows may change between two ends, all of them are normalised instead.
const RESTLESS: usize = 4;

/// A column, its types erased.
pub(super) trait AnyColumn: Any + Debug + Send {
    fn resize(&mut self, rows: usize);
    fn row_bytes(&self) -> usize;
}

/// A column of scores.
#[derive(Debug)]
pub struct Column {
    pub(super) typed: Box<dyn AnyColumn>,
    pub(super) scores: Scores,
}

/// What columns of all plugins have.
#[derive(Debug, Default)]
pub(super) struct Scores {
    /// Normalised, 0 to 100; meaningless for rows that are not feasible.
    normalized: Vec<u8>,
    /// See [`Column::moved`].
    moved: Vec<u32>,
}

impl Column {
    /// An empty column of a plugin.
    pub(super) fn of<P: Plugin>() -> Self {
        Self { typed: Box::new(TypedColumn::<P::Raw, P::Bounds>::default()), scores: Scores::default() }
    }

    /// Changes the number of rows.
    pub fn resize(&mut self, rows: usize) {
        self.typed.resize(rows);
        self.scores.normalized.resize(rows, 0);
    }

    /// The normalised scores.
    #[must_use]
    pub fn normalized(&self) -> &[u8] {
        &self.scores.normalized
    }

    /// Rows whose scores the last normalising changed besides those that it was told of; nothing of use after
    /// [`Normalized::All`].
    pub(crate) fn moved(&self) -> &[u32] {
        &self.scores.moved
    }

    /// Bytes per row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.typed.row_bytes() + 1
    }
}

/// What [`DynPlugin::normalize`](super::DynPlugin::normalize) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalized {
    /// Only the rows given have changed, and those that [`Column`] names.
    Rows,
    /// All have.
    All,
}

/// The raw scores and what is known of them.
#[derive(Debug, Default)]
pub(super) struct TypedColumn<R, B> {
    pub(super) raw: Vec<R>,
    bounds: B,
    /// A raw score that made the bounds was replaced.
    lost: bool,
    /// The bounds of each block, unless it is stale.
    blocks: Vec<B>,
    stale: Vec<bool>,
    span: Option<Span<B>>,
}

/// Two ends between which most scores stay.
#[derive(Debug)]
struct Span<B> {
    ends: [B; 2],
    /// The rows whose scores do not, some of them repeatedly, and some that do by now.
    restless: Vec<u32>,
}

impl<R: Default + Copy + Debug + Send + 'static, B: Default + Copy + Debug + Send + 'static> AnyColumn
    for TypedColumn<R, B>
{
    fn resize(&mut self, rows: usize) {
        self.raw.resize(rows, R::default());
        self.blocks.resize(rows.div_ceil(BLOCK), B::default());
        self.stale.resize(rows.div_ceil(BLOCK), true);
    }

    fn row_bytes(&self) -> usize {
        size_of::<R>()
    }
}

fn is_open(feasible: &[bool], row: u32) -> bool {
    feasible.get(row as usize).copied().unwrap_or(false)
}

/// A raw score normalised.
fn one<P: Plugin>(plugin: &P, raw: &P::Raw, bounds: &P::Bounds) -> Result<u8, Status> {
    let score = plugin.normalize(raw, bounds);
    match u8::try_from(score) {
        Ok(score) if i64::from(score) <= MAX_NODE_SCORE => Ok(score),
        _ => Err(Status::error(format!(
            "plugin {:?} returns an invalid score {score}, it should in the range of [0, {MAX_NODE_SCORE}] after normalizing",
            plugin.name()
        ))),
    }
}

/// The bounds of feasible rows.
fn bounds_of<P: Plugin>(plugin: &P, raw: &[P::Raw], feasible: &[bool]) -> P::Bounds {
    let mut bounds = P::Bounds::default();
    for (raw, feasible) in raw.iter().zip(feasible) {
        if *feasible {
            plugin.bound(&mut bounds, raw);
        }
    }
    bounds
}

impl<R, B> TypedColumn<R, B>
where
    R: Default + Copy + PartialEq + Debug + Send + 'static,
    B: Default + Copy + PartialEq + Debug + Send + 'static,
{
    /// Replaces the raw score of a row.
    pub(super) fn put<P: Plugin<Raw = R, Bounds = B>>(&mut self, plugin: &P, row: usize, raw: R) {
        if let Some(cell) = self.raw.get_mut(row) {
            self.lost |= *cell != raw && !plugin.inside(&self.bounds, cell);
            *cell = raw;
        }
    }

    /// Normalises: rows for which `feasible` holds count. `changed` are the rows filled, opened or closed since the last
    /// time; with `fresh` every row is.
    ///
    /// # Errors
    /// A score left its range.
    pub(super) fn normalize<P: Plugin<Raw = R, Bounds = B>>(
        &mut self,
        plugin: &P,
        scores: &mut Scores,
        feasible: &[bool],
        changed: &[u32],
        fresh: bool,
    ) -> Result<Normalized, Status> {
        scores.moved.clear();
        let before = self.bounds;
        let bounds = self.bounds(plugin, feasible, changed, fresh);
        (self.bounds, self.lost) = (bounds, false);
        let within = |span: &Span<B>| plugin.between(&bounds, &span.ends);
        if fresh || (bounds != before && !self.span.as_ref().is_some_and(within)) {
            self.span = None;
            self.normalize_all(plugin, scores, feasible)?;
            // Who has just moved far will hardly stay.
            if !fresh && plugin.around(&before).is_some_and(|ends| plugin.between(&bounds, &ends)) {
                self.span = self.look_around(plugin, feasible);
            }
            return Ok(Normalized::All);
        }
        if bounds != before
            && let Some(span) = &self.span
        {
            for row in span.restless.iter().filter(|row| is_open(feasible, **row)) {
                let (Some(raw), Some(cell)) = (self.raw.get(*row as usize), scores.normalized.get_mut(*row as usize))
                else {
                    continue;
                };
                let score = one(plugin, raw, &bounds)?;
                if std::mem::replace(cell, score) != score {
                    scores.moved.push(*row);
                }
            }
        }
        for row in changed.iter().filter(|row| is_open(feasible, **row)) {
            let (Some(raw), Some(cell)) = (self.raw.get(*row as usize), scores.normalized.get_mut(*row as usize))
            else {
                continue;
            };
            *cell = one(plugin, raw, &bounds)?;
            if let Some(span) = &mut self.span
                && span.moves(plugin, raw)
            {
                span.restless.push(*row);
            }
        }
        self.span = self.span.take().filter(|span| span.restless.len() <= self.raw.len() / RESTLESS);
        Ok(Normalized::Rows)
    }

    fn normalize_all<P: Plugin<Raw = R, Bounds = B>>(
        &self,
        plugin: &P,
        scores: &mut Scores,
        feasible: &[bool],
    ) -> Result<(), Status> {
        if plugin.normalize_rows(&self.raw, &self.bounds, feasible, &mut scores.normalized) {
            return Ok(());
        }
        for ((raw, feasible), cell) in self.raw.iter().zip(feasible).zip(&mut scores.normalized) {
            if *feasible {
                *cell = one(plugin, raw, &self.bounds)?;
            }
        }
        Ok(())
    }

    /// The rows whose scores may change while the bounds stay near; absent when they are too many, or the plugin cannot
    /// say.
    fn look_around<P: Plugin<Raw = R, Bounds = B>>(&self, plugin: &P, feasible: &[bool]) -> Option<Span<B>> {
        let mut span = Span { ends: plugin.around(&self.bounds)?, restless: Vec::new() };
        for (row, (raw, feasible)) in self.raw.iter().zip(feasible).enumerate() {
            if *feasible && span.moves(plugin, raw) {
                span.restless.push(row as u32);
            }
        }
        (span.restless.len() <= self.raw.len() / RESTLESS).then_some(span)
    }

    /// The bounds of the raw scores of feasible rows. They are looked for anew only when one that made them is gone, and
    /// then in the blocks that changed.
    fn bounds<P: Plugin<Raw = R, Bounds = B>>(
        &mut self,
        plugin: &P,
        feasible: &[bool],
        changed: &[u32],
        fresh: bool,
    ) -> B {
        if size_of::<B>() == 0 {
            return B::default();
        }
        if fresh {
            self.stale.fill(true);
        } else {
            for row in changed {
                if let Some(stale) = self.stale.get_mut(*row as usize / BLOCK) {
                    *stale = true;
                }
            }
        }
        if !fresh && !self.lost {
            let mut bounds = self.bounds;
            let mut lost = false;
            for row in changed {
                let row = *row as usize;
                match (self.raw.get(row), feasible.get(row)) {
                    (Some(raw), Some(true)) => plugin.bound(&mut bounds, raw),
                    (Some(raw), _) => lost |= !plugin.inside(&self.bounds, raw),
                    _ => {}
                }
            }
            if !lost {
                return bounds;
            }
        }
        self.joined(plugin, feasible).unwrap_or_else(|| bounds_of(plugin, &self.raw, feasible))
    }

    /// The bounds of all blocks together; absent when the plugin cannot join them.
    fn joined<P: Plugin<Raw = R, Bounds = B>>(&mut self, plugin: &P, feasible: &[bool]) -> Option<B> {
        let mut all = B::default();
        let rows = self.raw.chunks(BLOCK).zip(feasible.chunks(BLOCK));
        for ((block, stale), (raw, feasible)) in self.blocks.iter_mut().zip(&mut self.stale).zip(rows) {
            if std::mem::take(stale) {
                *block = bounds_of(plugin, raw, feasible);
            }
            if !plugin.join(&mut all, block) {
                return None;
            }
        }
        Some(all)
    }
}

impl<B: Default + Copy + PartialEq + Debug + Send + 'static> Span<B> {
    /// Whether the score may change between the ends.
    fn moves<P: Plugin<Bounds = B>>(&self, plugin: &P, raw: &P::Raw) -> bool {
        plugin.normalize(raw, &self.ends[0]) != plugin.normalize(raw, &self.ends[1])
    }
}

#[cfg(test)]
mod tests;
