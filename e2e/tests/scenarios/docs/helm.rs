//! Lines of Helm in the documents: blocks are typed, on a real API server; and of what is only mentioned the flags are flags
//! of Helm, and the chart renders with the values.

use super::{Block, Component, Mark, documents, programs, root, run};
use crate::chart::{RELEASE, has_namespaces, kubectl};
use crate::common::LONG;
use headroom_docs::shell;
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::helm::{Helm, helm_binary};
use headroom_e2e::{ControlPlane, Identity, eventually};

/// The chart, as it is named where one types.
pub(crate) const CHART: &str = "charts/headroom";

/// What the chart's README begins with: there before a document that upgrades.
const INSTALL: &str = "helm install headroom charts/headroom --namespace kube-system\n";

/// Says what became of the release, and fails when one of its objects is not there.
const LOOK: &str = "helm status headroom --namespace kube-system\n\
                    helm get manifest headroom --namespace kube-system | kubectl get --filename - --output name\n";

/// What the documents tell people to type of Helm, word by word, each with its place. Values that are mentioned alone count as
/// those of an installation.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for document in documents(&root()).unwrap() {
        let at = |line: usize| format!("{}:{line}", document.path.display());
        let blocks = document.blocks().into_iter().filter(headroom_docs::blocks::Block::is_shell);
        let mut scripts: Vec<(usize, String)> = blocks.map(|block| (block.line, block.text)).collect();
        scripts.extend(document.inline_commands());
        let values = document.spans().into_iter().filter(|(_, span)| span.starts_with("--set") && span.contains(' '));
        scripts.extend(values.map(|(line, values)| (line, format!("helm install headroom {CHART} {values}"))));
        for (line, script) in scripts {
            let of_helm = shell::commands(&script).into_iter().filter(|words| words.len() > 1 && words[0] == "helm");
            found.extend(of_helm.map(|words| (at(line), words)));
        }
    }
    found
}

/// The name of a flag, if the word is one: `--set`, `-n`.
pub(crate) fn flag(word: &str) -> Option<&str> {
    let name = word.split('=').next()?;
    (name.len() > 1 && name.starts_with('-')).then_some(name)
}

/// Whether the help of a verb names a flag.
fn knows(help: &str, flag: &str) -> bool {
    help.split(|c: char| c.is_whitespace() || c == ',').any(|word| word == flag)
}

/// Flags that the verb of a line does not have, and values that the chart does not take; else what is rendered when the line
/// names the chart. `before` are the values that the release has had, as flags.
pub(crate) async fn tried(helm: &Helm, words: &[String], before: &[&str]) -> Result<Option<String>, String> {
    let help = async |verb: &str| helm.run(&[verb, "--help"]).await.unwrap().stdout;
    let (verb, arguments) = (words[1].as_str(), &words[2..]);
    let line = words.join(" ");
    let of_verb = help(verb).await;
    let unknown: Vec<&str> =
        arguments.iter().filter_map(|word| flag(word)).filter(|flag| !knows(&of_verb, flag)).collect();
    if !of_verb.contains("Usage:") || !unknown.is_empty() {
        return Err(format!("{line}: helm {verb} has no {unknown:?}"));
    }
    if !arguments.iter().any(|word| word == CHART) {
        return Ok(None);
    }
    // Rendered where it would be sent; what only the way there knows is left out. Files are named from the root on.
    let of_template = help("template").await;
    let kept =
        arguments.iter().filter(|word| flag(word).is_none_or(|flag| verb == "lint" || knows(&of_template, flag)));
    let there = |word: &String| {
        if word.starts_with("charts/") { root().join(word).to_string_lossy().into_owned() } else { word.clone() }
    };
    let mut tried: Vec<String> = vec![if verb == "lint" { "lint" } else { "template" }.to_owned()];
    tried.extend(kept.map(there));
    let is_named = arguments.iter().take_while(|word| *word != CHART).any(|word| flag(word).is_none());
    if verb != "lint" && !is_named {
        tried.insert(1, RELEASE.to_owned());
    }
    if !line.contains("--namespace") && !line.contains(" -n ") {
        tried.extend(["--namespace".to_owned(), SYSTEM_NAMESPACE.to_owned()]);
    }
    let typed: Vec<&str> = tried.iter().map(String::as_str).collect();
    let (verb, arguments) = typed.split_at(1);
    let ran = helm.run(&[verb, before, arguments].concat()).await.unwrap();
    if ran.success { Ok(Some(ran.stdout)) } else { Err(format!("{line}: {}", ran.said())) }
}

#[tokio::test]
async fn lines_of_helm_have_flags_of_helm_and_values_of_the_chart() {
    let program = helm_binary().unwrap();
    let home = tempfile::tempdir().unwrap();
    let helm = Helm::offline(&program, home.path());
    let (mut wrong, mut rendered) = (Vec::new(), 0);
    for (at, words) in commands() {
        match tried(&helm, &words, &[]).await {
            Ok(None) => {}
            Ok(Some(_)) => rendered += 1,
            Err(said) => wrong.push(format!("{at}: {said}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rendered > 5, "{rendered} lines: what happened to the documents?");
}

/// A block of ours, typed as those of the documents are.
fn script(text: &str) -> Block {
    Block { line: 0, info: "sh helm".to_owned(), text: text.to_owned(), apart: true }
}

#[tokio::test]
async fn lines_of_helm_install_and_upgrade_what_they_say() {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().start().await.unwrap();
    has_namespaces(&cluster).await;
    let helm = Helm::new(&program, &cluster).unwrap();
    let programs = programs(&cluster.assets().require(Component::Kubectl).unwrap(), &program);
    let kubeconfig = cluster.kubeconfig(&Identity::Admin).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in documents(&root()).unwrap() {
        let mut blocks = document.blocks();
        blocks.retain(|block| block.is_shell() && block.mark() == Ok(Mark::Helm));
        count += blocks.len();
        let Some(first) = blocks.first() else { continue };
        // One after the other, as they stand, and from nothing in every document.
        if !first.text.starts_with("helm install ") {
            blocks.insert(0, script(INSTALL));
        }
        for (revision, block) in (1..).zip(&blocks) {
            let at = format!("{}:{}", document.path.display(), block.line);
            let done = match run(block, programs.path(), &kubeconfig).await {
                Ok(_) => run(&script(LOOK), programs.path(), &kubeconfig).await,
                Err(said) => Err(said),
            };
            let is = |said: &str, line: String| said.lines().any(|other| other.trim() == line);
            match done {
                Ok(said) if is(&said, "STATUS: deployed".to_owned()) && is(&said, format!("REVISION: {revision}")) => {}
                Ok(said) | Err(said) => wrong.push(format!("{at}: {said}")),
            }
        }
        // No pod runs here that could be asked whether it may go.
        let gone = ["uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE, "--no-hooks", "--wait"];
        let gone = helm.run(&gone).await.unwrap();
        assert!(gone.success, "{}: {}\n{}", document.path.display(), gone.said(), wrong.join("\n"));
        // The API server takes a definition away behind the objects of its kind.
        eventually(LONG, "our resources to go", || async {
            let left = kubectl(&cluster, &["get", "customresourcedefinitions", "--output", "name"]).await;
            if left.success && !left.stdout.contains("headroom.dev") { Ok(()) } else { Err(left.said()) }
        })
        .await
        .unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 5, "{count} blocks: what happened to the documents?");
}
