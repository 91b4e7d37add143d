//! Changes of files on machines, as values: shown as a diff, made where the right machine is at hand, and undone.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

/// Where the kubelet runs whatever there is.
const MANIFESTS: &str = "/etc/kubernetes/manifests/";
/// Largest file that is changed, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// The file goes elsewhere; whether there is one already must be known before.
    Move { from: &'static str, to: &'static str },
    /// A whole file of ours: its text before and after, absent where there is none.
    Whole { path: &'static str, before: Option<String>, after: Option<String> },
    /// An argument in a manifest. None before: it is added after `anchor`; none after: it goes.
    Argument { path: &'static str, anchor: &'static str, before: Option<String>, after: Option<String> },
}

impl Edit {
    /// What undoes it.
    pub(crate) fn reversed(&self) -> Self {
        match self.clone() {
            Self::Move { from, to } => Self::Move { from: to, to: from },
            Self::Whole { path, before, after } => Self::Whole { path, before: after, after: before },
            Self::Argument { path, anchor, before, after } => {
                Self::Argument { path, anchor, before: after, after: before }
            }
        }
    }

    /// For people: a command, or a diff.
    pub(crate) fn lines(&self) -> Vec<String> {
        let diff = |path: &str, before: &[String], after: &[String]| {
            let name = |lines: &[String]| if lines.is_empty() { "/dev/null".to_owned() } else { path.to_owned() };
            let mut lines = vec![format!("--- {}", name(before)), format!("+++ {}", name(after))];
            lines.extend(before.iter().map(|line| format!("-{line}")));
            lines.extend(after.iter().map(|line| format!("+{line}")));
            lines
        };
        match self {
            Self::Move { from, to } => {
                let folder = Path::new(to).parent().map(|p| p.display().to_string()).unwrap_or_default();
                // What runs there by now counts: an upgrade may have written it.
                let unless_there = if to.starts_with(MANIFESTS) { " -n" } else { "" };
                vec![format!("mkdir -p {folder} &&"), format!("  mv{unless_there} {from} {folder}/")]
            }
            Self::Whole { path, before, after } => {
                let of = |text: &Option<String>| -> Vec<String> {
                    text.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
                };
                diff(path, &of(before), &of(after))
            }
            Self::Argument { path, anchor, before, after } => {
                let item = |text: &str| format!("    - {text}");
                let of = |text: &Option<String>| text.iter().map(|text| item(text)).collect::<Vec<_>>();
                let mut lines = vec![format!("--- {path}"), format!("+++ {path}")];
                if before.is_none() || after.is_none() {
                    lines.push(format!(" {}", item(anchor)));
                }
                lines.extend(of(before).into_iter().map(|line| format!("-{line}")));
                lines.extend(of(after).into_iter().map(|line| format!("+{line}")));
                lines
            }
        }
    }

    /// Makes the change below a root (`/`).
    ///
    /// # Errors
    /// The file is not as it was expected, or cannot be written. Nothing was changed then.
    pub(crate) fn apply(&self, root: &Path) -> anyhow::Result<()> {
        match self {
            Self::Move { from, to } => {
                let (from, to) = (below(root, from), below(root, to));
                anyhow::ensure!(!to.exists(), "{} is there already: look which of the two counts", to.display());
                let folder = to.parent().unwrap_or(root);
                fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
                fs::rename(&from, &to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
            }
            Self::Whole { path, before, after } => {
                let path = below(root, path);
                let found = read(&path)?;
                anyhow::ensure!(
                    found == *before,
                    "{} is not as it was expected: make the change by hand",
                    path.display()
                );
                match after {
                    Some(text) => write(&path, text),
                    None => fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display())),
                }
            }
            Self::Argument { path, anchor, before, after } => {
                let path = below(root, path);
                let found = read(&path)?.with_context(|| format!("{} does not exist", path.display()))?;
                let changed = argument(&found, anchor, before.as_deref(), after.as_deref());
                let changed = changed.with_context(|| {
                    format!("{} is not as it was expected: make the change by hand", path.display())
                })?;
                write(&path, &changed)
            }
        }
    }
}

