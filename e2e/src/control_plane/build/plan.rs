//! What is built, from which modules, with which flags, and under which key it is kept.

use crate::control_plane::assets::Component;

/// Version of Kubernetes that is built.
pub const KUBERNETES_VERSION: &str = "1.36.4";

/// Version of etcd that is built; upstream pairs Kubernetes 1.36 with etcd 3.6.
pub const ETCD_VERSION: &str = "3.6.14";

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
const KUBERNETES_MOD: &str = include_str!("../../../control-plane/kubernetes/go.mod");
const KUBERNETES_SUM: &str = include_str!("../../../control-plane/kubernetes/go.sum");
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
const KUBERNETES: Wrapper = Wrapper { name: "kubernetes", go_mod: KUBERNETES_MOD, go_sum: KUBERNETES_SUM };
const E2E_TEST: Wrapper = Wrapper { name: "e2e-test", go_mod: E2E_TEST_MOD, go_sum: E2E_TEST_SUM };
const HELM: Wrapper = Wrapper { name: "helm", go_mod: HELM_MOD, go_sum: HELM_SUM };

impl Component {
    /// The module that pins it.
    pub(crate) fn wrapper(self) -> Wrapper {
        match self {
            Self::Etcd => ETCD,
            Self::ApiServer | Self::Kubectl | Self::Scheduler | Self::ControllerManager => KUBERNETES,
            Self::E2eTest => E2E_TEST,
            Self::Helm => HELM,
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
    pub(crate) fn go_arguments(self, out: &str) -> Vec<String> {
        let verb: &[&str] = if self == Self::E2eTest { &["test", "-c"] } else { &["build"] };
        let mut arguments: Vec<String> =
            verb.iter().chain(&["-trimpath", "-buildvcs=false"]).map(|&argument| argument.to_owned()).collect();
        if !matches!(self, Self::Etcd | Self::Helm) {
            arguments.extend(["-tags".to_owned(), TAGS.to_owned()]);
        }
        arguments.extend(["-ldflags".to_owned(), self.link_flags(), "-o".to_owned(), out.to_owned(), self.package()]);
        arguments
    }

    /// Without these values the server calls itself v0.0.0-master, and kubectl warns about the skew.
    fn link_flags(self) -> String {
        match self {
            Self::Etcd => return "-s -w".to_owned(),
            // Else it calls itself v4.2.
            Self::Helm => return format!("-s -w -X helm.sh/helm/v4/internal/version.version=v{HELM_VERSION}"),
            _ => {}
        }
        let mut numbers = KUBERNETES_VERSION.split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let base = "k8s.io/component-base/version";
        format!(
            "-s -w -X {base}.gitVersion=v{KUBERNETES_VERSION} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} \
             -X {base}.gitTreeState=clean -X {base}.buildDate=1970-01-01T00:00:00Z \
             -X k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES_VERSION}"
        )
    }

    /// Arguments that make the binary print its version, and what it then has to print.
    pub(crate) fn version_check(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Etcd => (&["--version"], ETCD_VERSION),
            Self::Kubectl => (&["version", "--client"], KUBERNETES_VERSION),
            Self::Helm => (&["version", "--short"], HELM_VERSION),
            Self::ApiServer | Self::Scheduler | Self::ControllerManager | Self::E2eTest => {
                (&["--version"], KUBERNETES_VERSION)
            }
        }
    }
}

/// The name of the control plane's directory in the cache: the versions, and a hash of everything that the binaries
/// depend on but the Go version.
pub(crate) fn key() -> String {
    format!("{KUBERNETES_VERSION}-etcd{ETCD_VERSION}-{:016x}", hash(&Component::ALL))
}

/// The same for [`Component::E2eTest`].
pub(crate) fn e2e_key() -> String {
    format!("{KUBERNETES_VERSION}-e2e-{:016x}", hash(&[Component::E2eTest]))
}

/// The same for [`Component::Helm`].
pub(crate) fn helm_key() -> String {
    format!("helm{HELM_VERSION}-{:016x}", hash(&[Component::Helm]))
}

fn hash(components: &[Component]) -> u64 {
    let mut hash = Fnv::new();
    for part in [RECIPE, std::env::consts::OS, std::env::consts::ARCH] {
        hash.write(part);
    }
    for component in components {
        let wrapper = component.wrapper();
        hash.write(wrapper.go_mod);
        hash.write(wrapper.go_sum);
        for argument in component.go_arguments("") {
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

    #[test]
    fn the_pinned_modules_are_the_named_versions() {
        assert!(KUBERNETES_MOD.contains(&format!("k8s.io/kubernetes v{KUBERNETES_VERSION}")));
        assert!(ETCD_MOD.contains(&format!("go.etcd.io/etcd/server/v3 v{ETCD_VERSION}")));
        assert!(E2E_TEST_MOD.contains(&format!("k8s.io/kubernetes v{KUBERNETES_VERSION}")));
        assert!(HELM_MOD.contains(&format!("helm.sh/helm/v4 v{HELM_VERSION}")));
        let (major, minor, patch) = GO_VERSION;
        for wrapper in [ETCD, KUBERNETES, E2E_TEST, HELM] {
            assert!(wrapper.go_mod.contains(&format!("\ngo {major}.{minor}.{patch}\n")), "{}", wrapper.name);
        }
    }

    #[test]
    fn every_package_is_a_tool_of_its_module() {
        for component in Component::ALL.into_iter().chain([Component::E2eTest, Component::Helm]) {
            assert!(component.wrapper().go_mod.contains(&component.package()), "{}", component.binary());
        }
    }

    #[test]
    fn the_key_names_the_versions_and_is_stable() {
        assert_eq!(key(), key());
        assert!(key().starts_with("1.36.4-etcd3.6.14-"));
        assert!(e2e_key().starts_with("1.36.4-e2e-"));
        assert!(helm_key().starts_with("helm4.2.4-"));
    }
}
