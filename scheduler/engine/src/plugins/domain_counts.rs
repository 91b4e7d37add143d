//! Counts per topology domain that are cheap to copy: preemption and nominated pods try changes on copies.

use std::sync::Arc;

use crate::cache::{DomainSums, Domains};

/// Counts by number of a domain (`cache::Domains`); the place of number 0, "no such label", is never counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DomainCounts {
    base: Arc<DomainSums>,
    /// What was added since: a few domains of one node.
    delta: Vec<(u32, i64)>,
    nonzero: usize,
}

impl DomainCounts {
    pub(super) fn new(base: Arc<DomainSums>) -> Self {
        Self { nonzero: base.nonzero(), base, delta: Vec::new() }
    }

    fn added(&self, domain: u32) -> i64 {
        self.delta.iter().find(|(d, _)| *d == domain).map_or(0, |(_, by)| *by)
    }

    fn base(&self, domain: u32) -> i64 {
        self.base.of(domain)
    }

    pub(super) fn get(&self, domain: u32) -> i64 {
        let base = self.base(domain);
        if self.delta.is_empty() { base } else { base.saturating_add(self.added(domain)) }
    }

    /// Adds to a domain; the domain 0 is left alone.
    pub(super) fn add(&mut self, domain: u32, by: i64) {
        if domain == 0 || by == 0 {
            return;
        }
        let before = self.get(domain);
        match self.delta.iter_mut().find(|(d, _)| *d == domain) {
            Some((_, added)) => *added = added.saturating_add(by),
            None => self.delta.push((domain, by)),
        }
        let after = self.get(domain);
        self.nonzero = self.nonzero + usize::from(after != 0) - usize::from(before != 0);
    }

    /// Whether nothing is counted anywhere.
    pub(super) const fn is_zero(&self) -> bool {
        self.nonzero == 0
    }

    /// The domains that were added to, with their counts as they were and as they are.
    pub(super) fn changed(&self) -> impl ExactSizeIterator<Item = (u32, i64, i64)> {
        self.delta.iter().map(|(domain, by)| {
            let base = self.base(*domain);
            (*domain, base, base.saturating_add(*by))
        })
    }
}

/// Closes the slots whose domain is not good; `good` says it by number of the domain.
pub(super) fn close(open: &mut [bool], domains: &Domains, good: &[bool]) {
    if good.iter().all(|good| *good) {
        return;
    }
    for (slot, open) in open.iter_mut().enumerate() {
        *open &= good.get(domains.of(slot as u32) as usize).copied().unwrap_or(false);
    }
}
