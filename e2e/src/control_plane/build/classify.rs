//! Turns a failed `go build` into one line that says what is wrong and what to do.

use std::path::{Path, PathBuf};

use crate::error::HarnessError;

use super::plan::GO_VERSION;

/// Why the control plane was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no Go.
    #[error(
        "Go is not installed, or not on the PATH: Kubernetes is built with Go {} or newer. Install it (https://go.dev/dl/), or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl",
        needed()
    )]
    GoMissing,
    /// Go is too old.
    #[error(
        "Go {} or newer is needed to build Kubernetes, but `go` is {found}: install a newer one (https://go.dev/dl/), or set KUBEBUILDER_ASSETS",
        needed()
    )]
    GoTooOld {
        /// What `go` says it is.
        found: String,
    },
    /// `go env` does not work.
    #[error("`go` does not work: {detail}")]
    GoBroken {
        /// Its last words.
        detail: String,
    },
    /// The module proxy refuses a module.
    #[error(
        "a Go module was refused, needed for {binary}: {detail}. Check GOPROXY (`go env GOPROXY`): it must serve this version; the log is {log}"
    )]
    ModuleRefused {
        /// What was built.
        binary: String,
        /// What go says.
        detail: String,
        /// The log.
        log: PathBuf,
    },
    /// A module is not what go.sum says.
    #[error(
        "a Go module has a wrong checksum, needed for {binary}: {detail}. Do not use it; check GOPROXY and GOSUMDB; the log is {log}"
    )]
    Checksum {
        /// What was built.
        binary: String,
        /// What go says.
        detail: String,
        /// The log.
        log: PathBuf,
    },
    /// No connection to the module proxy.
    #[error(
        "no network, or the Go module proxy does not answer, needed for {binary}: {detail}. Check the connection and GOPROXY (`go env GOPROXY`), then start again: finished parts are kept"
    )]
    Network {
        /// What was built.
        binary: String,
        /// What go says.
        detail: String,
    },
    /// The disk is full.
    #[error(
        "the disk is full ({detail}): the build needs about 8 GB for Go's caches (`go env GOCACHE GOMODCACHE`) and 300 MB in {dir}. Make room and start again: finished parts are kept"
    )]
    DiskFull {
        /// What was written.
        detail: String,
        /// Our directory.
        dir: PathBuf,
    },
    /// The compiler was killed.
    #[error(
        "the build of {binary} was killed ({detail}), most likely because memory ran out: it needs about 2 GB; the log is {log}"
    )]
    Killed {
        /// What was built.
        binary: String,
        /// What go says.
        detail: String,
        /// The log.
        log: PathBuf,
    },
    /// Anything else.
    #[error("the build of {binary} failed: {detail}; the log is {log}")]
    Broken {
        /// What was built.
        binary: String,
        /// go's last words.
        detail: String,
        /// The log.
        log: PathBuf,
    },
    /// A binary was built but does not work.
    #[error("{path} was built but does not report version {version}: {detail}")]
    WrongVersion {
        /// The binary.
        path: PathBuf,
        /// The version wanted.
        version: String,
        /// What it printed.
        detail: String,
    },
    /// `KUBEBUILDER_ASSETS` lacks a binary.
    #[error("KUBEBUILDER_ASSETS={dir} has no {missing}: put it there, or unset KUBEBUILDER_ASSETS to have it built")]
    Given {
        /// The directory.
        dir: PathBuf,
        /// The names, comma-separated.
        missing: String,
    },
    /// A file operation or the start of a process failed.
    #[error(transparent)]
    Harness(#[from] HarnessError),
}

fn needed() -> String {
    let (major, minor, _) = GO_VERSION;
    format!("{major}.{minor}")
}

