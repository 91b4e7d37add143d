//! Counts per topology domain that are cheap to copy: preemption and nominated pods try changes on copies.

use std::sync::Arc;

/// Counts by number of a domain (`cache::Domains`); the place of number 0, "no such label", is never counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DomainCounts {
    base: Arc<[i64]>,
    /// What was added since: a few domains of one node.
    delta: Vec<(u32, i64)>,
    nonzero: usize,
}

impl DomainCounts {
    pub(super) fn new(base: Vec<i64>) -> Self {
        let nonzero = base.iter().skip(1).filter(|n| **n != 0).count();
        Self { base: base.into(), delta: Vec::new(), nonzero }
    }

    fn added(&self, domain: u32) -> i64 {
        self.delta.iter().find(|(d, _)| *d == domain).map_or(0, |(_, by)| *by)
    }

    fn base(&self, domain: u32) -> i64 {
        self.base.get(domain as usize).copied().unwrap_or(0)
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
