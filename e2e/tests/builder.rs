//! The builder as a program, with a `go` of our own in its way: no network, no compiler, every failure on demand.

#![expect(clippy::unwrap_used, reason = "test code, helpers included: a panic is a failed test")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const BINARIES: [&str; 5] = ["etcd", "kube-apiserver", "kubectl", "kube-scheduler", "kube-controller-manager"];

/// A `go` that "builds" scripts, which know the version that they should have.
const WORKING: &str = r#"#!/bin/sh
if [ "$1" = env ]; then echo go1.26.8; exit 0; fi
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\necho v1.36.4 3.6.14 4.2.4\n' > "$2"
chmod +x "$2"
echo "$3" >> "$STUB_DIR/built"
"#;

struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new(go: Option<&str>) -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(stage.path("bin")).unwrap();
        if let Some(text) = go {
            stage.set_go(text);
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn set_go(&self, text: &str) {
        script(&self.path("bin/go"), text);
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
        let path = if self.path("bin/go").exists() {
            format!("{}:/usr/bin:/bin", self.path("bin").display())
        } else {
            // No /usr/bin either: distributions put their Go there.
            self.path("bin").display().to_string()
        };
        command
            .env_clear()
            .env("PATH", path)
            .env("HEADROOM_CACHE", self.path("cache"))
            .env("STUB_DIR", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Runs, expects exit status 1, and returns the one line that says why.
    fn error(&self) -> String {
        let output = self.run();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<&str> = text.lines().filter(|line| line.contains("error: ")).collect();
        assert_eq!(errors.len(), 1, "{text}");
        errors[0].to_owned()
    }

    /// The directory that `control-plane path` prints.
    fn result(&self) -> PathBuf {
        let output = self.command().arg("path").output().unwrap();
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    }

    fn built(&self) -> usize {
        fs::read_to_string(self.path("built")).unwrap_or_default().lines().count()
    }
}

fn script(path: &Path, text: &str) {
    // Written elsewhere and renamed: a file that is open for writing cannot be executed. And by another process: what this one
    // has open, a child that another test has just begun has open too, until it runs its own program.
    let temporary = path.with_extension("new");
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(&temporary)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    fs::rename(&temporary, path).unwrap();
}

/// A `go` that fails in the build with these words.
fn failing(words: &str) -> String {
    format!("#!/bin/sh\nif [ \"$1\" = env ]; then echo go1.26.8; exit 0; fi\necho '{words}' >&2\nexit 1\n")
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(180), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stderr(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_missing_is_built_once_with_progress() {
    let stage = Stage::new(Some(WORKING));
    let missing = stage.command().arg("path").output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("make control-plane"));

    let output = stage.run();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("[1/5] etcd: building") && text.contains("[5/5] kube-controller-manager: built after"),
        "{text}"
    );
    let dir = stage.result();
    assert!(dir.starts_with(stage.path("cache")), "{}", dir.display());
    for binary in BINARIES {
        assert!(dir.join(binary).is_file(), "{binary}");
    }
    assert!(stage.run().status.success());
    assert_eq!(stage.built(), 5, "built again although it is there");

    // What was lost is built again, and only that.
    fs::remove_file(dir.join("kubectl")).unwrap();
    assert!(stage.run().status.success());
    assert_eq!(stage.built(), 6);
}

#[test]
fn the_specs_are_built_on_request_only_and_beside_the_control_plane() {
    let stage = Stage::new(Some(WORKING));
    let build = |stage: &Stage| stage.command().arg("build-e2e-test").output().unwrap();
    assert!(build(&stage).status.success() && build(&stage).status.success());
    assert_eq!(fs::read_to_string(stage.path("built")).unwrap(), "k8s.io/kubernetes/test/e2e\n");
    assert!(!stage.result().exists(), "in the control plane's directory");
}

#[test]
fn helm_is_built_on_request_only_and_beside_the_control_plane() {
    let stage = Stage::new(Some(WORKING));
    let build = |stage: &Stage| stage.command().arg("build-helm").output().unwrap();
    assert!(build(&stage).status.success() && build(&stage).status.success());
    assert_eq!(fs::read_to_string(stage.path("built")).unwrap(), "helm.sh/helm/v4/cmd/helm\n");
    assert!(!stage.result().exists(), "in the control plane's directory");
}

#[test]
fn another_version_is_built_beside_the_usual_one() {
    let stage = Stage::new(Some(WORKING));
    assert!(stage.run().status.success());
    let usual = stage.result();
    let other = |verb: &str| {
        // Somebody's own binaries are of an unknown version: they are no answer to a question for this one.
        let mut command = stage.command();
        command.env("KUBEBUILDER_ASSETS", &usual).env("TEST_ASSET_ETCD", usual.join("etcd"));
        command.args([verb, "--kubernetes", "1.37.2"]).output().unwrap()
    };
    let missing = other("path");
    let text = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(1), "{text}");
    assert!(text.contains("etcd") && text.contains("`make control-plane KUBERNETES=1.37.2`"), "{text}");
    let output = other("build");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("does not report version 3.7.3"), "{text}");

    stage.set_go(&WORKING.replace("v1.36.4 3.6.14", "v1.37.2 3.7.3"));
    let output = other("build");
    assert!(output.status.success(), "{output:?}");
    let path = other("path");
    assert!(path.status.success(), "{path:?}");
    let dir = PathBuf::from(String::from_utf8(path.stdout).unwrap().trim());
    assert!(dir != usual && dir.starts_with(stage.path("cache")), "{}", dir.display());
    for binary in BINARIES {
        assert!(dir.join(binary).is_file() && usual.join(binary).is_file(), "{binary}");
    }
    let unknown = stage.command().args(["build", "--kubernetes", "1.35.0"]).output().unwrap();
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("1.36.4, 1.37.2"));
}

