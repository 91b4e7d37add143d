//! What `make release` puts together, with files that stand in for what it builds: what is in the archives, their checksums,
//! and that a second run elsewhere makes the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::RELEASE;
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::helm::{Helm, Ran, finish, helm_binary};
use serde_json::Value;
use tokio::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/release/release");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const URL: &str = "https://downloads.example.com/headroom";
const ARCHES: [&str; 2] = ["amd64", "arm64"];
const PROGRAMS: [&str; 3] = ["headroom-controllers", "headroom-scheduler", "kubectl-headroom"];
/// The time in everything, and what tar shows of it.
const EPOCH: (&str, &str) = ("1700000000", "2023-11-14 22:13");

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// What a program holds that stands in for the one of this machine.
fn program(name: &str, arch: &str) -> String {
    format!("{name} for {arch}\n")
}

/// What the targets before `release` leave behind.
fn stage(home: &Path) {
    let packages = home.join("packages");
    for arch in ARCHES {
        for name in PROGRAMS {
            write(&home.join(arch).join(name), &program(name, arch));
            write(&packages.join(format!("{name}-{VERSION}-linux-{arch}.cdx.json")), "{}\n");
        }
    }
    for name in ["headroom-scheduler", "headroom-controllers"] {
        write(&packages.join(format!("{name}-{VERSION}.oci.tar")), name);
    }
    write(&packages.join("images.txt"), "images\n");
    write(&packages.join("man/kubectl-headroom.1"), ".TH\n");
    write(&packages.join("completions/kubectl-headroom.bash"), "# bash\n");
    write(&packages.join("completions/kubectl_complete-headroom"), "#!/bin/sh\n");
}

/// Runs the script: `version`, whether it is a draft, and with which umask.
async fn release(home: &Path, helm: &Path, version: &str, draft: bool, umask: &str) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", "umask \"$1\" && shift && exec \"$@\"", "sh", umask, SCRIPT]);
    for arch in ARCHES {
        command.arg(format!("{arch}={}", home.join(arch).display()));
    }
    command
        .env("VERSION", version)
        .env("PACKAGES", home.join("packages"))
        .env("SOURCE_DATE_EPOCH", EPOCH.0)
        .env("RELEASE_URL", URL)
        .env("DRAFT", if draft { "1" } else { "" })
        .env("HELM", helm)
        .env("HOME", home)
        .env_remove("HOMEPAGE")
        .kill_on_drop(true);
    finish("release", Path::new(SCRIPT), command).await.unwrap()
}

/// Everything that a run has made, by name.
fn made(home: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(home.join("packages/release")).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

async fn tool(program: &str, arguments: &[&str], directory: &Path) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("TZ", "UTC").env("LC_ALL", "C").kill_on_drop(true);
    let ran = finish(program, Path::new(program), command).await.unwrap();
    assert!(ran.success, "{program} {arguments:?}: {}", ran.said());
    ran.stdout
}

/// Looks into an archive: these files, of root, with one time, those with a `*` executable.
async fn holds(directory: &Path, archive: &str, files: &[&str]) {
    let folder = archive.strip_suffix(".tar.gz").unwrap();
    let listed = tool("tar", &["--numeric-owner", "-tvzf", archive], directory).await;
    let mut seen = BTreeSet::new();
    for line in listed.lines() {
        assert!(line.contains(" 0/0 ") && line.contains(EPOCH.1), "{archive}: {line}");
        let path = line.rsplit(' ').next().unwrap();
        let inside = path.strip_prefix(folder).unwrap_or_else(|| panic!("{archive}: {path}")).trim_start_matches('/');
        let mode = line.split(' ').next().unwrap();
        if path.ends_with('/') {
            assert_eq!(mode, "drwxr-xr-x", "{archive}: {path}");
            continue;
        }
        let runs = match mode {
            "-rwxr-xr-x" => "*",
            "-rw-r--r--" => "",
            other => panic!("{archive}: {path} has {other}"),
        };
        seen.insert(format!("{inside}{runs}"));
    }
    let expected: BTreeSet<String> = files.iter().map(|file| (*file).to_owned()).collect();
    assert_eq!(seen, expected, "{archive}");
}

/// The sums of `SHA256SUMS`, by file.
fn sums(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(sum, file)| (file.to_owned(), sum.to_owned()))
        .collect()
}

