//! What the documents tell people to type and no test runs, with the reasons, and what they name that is not in this
//! repository: in one place. `docs/reference/untried.md` is the first of these lists.

use std::{fs, path::Path};

use crate::{
    commands::{Reading, bare},
    markdown::{Table, code, text},
};

/// A command that no test runs as it stands in a block marked `sh host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untried {
    /// How it begins, word by word.
    pub starts: &'static str,
    /// Why it is not run, and what is tested instead.
    pub why: &'static str,
}

const fn untried(starts: &'static str, why: &'static str) -> Untried {
    Untried { starts, why }
}

const STOPPED: &str =
    "It runs until it is stopped. Every scenario starts it with flags of the same kind, and a test reads these flags.";
const TAKEN: &str = "\
    It waits for a person who stops and starts stock components. The scenario `owners` is that person, beside the \
    real ones; with `--dry-run` the documents' plans are printed by tests.";
const BUILT: &str = "\
    It builds for other machines, for many minutes. `make image-test`, a part of `make test`, tests the program that \
    packs and lists.";
const IMPORTED: &str =
    "It takes a node with a container runtime, or a registry. `make image-test` reads the archives back.";
const ON_THE_HOST: &str = "\
    It changes a host that the distribution has set up; none is here. It is what `kubectl headroom takeover` prints, word by \
    word, and a test compares the two.";

/// All of them. A command belongs to the longest entry that it begins with.
pub const COMMANDS: &[Untried] = &[
    untried("crane push", IMPORTED),
    untried("ctr -n k8s.io images import", IMPORTED),
    untried(
        "curl",
        "It asks through a port that kubectl forwards. The scenario `docs` reads the same report from the process, with a \
         token of the account that the block before it makes.",
    ),
    untried(
        "differential-record record-stories",
        "It records the stock controllers for an hour. What it has recorded is told again by `make test`.",
    ),
    untried("headroom-controllers", STOPPED),
    untried("headroom-scheduler", STOPPED),
    untried("k0s install controller", ON_THE_HOST),
    untried("k3s ctr images import", IMPORTED),
    untried(
        "kubectl --namespace kube-system port-forward",
        "Simulated kubelets forward no port. The scenario `docs` reads the same report from the process.",
    ),
    untried("kubectl headroom handback", TAKEN),
    untried("kubectl headroom takeover", TAKEN),
    untried("make demo", "The scenario `demo` runs it."),
    untried("make image-check", BUILT),
    untried("make images", BUILT),
    untried("make sbom", BUILT),
    untried("make test", "It is the tests."),
    untried("mkdir layout", IMPORTED),
    untried("skopeo copy", IMPORTED),
    untried("systemctl cat", ON_THE_HOST),
    untried("systemctl daemon-reload", ON_THE_HOST),
    untried("systemctl restart", ON_THE_HOST),
    untried("tar -xf", IMPORTED),
];

/// The entry that a command belongs to.
#[must_use]
pub fn entry(words: &[String]) -> Option<&'static Untried> {
    let line = bare(words).join(" ");
    let begins =
        |entry: &&Untried| line.strip_prefix(entry.starts).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    COMMANDS.iter().filter(begins).max_by_key(|entry| entry.starts.len())
}

/// Flags in running text and in manifests that belong to other programs, and to which.
pub const FLAGS: [(&str, &str); 20] = [
    ("--all", "e2e-upstream"),
    ("--bare-connections", "bench"),
    ("--cluster-init", "k3s"),
    ("--deaths", "bench-controllers"),
    ("--disable-components", "k0s"),
    ("--disable-controller-manager", "k3s"),
    ("--enable-dynamic-config", "k0s"),
    ("--enable-worker", "k0s"),
    ("--flannel-backend", "k3s"),
    ("--ginkgo.focus", "Kubernetes' end-to-end tests"),
    ("--in-flight", "bench"),
    ("--kubelet-arg", "k3s"),
    ("--logs", "helm test"),
    ("--samples", "headroom-controllers check"),
    ("--set", "helm"),
    ("--set-json", "helm"),
    ("--single", "k0s"),
    ("--test", "cargo"),
    ("--verbose", "differential-record"),
    ("--version", "all of ours, which read it before their other flags"),
];

/// Paths that are not of this repository, by how they begin, and where they are.
pub const PLACES: [(&str, &str); 26] = [
    ("/configz", "served by kubelets and by our processes"),
    ("/debug/", "served by our processes, or by stock's"),
    ("/etc/cni/net.d", "on nodes: the configuration of the pod network"),
    ("/etc/headroom/", "wherever the reader keeps it; in the chart's pods the ConfigMap is mounted there"),
    ("/etc/k0s/", "on controllers of k0s"),
    ("/etc/kubernetes/", "on hosts that kubeadm has set up"),
    ("/etc/rancher/k3s/", "on servers of k3s"),
    ("/flagz", "served by stock components"),
    ("/headroom-scheduler", "in the image"),
    ("/healthz", "served by our processes"),
    ("/livez", "served by our processes"),
    ("/metrics", "served by our processes"),
    ("/opt/cni/bin", "on nodes: the programs of the pod network"),
    ("/proc/", "Linux"),
    ("/readyz", "served by our processes"),
    ("/stats/summary", "served by kubelets"),
    ("/statusz", "served by stock components"),
    ("/usr/local/bin", "on hosts: on everybody's path"),
    ("/var/lib/k0s/images/", "on nodes of k0s"),
    ("/var/lib/kubelet/", "on nodes: the kubelet's"),
    ("/var/lib/rancher/k3s/", "on nodes of k3s"),
    ("headroom-0.1.0.tgz", "what `make release` makes"),
    ("headroom-controllers-0.1.0.oci.tar", "what `make images` makes"),
    ("headroom-scheduler-0.1.0.oci.tar", "what `make images` makes"),
    ("headroom-*-0.1.0.oci.tar", "what `make images` makes"),
    ("~/", "the reader's home"),
];

