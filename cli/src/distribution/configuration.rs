//! The configuration file of our scheduler, where a ConfigMap has it.

use headroom_engine::{ConfigError, Configuration};
use serde_json::Value;

use super::{ours::Ours, text};
use crate::doctor::{cut, text::arg};

/// The name that all pods ask for that ask for none.
pub(crate) const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// Where a file of a container comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) config_map: String,
    /// The key in it.
    pub(crate) key: String,
}

impl Place {
    /// The place of the file that a container of this pod sees at a path; none where it is in no ConfigMap.
    pub(super) fn of(pod: &Value, container: &Value, path: &str) -> Option<Self> {
        let mut nearest: Option<(usize, &Value, &str)> = None;
        for mount in items(container, "volumeMounts") {
            let at = text(mount, "/mountPath").trim_end_matches('/');
            let Some(rest) = path.strip_prefix(at) else { continue };
            let file = match (rest.strip_prefix('/'), text(mount, "/subPath")) {
                (Some(file), "") => file,
                // One file is mounted, and not a directory.
                (None, file) if rest.is_empty() && !file.is_empty() => file,
                _ => continue,
            };
            if nearest.is_none_or(|(length, ..)| length < at.len()) {
                nearest = Some((at.len(), mount, file));
            }
        }
        let (_, mount, file) = nearest?;
        let volume = items(pod, "volumes").find(|volume| text(volume, "/name") == text(mount, "/name"))?;
        let source = volume.get("configMap")?;
        let renamed = items(source, "items").find(|item| text(item, "/path") == file);
        let key = renamed.map_or(file, |item| text(item, "/key"));
        let config_map = text(source, "/name");
        // Anybody can write a Deployment that looks like ours: what cannot be a name leads elsewhere.
        let asked = !key.is_empty() && !config_map.is_empty() && arg(config_map) == config_map;
        asked.then(|| Self { config_map: config_map.to_owned(), key: key.to_owned() })
    }
}

fn items<'a>(of: &'a Value, field: &'a str) -> impl Iterator<Item = &'a Value> {
    of.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// What stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigFile {
    /// Where it was read, for people.
    pub(crate) place: String,
    pub(crate) text: String,
}

impl ConfigFile {
    /// From the ConfigMap that the Deployment names, as far as either is seen.
    pub(super) fn of(ours: Option<&Ours>, config_map: Option<&Value>) -> Option<Self> {
        let ours = ours?;
        let place = ours.configuration.as_ref()?;
        let text = config_map?.get("data")?.get(&place.key)?.as_str()?.to_owned();
        let place = cut(&format!("ConfigMap {}/{}, {}", ours.namespace, place.config_map, place.key));
        Some(Self { place, text })
    }

    /// The names that its profiles serve.
    ///
    /// # Errors
    /// It is no configuration of a scheduler.
    pub(crate) fn serves(&self) -> Result<Vec<String>, ConfigError> {
        let configuration = Configuration::from_yaml(&self.text)?;
        Ok(configuration.profiles.iter().map(|profile| profile.scheduler_name.as_str().to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn where_the_file_comes_from() {
        let of = |path: &str, mounts: Value, volumes: Value| {
            let place = Place::of(&json!({"volumes": volumes}), &json!({"volumeMounts": mounts}), path);
            place.map(|place| format!("{} {}", place.config_map, place.key))
        };
        let mount = |at: &str| json!([{"name": "config", "mountPath": at}]);
        let volume = || json!([{"name": "tls", "secret": {}}, {"name": "config", "configMap": {"name": "cm"}}]);
        let path = "/etc/headroom/config/scheduler.yaml";
        let expected = Some("cm scheduler.yaml".to_owned());
        // As the chart has it, and with a slash more.
        assert_eq!(of(path, mount("/etc/headroom/config"), volume()), expected);
        assert_eq!(of(path, mount("/etc/headroom/config/"), volume()), expected);
        let file = json!([{"name": "config", "mountPath": path, "subPath": "scheduler.yaml"}]);
        assert_eq!(of(path, file, volume()), expected);
        let renamed =
            json!([{"name": "config", "configMap": {"name": "cm", "items": [{"key": "k", "path": "scheduler.yaml"}]}}]);
        assert_eq!(of(path, mount("/etc/headroom/config"), renamed), Some("cm k".to_owned()));
        // The nearest mount has it.
        let two =
            json!([{"name": "config", "mountPath": "/etc/headroom/config"}, {"name": "tls", "mountPath": "/etc"}]);
        assert_eq!(of(path, two, volume()), expected);
        for (mounts, volumes) in [
            (mount("/etc/headroom/conf"), volume()),
            (mount("/other"), volume()),
            (mount("/etc/headroom/config"), json!([{"name": "config", "hostPath": {"path": "/etc"}}])),
            (mount("/etc/headroom/config"), json!([{"name": "config", "configMap": {"name": "../secrets/s"}}])),
            (json!(null), json!("x")),
        ] {
            assert_eq!(of(path, mounts.clone(), volumes), None, "{mounts}");
        }
    }

    #[test]
    fn whom_it_serves() {
        let file = |profiles: &str| ConfigFile {
            place: String::new(),
            text: format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{profiles}"),
        };
        assert_eq!(file("").serves().unwrap(), [DEFAULT_SCHEDULER]);
        assert_eq!(file("profiles: [{percentageOfNodesToScore: 50}]\n").serves().unwrap(), [DEFAULT_SCHEDULER]);
        assert_eq!(file("profiles: [{schedulerName: a}, {schedulerName: b}]\n").serves().unwrap(), ["a", "b"]);
        assert!(file("profiles: 1\n").serves().is_err());
    }
}
