//! What is built, from which modules, with which flags, and under which key it is kept.

use super::release::Release;
use crate::control_plane::assets::Component;

/// Version of Helm that is built, for the scenarios of the chart.
pub const HELM_VERSION: &str = "4.2.4";

/// Lowest Go that builds all modules (their `go` lines).
pub const GO_VERSION: (u32, u32, u32) = (1, 26, 0);

/// Go build tags of upstream's release builds.
const TAGS: &str = "selinux,notest,grpcnotrace";

/// Changes when the way of building changes although the modules do not, so that old binaries are not taken.
const RECIPE: &str = "1";

const ETCD_MOD: &str = include_str!("../../../control-plane/etcd/go.mod");
const ETCD_SUM: &str = include_str!("../../../control-plane/etcd/go.sum");
const ETCD_3_7_MOD: &str = include_str!("../../../control-plane/etcd-3.7/go.mod");
const ETCD_3_7_SUM: &str = include_str!("../../../control-plane/etcd-3.7/go.sum");
const KUBERNETES_MOD: &str = include_str!("../../../control-plane/kubernetes/go.mod");
const KUBERNETES_SUM: &str = include_str!("../../../control-plane/kubernetes/go.sum");
const KUBERNETES_1_37_MOD: &str = include_str!("../../../control-plane/kubernetes-1.37/go.mod");
const KUBERNETES_1_37_SUM: &str = include_str!("../../../control-plane/kubernetes-1.37/go.sum");
const E2E_TEST_MOD: &str = include_str!("../../../control-plane/e2e-test/go.mod");
const E2E_TEST_SUM: &str = include_str!("../../../control-plane/e2e-test/go.sum");
const HELM_MOD: &str = include_str!("../../../control-plane/helm/go.mod");
const HELM_SUM: &str = include_str!("../../../control-plane/helm/go.sum");

/// A Go module that pins what is built. Upstream's main modules have replacements, which hold only in a main module:
/// so `go install module@version` refuses them, and a module of our own repeats the replacements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrapper {
    pub(crate) name: &'static str,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
}

const ETCD: Wrapper = Wrapper { name: "etcd", go_mod: ETCD_MOD, go_sum: ETCD_SUM };
const ETCD_3_7: Wrapper = Wrapper { name: "etcd-3.7", go_mod: ETCD_3_7_MOD, go_sum: ETCD_3_7_SUM };
const KUBERNETES: Wrapper = Wrapper { name: "kubernetes", go_mod: KUBERNETES_MOD, go_sum: KUBERNETES_SUM };
const KUBERNETES_1_37: Wrapper =
    Wrapper { name: "kubernetes-1.37", go_mod: KUBERNETES_1_37_MOD, go_sum: KUBERNETES_1_37_SUM };
const E2E_TEST: Wrapper = Wrapper { name: "e2e-test", go_mod: E2E_TEST_MOD, go_sum: E2E_TEST_SUM };
const HELM: Wrapper = Wrapper { name: "helm", go_mod: HELM_MOD, go_sum: HELM_SUM };

impl Component {
    /// The module that pins it in a release. The specs and Helm are of one version whatever the release.
    pub(crate) fn wrapper(self, release: Release) -> Wrapper {
        match (self, release) {
            (Self::Etcd, Release::V1_36) => ETCD,
            (Self::Etcd, Release::V1_37) => ETCD_3_7,
            (Self::ApiServer | Self::Kubectl | Self::Scheduler | Self::ControllerManager, Release::V1_36) => KUBERNETES,
            (Self::ApiServer | Self::Kubectl | Self::Scheduler | Self::ControllerManager, Release::V1_37) => {
                KUBERNETES_1_37
            }
            (Self::E2eTest, _) => E2E_TEST,
            (Self::Helm, _) => HELM,
        }
    }

