//! What is offered, as kubectl and the shells get it.

use super::*;

fn asked(words: &[&str]) -> String {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    answer(crate::command(), &words)
}

/// The candidates, without descriptions and directives.
fn offered(words: &[&str]) -> Vec<String> {
    let text = asked(words);
    let lines = text.lines().filter(|line| !line.starts_with(':'));
    lines.map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn verbs() {
    let text = asked(&[""]);
    assert!(text.ends_with(":4\n"), "{text}");
    for verb in ["top", "explain", "doctor", "snapshot", "completion"] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{verb}\t"))), "{verb} in {text}");
    }
    assert!(!text.lines().any(|line| line.starts_with('-')), "{text}");
    assert_eq!(offered(&["to"]), ["top"]);
    assert_eq!(offered(&[]), offered(&[""]));
    assert_eq!(asked(&["nonsense", "x"]), ":4\n");
}

#[test]
fn flags_and_their_values() {
    assert_eq!(offered(&["explain", "pod", "--out"]), ["--output"]);
    assert_eq!(offered(&["top", "pods", "--sort-by", ""]), ["name", "ram", "swap", "total"]);
    assert_eq!(offered(&["top", "pods", "--sort-by=s"]), ["--sort-by=swap"]);
    let check = crate::doctor::ids().next().unwrap();
    assert_eq!(offered(&["doctor", "--only", check]).first().map(String::as_str), Some(check));
}

#[test]
fn flags_where_there_is_nothing_else() {
    let flags = offered(&["explain", "pod", "--snapshot", "cluster.json", ""]);
    assert!(flags.contains(&"--namespace".to_owned()), "{flags:?}");
}

#[test]
fn files_and_contexts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("saved")).unwrap();
    let typed = dir.path().join("sa").display().to_string();
    let text = asked(&["explain", "pod", "web", "--snapshot", &typed]);
    assert_eq!(text, format!("{}/\n:6\n", dir.path().join("saved").display()));

    let config = dir.path().join("config");
    let contexts =
        "contexts: [{name: home, context: {cluster: a, user: b}}, {name: work, context: {cluster: a, user: b}}]";
    let others = "clusters: [{name: a, cluster: {server: 'https://a.example'}}]\nusers: [{name: b, user: {}}]";
    std::fs::write(&config, format!("apiVersion: v1\nkind: Config\n{contexts}\n{others}\n")).unwrap();
    let config = config.display().to_string();
    assert_eq!(offered(&["top", "--kubeconfig", &config, "--context", ""]), ["home", "work"]);
    assert_eq!(offered(&["top", "--kubeconfig", &config, "--context", "w"]), ["work"]);
    assert_eq!(offered(&["top", "--kubeconfig", &config, "--cluster", ""]), ["a"]);
    assert_eq!(offered(&["top", "--kubeconfig", &config, "--user", ""]), ["b"]);
}

#[test]
fn what_a_terminal_would_obey_is_not_offered() {
    let found = ["a\u{1b}[2J", "b\nc", "d"].map(CompletionCandidate::new);
    assert_eq!(lines(&found, OsStr::new("")), "d\n:4\n");
}

#[test]
fn scripts() {
    let of = |shell| String::from_utf8(script(shell, crate::command())).unwrap();
    assert!(of(Shell::Bash).contains("kubectl-headroom") && of(Shell::Bash).contains("--snapshot"));
    assert!(of(Shell::Zsh).starts_with("#compdef kubectl-headroom"));
    assert!(of(Shell::Fish).contains("complete -c kubectl-headroom"));
    assert!(of(Shell::Kubectl).contains(&format!("kubectl-headroom {QUESTION} ")));
}
