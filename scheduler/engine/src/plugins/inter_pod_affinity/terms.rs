//! Terms: whom they mean.

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{
    Str,
    object::{Affinity, PodAffinityTerm},
    selector::Labels,
};

use crate::{
    cache::{DomainSums, Domains, LabelGroups, NamespaceSet, PodMatch, PodQuery},
    framework::{PodInfo, View},
    plugins::domain_counts::{DomainCounts, close},
};

/// The pod's affinity, if it has any.
pub(super) fn affinity(pod: &PodInfo) -> Option<&Affinity> {
    pod.pod.spec.affinity.as_deref()
}

/// Whom a term of the pending pod means. Its namespace selector is resolved to the namespaces that there are
/// (`mergeAffinityTermNamespacesIfNotEmpty`).
///
/// Upstream takes a selector that matches the empty label set for one that matches every namespace (reference 3.16);
/// here only the namespaces that it selects are meant, as the API documents.
pub(super) fn meant(term: &PodAffinityTerm, own_namespace: &Str, view: &View<'_>) -> PodMatch {
    let names = || term.namespaces.iter().cloned();
    let namespaces = match &term.namespace_selector {
        Some(selector) if selector.is_empty() => NamespaceSet::All,
        Some(selector) => {
            let selected = view.cache.namespaces().filter(|n| selector.matches(&n.meta.labels));
            NamespaceSet::of(names().chain(selected.map(|n| n.meta.key.name.clone())).collect())
        }
        None if term.namespaces.is_empty() => NamespaceSet::one(own_namespace),
        None => NamespaceSet::of(names().collect()),
    };
    PodMatch { namespaces, selector: term.selector.clone() }
}

/// Whether a term of the pending pod means this pod: as [`meant`], for a single pod.
pub(super) fn selects(term: &PodAffinityTerm, own_namespace: &Str, other: &PodInfo, view: &View<'_>) -> bool {
    let meta = &other.pod.meta;
    let namespace = &meta.key.namespace;
    let listed = match &term.namespace_selector {
        None if term.namespaces.is_empty() => own_namespace == namespace,
        None => term.namespaces.contains(namespace),
        Some(selector) => {
            selector.is_empty()
                || term.namespaces.contains(namespace)
                || view.cache.namespace(namespace).is_some_and(|n| selector.matches(&n.meta.labels))
        }
    };
    listed && term.selector.as_ref().is_some_and(|s| s.matches(&meta.labels))
}

/// From so many terms on a pod's counts are not kept: it would push out those of all others.
const MANY_TERMS: usize = 64;

/// Counts the pods that the terms of one pod mean.
pub(super) struct Counter<'a> {
    view: &'a View<'a>,
    groups: Option<LabelGroups<'a>>,
}

impl<'a> Counter<'a> {
    pub(super) fn new(terms: usize, view: &'a View<'a>) -> Self {
        Self { view, groups: (terms >= MANY_TERMS).then(|| view.label_groups()) }
    }

    /// Pods by domain.
    pub(super) fn sums(&self, of: &PodMatch, domains: &Arc<Domains>) -> Arc<DomainSums> {
        match &self.groups {
            Some(groups) => {
                let amounts = groups.counts(of).map(|(slot, count)| (slot, i64::from(count)));
                Arc::new(DomainSums::adding(domains, amounts))
            }
            None => self.view.sums(&PodQuery { all: Box::new([of.clone()]), live_only: false }, domains),
        }
    }
}

/// Whether a term of a pod on a node means a pod of this namespace, whose labels are `namespace_labels`
/// (`AffinityTerm.Matches`).
pub(super) fn means(
    term: &PodAffinityTerm,
    own_namespace: &Str,
    pod: &PodInfo,
    namespace_labels: Option<&Labels>,
) -> bool {
    let meta = &pod.pod.meta;
    let namespace = &meta.key.namespace;
    let listed = match &term.namespace_selector {
        None if term.namespaces.is_empty() => own_namespace == namespace,
        None => term.namespaces.contains(namespace),
        Some(selector) => {
            let none = Labels::default();
            term.namespaces.contains(namespace) || selector.matches(namespace_labels.unwrap_or(&none))
        }
    };
    listed && term.selector.as_ref().is_some_and(|s| s.matches(&meta.labels))
}

/// Labels of the pod's namespace, if that is known.
pub(super) fn namespace_labels<'a>(pod: &PodInfo, view: &View<'a>) -> Option<&'a Labels> {
    view.cache.namespace(&pod.pod.meta.key.namespace).map(|n| &n.meta.labels)
}

