//! From [`Configuration`] to [`Profiles`]: the merge rules of plugins (`default_plugins.go`, `NewFramework`; reference
//! 4.3).

use hashbrown::HashMap;
use serde_json::Value;

use super::{ConfigError, Configuration, EnabledPlugin, PluginSetConfig, ProfileConfig, field::invalid};
use crate::{
    extender,
    framework::{DynPlugin, Erased, MAX_PLUGINS, PluginNames, Point, Profile, Profiles, Registry, narrow},
    plugins::{dynamic_resources, unsupported},
    queue::Spans,
};

/// Plugins of upstream that do not exist here yet. They are told apart from typing errors.
const NOT_YET: [&str; 2] = ["GangScheduling", "DeferredPodScheduling"];

/// Where stock's DynamicResources stands and ours has nothing to say: naming it there is no mistake.
const SILENT: [Point; 5] = [Point::PreEnqueue, Point::Filter, Point::Score, Point::Reserve, Point::PreBind];

/// The plugin whose index of the cluster's memory all profiles share.
const MEMORY: &str = "MemoryHeadroom";

fn unknown(path: String, name: &str, registry: &Registry) -> ConfigError {
    if NOT_YET.contains(&name) {
        return ConfigError::at(path, format!("plugin {name:?} is not supported yet: remove it"));
    }
    ConfigError::at(path, format!("there is no plugin {name:?}: must be one of {}", registry.names().join(", ")))
}

impl Configuration {
    /// Makes the profiles with the plugins of `registry`.
    ///
    /// # Errors
    /// [`ConfigError`] names the first thing that is wrong.
    pub fn build(&self, registry: &Registry) -> Result<Profiles, ConfigError> {
        self.check_queue_sort()?;
        let mut names = PluginNames::default();
        let mut all = Vec::new();
        let mut by_name = HashMap::new();
        for (i, config) in self.profiles.iter().enumerate() {
            let path = format!("profiles[{i}]");
            all.push(build_profile(&path, config, registry, &mut names, !self.extenders.is_empty())?);
            by_name.insert(config.scheduler_name.clone(), i);
        }
        self.check_shared(&all)?;
        Ok(Profiles { all, by_name, names, spans: Spans::default() })
    }

    /// The arguments of `MemoryHeadroom`, when any profile has it.
    pub(crate) fn memory_params(
        &self,
        profiles: &Profiles,
    ) -> Result<Option<headroom_core::memory::Params>, ConfigError> {
        let Some(i) = profiles.all.iter().position(|p| p.plugins.iter().any(|x| x.name() == MEMORY)) else {
            return Ok(None);
        };
        crate::plugins::memory_headroom::params(self.profiles[i].plugin_config.get(MEMORY))
            .map(Some)
            .map_err(|e| ConfigError::at(format!("profiles[{i}].pluginConfig"), e.to_string()))
    }

    /// `validateCommonQueueSort`.
    fn check_queue_sort(&self) -> Result<(), ConfigError> {
        let of = |i: usize| &self.profiles[i].plugins.points[Point::QueueSort as usize];
        let names = |set: &PluginSetConfig| set.enabled.iter().map(|p| p.name.clone()).collect::<Vec<_>>().join(", ");
        for i in 0..self.profiles.len() {
            let path = format!("profiles[{i}].plugins.queueSort");
            if of(i).enabled.len() > 1 {
                let message = invalid(of(i).enabled.len(), "only one queue sort plugin can be enabled");
                return Err(ConfigError::at(format!("{path}.enabled"), message));
            }
            if of(i) != of(0) {
                let message = invalid(format!("{:?}", names(of(i))), "must be the same for all profiles");
                return Err(ConfigError::at(path, message));
            }
        }
        Ok(())
    }

