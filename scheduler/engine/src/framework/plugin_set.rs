//! Numbers and sets of plugins.

/// Number of a plugin name, the same in all profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginId(pub(crate) u8);

/// Most distinct plugins that may be configured: their sets are one word.
pub const MAX_PLUGINS: usize = 64;

/// A set of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginSet(u64);

impl PluginSet {
    /// Adds one.
    pub const fn insert(&mut self, id: PluginId) {
        self.0 |= 1 << id.0;
    }
    /// Whether it is in.
    #[must_use]
    pub const fn has(self, id: PluginId) -> bool {
        self.0 & (1 << id.0) != 0
    }
    /// Whether none is in.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Those in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    /// Its members.
    pub fn iter(self) -> impl Iterator<Item = PluginId> {
        (0..MAX_PLUGINS as u8).map(PluginId).filter(move |id| self.has(*id))
    }
}

/// Names of all plugins of all profiles.
#[derive(Debug, Clone, Default)]
pub struct PluginNames(Vec<&'static str>);

impl PluginNames {
    /// The number of a name; absent when there are too many ([`MAX_PLUGINS`]).
    pub fn id(&mut self, name: &'static str) -> Option<PluginId> {
        let at = self.0.iter().position(|n| *n == name).unwrap_or_else(|| {
            self.0.push(name);
            self.0.len() - 1
        });
        (at < MAX_PLUGINS).then_some(PluginId(at as u8))
    }

    /// The number of a name that has one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PluginId> {
        self.0.iter().position(|n| *n == name).map(|at| PluginId(at as u8))
    }

    /// The name of a number.
    #[must_use]
    pub fn name(&self, id: PluginId) -> &'static str {
        self.0.get(usize::from(id.0)).copied().unwrap_or("")
    }
}

/// A set of plugins by their place in the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Places(u64);

impl Places {
    pub(crate) const ALL: Self = Self(u64::MAX);

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn others(self) -> Self {
        Self(!self.0)
    }

    pub(super) const fn insert(&mut self, place: usize) {
        self.0 |= 1 << (place % MAX_PLUGINS);
    }

    pub(super) const fn has(self, place: usize) -> bool {
        self.0 & (1 << (place % MAX_PLUGINS)) != 0
    }
}
