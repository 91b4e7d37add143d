//! `kubectl headroom`'s verbs that change who does what, at work: what they print is waited for.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use headroom_e2e::{ControlPlane, Identity, eventually, our_binary};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::LONG;

/// Everything of a step: a lease that runs out, a process that starts, a silence. Longer than the commands' own patience.
const STEP: Duration = Duration::from_secs(400);

/// The command line, as admin.
fn headroom(cluster: &ControlPlane, verb: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(our_binary("kubectl-headroom").unwrap());
    command.arg(verb).args(arguments).arg("--kubeconfig").arg(cluster.kubeconfig(&Identity::Admin).unwrap());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A verb at work.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has printed so far.
    pub(crate) seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(cluster: &ControlPlane, verb: &str, arguments: &[&str]) -> Self {
        let mut command = headroom(cluster, verb, arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits until the work begins: the plan was printed before.
    pub(crate) async fn begins(&mut self) {
        self.says("[1/").await;
    }

    /// Waits for a line.
    pub(crate) async fn says(&mut self, words: &str) {
        let search = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let found = line.contains(words);
                self.seen.push(line);
                if found {
                    return true;
                }
            }
            false
        };
        let found = timeout(STEP, search).await.unwrap_or(false);
        assert!(found, "no line with {words:?}:\n{}", self.seen.join("\n"));
    }

    /// Waits until it is done.
    pub(crate) async fn ends_well(self) {
        drop(self.last_words().await);
    }

    /// The same; answers with what it prints at the end.
    pub(crate) async fn last_words(mut self) -> String {
        self.says("Done: ").await;
        let done = self.seen.len();
        let rest = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.seen.push(line);
            }
        };
        timeout(LONG, rest).await.unwrap();
        let status = timeout(LONG, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}:\n{}", self.seen.join("\n"));
        self.seen[done..].join("\n")
    }
}

/// What it prints, once it has ended.
pub(crate) async fn ended(cluster: &ControlPlane, verb: &str, arguments: &[&str]) -> Output {
    timeout(STEP, headroom(cluster, verb, arguments).output()).await.expect("it does not end").unwrap()
}

/// Who does a job, in the words of `status`.
pub(crate) async fn owner(cluster: &ControlPlane, job: &str) -> String {
    owners(cluster, &[]).await.remove(job).unwrap_or_else(|| panic!("there is no job {job}"))
}

/// Who does each job, in the words of `status` with these flags.
pub(crate) async fn owners(cluster: &ControlPlane, flags: &[&str]) -> BTreeMap<String, String> {
    let output = ended(cluster, "status", &[flags, &["-o", "json"]].concat()).await;
    let status: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let one = |job: &Value| {
        assert!(job["evidence"].as_array().is_some_and(|evidence| !evidence.is_empty()), "{job}");
        (job["name"].as_str().unwrap().to_owned(), job["owner"].as_str().unwrap().to_owned())
    };
    status["jobs"].as_array().unwrap().iter().map(one).collect()
}

/// Waits until somebody does a job.
pub(crate) async fn becomes(cluster: &ControlPlane, job: &str, wanted: &str) {
    eventually(LONG, &format!("{job} to be {wanted}'s"), || async {
        let now = owner(cluster, job).await;
        if now == wanted { Ok(()) } else { Err(now) }
    })
    .await
    .unwrap();
}
