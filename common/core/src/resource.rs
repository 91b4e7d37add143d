//! Resource amounts: what containers ask for, what nodes have, sums of both.
//!
//! CPU is counted in thousandths of a core, everything else in whole units (bytes), as kube-scheduler's `NodeInfo` does.
//! All arithmetic saturates: requests come from users.

use crate::str::Str;

/// The names of the resources that every node has.
pub mod names {
    /// CPU, in thousandths of a core.
    pub const CPU: &str = "cpu";
    /// Memory, in bytes.
    pub const MEMORY: &str = "memory";
    /// Local disk, in bytes.
    pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
    /// How many pods a node takes.
    pub const PODS: &str = "pods";
}

/// A `v1.ResourceList` as written: an absent entry is not a zero one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ResourceList {
    /// CPU in thousandths of a core.
    pub milli_cpu: Option<i64>,
    /// Memory in bytes.
    pub memory: Option<i64>,
    /// Local disk in bytes.
    pub ephemeral_storage: Option<i64>,
    /// Pods (nodes only).
    pub pods: Option<i64>,
    /// Everything else (extended resources, huge pages, attachable volumes), sorted by name.
    pub scalars: Box<[(Str, i64)]>,
}

impl ResourceList {
    /// The amount under `name`, absent when the list has no such entry.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<i64> {
        match name {
            names::CPU => self.milli_cpu,
            names::MEMORY => self.memory,
            names::EPHEMERAL_STORAGE => self.ephemeral_storage,
            names::PODS => self.pods,
            _ => self.scalars.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok().map(|i| self.scalars[i].1),
        }
    }

    /// Every entry of either list, with the larger amount of the two.
    #[must_use]
    pub fn larger(&self, other: &Self) -> Self {
        // An absent entry is smaller than any amount.
        let mut scalars = self.scalars.to_vec();
        for (name, amount) in &other.scalars {
            match scalars.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(i) => scalars[i].1 = scalars[i].1.max(*amount),
                Err(i) => scalars.insert(i, (name.clone(), *amount)),
            }
        }
        Self {
            milli_cpu: self.milli_cpu.max(other.milli_cpu),
            memory: self.memory.max(other.memory),
            ephemeral_storage: self.ephemeral_storage.max(other.ephemeral_storage),
            pods: self.pods.max(other.pods),
            scalars: scalars.into(),
        }
    }

    /// Whether nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.milli_cpu.is_none()
            && self.memory.is_none()
            && self.ephemeral_storage.is_none()
            && self.pods.is_none()
            && self.scalars.is_empty()
    }
}

/// A sum of resources: absent means zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub milli_cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Local disk in bytes.
    pub ephemeral_storage: i64,
    /// How many pods are allowed (nodes only).
    pub pods: i64,
    /// Everything else, sorted by name.
    pub scalars: Vec<(Str, i64)>,
}

impl Resources {
    /// The amount under `name`; zero when there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        match name {
            names::CPU => self.milli_cpu,
            names::MEMORY => self.memory,
            names::EPHEMERAL_STORAGE => self.ephemeral_storage,
            names::PODS => self.pods,
            _ => self.scalars.binary_search_by(|(n, _)| n.as_str().cmp(name)).map_or(0, |i| self.scalars[i].1),
        }
    }

    /// Adds each entry of `list`.
    pub fn add_list(&mut self, list: &ResourceList) {
        self.combine_list(list, i64::saturating_add);
    }

    /// Raises each entry to at least that of `list`.
    pub fn max_list(&mut self, list: &ResourceList) {
        self.combine_list(list, i64::max);
    }

    fn combine_list(&mut self, list: &ResourceList, f: impl Fn(i64, i64) -> i64) {
        for (mine, theirs) in [
            (&mut self.milli_cpu, list.milli_cpu),
            (&mut self.memory, list.memory),
            (&mut self.ephemeral_storage, list.ephemeral_storage),
            (&mut self.pods, list.pods),
        ] {
            *mine = f(*mine, theirs.unwrap_or(0));
        }
        for (name, amount) in &list.scalars {
            self.combine_scalar(name, *amount, &f);
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes `other` away; entries may become negative when the sum never held them.
    pub fn sub(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    /// Raises each entry to at least zero.
    pub fn floor(&mut self) {
        for amount in [&mut self.milli_cpu, &mut self.memory, &mut self.ephemeral_storage, &mut self.pods] {
            *amount = (*amount).max(0);
        }
        for (_, amount) in &mut self.scalars {
            *amount = (*amount).max(0);
        }
    }

    /// Raises each entry to at least that of `other`.
    pub fn max(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, f: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = f(self.milli_cpu, other.milli_cpu);
        self.memory = f(self.memory, other.memory);
        self.ephemeral_storage = f(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = f(self.pods, other.pods);
        for (name, amount) in &other.scalars {
            self.combine_scalar(name, *amount, &f);
        }
    }

    fn combine_scalar(&mut self, name: &Str, amount: i64, f: impl Fn(i64, i64) -> i64) {
        match self.scalars.binary_search_by(|(n, _)| n.cmp(name)) {
            Ok(i) => self.scalars[i].1 = f(self.scalars[i].1, amount),
            Err(i) => self.scalars.insert(i, (name.clone(), f(0, amount))),
        }
    }
}

impl From<&ResourceList> for Resources {
    fn from(list: &ResourceList) -> Self {
        let mut sum = Self::default();
        sum.add_list(list);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(cpu: i64, memory: i64, gpus: i64) -> ResourceList {
        ResourceList {
            milli_cpu: Some(cpu),
            memory: Some(memory),
            scalars: Box::new([(Str::from("example.com/gpu"), gpus)]),
            ..ResourceList::default()
        }
    }

    #[test]
    fn sums_and_takes_back() {
        let mut sum = Resources::default();
        sum.add_list(&list(100, 5, 1));
        sum.add_list(&list(200, 7, 2));
        assert_eq!((sum.milli_cpu, sum.memory, sum.get("example.com/gpu")), (300, 12, 3));
        sum.sub(&Resources::from(&list(100, 5, 1)));
        assert_eq!((sum.get("cpu"), sum.get("memory"), sum.get("example.com/gpu")), (200, 7, 2));
        sum.max_list(&list(50, 9, 9));
        assert_eq!((sum.milli_cpu, sum.memory, sum.get("example.com/gpu")), (200, 9, 9));
    }

    #[test]
    fn saturates() {
        let mut sum = Resources::default();
        sum.add_list(&list(i64::MAX, i64::MAX, i64::MAX));
        sum.add_list(&list(1, 1, 1));
        assert_eq!((sum.milli_cpu, sum.get("example.com/gpu")), (i64::MAX, i64::MAX));
    }

    #[test]
    fn absent_is_not_zero() {
        let l = ResourceList { memory: Some(0), ..ResourceList::default() };
        assert_eq!((l.get("memory"), l.get("cpu")), (Some(0), None));
        assert!(!l.is_empty() && ResourceList::default().is_empty());
    }
}
