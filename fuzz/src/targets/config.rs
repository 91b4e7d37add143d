//! The scheduler's configuration, and the arguments of every plugin.

use headroom_engine::{Configuration, Engine, Mode, Registry};
use serde_json::{Value, json};

/// What can be used is written, and what is written is read as the same.
pub(crate) fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    used(Configuration::from_yaml(text));
}

fn used<E: std::fmt::Display>(read: Result<Configuration, E>) {
    let registry = Registry::in_tree();
    let Some(configuration) = told(read) else { return };
    if told(configuration.build(&registry)).is_none() {
        return;
    }
    let written = configuration.to_value(&registry);
    let again = Configuration::from_value(written.clone()).unwrap_or_else(|e| panic!("{e}: {written}"));
    assert_eq!(again.to_value(&registry), written);
    let _ = told(Engine::new(configuration, registry, 1, Mode::Primary));
}

/// A refusal is one line.
fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
            None
        }
    }
}

const PLUGINS: [&str; 9] = [
    "NodeResourcesFit",
    "NodeResourcesBalancedAllocation",
    "NodeAffinity",
    "PodTopologySpread",
    "InterPodAffinity",
    "VolumeBinding",
    "DefaultPreemption",
    "MemoryHeadroom",
    "NoSuchPlugin",
];

/// The first byte says which plugin, the rest are its arguments as JSON.
pub(crate) fn plugin_args(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let Ok(args) = serde_json::from_slice::<Value>(rest) else { return };
    let name = PLUGINS[usize::from(*which) % PLUGINS.len()];
    used(Configuration::from_value(json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"pluginConfig": [{"name": name, "args": args}]}],
    })));
}