    /// What must be the same in all profiles.
    fn check_shared(&self, all: &[Profile]) -> Result<(), ConfigError> {
        let sorts = |p: &Profile| p.plugins_at(Point::QueueSort).map(|(name, _)| name).next().unwrap_or_default();
        let args = |i: usize, name: &str| self.profiles[i].plugin_config.get(name).cloned().unwrap_or(Value::Null);
        let has_memory = |p: &Profile| p.plugins.iter().any(|x| x.name() == MEMORY);
        let first_memory = all.iter().position(has_memory);
        for (i, profile) in all.iter().enumerate().skip(1) {
            let name = sorts(profile);
            if name != sorts(&all[0]) || args(i, name) != args(0, name) {
                let path = format!("profiles[{i}].plugins.queueSort");
                return Err(ConfigError::at(path, "queueSort must be the same for all profiles"));
            }
            if has_memory(profile)
                && let Some(first) = first_memory
                && args(i, MEMORY) != args(first, MEMORY)
            {
                let path = format!("profiles[{i}].pluginConfig");
                return Err(ConfigError::at(path, "the arguments of MemoryHeadroom must be the same in each profile"));
            }
        }
        Ok(())
    }
}

/// The default set with the user's `multiPoint` merged in (`mergePluginSet`).
pub(super) fn merge_multi_point(registry: &Registry, user: &PluginSetConfig) -> Vec<EnabledPlugin> {
    let disabled = |name: &str| user.disabled.iter().any(|d| d == "*" || d == name);
    let mut merged: Vec<EnabledPlugin> = Vec::new();
    for (name, weight) in registry.defaults() {
        if disabled(name) {
            continue;
        }
        let replaced = user.enabled.iter().find(|p| p.name == *name).cloned();
        merged.push(replaced.unwrap_or_else(|| EnabledPlugin { name: (*name).to_owned(), weight: *weight }));
    }
    for p in &user.enabled {
        if !merged.iter().any(|m| m.name == p.name) {
            merged.push(p.clone());
        }
    }
    merged
}

struct Builder<'a> {
    path: &'a str,
    config: &'a ProfileConfig,
    registry: &'a Registry,
    plugins: Vec<Box<dyn DynPlugin>>,
    indices: HashMap<String, usize>,
}

impl Builder<'_> {
    /// The plugin of this name, made when first asked for.
    fn plugin(&mut self, at: &dyn Fn() -> String, name: &str) -> Result<usize, ConfigError> {
        if let Some(index) = self.indices.get(name) {
            return Ok(*index);
        }
        if !self.registry.has(name) {
            return Err(unknown(format!("{}.{}", self.path, at()), name, self.registry));
        }
        let plugin = self.make(name)?;
        self.plugins.push(plugin);
        self.indices.insert(name.to_owned(), self.plugins.len() - 1);
        Ok(self.plugins.len() - 1)
    }

    fn make(&self, name: &str) -> Result<Box<dyn DynPlugin>, ConfigError> {
        let args = self.config.plugin_config.get(name);
        self.registry.make(name, args).map_err(|e| {
            let position = self.config.plugin_config.keys().position(|k| k == name).unwrap_or(0);
            let below = if e.path.is_empty() { String::new() } else { format!(".{}", e.path) };
            ConfigError::at(
                format!("{}.pluginConfig[{position}].args{below}", self.path),
                format!("{} (plugin {name})", e.message),
            )
        })
    }
}

