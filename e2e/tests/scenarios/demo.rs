//! The demo does what it says: it leaves a cluster only when every step was verified. And that cluster gives answers: to the
//! commands that the demo names, and to those of the documents (blocks marked `sh demo`).

use std::process::Stdio;
use std::time::Duration;

use headroom_docs::blocks::Mark;
use headroom_e2e::control_plane::assets::{Assets, Component};
use headroom_e2e::helm::helm_binary;
use headroom_e2e::{Signal, eventually, our_binary};
use rustix::process::{Pid, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::common::LONG;
use crate::docs::{programs, run_all};

/// In which all steps are shown. Each has a deadline of its own, so that this is only for one that hangs.
const SHOW: Duration = Duration::from_secs(1500);
/// The questions that the demo ends with, the status that each ends with, and what the answer has in it.
const ANSWERS: [(&str, i32, &str); 6] = [
    ("kubectl headroom top", 0, "worker-1"),
    ("kubectl headroom plan", 0, "If one node is lost:"),
    ("kubectl headroom plan --cheapest --catalog home", 0, "The way there:"),
    ("kubectl headroom trace rc/web", 0, "rc/web in default: 10 of 10 pods, 10 ready"),
    ("kubectl headroom rightsize", 0, "rc/web"),
    // One node is dead and one thrashes.
    ("kubectl headroom doctor", 2, " warning"),
];

/// The demo at work, and what it has said when all steps are over and it waits.
async fn shown() -> (Child, Vec<String>) {
    let mut command = Command::new(our_binary("demo").unwrap());
    command.arg("--keep").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    let until_it_waits = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let waits = line.contains("Ctrl-C ends it");
            said.push(line);
            if waits {
                return true;
            }
        }
        false
    };
    let waits = timeout(SHOW, until_it_waits).await.expect("it hangs");
    assert!(waits, "it ended:\n{}", said.join("\n"));
    (child, said)
}

/// The status and the output of a command in a shell with these lines before it.
async fn typed(exports: &str, command: &str) -> (Option<i32>, String) {
    let script = format!("{exports}\n{command}");
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", script.as_str()]).env_remove("COLUMNS").stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LONG, shell.output()).await.expect("it does not end").unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = if out.trim().is_empty() { err } else { out };
    (output.status.code(), said.into_owned())
}

#[tokio::test]
async fn every_step_of_the_demo_holds_and_what_it_leaves_gives_answers() {
    let (mut demo, said) = shown().await;
    let left = said.iter().position(|line| line.contains("left running")).unwrap();
    let (show, look) = said.split_at(left);
    assert_eq!(show.join("\n").matches("    ok: ").count(), 6, "{show:?}");
    let wide: Vec<&String> = show.iter().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "lines too long: {wide:?}");

    let look: Vec<&str> = look.iter().map(|line| line.trim()).collect();
    let exports: Vec<&str> = look.iter().copied().filter(|line| line.starts_with("export ")).collect();
    let commands: Vec<&str> = look.iter().copied().filter(|line| line.starts_with("kubectl ")).collect();
    let exports = exports.join("\n");
    for (question, ..) in ANSWERS {
        assert!(commands.contains(&question), "the demo does not name {question:?}: {commands:?}");
    }
    for command in commands {
        let (_, status, answer) = ANSWERS.into_iter().find(|(known, ..)| *known == command).unwrap_or((command, 0, ""));
        // What is learned of the pods is written now and then.
        eventually(LONG, &format!("{command} to answer"), || async {
            let (ended, said) = typed(&exports, command).await;
            let good = ended == Some(status) && !said.trim().is_empty() && said.contains(answer);
            if good { Ok(()) } else { Err(format!("status {ended:?}, not {status}, or no {answer:?}: {said}")) }
        })
        .await
        .unwrap();
    }

    let kubectl = Assets::from_env().unwrap().require(Component::Kubectl).unwrap();
    let programs = programs(&kubectl, &helm_binary().unwrap());
    let (_, kubeconfig) = typed(&exports, "printenv KUBECONFIG").await;
    let count = run_all(Mark::Demo, programs.path(), kubeconfig.trim().as_ref()).await;
    assert!(count > 0, "no document has a block marked `sh demo`");

    let pid = Pid::from_raw(demo.id().unwrap() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = timeout(LONG, demo.wait()).await.expect("it does not end").unwrap();
    assert!(status.success(), "{status}");
}