/// The manifest with an argument replaced, added or taken away; none where it does not have what is expected.
fn argument(manifest: &str, anchor: &str, before: Option<&str>, after: Option<&str>) -> Option<String> {
    let is = |line: &str, item: &str| {
        let value = line.trim().strip_prefix("- ").map(|value| value.trim_matches(['"', '\'']));
        value == Some(item)
    };
    let wanted = before.unwrap_or(anchor);
    // What is there once is meant.
    let mut places = manifest.lines().enumerate().filter(|(_, line)| is(line, wanted)).map(|(i, _)| i);
    let (place, None) = (places.next()?, places.next()) else { return None };
    let mut changed = String::with_capacity(manifest.len() + 256);
    for (i, line) in manifest.lines().enumerate() {
        let item = |text: &str| {
            let indent = &line[..line.len() - line.trim_start().len()];
            format!("{indent}- {text}\n")
        };
        if i != place || before.is_none() {
            let _ = writeln!(changed, "{line}");
        }
        if let (true, Some(after)) = (i == place, after) {
            changed.push_str(&item(after));
        }
    }
    Some(changed)
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The text of a file, if there is one.
fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let named = || format!("cannot read {}", path.display());
    match fs::metadata(path) {
        Ok(found) => anyhow::ensure!(found.len() <= MAX_BYTES, "{} is too large", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(anyhow::Error::new(error).context(named())),
    }
    fs::read_to_string(path).map(Some).with_context(named)
}

/// Replaces a file at once. What is half written lies in another folder: a kubelet runs whatever stands beside its
/// manifests.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let named = || format!("cannot write {}", path.display());
    let folder = path.parent().with_context(named)?;
    fs::create_dir_all(folder).with_context(named)?;
    let beside = folder.parent().unwrap_or(folder).join(".headroom-new");
    fs::write(&beside, text).with_context(named)?;
    if let Ok(old) = fs::metadata(path) {
        fs::set_permissions(&beside, old.permissions()).with_context(named)?;
    }
    fs::rename(&beside, path).with_context(named)
}

/// What is done on each of some machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostWork {
    /// Where: names of nodes; empty where they are no nodes.
    pub(crate) on: Vec<String>,
    pub(crate) edits: Vec<Edit>,
    /// Afterwards: a program and its arguments.
    pub(crate) command: Vec<&'static str>,
}

impl HostWork {
    /// What undoes it.
    pub(crate) fn reversed(&self) -> Self {
        let edits = self.edits.iter().rev().map(Edit::reversed).collect();
        Self { on: self.on.clone(), edits, command: self.command.clone() }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let on = match self.on.as_slice() {
            [] => "on every control-plane host".to_owned(),
            [one] => format!("on {one}"),
            many => format!("on each of {}", many.join(", ")),
        };
        let mut lines = vec![format!("# {on}, as root:")];
        lines.extend(self.edits.iter().flat_map(Edit::lines));
        if !self.command.is_empty() {
            lines.push(self.command.join(" "));
        }
        lines
    }

    /// Does it here. What was done when it fails is undone.
    ///
    /// # Errors
    /// A file is not as expected, or the command failed.
    pub(crate) fn apply(&self, root: &Path) -> anyhow::Result<()> {
        for (done, edit) in self.edits.iter().enumerate() {
            if let Err(error) = edit.apply(root) {
                return Err(self.back(done, root, error));
            }
        }
        let Some((program, arguments)) = self.command.split_first() else { return Ok(()) };
        let words = self.command.join(" ");
        let ran = match Command::new(program).args(arguments).status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => anyhow::anyhow!("{words}: {status}"),
            Err(error) => anyhow::Error::new(error).context(words),
        };
        let error = self.back(self.edits.len(), root, ran);
        // Whatever it did start must not go on with what the files do not say any more. Why it fails is known already.
        drop(Command::new(program).args(arguments).status());
        Err(error)
    }

    /// Undoes the first edits.
    fn back(&self, done: usize, root: &Path, error: anyhow::Error) -> anyhow::Error {
        let mut error = error;
        for edit in self.edits.iter().take(done).rev() {
            if let Err(again) = edit.reversed().apply(root) {
                error = error.context(format!("not undone: {again:#}"));
            }
        }
        error
    }
}

