//! Which versions of Kubernetes can be built, and how what is measured beside each of them is named.

use std::fmt;

/// A version of Kubernetes, with the etcd beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Release {
    /// The one of every test.
    #[default]
    #[value(name = "1.36.4")]
    V1_36,
    /// For measurements beside it.
    #[value(name = "1.37.2")]
    V1_37,
}

impl Release {
    /// Its version.
    #[must_use]
    pub const fn kubernetes(self) -> &'static str {
        match self {
            Self::V1_36 => "1.36.4",
            Self::V1_37 => "1.37.2",
        }
    }

    /// The version of etcd that is built with it; upstream pairs Kubernetes 1.36 with etcd 3.6, and 1.37 with etcd 3.7.
    #[must_use]
    pub const fn etcd(self) -> &'static str {
        match self {
            Self::V1_36 => "3.6.14",
            Self::V1_37 => "3.7.3",
        }
    }

    /// Major and minor version: `1.37`.
    #[must_use]
    pub fn minor(self) -> &'static str {
        let version = self.kubernetes();
        version.rsplit_once('.').map_or(version, |(minor, _)| minor)
    }

    /// Whether it is the one that is taken when nobody asks for another.
    #[must_use]
    pub fn is_usual(self) -> bool {
        self == Self::default()
    }

    /// The command that makes a target of the Makefile with it.
    pub(crate) fn make(self, target: &str) -> String {
        if self.is_usual() { format!("make {target}") } else { format!("make {target} KUBERNETES={self}") }
    }

    /// The name of a file, without its end: what is measured beside one version leaves what stands there of another.
    pub(crate) fn stem(self, name: &str) -> String {
        if self.is_usual() { name.to_owned() } else { format!("{name}-{}", self.minor()) }
    }

    /// The title of a page.
    pub(crate) fn title(self, title: &str) -> String {
        if self.is_usual() { title.to_owned() } else { format!("{title}, Kubernetes {self}") }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kubernetes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_release_is_chosen_by_its_version() {
        for release in Release::value_variants() {
            let name = release.to_possible_value().unwrap();
            assert_eq!(name.get_name(), release.kubernetes());
            assert!(release.kubernetes().starts_with(&format!("{}.", release.minor())), "{release}");
        }
    }

    #[test]
    fn only_another_than_the_usual_one_is_named() {
        let (usual, other) = (Release::default(), Release::V1_37);
        assert_eq!([usual.make("bench"), usual.stem("latest"), usual.title("A")], ["make bench", "latest", "A"]);
        assert_eq!(
            [other.make("bench"), other.stem("latest"), other.title("A")],
            ["make bench KUBERNETES=1.37.2", "latest-1.37", "A, Kubernetes 1.37.2"]
        );
    }
}
