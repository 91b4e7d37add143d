//! Plugins by name, and how each is made from its arguments.

use hashbrown::HashMap;
use serde_json::Value;
use thiserror::Error;

use super::{
    erased::{DynPlugin, Erased},
    plugin::Plugin,
};
use crate::plugins;

/// Why a plugin's arguments cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct ArgsError {
    /// The field below `args`, for example `scoringStrategy.type`; empty for the whole.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl ArgsError {
    /// An error at a field.
    #[must_use]
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// Makes a plugin from the `args` of its `pluginConfig` entry; absent means defaults.
pub type Factory = Box<dyn Fn(Option<&Value>) -> Result<Box<dyn DynPlugin>, ArgsError> + Send + Sync>;

/// All known plugins.
#[derive(Default)]
pub struct Registry {
    factories: HashMap<&'static str, Factory>,
    default_order: Vec<(&'static str, i32)>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Registry {
    /// The plugins of this crate. The default set and its order are upstream's (reference 3.0), without the plugins that
    /// do not exist yet, with `MemoryHeadroom` last among those that filter and score, and with `Unsupported`, which
    /// turns pods away that need something unsupported, first.
    #[must_use]
    pub fn in_tree() -> Self {
        let mut r = Self::default();
        plugins::register(&mut r);
        r
    }

    /// Adds a plugin. With a weight it belongs to the default set, at its end (0 means the default weight of 1).
    pub fn register(&mut self, name: &'static str, default_weight: Option<i32>, factory: Factory) {
        if self.factories.insert(name, factory).is_none()
            && let Some(weight) = default_weight
        {
            self.default_order.push((name, weight));
        }
    }

    /// Adds a plugin that has no arguments to the default set, at its end, with a weight (0: the default weight of 1).
    pub fn plain<P: Plugin>(&mut self, name: &'static str, weight: i32, make: fn() -> P) {
        let factory = move |args: Option<&Value>| match args {
            None | Some(Value::Null) => Ok(Erased::boxed(make())),
            Some(_) => {
                Err(ArgsError::at("", format!("plugin {name} takes no arguments: remove its pluginConfig entry")))
            }
        };
        self.register(name, Some(weight), Box::new(factory));
    }

    /// Adds a plugin that has arguments to the default set, at its end, with a weight (0: the default weight of 1).
    pub fn with_args<P: Plugin>(
        &mut self,
        name: &'static str,
        weight: i32,
        make: fn(Option<&Value>) -> Result<P, ArgsError>,
    ) {
        self.register(name, Some(weight), Box::new(move |args| Ok(Erased::boxed(make(args)?))));
    }

    /// Whether the name is known.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.factories.contains_key(name)
    }

    /// All names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.factories.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// The default set: names and weights, in order.
    #[must_use]
    pub fn defaults(&self) -> &[(&'static str, i32)] {
        &self.default_order
    }

    /// Makes a plugin.
    ///
    /// # Errors
    /// Unknown name, or arguments that cannot be used.
    pub fn make(&self, name: &str, args: Option<&Value>) -> Result<Box<dyn DynPlugin>, ArgsError> {
        match self.factories.get(name) {
            Some(factory) => factory(args),
            None => Err(ArgsError::at("", format!("there is no plugin {name:?}"))),
        }
    }
}
