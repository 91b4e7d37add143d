//! What plugins ask of the cluster as a whole, worked out when first asked for, kept, and brought up to date from the
//! generations of the nodes. Bounded: what was not used for longest is forgotten first.

use std::{cell::RefCell, sync::Arc};

use hashbrown::{HashMap, HashSet};
use headroom_core::Str;

use super::{
    Cache,
    label_groups::LabelGroups,
    pod_counts::{DomainSums, PodCounts, PodQuery},
    topology::{Domains, Inclusion},
};
use crate::framework::{PodInfo, View};

/// Most topology keys whose domains are kept.
const MAX_KEYS: usize = 64;
/// Most templates whose node inclusion is kept.
const MAX_INCLUSIONS: usize = 64;
/// Most queries whose counts are kept.
const MAX_QUERIES: usize = 1024;
/// Most bytes of counts kept, about. The one used last stays in any case.
const MAX_COUNT_BYTES: usize = 8 << 20;

#[derive(Debug, Default)]
pub(super) struct Lazy {
    domains: RefCell<HashMap<Str, Arc<Domains>>>,
    /// The keys of all labels of nodes, and the state of the nodes that they are of.
    keys: RefCell<(u64, HashSet<Str>)>,
    inclusions: RefCell<Vec<Arc<Inclusion>>>,
    counts: RefCell<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: HashMap<Arc<PodQuery>, (Arc<PodCounts>, u64)>,
    clock: u64,
    bytes: usize,
}

impl Counts {
    fn evict(&mut self) {
        while self.all.len() > 1 && (self.all.len() > MAX_QUERIES || self.bytes > MAX_COUNT_BYTES) {
            let oldest = self.all.iter().min_by_key(|(_, (_, used))| *used).map(|(query, _)| query.clone());
            if let Some((counts, _)) = oldest.and_then(|query| self.all.remove(&query)) {
                self.bytes -= counts.bytes();
            }
        }
    }
}

impl Lazy {
    fn domains(&self, key: &Str, cache: &Cache) -> Arc<Domains> {
        let mut all = self.domains.borrow_mut();
        if let Some(known) = all.get_mut(key) {
            if !known.is_current(cache) {
                Arc::make_mut(known).refresh(cache);
            }
            return known.clone();
        }
        if all.len() >= MAX_KEYS {
            // A pod may name thousands of keys that no node has: they cost nothing, and push out nothing.
            if !self.is_on_nodes(key, cache) {
                return Arc::new(Domains::new(key.clone()));
            }
            all.clear();
        }
        let mut fresh = Domains::new(key.clone());
        fresh.refresh(cache);
        let fresh = Arc::new(fresh);
        all.insert(key.clone(), fresh.clone());
        fresh
    }

    fn is_on_nodes(&self, key: &Str, cache: &Cache) -> bool {
        let mut keys = self.keys.borrow_mut();
        if keys.0 != cache.node_epoch {
            let labels = cache.nodes().flat_map(|(_, row)| row.node.meta.labels.iter());
            *keys = (cache.node_epoch, labels.map(|(key, _)| key.clone()).collect());
        }
        keys.1.contains(key)
    }

    fn inclusion(&self, pod: &PodInfo, cache: &Cache) -> Arc<Inclusion> {
        let mut all = self.inclusions.borrow_mut();
        let mut one = match all.iter().position(|i| i.is_of(&pod.spec)) {
            Some(at) => all.remove(at),
            None => {
                if all.len() >= MAX_INCLUSIONS {
                    all.remove(0);
                }
                Arc::new(Inclusion::new(pod.spec.clone()))
            }
        };
        if !one.is_current(cache) {
            Arc::make_mut(&mut one).refresh(cache);
        }
        all.push(one.clone());
        one
    }

    fn counts(&self, query: &PodQuery, cache: &Cache) -> Arc<PodCounts> {
        let mut this = self.counts.borrow_mut();
        this.clock += 1;
        let clock = this.clock;
        if let Some((counts, used)) = this.all.get_mut(query) {
            *used = clock;
            if counts.is_current(cache) {
                return counts.clone();
            }
            let before = counts.bytes();
            Arc::make_mut(counts).refresh(query, cache);
            let (counts, after) = (counts.clone(), counts.bytes());
            this.bytes = this.bytes + after - before;
            this.evict();
            return counts;
        }
        let mut fresh = PodCounts::default();
        fresh.refresh(query, cache);
        this.bytes += fresh.bytes();
        let fresh = Arc::new(fresh);
        this.all.insert(Arc::new(query.clone()), (fresh.clone(), clock));
        this.evict();
        fresh
    }
}

impl Lazy {
    /// The first count that is not what counting anew comes to, once it was brought up to date.
    pub(super) fn difference(&self, cache: &Cache) -> Option<String> {
        self.counts.borrow().all.iter().find_map(|(query, (counts, _))| {
            let mut known = PodCounts::clone(counts);
            known.refresh(query, cache);
            known.wrong(query, cache)
        })
    }

    fn sums(&self, query: &PodQuery, domains: &Arc<Domains>, cache: &Cache) -> Arc<DomainSums> {
        // Brought up to date, and used last: not forgotten.
        if let Some(sums) = self.counts(query, cache).sums(domains) {
            return sums.clone();
        }
        let mut this = self.counts.borrow_mut();
        let this = &mut *this;
        let Some((counts, _)) = this.all.get_mut(query) else { return Arc::default() };
        let before = counts.bytes();
        let sums = Arc::make_mut(counts).sum_up(domains);
        this.bytes = this.bytes + counts.bytes() - before;
        sums
    }
}

impl View<'_> {
    /// The domains of a topology key.
    #[must_use]
    pub fn domains(&self, key: &Str) -> Arc<Domains> {
        self.cache.lazy.domains(key, self.cache)
    }

    /// The nodes that the pod's own rules leave in.
    #[must_use]
    pub fn inclusion(&self, pod: &PodInfo) -> Arc<Inclusion> {
        self.cache.lazy.inclusion(pod, self.cache)
    }

    /// The pods of all nodes by namespace and labels.
    #[must_use]
    pub fn label_groups(&self) -> LabelGroups<'_> {
        LabelGroups::of(self.nodes())
    }

    /// How many pods of every node the query selects.
    #[must_use]
    pub fn counts(&self, query: &PodQuery) -> Arc<PodCounts> {
        let mut counts = self.cache.lazy.counts(query, self.cache);
        if let Some((slot, row)) = self.overlay {
            Arc::make_mut(&mut counts).set(slot, query.count(row));
        }
        counts
    }

    /// The same, summed up by domain.
    #[must_use]
    pub fn sums(&self, query: &PodQuery, domains: &Arc<Domains>) -> Arc<DomainSums> {
        let mut sums = self.cache.lazy.sums(query, domains, self.cache);
        if let Some((slot, row)) = self.overlay {
            let known = self.cache.row(slot).map_or(0, |row| query.count(row));
            Arc::make_mut(&mut sums).add(domains.of(slot), i64::from(query.count(row)) - i64::from(known));
        }
        sums
    }
}