/// How the last lines of go's output are recognised, in order of precedence: a full disk also breaks downloads, and a
/// refused module also ends a build.
const DISK: &[&str] = &["no space left on device", "disk quota exceeded", "file too large"];
const TOO_OLD: &[&str] = &["requires go >=", "requires go1.", "gotoolchain=local"];
const CHECKSUM: &[&str] = &["checksum mismatch", "security error", "missing go.sum entry", "sumdb"];
const REFUSED: &[&str] = &[
    "unknown revision",
    "module lookup disabled",
    "cannot find module providing package",
    "no matching versions",
    "disabled by goproxy",
    "unrecognized import path",
];
const NETWORK: &[&str] = &[
    "dial tcp",
    "no such host",
    "i/o timeout",
    "connection refused",
    "connection reset",
    "network is unreachable",
    "tls handshake",
    "tls: ",
    "x509: ",
    "proxyconnect",
    "unexpected eof",
    "context deadline exceeded",
    "client.timeout",
    "temporary failure in name resolution",
];
const KILLED: &[&str] = &["signal: killed", "cannot allocate memory", "out of memory"];

/// Longest excerpt of go's output in an error, characters.
const EXCERPT: usize = 300;

/// Says why a build failed. `output` is what go printed, `by_signal` whether go itself was killed.
pub(crate) fn classify(binary: &str, output: &str, by_signal: bool, log: &Path, dir: &Path) -> BuildError {
    let binary = binary.to_owned();
    let log = log.to_path_buf();
    if let Some(detail) = find(output, DISK) {
        return BuildError::DiskFull { detail, dir: dir.to_path_buf() };
    }
    if let Some(found) = find(output, TOO_OLD) {
        return BuildError::GoTooOld { found };
    }
    // A checksum database that cannot be reached is a matter of the network, not of the module.
    let network = find(output, NETWORK).or_else(|| find_status(output, 500..600));
    if let (Some(detail), None) = (find(output, CHECKSUM), &network) {
        return BuildError::Checksum { binary, detail, log };
    }
    if let Some(detail) = find(output, REFUSED).or_else(|| find_status(output, 400..500)) {
        return BuildError::ModuleRefused { binary, detail, log };
    }
    if let Some(detail) = network {
        return BuildError::Network { binary, detail };
    }
    if let Some(detail) = find(output, KILLED) {
        return BuildError::Killed { binary, detail, log };
    }
    let detail = last_line(output);
    if by_signal { BuildError::Killed { binary, detail, log } } else { BuildError::Broken { binary, detail, log } }
}

/// The last line that holds one of `needles`, shortened.
fn find(output: &str, needles: &[&str]) -> Option<String> {
    find_line(output, |line| {
        let lower = line.to_lowercase();
        needles.iter().any(|needle| lower.contains(needle))
    })
}

/// The last line that tells of an HTTP answer with a status in `range`, as in `reading https://…: 404 Not Found`.
fn find_status(output: &str, range: std::ops::Range<u16>) -> Option<String> {
    find_line(output, |line| {
        line.split_once("://").is_some_and(|(_, rest)| {
            rest.split(": ")
                .filter_map(|part| part.get(..3))
                .any(|part| part.parse().is_ok_and(|code| range.contains(&code)))
        })
    })
}

/// The last line that `wanted` accepts; lines that only tell of a download are not looked at.
fn find_line(output: &str, wanted: impl Fn(&str) -> bool) -> Option<String> {
    output.lines().rev().filter(|line| !line.starts_with("go: downloading ")).find(|line| wanted(line)).map(shorten)
}

/// The last line that is not empty.
pub(crate) fn last_line(output: &str) -> String {
    output.lines().rev().map(str::trim).find(|line| !line.is_empty()).map_or_else(|| "no output".to_owned(), shorten)
}

/// Go puts the cause at the end of a line, so the end is kept.
fn shorten(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().rev().nth(EXCERPT) {
        Some((start, _)) => format!("…{}", &line[start..]),
        None => line.to_owned(),
    }
}

