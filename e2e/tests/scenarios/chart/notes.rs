//! What Helm prints behind an installation or an upgrade (`NOTES.txt`), for every file in `ci/`: each command in it has a verb
//! and flags that exist, the next one leads to what it says, and the way back ends without the work of a stock component.
//! `lifecycle` goes that way as it is printed.

use std::path::Path;

use super::{CHART, RELEASE, files};
use crate::docs::helm::{CHART as NAMED, flag, tried};
use headroom_docs::commands::{Reading, check};
use headroom_docs::{root, shell};
use headroom_e2e::control_plane::assets::{Assets, Component};
use headroom_e2e::control_plane::{LOOPS, SYSTEM_NAMESPACE};
use headroom_e2e::helm::{Helm, finish, helm_binary};
use serde_json::{Value, json};

/// What stands before the second part.
const BACK: &str = "\nThe way back\n";

/// The commands in what is printed. They begin a line, behind the number of a step if it is one, or stand behind a colon and
/// two spaces.
pub(super) fn commands(printed: &str) -> Vec<Vec<String>> {
    let begins = |text: &&str| text.starts_with("helm ") || text.starts_with("kubectl ");
    let (mut script, mut goes_on) = (String::new(), false);
    for line in printed.lines() {
        let line = line.trim_start();
        let line = line.split_once(". ").filter(|(step, _)| step.parse::<u8>().is_ok()).map_or(line, |(_, rest)| rest);
        let line = if goes_on || begins(&line) {
            line
        } else {
            line.split_once(":  ").map(|(_, rest)| rest).filter(begins).unwrap_or_default()
        };
        goes_on = line.ends_with('\\');
        script.push_str(line);
        script.push('\n');
    }
    let mut found = shell::commands(&script);
    found.retain(|words| words.len() > 1 && ["helm", "kubectl"].contains(&words[0].as_str()));
    found
}

/// The way back in what is printed.
pub(super) fn back(printed: &str) -> &str {
    printed.split_once(BACK).unwrap_or_else(|| panic!("no way back: {printed}")).1
}

/// With what the reader puts in.
fn filled(words: &[String], file: &Path) -> Vec<String> {
    let put = |word: &String| match word.as_str() {
        "CHART" => NAMED.to_owned(),
        "FILE" => file.to_string_lossy().into_owned(),
        "NAME" => "web".to_owned(),
        _ => word.clone(),
    };
    words.iter().map(put).collect()
}

/// What `FILE` is to have: the profiles of a file of values, and one for the pods that name no scheduler.
fn profiles(values: &Path) -> Value {
    let values: Value = serde_saphyr::from_str(&std::fs::read_to_string(values).unwrap()).unwrap();
    let mut profiles = values["scheduler"]["config"]["profiles"].as_array().cloned().unwrap_or_default();
    profiles.push(json!({"schedulerName": "default-scheduler"}));
    json!({"scheduler": {"config": {"profiles": profiles}}})
}

/// The verb of a line of kubectl, behind flags for all verbs and their values.
fn verb(words: &[String]) -> &str {
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            return word;
        }
        if !word.contains('=') {
            words.next();
        }
    }
    ""
}

/// Says so when kubectl does not have the verb or a flag of a line, or cannot read its patch.
async fn known(kubectl: &Path, words: &[String]) -> Result<(), String> {
    check(words, Reading::Whole, &root(), "")?;
    let verb = verb(words);
    if verb == "headroom" {
        return Ok(());
    }
    let mut help = String::new();
    for arguments in [&[verb, "--help"][..], &["options"]] {
        let mut command = tokio::process::Command::new(kubectl);
        command.args(arguments).kill_on_drop(true);
        let ran = finish("kubectl", kubectl, command).await.unwrap();
        if !ran.success {
            return Err(ran.said());
        }
        help += &ran.stdout;
    }
    let knows = |flag: &str| help.split(|c: char| c.is_whitespace() || ",=:".contains(c)).any(|word| word == flag);
    let unknown: Vec<&str> = words.iter().filter_map(|word| flag(word)).filter(|flag| !knows(flag)).collect();
    let patch = words.iter().skip_while(|word| *word != "--patch").nth(1);
    if let Some(Err(error)) = patch.map(|patch| serde_json::from_str::<Value>(patch)) {
        return Err(format!("the patch cannot be read: {error}"));
    }
    if unknown.is_empty() { Ok(()) } else { Err(format!("kubectl {verb} has no {unknown:?}")) }
}

/// Whether a rendered chart does what the words of an upgrade set.
fn does(rendered: &str, words: &[String]) -> bool {
    words.iter().filter(|word| word.starts_with("mode=")).all(|mode| rendered.contains(&format!("--{mode}")))
}