#[tokio::test]
async fn a_release_is_complete_checked_and_the_same_when_it_is_made_again() {
    let helm = helm_binary().unwrap();
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (home, umask) in homes.iter().zip(["022", "077"]) {
        stage(home.path());
        let ran = release(home.path(), &helm, VERSION, true, umask).await;
        assert!(ran.success, "{}", ran.said());
    }
    let [first, again] = homes.each_ref().map(|home| made(home.path()));
    let names: BTreeSet<&String> = first.keys().collect();
    assert_eq!(names, again.keys().collect::<BTreeSet<_>>(), "another run makes other files");
    let different: Vec<&&String> = names.iter().filter(|name| first[**name] != again[**name]).collect();
    assert!(different.is_empty(), "two runs of the same source differ in {different:?}");

    let mut expected: BTreeSet<String> = ["SHA256SUMS", "krew-headroom.yaml"].map(str::to_owned).into();
    expected.extend([format!("images-{VERSION}.txt"), format!("headroom-{VERSION}.tgz")]);
    expected.extend(["scheduler", "controllers"].map(|name| format!("headroom-{name}-{VERSION}.oci.tar")));
    for arch in ARCHES {
        expected.extend(["headroom", "kubectl-headroom"].map(|name| format!("{name}-{VERSION}-linux-{arch}.tar.gz")));
        expected.extend(PROGRAMS.map(|name| format!("{name}-{VERSION}-linux-{arch}.cdx.json")));
    }
    // The manifests that need no Helm, as they are in the tree.
    for (path, name) in manifests() {
        assert_eq!(first.get(&name), Some(&std::fs::read(path).unwrap()), "{name}");
        expected.insert(name);
    }
    assert_eq!(first.keys().cloned().collect::<BTreeSet<_>>(), expected);

    let directory = homes[0].path().join("packages/release");
    tool("sha256sum", &["--check", "--strict", "--quiet", "SHA256SUMS"], &directory).await;
    let sums = sums(std::str::from_utf8(&first["SHA256SUMS"]).unwrap());
    expected.remove("SHA256SUMS");
    assert_eq!(sums.keys().cloned().collect::<BTreeSet<_>>(), expected, "every file has a sum");

    for arch in ARCHES {
        let all = format!("headroom-{VERSION}-linux-{arch}.tar.gz");
        let documents = ["LICENSE", "README.md", "CHANGELOG.md", "man/kubectl-headroom.1"];
        let completions = ["completions/kubectl-headroom.bash", "completions/kubectl_complete-headroom"];
        let programs = ["headroom-controllers*", "headroom-scheduler*", "kubectl-headroom*"];
        holds(&directory, &all, &[&documents[..], &completions, &programs].concat()).await;
        let plugin = format!("kubectl-headroom-{VERSION}-linux-{arch}.tar.gz");
        holds(&directory, &plugin, &["LICENSE", "kubectl-headroom*", "kubectl_complete-headroom*"]).await;
        for (archive, name) in [(&all, PROGRAMS[0]), (&all, PROGRAMS[1]), (&all, PROGRAMS[2]), (&plugin, PROGRAMS[2])] {
            let path = format!("{}/{name}", archive.strip_suffix(".tar.gz").unwrap());
            let held = tool("tar", &["-xzOf", archive, &path], &directory).await;
            assert_eq!(held, program(name, arch), "{archive}");
        }
    }
    the_krew_manifest_fits(std::str::from_utf8(&first["krew-headroom.yaml"]).unwrap(), &sums);
    the_chart_renders(&helm, homes[0].path(), &directory).await;
}

/// `deploy/<distribution>/<file>` and the name under which it is released.
fn manifests() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(Path::new(ROOT).join("deploy")).unwrap() {
        let folder = folder.unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().unwrap();
            found.push((file.path(), format!("{}-{}", name(&folder), name(&file))));
        }
    }
    assert!(found.len() > 3, "{found:?}");
    found
}

/// What krew downloads is what was made.
fn the_krew_manifest_fits(text: &str, sums: &BTreeMap<String, String>) {
    assert!(!text.contains('@') && !text.starts_with('#'), "{text}");
    let krew: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!((&krew["kind"], &krew["metadata"]["name"]), (&Value::from("Plugin"), &Value::from("headroom")));
    assert_eq!(krew["spec"]["version"], format!("v{VERSION}"));
    assert_eq!(krew["spec"]["homepage"], URL);
    let platforms = krew["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), ARCHES.len(), "{text}");
    for (platform, arch) in platforms.iter().zip(ARCHES) {
        assert_eq!(platform["selector"]["matchLabels"]["arch"], arch);
        let plugin = format!("kubectl-headroom-{VERSION}-linux-{arch}");
        assert_eq!(platform["uri"], format!("{URL}/{plugin}.tar.gz"));
        assert_eq!(platform["sha256"].as_str(), sums.get(&format!("{plugin}.tar.gz")).map(String::as_str));
        assert_eq!(
            (&platform["files"][0]["from"], &platform["bin"]),
            (&Value::from(format!("{plugin}/*")), &Value::from(PROGRAMS[2]))
        );
    }
}

/// The packed chart is a chart.
async fn the_chart_renders(helm: &Path, home: &Path, directory: &Path) {
    let helm = Helm::offline(helm, home);
    let archive = directory.join(format!("headroom-{VERSION}.tgz")).to_string_lossy().into_owned();
    let rendered = helm.run(&["template", RELEASE, &archive, "--namespace", SYSTEM_NAMESPACE]).await.unwrap();
    assert!(rendered.success && rendered.stdout.contains("--mode=shadow"), "{}", rendered.said());
}

#[tokio::test]
async fn a_version_that_is_not_written_down_is_not_released() {
    let helm = helm_binary().unwrap();
    let home = tempfile::tempdir().unwrap();
    stage(home.path());
    for (draft, said) in [(false, "CHANGELOG.md has no dated section 99.0.0"), (true, "Chart.yaml is 0.")] {
        let ran = release(home.path(), &helm, "99.0.0", draft, "022").await;
        assert!(!ran.success && ran.stderr.contains(said), "{}", ran.said());
        assert!(!home.path().join("packages/release").exists(), "something was made");
    }
}