/// Reads `go1.26.8` (also `go1.27rc1`, `devel …` yields `None`).
pub(crate) fn parse_go_version(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.trim().strip_prefix("go")?;
    let mut parts = text.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    let major = parts.next()??;
    let minor = parts.next()??;
    let patch = parts.next().flatten().unwrap_or(0);
    Some((major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(output: &str) -> BuildError {
        classify("kube-apiserver", output, false, Path::new("/log"), Path::new("/cache"))
    }

    #[test]
    fn a_full_disk_is_told_before_anything_else() {
        let got = of("go: k8s.io/api@v0.36.4: write /m/cache/x: no space left on device\ngo: dial tcp: i/o timeout\n");
        assert!(matches!(&got, BuildError::DiskFull { detail, .. } if detail.contains("/m/cache/x")), "{got}");
        let got = of("link: /cache/kubectl.tmp: write: Disk quota exceeded");
        assert!(matches!(got, BuildError::DiskFull { .. }), "{got}");
    }

    #[test]
    fn a_refused_module_is_told_with_gos_words() {
        let got = of(
            "go: downloading k8s.io/x v1.0.0\ngo: k8s.io/kubernetes@v1.36.6: reading https://proxy.example/k8s.io/kubernetes/@v/v1.36.6.zip: 403 Forbidden\n",
        );
        assert!(matches!(&got, BuildError::ModuleRefused { detail, .. } if detail.contains("v1.36.6")), "{got}");
        let got = of("go.etcd.io/x@v3: reading http://127.0.0.1:189/x/@v/v3.zip: 404 File not found");
        assert!(matches!(got, BuildError::ModuleRefused { .. }), "{got}");
        let got = of("go: github.com/a/b@v1.0.0: module lookup disabled by GOPROXY=off");
        assert!(matches!(got, BuildError::ModuleRefused { .. }), "{got}");
    }

    #[test]
    fn no_network_is_told_as_such() {
        for line in [
            "go: k8s.io/api@v0.36.4: Get \"https://proxy.example/x.zip\": dial tcp: lookup proxy.example: no such host",
            "go: x: Get \"https://p/x\": net/http: TLS handshake timeout",
            "go: x: reading https://p/x: 503 Service Unavailable",
            "go: x@v1: verifying module: Get \"https://sum.example/lookup/x\": dial tcp: connect: connection refused",
        ] {
            assert!(matches!(of(line), BuildError::Network { .. }), "{line}");
        }
    }

    #[test]
    fn a_wrong_checksum_is_no_network_matter() {
        let got = of(
            "verifying k8s.io/api@v0.36.4: checksum mismatch\n\tdownloaded: h1:a\n\tgo.sum: h1:b\n\nSECURITY ERROR\n",
        );
        assert!(matches!(got, BuildError::Checksum { .. }), "{got}");
    }

    #[test]
    fn an_old_go_and_a_killed_compiler_are_told() {
        let got = of("go: go.mod requires go >= 1.26.0 (running go 1.24.1; GOTOOLCHAIN=local)");
        assert!(matches!(&got, BuildError::GoTooOld { found } if found.contains("1.24.1")), "{got}");
        let got = of("k8s.io/api/core/v1: /usr/lib/go/compile: signal: killed");
        assert!(matches!(got, BuildError::Killed { .. }), "{got}");
        let got = classify("etcd", "", true, Path::new("/log"), Path::new("/cache"));
        assert!(matches!(got, BuildError::Killed { .. }), "{got}");
    }

    #[test]
    fn anything_else_is_a_broken_build_with_its_log() {
        let got = of("# k8s.io/x\n./a.go:3:1: syntax error: no \n\n");
        assert!(got.to_string().contains("./a.go:3:1: syntax error") && got.to_string().ends_with("/log"), "{got}");
        assert!(of("").to_string().contains("no output"));
    }

    #[test]
    fn every_error_is_one_line_even_for_hostile_output() {
        let long = format!("{}é: no space left on device", "x".repeat(5000));
        let text = of(&long).to_string();
        assert!(!text.contains('\n') && text.len() < 1000 && text.contains("no space left"), "{text}");
        assert!(!BuildError::GoMissing.to_string().contains('\n'));
    }

    #[test]
    fn go_versions_are_read() {
        assert_eq!(parse_go_version("go1.26.8\n"), Some((1, 26, 8)));
        assert_eq!(parse_go_version("go1.27rc1"), Some((1, 27, 0)));
        assert_eq!(parse_go_version("go1.26"), Some((1, 26, 0)));
        assert_eq!(parse_go_version("devel +abc"), None);
    }
}