/// What is wrong with the pod's selectors; the API server lets nothing of this through.
pub(super) fn invalid(pod: &PodInfo) -> Option<String> {
    let a = affinity(pod)?;
    let bad = |t: &PodAffinityTerm| {
        t.selector.as_ref().is_some_and(|s| !s.is_valid())
            || t.namespace_selector.as_ref().is_some_and(|s| !s.is_valid())
    };
    let lists = [
        ("requiredAffinityTerms", a.pod_required.iter().any(bad)),
        ("requiredAntiAffinityTerms", a.pod_anti_required.iter().any(bad)),
        ("preferredAffinityTerms", a.pod_preferred.iter().any(|t| bad(&t.term))),
        ("preferredAntiAffinityTerms", a.pod_anti_preferred.iter().any(|t| bad(&t.term))),
    ];
    let errors: Vec<String> = lists
        .iter()
        .filter(|(_, bad)| *bad)
        .map(|(list, _)| format!("{list}: a label selector is not valid"))
        .collect();
    match &*errors {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// Counts per topology key while they are being made. Keys are looked up by hash: a pod may have thousands of terms.
#[derive(Debug, Default)]
pub(super) struct Tally {
    places: HashMap<Str, usize>,
    tables: Vec<(Arc<Domains>, Arc<DomainSums>)>,
}

impl Tally {
    /// Adds sums by domain. The key has a table then, even when nothing was counted.
    pub(super) fn add(&mut self, key: &Str, view: &View<'_>, sums: impl FnOnce(&Arc<Domains>) -> Arc<DomainSums>) {
        match self.places.get(key) {
            Some(at) => {
                let (domains, known) = &mut self.tables[*at];
                let added = sums(domains);
                if added.nonzero() > 0 {
                    Arc::make_mut(known).merge(&added);
                }
            }
            None => {
                let domains = view.domains(key);
                let sums = sums(&domains);
                self.push(key, domains, sums);
            }
        }
    }

    /// The same, but every node is compared with every table: those in which nothing stands are left out.
    pub(super) fn add_nonzero(
        &mut self,
        key: &Str,
        view: &View<'_>,
        sums: impl FnOnce(&Arc<Domains>) -> Arc<DomainSums>,
    ) {
        if self.places.contains_key(key) {
            return self.add(key, view, sums);
        }
        let domains = view.domains(key);
        if domains.is_empty() {
            return;
        }
        let sums = sums(&domains);
        if sums.nonzero() > 0 {
            self.push(key, domains, sums);
        }
    }

    fn push(&mut self, key: &Str, domains: Arc<Domains>, sums: Arc<DomainSums>) {
        self.places.insert(key.clone(), self.tables.len());
        self.tables.push((domains, sums));
    }

    pub(super) fn into_tables(self) -> Tables {
        let tables = self.tables.into_iter().map(|(domains, counts)| (domains, DomainCounts::new(counts)));
        Tables { places: Arc::new(self.places), tables: tables.collect() }
    }
}

/// Sums of weights per topology key.
#[derive(Debug, Default)]
pub(super) struct Weights {
    places: HashMap<Str, usize>,
    tables: Vec<(Arc<Domains>, Vec<i64>)>,
}

impl Weights {
    /// Adds this weight for every pod. True when there is any in a domain.
    pub(super) fn add(
        &mut self,
        key: &Str,
        weight: i64,
        view: &View<'_>,
        sums: impl FnOnce(&Arc<Domains>) -> Arc<DomainSums>,
    ) -> bool {
        let known = self.places.get(key).copied();
        let domains = known.map_or_else(|| view.domains(key), |at| self.tables[at].0.clone());
        // Every node is compared with every table: those in which nothing stands are left out.
        if domains.is_empty() {
            return false;
        }
        let sums = sums(&domains);
        if sums.nonzero() == 0 {
            return false;
        }
        let at = known.unwrap_or_else(|| {
            let weights = vec![0; domains.len()];
            self.tables.push((domains, weights));
            self.places.insert(key.clone(), self.tables.len() - 1);
            self.tables.len() - 1
        });
        let (_, weights) = &mut self.tables[at];
        for (sum, pods) in weights.iter_mut().zip(sums.all()).skip(1) {
            *sum = sum.saturating_add(pods.saturating_mul(weight));
        }
        true
    }

    pub(super) fn into_sums(self) -> Vec<(Arc<Domains>, Vec<i64>)> {
        self.tables
    }
}

/// Counts per topology key.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    places: Arc<HashMap<Str, usize>>,
    tables: Vec<(Arc<Domains>, DomainCounts)>,
}

impl Tables {
    /// Whether nothing is counted.
    pub(super) fn is_zero(&self) -> bool {
        self.tables.iter().all(|(_, counts)| counts.is_zero())
    }

    /// The count of every key in the domain of the node in a slot; absent for keys whose label the node lacks.
    pub(super) fn counts(&self, slot: u32) -> impl Iterator<Item = Option<i64>> {
        self.tables.iter().map(move |(domains, counts)| {
            Some(domains.of(slot)).filter(|domain| *domain != 0).map(|domain| counts.get(domain))
        })
    }

    /// Closes the slots of nodes of which a count is not good; domain and count are given.
    pub(super) fn close(&self, open: &mut [bool], good: impl Fn(u32, i64) -> bool) {
        for (domains, counts) in &self.tables {
            let good: Vec<bool> = (0..domains.len() as u32).map(|d| good(d, counts.get(d))).collect();
            close(open, domains, &good);
        }
    }

    /// Whether any count of the node's domains is above zero.
    pub(super) fn any(&self, slot: u32) -> bool {
        self.counts(slot).flatten().any(|count| count > 0)
    }

    pub(super) fn add(&mut self, key: &Str, view: &View<'_>, slot: u32, by: i64) {
        let at = self.places.get(key).copied().unwrap_or_else(|| {
            let domains = view.domains(key);
            let counts = DomainCounts::new(Arc::new(DomainSums::new(vec![0; domains.len()])));
            self.tables.push((domains, counts));
            Arc::make_mut(&mut self.places).insert(key.clone(), self.tables.len() - 1);
            self.tables.len() - 1
        });
        let (domains, counts) = &mut self.tables[at];
        counts.add(domains.of(slot), by);
    }
}
