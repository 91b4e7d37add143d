//! Where the binaries of the control plane are.
//!
//! Search order, as everywhere in this ecosystem: `TEST_ASSET_ETCD`, `TEST_ASSET_KUBE_APISERVER` and
//! `TEST_ASSET_KUBECTL` (one file each), the directory `KUBEBUILDER_ASSETS`, and else our own cache, where
//! `make control-plane` puts what it builds. The stock scheduler and controller manager come from
//! `KUBEBUILDER_ASSETS` when they are there, and else from the cache.
//!
//! What these variables name is of a version that nobody knows here, so they hold for the usual release alone: another is
//! asked for by its version, and only the cache has it by that.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{HarnessError, Result};

use super::build::{Release, plan};

/// A binary of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// The data store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The command line client.
    Kubectl,
    /// The stock scheduler.
    Scheduler,
    /// The stock controller manager.
    ControllerManager,
    /// Kubernetes' own end-to-end specs; no part of a control plane, so built only when asked for.
    E2eTest,
    /// Helm, which installs the chart; built only when asked for, too.
    Helm,
}

impl Component {
    /// What a control plane is made of, in the order in which it is built.
    pub const ALL: [Self; 5] = [Self::Etcd, Self::ApiServer, Self::Kubectl, Self::Scheduler, Self::ControllerManager];

    /// The name of the binary.
    #[must_use]
    pub fn binary(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::Kubectl => "kubectl",
            Self::Scheduler => "kube-scheduler",
            Self::ControllerManager => "kube-controller-manager",
            Self::E2eTest => "e2e.test",
            Self::Helm => "helm",
        }
    }

    /// Whether a directory named by `KUBEBUILDER_ASSETS` has to have it.
    #[must_use]
    pub fn is_envtest(self) -> bool {
        matches!(self, Self::Etcd | Self::ApiServer | Self::Kubectl)
    }

    fn own_variable(self) -> Option<&'static str> {
        match self {
            Self::Etcd => Some("TEST_ASSET_ETCD"),
            Self::ApiServer => Some("TEST_ASSET_KUBE_APISERVER"),
            Self::Kubectl => Some("TEST_ASSET_KUBECTL"),
            Self::Scheduler | Self::ControllerManager | Self::E2eTest | Self::Helm => None,
        }
    }
}

/// Where the binaries are looked for.
#[derive(Debug, Clone)]
pub struct Assets {
    release: Release,
    given: Option<PathBuf>,
    cache: PathBuf,
    /// The directory of the cache for [`Component::E2eTest`], which has a key of its own: what it is built from does not
    /// make the control plane another one.
    e2e_cache: PathBuf,
    /// The same for [`Component::Helm`].
    helm_cache: PathBuf,
    single: Vec<(Component, PathBuf)>,
}

impl Assets {
    /// Those of the usual release. Reads the environment; does not look whether the files are there.
    ///
    /// # Errors
    /// [`HarnessError::NoCacheDir`] when nothing names a directory.
    pub fn from_env() -> Result<Self> {
        Self::of(Release::default())
    }