/// Ends of names of files.
const FILES: [&str; 8] = [".yaml", ".yml", ".json", ".jsonl", ".tar", ".tgz", ".rs", ".toml"];

/// Says so when a word names a file that is neither in the repository, nor beside the document, nor in [`PLACES`]. A name
/// without a folder counts where it is typed; in running text it may be anybody's.
///
/// # Errors
/// A sentence for whoever wrote the document.
pub fn place(word: &str, reading: Reading, root: &Path, document: &Path) -> Result<(), String> {
    // `--config=FILE`, `docker://…`, `oci-archive:FILE`.
    let word = word.rsplit_once('=').map_or(word, |(_, value)| value);
    let word = word.rsplit_once(':').map_or(word, |(_, value)| value).trim_end_matches(['.', ',']);
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-~*".contains(c));
    if !is_plain || word.starts_with("//") || PLACES.iter().any(|(start, _)| word.starts_with(start)) {
        return Ok(());
    }
    let absolute = word.starts_with('/') || word.starts_with("~/");
    let (first, rest) = word.split_once('/').unwrap_or((word, ""));
    let of_ours = |directory: &Path| !first.is_empty() && !rest.is_empty() && directory.join(first).is_dir();
    let beside = root.join(document).parent().map_or_else(|| root.to_path_buf(), Path::to_path_buf);
    let typed = reading == Reading::Whole && !word.contains('/');
    let named_alone = typed && FILES.iter().any(|end| word.len() > end.len() && word.ends_with(end));
    if !absolute && !of_ours(root) && !of_ours(&beside) && !named_alone {
        return Ok(());
    }
    let there = |directory: &Path| matches(directory, word);
    if !absolute && (there(root) || there(&beside)) {
        return Ok(());
    }
    Err(format!(
        "there is no {word} (where it is, if it is elsewhere, belongs into PLACES of docs/generate/src/untried.rs)"
    ))
}

/// Whether a path, with a `*` in its last part, leads to something.
fn matches(directory: &Path, path: &str) -> bool {
    let Some((start, end)) = path.split_once('*') else { return directory.join(path).exists() };
    let (folder, start) = start.rsplit_once('/').unwrap_or(("", start));
    let entries = fs::read_dir(directory.join(folder)).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .any(|name| name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end))
}

pub(crate) fn page() -> String {
    let mut table = Table::new(&["command", ""]);
    for command in COMMANDS {
        table.row(&[code(command.starts), text(command.why)]);
    }
    format!(
        "# What no test runs\n\n\
         Blocks of commands in these documents are run by `make test`, except for commands that begin like these. Their \
         flags, values and files are checked all the same: those of `kubectl headroom` and of both processes by their own \
         command lines.\n\n{}",
        table.finish()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{root, shell};

    #[test]
    fn commands_belong_to_the_longest_entry() {
        let of =
            |line: &str| shell::commands(line).iter().map(|words| entry(words).map(|e| e.starts)).collect::<Vec<_>>();
        assert_eq!(of("make images DIST_ARCHES=amd64"), [Some("make images")]);
        assert_eq!(
            of("sudo KUBECONFIG=/k kubectl headroom takeover --host-files"),
            [Some("kubectl headroom takeover")]
        );
        assert_eq!(of("sudo k3s ctr images import a.tar"), [Some("k3s ctr images import")]);
        assert_eq!(of("make image"), [None]);
        assert_eq!(of("mkdir layout && mv a b"), [Some("mkdir layout"), None]);
    }

    #[test]
    fn files_are_there_or_said_to_be_elsewhere() {
        let (root, document) = (root(), Path::new("charts/headroom/README.md"));
        let at = |word: &str| place(word, Reading::Whole, &root, document);
        for fine in [
            "examples/small-cluster.yaml",
            "--snapshot=examples/small-cluster.yaml",
            "files/rbac/loops.yaml",
            "deploy/kubeadm/*.yaml",
            "docs/decisions/",
            "oci-archive:headroom-scheduler-0.1.0.oci.tar",
            "docker://registry.example.com/me/headroom-scheduler:0.1.0",
            "--config=/etc/headroom/scheduler.yaml",
            "rc/web",
            "nodes/proxy",
            "node.kubernetes.io/not-ready",
            "a sentence / of words",
            "kubectl",
            "2Gi",
        ] {
            assert_eq!(at(fine), Ok(()), "{fine}");
        }
        for gone in ["examples/none.yaml", "--values=charts/none", "/usr/share/none", "none.yaml", "deploy/none*"] {
            assert!(at(gone).is_err_and(|said| said.contains("none")), "{gone}");
        }
    }

    #[test]
    fn lists_are_in_order_and_every_entry_has_a_reason() {
        let starts: Vec<&str> = COMMANDS.iter().map(|command| command.starts).collect();
        assert!(starts.is_sorted() && COMMANDS.iter().all(|command| command.why.ends_with('.')), "{starts:?}");
        assert!(FLAGS.is_sorted() && FLAGS.iter().chain(&PLACES).all(|(_, whose)| !whose.is_empty()));
        assert!(page().contains("| `make test` | It is the tests. |"), "{}", page());
    }
}