    /// Its version in a release.
    pub(crate) fn version(self, release: Release) -> &'static str {
        match self {
            Self::Etcd => release.etcd(),
            Self::ApiServer | Self::Kubectl | Self::Scheduler | Self::ControllerManager => release.kubernetes(),
            Self::E2eTest => Release::default().kubernetes(),
            Self::Helm => HELM_VERSION,
        }
    }

    /// The import path of its package.
    pub(crate) fn package(self) -> String {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3".to_owned(),
            Self::E2eTest => "k8s.io/kubernetes/test/e2e".to_owned(),
            Self::Helm => "helm.sh/helm/v4/cmd/helm".to_owned(),
            other => format!("k8s.io/kubernetes/cmd/{}", other.binary()),
        }
    }

    /// Arguments of `go` that build it into the file `out`.
    pub(crate) fn go_arguments(self, release: Release, out: &str) -> Vec<String> {
        let verb: &[&str] = if self == Self::E2eTest { &["test", "-c"] } else { &["build"] };
        let mut arguments: Vec<String> =
            verb.iter().chain(&["-trimpath", "-buildvcs=false"]).map(|&argument| argument.to_owned()).collect();
        if !matches!(self, Self::Etcd | Self::Helm) {
            arguments.extend(["-tags".to_owned(), TAGS.to_owned()]);
        }
        arguments.extend([
            "-ldflags".to_owned(),
            self.link_flags(release),
            "-o".to_owned(),
            out.to_owned(),
            self.package(),
        ]);
        arguments
    }

    /// Without these values the server calls itself v0.0.0-master, and kubectl warns about the skew.
    fn link_flags(self, release: Release) -> String {
        match self {
            Self::Etcd => return "-s -w".to_owned(),
            // Else it calls itself v4.2.
            Self::Helm => return format!("-s -w -X helm.sh/helm/v4/internal/version.version=v{HELM_VERSION}"),
            _ => {}
        }
        let version = self.version(release);
        let mut numbers = version.split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let base = "k8s.io/component-base/version";
        format!(
            "-s -w -X {base}.gitVersion=v{version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} \
             -X {base}.gitTreeState=clean -X {base}.buildDate=1970-01-01T00:00:00Z \
             -X k8s.io/client-go/pkg/version.gitVersion=v{version}"
        )
    }

    /// Arguments that make the binary print its version.
    pub(crate) fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kubectl => &["version", "--client"],
            Self::Helm => &["version", "--short"],
            Self::Etcd | Self::ApiServer | Self::Scheduler | Self::ControllerManager | Self::E2eTest => &["--version"],
        }
    }
}

/// The name of a release's directory in the cache: the versions, and a hash of everything that the binaries depend on but
/// the Go version.
pub(crate) fn key(release: Release) -> String {
    format!("{release}-etcd{}-{:016x}", release.etcd(), hash(release, &Component::ALL))
}

/// The same for [`Component::E2eTest`].
pub(crate) fn e2e_key() -> String {
    let release = Release::default();
    format!("{release}-e2e-{:016x}", hash(release, &[Component::E2eTest]))
}

/// The same for [`Component::Helm`].
pub(crate) fn helm_key() -> String {
    format!("helm{HELM_VERSION}-{:016x}", hash(Release::default(), &[Component::Helm]))
}

fn hash(release: Release, components: &[Component]) -> u64 {
    let mut hash = Fnv::new();
    for part in [RECIPE, std::env::consts::OS, std::env::consts::ARCH] {
        hash.write(part);
    }
    for component in components {
        let wrapper = component.wrapper(release);
        hash.write(wrapper.go_mod);
        hash.write(wrapper.go_sum);
        for argument in component.go_arguments(release, "") {
            hash.write(&argument);
        }
    }
    hash.0
}

/// FNV-1a, 64 bits: stable between compilers, which the standard library's hashes do not promise.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, text: &str) {
        // The separator keeps ("ab", "c") and ("a", "bc") apart.
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    /// Each component of each release.
    fn all() -> impl Iterator<Item = (Component, Release)> {
        Release::value_variants().iter().flat_map(|release| {
            Component::ALL
                .into_iter()
                .chain([Component::E2eTest, Component::Helm])
                .map(move |component| (component, *release))
        })
    }

    #[test]
    fn the_pinned_modules_are_the_named_versions() {
        let (major, minor, patch) = GO_VERSION;
        for (component, release) in all() {
            let module = match component {
                Component::Etcd => "go.etcd.io/etcd/server/v3",
                Component::Helm => "helm.sh/helm/v4",
                _ => "k8s.io/kubernetes",
            };
            let wrapper = component.wrapper(release);
            let pin = format!("{module} v{}", component.version(release));
            let pinned = |line: &str| line.trim_start_matches("require").trim_end_matches("// indirect").trim() == pin;
            assert!(wrapper.go_mod.lines().any(pinned), "{pin} in {}", wrapper.name);
            assert!(wrapper.go_mod.contains(&format!("\ngo {major}.{minor}.{patch}\n")), "{}", wrapper.name);
        }
    }

    #[test]
    fn every_package_is_a_tool_of_its_module() {
        for (component, release) in all() {
            let wrapper = component.wrapper(release);
            assert!(wrapper.go_mod.contains(&component.package()), "{} in {}", component.binary(), wrapper.name);
        }
    }

    #[test]
    fn the_key_names_the_versions_and_is_stable() {
        for release in Release::value_variants() {
            assert_eq!(key(*release), key(*release));
        }
        assert!(key(Release::V1_36).starts_with("1.36.4-etcd3.6.14-"));
        assert!(key(Release::V1_37).starts_with("1.37.2-etcd3.7.3-"));
        assert!(e2e_key().starts_with("1.36.4-e2e-"));
        assert!(helm_key().starts_with("helm4.2.4-"));
    }
}