    /// Those of a release.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn of(release: Release) -> Result<Self> {
        let named = |name| if release.is_usual() { variable(name) } else { None };
        let single = Component::ALL
            .into_iter()
            .filter_map(|component| Some((component, named(component.own_variable()?)?)))
            .collect();
        let cache = cache_root()?.join("control-plane");
        Ok(Self {
            release,
            given: named("KUBEBUILDER_ASSETS"),
            cache: cache.join(plan::key(release)),
            e2e_cache: cache.join(plan::e2e_key()),
            helm_cache: cache.join(plan::helm_key()),
            single,
        })
    }

    /// Whose they are.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// What to do when some are missing, for people.
    #[must_use]
    pub fn remedy(&self) -> String {
        let build = format!("run `{}`", self.release.make("control-plane"));
        if self.release.is_usual() {
            format!("{build}, or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl")
        } else {
            build
        }
    }

    /// The directory that `KUBEBUILDER_ASSETS` names.
    #[must_use]
    pub fn given(&self) -> Option<&Path> {
        self.given.as_deref()
    }

    /// The directory of the cache that holds (or will hold) a binary that we build.
    #[must_use]
    pub fn cache(&self, component: Component) -> &Path {
        match component {
            Component::E2eTest => &self.e2e_cache,
            Component::Helm => &self.helm_cache,
            _ => &self.cache,
        }
    }

    /// The directory in which the API server is found: `KUBEBUILDER_ASSETS` or the cache.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.given.as_deref().unwrap_or(&self.cache)
    }

    /// The path at which a binary is expected.
    #[must_use]
    pub fn path(&self, component: Component) -> PathBuf {
        if let Some((_, path)) = self.single.iter().find(|(which, _)| *which == component) {
            return path.clone();
        }
        let name = component.binary();
        match &self.given {
            Some(given) if component.is_envtest() || given.join(name).is_file() => given.join(name),
            _ => self.cache(component).join(name),
        }
    }

    /// Those of `wanted` that are not there.
    #[must_use]
    pub fn missing(&self, wanted: &[Component]) -> Vec<Component> {
        wanted.iter().copied().filter(|component| !self.path(*component).is_file()).collect()
    }

    /// The path of a binary that is there.
    ///
    /// # Errors
    /// [`HarnessError::AssetsMissing`].
    pub fn require(&self, component: Component) -> Result<PathBuf> {
        let path = self.path(component);
        if path.is_file() {
            return Ok(path);
        }
        let dir = path.parent().unwrap_or(&path).to_path_buf();
        Err(HarnessError::AssetsMissing { missing: component.binary().to_owned(), dir, remedy: self.remedy() })
    }
}

/// `HEADROOM_CACHE`, or `headroom` in `XDG_CACHE_HOME`, or in `~/.cache`.
///
/// # Errors
/// [`HarnessError::NoCacheDir`].
pub fn cache_root() -> Result<PathBuf> {
    root_from(variable("HEADROOM_CACHE"), variable("XDG_CACHE_HOME"), variable("HOME"))
}

fn root_from(own: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf> {
    // The base directory specification: a relative XDG_CACHE_HOME is to be ignored.
    own.and_then(|dir| std::path::absolute(dir).ok())
        .or_else(|| xdg.filter(|dir| dir.is_absolute()).map(|dir| dir.join("headroom")))
        .or_else(|| home.filter(|dir| dir.is_absolute()).map(|dir| dir.join(".cache/headroom")))
        .ok_or(HarnessError::NoCacheDir)
}

/// An environment variable that is set and not empty.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_root_prefers_the_nearest_setting() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(root_from(path("/a"), path("/b"), path("/c")).unwrap(), PathBuf::from("/a"));
        assert_eq!(root_from(None, path("/b"), path("/c")).unwrap(), PathBuf::from("/b/headroom"));
        assert_eq!(root_from(None, path("b"), path("/c")).unwrap(), PathBuf::from("/c/.cache/headroom"));
        assert!(matches!(root_from(None, None, None), Err(HarnessError::NoCacheDir)));
    }

    #[test]
    fn given_directory_wins_and_the_cache_fills_the_gaps() {
        let given = tempfile::tempdir().unwrap();
        std::fs::write(given.path().join("kube-scheduler"), "").unwrap();
        let assets = Assets {
            release: Release::default(),
            given: Some(given.path().to_path_buf()),
            cache: PathBuf::from("/cache"),
            e2e_cache: PathBuf::from("/e2e-cache"),
            helm_cache: PathBuf::from("/helm-cache"),
            single: Vec::new(),
        };
        assert_eq!(assets.path(Component::ApiServer), given.path().join("kube-apiserver"));
        assert_eq!(assets.path(Component::Scheduler), given.path().join("kube-scheduler"));
        assert_eq!(assets.path(Component::ControllerManager), PathBuf::from("/cache/kube-controller-manager"));
        assert_eq!(assets.path(Component::E2eTest), PathBuf::from("/e2e-cache/e2e.test"));
        assert_eq!(assets.path(Component::Helm), PathBuf::from("/helm-cache/helm"));
        let missing = assets.missing(&Component::ALL);
        assert!(!missing.contains(&Component::Scheduler) && missing.contains(&Component::Etcd));
        assert!(assets.require(Component::Etcd).unwrap_err().to_string().contains("make control-plane"));
    }
}