/// The stock component whose work a rendered chart does, if any.
fn replaces(rendered: &str) -> Option<&str> {
    let lists: Vec<&str> = rendered.lines().filter(|line| line.contains("--controllers=")).collect();
    let scheduler = rendered.contains("--mode=primary").then_some("kube-scheduler");
    scheduler.or_else(|| LOOPS.into_iter().find(|name| lists.iter().any(|list| list.contains(name))))
}

#[tokio::test]
async fn what_is_printed_can_be_typed_and_leads_back() {
    let program = helm_binary().unwrap();
    let kubectl = Assets::from_env().unwrap().require(Component::Kubectl).unwrap();
    let home = tempfile::tempdir().unwrap();
    let helm = Helm::offline(&program, home.path());
    let (mut wrong, mut stops, mut nexts) = (Vec::new(), 0, 0);
    for path in files("ci") {
        let (name, values) = (path.file_name().unwrap().to_string_lossy(), path.to_string_lossy());
        let before = ["--values", &*values];
        let dry = ["install", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, "--dry-run=client"];
        let installed = helm.run(&[&dry[..], &before].concat()).await.unwrap();
        assert!(installed.success, "{name}: {}", installed.said());
        let (objects, printed) = installed.stdout.split_once("\nNOTES:\n").unwrap();
        let file = home.path().join("FILE.json");
        std::fs::write(&file, profiles(&path).to_string()).unwrap();

        let back = commands(back(printed));
        let there = printed.split_once(BACK).map_or(printed, |(there, _)| there);
        for (words, is_back) in
            commands(there).iter().map(|words| (words, false)).chain(back.iter().map(|words| (words, true)))
        {
            let typed = filled(words, &file);
            if words[0] == "kubectl" {
                wrong.extend(known(&kubectl, &typed).await.err().map(|said| format!("{name}: {words:?}: {said}")));
                continue;
            }
            match tried(&helm, &typed, &before).await {
                Err(said) => wrong.push(format!("{name}: {said}")),
                Ok(Some(rendered)) if is_back => {
                    stops += 1;
                    if let Some(stock) = replaces(&rendered) {
                        wrong.push(format!("{name}: {stock} is still replaced: {words:?}"));
                    }
                }
                Ok(Some(rendered)) => {
                    nexts += 1;
                    if !does(&rendered, words) {
                        wrong.push(format!("{name}: it does not do what it says: {words:?}"));
                    }
                }
                Ok(None) => {}
            }
        }
        // Whatever is replaced is given back first.
        let verbs: Vec<&str> = back.iter().map(|words| words[1].as_str()).collect();
        let expected: &[&str] =
            if replaces(objects).is_some() { &["upgrade", "uninstall", "rollback"] } else { &["uninstall"] };
        assert_eq!(verbs, expected, "{name}: the way back");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(stops > 2 && nexts > 2, "{stops} ways back, {nexts} next steps: what happened to NOTES.txt?");
}

/// What is printed of a release in another namespace, with these values; and the release's line that changes its mode as the
/// reader would type it, tried. `profiles` are those that the reader puts into `FILE`.
async fn on_from(helm: &Helm, home: &Path, values: &Value, profiles: &Value) -> (String, Result<(), String>) {
    let (before, file) = (home.join("values.json"), home.join("FILE.json"));
    std::fs::write(&before, values.to_string()).unwrap();
    std::fs::write(&file, json!({"scheduler": {"config": {"profiles": profiles}}}).to_string()).unwrap();
    let before = ["--values", before.to_str().unwrap()];
    let dry = ["install", "mine", CHART, "--namespace", "tools", "--dry-run=client"];
    let installed = helm.run(&[&dry[..], &before].concat()).await.unwrap();
    assert!(installed.success, "{values}: {}", installed.said());
    let printed = installed.stdout.split_once("\nNOTES:\n").unwrap().1.to_owned();
    let there = printed.split_once(BACK).unwrap().0;
    let next = commands(there).into_iter().find(|words| words[1] == "upgrade");
    let Some(words) = next else { return (printed, Err("there is none".to_owned())) };
    let done = match tried(helm, &filled(&words, &file), &before).await {
        Ok(Some(rendered)) if does(&rendered, &words) => Ok(()),
        Ok(_) => Err(format!("it does not do what it says: {words:?}")),
        Err(said) => Err(said),
    };
    (printed, done)
}

#[tokio::test]
async fn the_next_step_fits_what_is_set_already() {
    let program = helm_binary().unwrap();
    let home = tempfile::tempdir().unwrap();
    let helm = Helm::offline(&program, home.path());
    let named = |names: &[&str]| -> Value { names.iter().map(|name| json!({"schedulerName": name})).collect() };
    let unnamed = json!([{"pluginConfig": []}]);
    let unserved = "in primary nobody serves that name";
    for (mode, scheduler, file, says) in [
        ("shadow", json!({"nodeName": "a"}), named(&[]), "(spec.schedulerName: headroom-scheduler)"),
        // Profiles of default-scheduler are none for secondary.
        ("shadow", json!({"config": {"podMaxBackoffSeconds": 20}}), named(&["mine"]), "in secondary none may be"),
        ("shadow", json!({"config": {"profiles": unnamed}}), named(&["mine"]), "in secondary none may be"),
        ("shadow", json!({"config": {"profiles": named(&["default-scheduler"])}}), named(&["mine"]), " --values FILE"),
        ("shadow", json!({"config": {"profiles": named(&["mine"])}}), named(&[]), "(spec.schedulerName: mine)"),
        // A pod that is pinned has no second one, and two need no node.
        ("secondary", json!({"nodeName": "a"}), named(&[]), unserved),
        ("secondary", json!({"replicas": 3}), named(&[]), unserved),
        ("secondary", json!({}), named(&[]), "# or --set scheduler.nodeName=NODE"),
        (
            "secondary",
            json!({"nodeName": "a", "config": {"profiles": named(&["mine"])}}),
            named(&["mine", "default-scheduler"]),
            "one profile more",
        ),
    ] {
        let values = json!({"mode": mode, "scheduler": scheduler});
        let (printed, done) = on_from(&helm, home.path(), &values, &file).await;
        assert_eq!(done, Ok(()), "{values}");
        assert!(printed.contains(says), "{values}: no {says}: {printed}");
        let all = commands(&printed);
        let elsewhere =
            |words: &&Vec<String>| !words.contains(&"mine".to_owned()) || !words.contains(&"tools".to_owned());
        let of_helm: Vec<&Vec<String>> = all.iter().filter(|words| words[0] == "helm").filter(elsewhere).collect();
        assert!(of_helm.is_empty(), "{values}: another release: {of_helm:?}");
    }

    // Where no lease keeps the two apart, the upgrade is no way on: said before it.
    let (printed, _) = on_from(&helm, home.path(), &json!({"mode": "secondary"}), &named(&[])).await;
    let before = printed.split_once("helm upgrade ").unwrap().0;
    for said in ["\n  kubectl headroom takeover ", "never on k3s with SQLite or k0s --single"] {
        assert!(before.contains(said), "no {said:?} before the upgrade: {printed}");
    }

    // Pods that ask by name are told of wherever somebody serves it; loops of stock do not change that.
    let loops = json!({"mode": "primary", "loops": ["node-headroom-controller", "endpoints-controller"]});
    let values = json!({"mode": "secondary", "scheduler": {"nodeName": "a"}, "controllers": loops});
    let (printed, done) = on_from(&helm, home.path(), &values, &named(&[])).await;
    assert_eq!(done, Ok(()));
    assert!(back(&printed).contains("Take schedulerName out of the pods that have it"), "{printed}");
    // Where nothing runs there is nothing to see, and a static pod keeps its rights as long as it is there.
    let off = json!({"enabled": false});
    let values = json!({"scheduler": off, "controllers": off, "rbac": {"bindSystemKubeScheduler": true}});
    let (printed, _) = on_from(&helm, home.path(), &values, &named(&[])).await;
    assert!(printed.contains("This chart runs\nnothing.") && !printed.contains("helm test"), "{printed}");
    assert!(!printed.contains("must have been imported"), "{printed}");
    assert!(back(&printed).contains("Put the old manifest of kube-scheduler back first"), "{printed}");
}

#[test]
fn commands_are_found_where_they_are_printed() {
    let printed = "See\n\n  helm test x   # words\n  kubectl logs a | grep b\n\nThe way back\n\n  1. start it\n  \
                   2. helm upgrade x CHART \\\n       --set 'a={b,c}'\n     once more:  helm rollback x 1\n";
    let found = |text: &str| commands(text).iter().map(|words| words.join(" ")).collect::<Vec<_>>();
    assert_eq!(found(printed)[..2], ["helm test x", "kubectl logs a"]);
    assert_eq!(found(back(printed)), ["helm upgrade x CHART --set a={b,c}", "helm rollback x 1"]);
    assert_eq!(verb(&commands("kubectl --namespace a -v=1 get b")[0]), "get");
}