fn build_profile(
    path: &str,
    config: &ProfileConfig,
    registry: &Registry,
    names: &mut PluginNames,
    extended: bool,
) -> Result<Profile, ConfigError> {
    for name in config.plugin_config.keys() {
        // Upstream does not look at arguments of plugins that it does not know.
        if NOT_YET.contains(&name.as_str()) && !registry.has(name) {
            return Err(unknown(format!("{path}.pluginConfig"), name, registry));
        }
    }
    let multi = merge_multi_point(registry, &config.plugins.multi_point);
    let mut b = Builder { path, config, registry, plugins: Vec::new(), indices: HashMap::new() };
    b.plugins.push(Erased::boxed(unsupported::Unsupported));
    if extended {
        b.plugins.push(Erased::boxed(extender::AnyExtender));
    }
    for p in &multi {
        let given = config.plugins.multi_point.enabled.iter().position(|u| u.name == p.name).unwrap_or(0);
        b.plugin(&|| format!("plugins.multiPoint.enabled[{given}].name"), &p.name)?;
    }
    // Arguments are checked also of plugins that are disabled.
    for name in config.plugin_config.keys().filter(|name| registry.has(name)) {
        if !b.indices.contains_key(name) {
            b.make(name)?;
        }
    }
    let mut points: [Vec<usize>; Point::ALL.len()] = Default::default();
    for point in Point::ALL {
        points[point as usize] = expand(&mut b, point, &multi)?;
    }
    // Whatever is configured: who needs something unsupported is told so.
    points[Point::PreFilter as usize].insert(0, 0);
    points[Point::Filter as usize].insert(0, 0);

    let mut ids = Vec::new();
    for plugin in &b.plugins {
        ids.push(
            names
                .id(plugin.name())
                .ok_or_else(|| ConfigError::at(path, format!("there are more than {MAX_PLUGINS} different plugins")))?,
        );
    }
    let score = &config.plugins.points[Point::Score as usize].enabled;
    let weight = |plugin: &dyn DynPlugin| {
        // The weight at `score` counts before the one at `multiPoint`; 0 means 1.
        let given = score.iter().chain(&multi).find(|p| p.name == plugin.name()).map_or(0, |p| p.weight);
        i64::from(given.max(1))
    };
    let weights: Vec<i64> = b.plugins.iter().map(|p| weight(&**p)).collect();
    let narrow = narrow(&weights, &points[Point::Score as usize]);
    match points[Point::QueueSort as usize].len() {
        1 => {}
        n => {
            let at = format!("{path}.plugins.queueSort");
            return Err(ConfigError::at(at, format!("exactly one plugin must be enabled, {n} are")));
        }
    }
    if points[Point::Bind as usize].is_empty() {
        return Err(ConfigError::at(format!("{path}.plugins.bind"), "at least one plugin must be enabled"));
    }
    Ok(Profile { name: config.scheduler_name.clone(), plugins: b.plugins, ids, points, weights, narrow })
}

/// The plugins at one extension point, in order (`expandMultiPointPlugins`).
fn expand(b: &mut Builder<'_>, point: Point, multi: &[EnabledPlugin]) -> Result<Vec<usize>, ConfigError> {
    let set = &b.config.plugins.points[point as usize];
    let mut explicit = Vec::new();
    for (i, p) in set.enabled.iter().enumerate() {
        let at = || format!("plugins.{}.enabled[{i}].name", point.field());
        let index = b.plugin(&at, &p.name)?;
        if !b.plugins[index].points().has(point) {
            if p.name == dynamic_resources::NAME && SILENT.contains(&point) {
                continue;
            }
            let message = format!("plugin {:?} does not extend {}", p.name, point.as_str());
            return Err(ConfigError::at(format!("{}.{}", b.path, at()), message));
        }
        explicit.push(index);
    }
    if set.disabled.iter().any(|d| d == "*") {
        return Ok(explicit);
    }
    let mut overridden = Vec::new();
    let mut from_multi = Vec::new();
    for p in multi {
        let Some(index) = b.indices.get(&p.name).copied() else { continue };
        if !b.plugins[index].points().has(point) || set.disabled.contains(&p.name) {
            continue;
        }
        if explicit.contains(&index) { overridden.push(index) } else { from_multi.push(index) }
    }
    let (first, last): (Vec<_>, Vec<_>) = explicit.into_iter().partition(|i| overridden.contains(i));
    Ok(first.into_iter().chain(from_multi).chain(last).collect())
}