#[test]
fn no_go_and_an_old_go_are_told_in_one_line() {
    let text = Stage::new(None).error();
    assert!(text.contains("Go is not installed") && text.contains("KUBEBUILDER_ASSETS"), "{text}");
    let text = Stage::new(Some("#!/bin/sh\necho go1.22.3\n")).error();
    assert!(text.contains("go1.22.3") && text.contains("1.26 or newer"), "{text}");
    let text = Stage::new(Some("#!/bin/sh\necho 'go: cannot find GOROOT' >&2\nexit 2\n")).error();
    assert!(text.contains("cannot find GOROOT"), "{text}");
}

#[test]
fn refused_modules_network_full_disk_and_broken_builds_are_told_apart() {
    let cases = [
        ("reading https://proxy.example/x/@v/v1.zip: 403 Forbidden", "a Go module was refused"),
        ("Get \"https://proxy.example/x\": dial tcp: lookup proxy.example: no such host", "no network"),
        ("write /x/y: no space left on device", "the disk is full"),
        ("# k8s.io/x\n./a.go:1:1: syntax error", "./a.go:1:1: syntax error; the log is "),
    ];
    for (words, expected) in cases {
        let text = Stage::new(Some(&failing(words))).error();
        assert!(text.contains(expected), "{text}");
    }
    let text = Stage::new(Some(&WORKING.replace("v1.36.4", "v0.0.0-master"))).error();
    assert!(text.contains("does not report version 1.36.4") && text.contains("v0.0.0-master"), "{text}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let stage = Stage::new(Some(WORKING));
    fs::write(stage.path("cache"), "a file").unwrap();
    let text = stage.error();
    assert!(text.contains("cannot create") && text.contains("cache"), "{text}");
}

#[test]
fn the_second_of_two_builds_waits_for_the_first() {
    let stage =
        Stage::new(Some(&WORKING.replace("printf", "while [ ! -e \"$STUB_DIR/go-on\" ]; do sleep 0.02; done\nprintf")));
    let first = stage.command().spawn().unwrap();
    let dir = stage.result();
    wait_until("the first build", || dir.join("log/etcd.log").exists());
    let second = stage.command().stderr(fs::File::create(stage.path("second.log")).unwrap()).spawn().unwrap();
    let log = || fs::read_to_string(stage.path("second.log")).unwrap();
    wait_until("the second build to wait", || log().contains("another build is running: waiting for it"));
    fs::write(stage.path("go-on"), "").unwrap();
    let (code, text) = stderr(first);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(stderr(second).0, Some(0), "{}", log());
    assert_eq!(stage.built(), 5);
}

#[test]
fn a_killed_build_leaves_no_compiler_and_the_next_one_goes_on() {
    let hanging = WORKING.replace(
        "printf",
        "if [ \"$3\" = k8s.io/kubernetes/cmd/kubectl ]; then echo $$ > \"$STUB_DIR/pid\"; echo half > \"$2\"; sleep 600; fi\nprintf",
    );
    let stage = Stage::new(Some(&hanging));
    let mut build = stage.command().stderr(Stdio::null()).spawn().unwrap();
    let pid = || fs::read_to_string(stage.path("pid")).unwrap_or_default().trim().to_owned();
    wait_until("kubectl's build", || !pid().is_empty());
    build.kill().unwrap();
    build.wait().unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", pid())).unwrap_or_default();
    wait_until("the compiler to end", || state().is_empty() || state().contains(") Z "));

    let dir = stage.result();
    assert!(!dir.join("kubectl").exists(), "half a binary stands in the place of a whole one");
    assert_eq!(stage.built(), 2);
    stage.set_go(WORKING);
    let output = stage.run();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stage.built(), 5, "what was finished is built again");
    let leftovers: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn given_assets_are_taken_and_only_the_stock_components_are_built() {
    let stage = Stage::new(Some(WORKING));
    let given = stage.path("given");
    fs::create_dir(&given).unwrap();
    let run = |stage: &Stage| stage.command().env("KUBEBUILDER_ASSETS", &given).output().unwrap();
    let output = run(&stage);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("has no etcd, kube-apiserver, kubectl"), "{text}");

    for binary in ["etcd", "kube-apiserver", "kubectl", "kube-scheduler"] {
        script(&given.join(binary), "#!/bin/sh\n");
    }
    assert!(run(&stage).status.success());
    assert_eq!(fs::read_to_string(stage.path("built")).unwrap(), "k8s.io/kubernetes/cmd/kube-controller-manager\n");
    let path = stage.command().env("KUBEBUILDER_ASSETS", &given).arg("path").output().unwrap();
    assert!(path.status.success());
    assert_eq!(String::from_utf8(path.stdout).unwrap().trim(), given.display().to_string());
}

#[test]
fn help_shows_examples_and_an_unknown_argument_is_refused() {
    let stage = Stage::new(None);
    let help = String::from_utf8(stage.command().arg("--help").output().unwrap().stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("HEADROOM_CACHE"), "{help}");
    assert!(!stage.command().arg("biuld").output().unwrap().status.success());
}