/// The machine on which this runs, if files may be changed on it: as root, on a machine that is a node of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub(crate) node: String,
    pub(crate) root: PathBuf,
}

impl Here {
    /// Which of the nodes this machine is; or whose files are below a directory: then whoever may write there may.
    ///
    /// # Errors
    /// One line: not root, or none of the nodes.
    pub(crate) fn find(nodes: &[String], root: Option<&Path>) -> anyhow::Result<Self> {
        let name = headroom_runtime::lease::hostname();
        let named = nodes.iter().find(|node| **node == name || name.split('.').next() == Some(node.as_str()));
        if let Some(root) = root {
            let only = if let [only] = nodes { Some(only) } else { None };
            let node = named.or(only).with_context(|| {
                format!(
                    "--host-root: this host, {name}, is none of the control-plane nodes ({}), so that nothing shows whose \
                     files those are: leave --host-files out, and the changes are printed",
                    nodes.join(", ")
                )
            })?;
            return Ok(Self { node: node.clone(), root: root.to_path_buf() });
        }
        let owner = fs::metadata("/proc/self").map(|found| {
            use std::os::unix::fs::MetadataExt as _;
            found.uid()
        });
        anyhow::ensure!(
            matches!(owner, Ok(0)),
            "--host-files needs root on a control-plane host: without it the changes are printed, and waited for"
        );
        let node = named.with_context(|| {
            format!(
                "--host-files: this host, {name}, is none of the control-plane nodes ({}): run this on one of them, or \
                 leave it out, and the changes are printed",
                nodes.join(", ")
            )
        })?;
        Ok(Self { node: node.clone(), root: PathBuf::from("/") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "spec:
  containers:
  - command:
    - kube-controller-manager
    - --allocate-node-cidrs=true
    - --controllers=*,bootstrapsigner,tokencleaner
    image: i
";

    fn edit(before: Option<&str>, after: Option<&str>) -> Edit {
        Edit::Argument {
            path: "/m/kcm.yaml",
            anchor: "kube-controller-manager",
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        }
    }

    #[test]
    fn an_argument_is_changed_and_nothing_else() {
        let change = |text: &str, before, after| argument(text, "kube-controller-manager", before, after);
        let old = "--controllers=*,bootstrapsigner,tokencleaner";
        let changed = change(MANIFEST, Some(old), Some("--controllers=*,-a")).unwrap();
        assert_eq!(changed, MANIFEST.replace(old, "--controllers=*,-a"));
        assert_eq!(change(&changed, Some("--controllers=*,-a"), Some(old)).unwrap(), MANIFEST);
        let without = change(MANIFEST, Some(old), None).unwrap();
        assert!(!without.contains("--controllers"), "{without}");
        let added = change(&without, None, Some("--controllers=*,-a")).unwrap();
        assert!(added.contains("    - kube-controller-manager\n    - --controllers=*,-a\n    - --alloc"), "{added}");
        for (text, before) in [(MANIFEST, "--controllers=*"), ("", old), (&*format!("{MANIFEST}{MANIFEST}"), old)] {
            assert_eq!(change(text, Some(before), Some("x")), None, "{text}");
        }
    }

    #[test]
    fn files_are_changed_and_come_back() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("m")).unwrap();
        fs::write(at("m/kcm.yaml"), MANIFEST).unwrap();
        fs::write(at("m/scheduler.yaml"), "kind: Pod\n").unwrap();
        let work = HostWork {
            on: vec!["cp".to_owned()],
            edits: vec![
                edit(Some("--controllers=*,bootstrapsigner,tokencleaner"), Some("--controllers=*,-a")),
                Edit::Move { from: "/m/scheduler.yaml", to: "/kept/scheduler.yaml" },
                Edit::Whole { path: "/etc/d/h.yaml", before: None, after: Some("a: 1\n".to_owned()) },
            ],
            command: vec!["true"],
        };
        work.apply(root.path()).unwrap();
        assert!(fs::read_to_string(at("m/kcm.yaml")).unwrap().contains("--controllers=*,-a\n"));
        assert!(at("kept/scheduler.yaml").exists() && !at("m/scheduler.yaml").exists());
        assert_eq!(fs::read_to_string(at("etc/d/h.yaml")).unwrap(), "a: 1\n");
        assert_eq!(fs::read_dir(at("m")).unwrap().count(), 1, "nothing else lies beside the manifests");
        work.reversed().apply(root.path()).unwrap();
        assert_eq!(fs::read_to_string(at("m/kcm.yaml")).unwrap(), MANIFEST);
        assert!(at("m/scheduler.yaml").exists() && !at("etc/d/h.yaml").exists());

        // What fails leaves nothing changed.
        let failing = HostWork { command: vec!["false"], ..work.clone() };
        assert!(format!("{:#}", failing.apply(root.path()).unwrap_err()).starts_with("false: "));
        assert_eq!(fs::read_to_string(at("m/kcm.yaml")).unwrap(), MANIFEST);
        let told: &'static str =
            Box::leak(format!("cat {0}/m/* >> {0}/log; false", root.path().display()).into_boxed_str());
        let failing = HostWork { edits: work.edits[..1].to_vec(), command: vec!["sh", "-c", told], ..work.clone() };
        assert!(failing.apply(root.path()).is_err());
        let log = fs::read_to_string(at("log")).unwrap();
        let (with, without) =
            (log.find("--controllers=*,-a\n"), log.rfind("--controllers=*,bootstrapsigner,tokencleaner\n"));
        assert!(with.is_some() && with < without, "started once more without the change: {log}");
        fs::create_dir_all(at("etc/d")).unwrap();
        fs::write(at("etc/d/h.yaml"), "of: somebody\n").unwrap();
        let line = format!("{:#}", work.apply(root.path()).unwrap_err());
        assert!(line.contains("h.yaml is not as it was expected") && !line.contains('\n'), "{line}");
        assert_eq!(fs::read_to_string(at("m/kcm.yaml")).unwrap(), MANIFEST);
        assert!(at("m/scheduler.yaml").exists());
    }

    #[test]
    fn files_below_a_directory_are_those_of_the_only_node() {
        let nodes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let here = Here::find(&nodes(&["cp.example"]), Some(Path::new("/mnt"))).unwrap();
        assert_eq!((here.node.as_str(), here.root.as_path()), ("cp.example", Path::new("/mnt")));
        let own = headroom_runtime::lease::hostname();
        assert_eq!(Here::find(&nodes(&["cp.example", &own]), Some(Path::new("/mnt"))).unwrap().node, own);
        for unknown in [nodes(&["a.example", "b.example"]), Vec::new()] {
            let line = Here::find(&unknown, Some(Path::new("/mnt"))).unwrap_err().to_string();
            assert!(line.starts_with("--host-root: this host, ") && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn what_is_printed_is_a_diff_or_a_command() {
        let work = HostWork {
            on: vec!["a".to_owned(), "b".to_owned()],
            edits: vec![
                edit(None, Some("--controllers=*,-x")),
                Edit::Move { from: "/m/s.yaml", to: "/kept/s.yaml" },
                Edit::Whole { path: "/h.yaml", before: Some("x: 1\n".to_owned()), after: None },
            ],
            command: vec!["systemctl", "restart", "k3s"],
        };
        let expected = "# on each of a, b, as root:
--- /m/kcm.yaml
+++ /m/kcm.yaml
     - kube-controller-manager
+    - --controllers=*,-x
mkdir -p /kept &&
  mv /m/s.yaml /kept/
--- /h.yaml
+++ /dev/null
-x: 1
systemctl restart k3s";
        assert_eq!(work.lines().join("\n"), expected);
    }
}
