//! Blocks marked `sh files`: lines that move files about on a host, in a directory that stands for its root. There is neither
//! systemd nor sudo: what would be asked of the one is written down, and the other does as it is told.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{Mark, documents, root};
use tokio::process::Command;

/// Before a block.
const STAND_INS: &str = "sudo() { \"$@\"; }\nsystemctl() { echo \"$*\" >>\"$ASKED\"; }\n";

/// Beginnings of paths of hosts.
const OF_THE_HOST: [&str; 2] = ["/etc/", "/var/lib/"];

/// What a document says of a host.
struct Host {
    document: &'static str,
    /// The files that are there. `home` is where one types.
    before: &'static [&'static str],
    /// Those that are there behind each block.
    behind: &'static [&'static [&'static str]],
    /// What systemctl was asked for.
    asked: &'static str,
}

const HOSTS: [Host; 3] = [
    Host {
        document: "docs/how-to/k3s.md",
        before: &["etc/rancher/k3s/config.yaml.d/headroom.yaml", "etc/rancher/k3s/config.yaml.d/other.yaml"],
        behind: &[&["etc/rancher/k3s/config.yaml.d/other.yaml"]],
        asked: "restart k3s\n",
    },
    Host {
        document: "docs/how-to/kubeadm.md",
        before: &["etc/kubernetes/manifests/kube-apiserver.yaml", "etc/kubernetes/manifests/kube-scheduler.yaml"],
        // The kubelet runs what is in `manifests`, whatever its name; and at the end it is as before.
        behind: &[
            &["etc/kubernetes/headroom/kube-scheduler.yaml", "etc/kubernetes/manifests/kube-apiserver.yaml"],
            &["etc/kubernetes/manifests/kube-apiserver.yaml", "etc/kubernetes/manifests/kube-scheduler.yaml"],
        ],
        asked: "",
    },
    Host {
        document: "docs/images.md",
        before: &["home/headroom-controllers-0.1.0.oci.tar", "home/headroom-scheduler-0.1.0.oci.tar"],
        behind: &[&[
            "home/headroom-controllers-0.1.0.oci.tar",
            "home/headroom-scheduler-0.1.0.oci.tar",
            "var/lib/rancher/k3s/agent/images/headroom-controllers-0.1.0.oci.tar",
            "var/lib/rancher/k3s/agent/images/headroom-scheduler-0.1.0.oci.tar",
        ]],
        asked: "",
    },
];

/// The files below a directory. Each has its own name in it, wherever it was moved.
fn files(directory: &Path) -> BTreeSet<String> {
    let (mut found, mut left) = (BTreeSet::new(), vec![directory.to_owned()]);
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
                continue;
            }
            let path = entry.path();
            assert_eq!(fs::read_to_string(&path).unwrap(), entry.file_name().to_string_lossy(), "{}", path.display());
            found.insert(path.strip_prefix(directory).unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

/// Puts the files of a host into a directory.
fn set_up(directory: &Path, paths: &[&str]) {
    fs::create_dir_all(directory.join("home")).unwrap();
    for path in paths.iter().map(|path| directory.join(path)) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
    }
}

#[tokio::test]
async fn lines_that_move_files_leave_those_that_are_meant() {
    let mut hosts: Vec<&Host> = HOSTS.iter().collect();
    for document in documents(&root()).unwrap() {
        let mut blocks = document.blocks();
        blocks.retain(|block| block.is_shell() && block.mark() == Ok(Mark::Files));
        if blocks.is_empty() {
            continue;
        }
        let name = document.path.to_str().unwrap();
        let at = hosts.iter().position(|host| host.document == name);
        let host = hosts.remove(at.unwrap_or_else(|| panic!("{name}: what is on that host? (HOSTS)")));
        assert_eq!(blocks.len(), host.behind.len(), "{name}: blocks");
        let (machine, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let asked: PathBuf = notes.path().join("asked");
        set_up(machine.path(), host.before);
        for (block, behind) in blocks.iter().zip(host.behind) {
            let here =
                |script: String, start: &&str| script.replace(start, &format!("{}{start}", machine.path().display()));
            let script = OF_THE_HOST.iter().fold(block.script(), here);
            let mut command = Command::new("sh");
            command.args(["-eu", "-c", &format!("{STAND_INS}{script}")]).env("ASKED", &asked);
            command.current_dir(machine.path().join("home")).kill_on_drop(true);
            let output = command.output().await.unwrap();
            assert!(output.status.success(), "{name}:{}: {}", block.line, String::from_utf8_lossy(&output.stderr));
            let expected: BTreeSet<String> = behind.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(files(machine.path()), expected, "{name}:{}", block.line);
        }
        assert_eq!(fs::read_to_string(&asked).unwrap_or_default(), host.asked, "{name}: asked of systemctl");
    }
    let unused: Vec<&str> = hosts.iter().map(|host| host.document).collect();
    assert!(unused.is_empty(), "no block marked `sh files` is in {unused:?}");
}
