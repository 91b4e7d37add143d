//! `kubectl headroom explain pod NAME`: what the engine would do with the pod, and why (interfaces.md 4).

pub(crate) mod table;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use headroom_engine::{Configuration, Registry, config::Extender, engine::PodExplanation};
use headroom_runtime::clock;

use crate::{
    NO, NO_SUCH_OBJECT,
    cluster::{self, Connection},
    file,
    snapshot::Snapshot,
    view::View,
};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    /// The table with more columns
    Wide,
    Json,
    Yaml,
}

/// Flags of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A pod, pending or placed (then as if it were pending on the rest of the cluster)
    #[command(alias = "pods", alias = "po")]
    Pod(PodOptions),
}

#[derive(Debug, Args)]
struct PodOptions {
    /// Name of the pod
    name: String,
    /// Its namespace; that of the context, or default
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// The scheduler's KubeSchedulerConfiguration; the defaults if not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    view: View,
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        let What::Pod(options) = &self.what;
        &options.view.connection
    }
}

pub(crate) async fn run(options: &Options, registry: Registry) -> anyhow::Result<ExitCode> {
    let What::Pod(options) = &options.what;
    let config = match &options.config {
        None => Configuration::default(),
        Some(path) => {
            let named = || format!("--config {}", path.display());
            Configuration::from_yaml(&file::read(path).with_context(named)?).with_context(named)?
        }
    };
    let (snapshot, namespace, default_time) = match options.view.saved(Snapshot::parse)? {
        Some(snapshot) => {
            let at = snapshot.time().unwrap_or_else(clock::wall);
            (snapshot, "default".to_owned(), at)
        }
        None => {
            let (client, namespace) = options.view.connection.client().await?;
            let mut notes = Vec::new();
            let objects = cluster::read(&client, &mut notes).await?;
            let mut snapshot = Snapshot::from_objects(objects);
            // Kinds that are read for the file alone need no remark.
            snapshot.notes.retain(|note| note.starts_with("skipped: "));
            snapshot.notes.extend(notes);
            (snapshot, namespace, clock::wall())
        }
    };
    for note in &snapshot.notes {
        eprintln!("{note}");
    }
    if let Some(note) = not_asked(&config) {
        eprintln!("{note}");
    }
    let namespace = options.namespace.as_ref().unwrap_or(&namespace);
    let at = options.view.at.unwrap_or(default_time);
    let explained = snapshot.explain_and_fix(config, registry, at, namespace, &options.name);
    let explained = match &options.config {
        Some(path) => explained.with_context(|| format!("--config {}", path.display()))?,
        None => explained?,
    };
    let Some(explanation) = explained else {
        let place = options.view.place();
        eprintln!("kubectl headroom: there is no pod {:?} in namespace {namespace:?}{place}", options.name);
        return Ok(ExitCode::from(NO_SUCH_OBJECT));
    };
    print!("{}", printed(&explanation, options.output)?);
    Ok(if explanation.result.scheduled { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// The explanation as it is printed.
fn printed(explanation: &PodExplanation, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Json => serde_json::to_string_pretty(explanation)? + "\n",
        Output::Yaml => serde_saphyr::to_string(explanation)?,
        Output::Table => table::table(explanation, false),
        Output::Wide => table::table(explanation, true),
    })
}

/// The extenders of a configuration that would have a word and are not asked here. Those that only bind have none.
fn not_asked(config: &Configuration) -> Option<String> {
    let say = |e: &&Extender| [&e.filter_verb, &e.prioritize_verb, &e.preempt_verb].iter().any(|verb| !verb.is_empty());
    let names: Vec<&str> = config.extenders.iter().filter(say).map(|e| e.url_prefix.as_str()).collect();
    let (s, names) = match names.as_slice() {
        [] => return None,
        [one] => ("", (*one).to_owned()),
        many => ("s", many.join(", ")),
    };
    Some(format!("without the word of extender{s} {names}: explain does not call extenders, the scheduler does"))
}

#[cfg(test)]
mod tests {
    use headroom_core::Timestamp;

    use super::*;

    pub(super) const CLUSTER: &str = r#"{"kind": "List", "items": [
        {"kind": "Node", "metadata": {"name": "big"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}},
        {"kind": "Node", "metadata": {"name": "small"}, "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}}},
        {"kind": "Node", "metadata": {"name": "tainted"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
         "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}},
        {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": "64Mi", "cpu": "10m"}}}]}},
        {"kind": "Pod", "metadata": {"name": "huge"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"memory": "64Gi"}}}]}}
    ]}"#;

    fn options(args: &[&str]) -> PodOptions {
        #[derive(Debug, clap::Parser)]
        struct Top {
            #[command(flatten)]
            options: PodOptions,
        }
        let top = <Top as clap::Parser>::try_parse_from(std::iter::once("x").chain(args.iter().copied()));
        top.unwrap().options
    }

    fn explain(args: &[&str]) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let options = Options { what: What::Pod(options(args)) };
        runtime.block_on(run(&options, Registry::in_tree()))
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn exit_status_says_yes_no_or_who() {
        let f = file(CLUSTER);
        let snapshot = format!("--snapshot={}", f.path().display());
        for (pod, code) in [("p", 0), ("huge", 2), ("absent", 3)] {
            for output in ["table", "wide", "json", "yaml"] {
                let got = explain(&[pod, &snapshot, "-o", output]).unwrap();
                assert_eq!(format!("{got:?}"), format!("{:?}", ExitCode::from(code)), "{pod} {output}");
            }
        }
    }

    #[test]
    fn json_and_yaml_say_the_same() {
        let snapshot = Snapshot::parse(CLUSTER).unwrap();
        let at = Timestamp::from_secs(1_800_000_000);
        for pod in ["p", "huge"] {
            let explained = snapshot.explain_and_fix(Configuration::default(), Registry::in_tree(), at, "default", pod);
            let explanation = explained.unwrap().unwrap();
            let json = printed(&explanation, Output::Json).unwrap();
            let yaml = printed(&explanation, Output::Yaml).unwrap();
            assert!(
                json.starts_with("{\n  \"apiVersion\": \"headroom.dev/v1alpha1\",\n  \"kind\": \"PodExplanation\","),
                "{json}"
            );
            assert!(yaml.starts_with("apiVersion: headroom.dev/v1alpha1\nkind: PodExplanation\n"), "{yaml}");
            assert!(yaml.contains("\n- name: big\n") && json.ends_with("}\n") && yaml.ends_with('\n'), "{yaml}");
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            let yaml: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(yaml, json, "{pod}");
        }
    }

    #[test]
    fn extenders_that_are_not_asked_are_named() {
        let note = |extenders: &str| {
            let text = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n".to_owned();
            not_asked(&Configuration::from_yaml(&(text + extenders)).unwrap())
        };
        assert_eq!(note(""), None);
        let binder = "- {urlPrefix: 'http://b', bindVerb: bind}\n";
        assert_eq!(note(&format!("extenders:\n{binder}")), None);
        let one = format!("extenders:\n- {{urlPrefix: 'http://a', filterVerb: filter}}\n{binder}");
        let said = note(&one).unwrap();
        assert!(said.starts_with("without the word of extender http://a: ") && !said.contains('\n'), "{said}");
        let two = note(&format!("{one}- {{urlPrefix: 'http://c', preemptVerb: preempt}}\n")).unwrap();
        assert!(two.starts_with("without the word of extenders http://a, http://c: "), "{two}");
    }

    #[test]
    fn errors_name_the_file_in_one_line() {
        let good = file(CLUSTER);
        let snapshot = format!("--snapshot={}", good.path().display());
        let broken = file("{");
        let broken = format!("--snapshot={}", broken.path().display());
        let wrong =
            file("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nparalelism: 1\n");
        let config = format!("--config={}", wrong.path().display());
        for (args, expected) in [
            (vec!["p", "--snapshot=/does/not/exist"], "--snapshot /does/not/exist: No such file"),
            (vec!["p", &broken], "not valid JSON"),
            (vec!["p", &snapshot, &config], "paralelism: unknown field"),
        ] {
            let line = format!("{:#}", explain(&args).unwrap_err());
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }
}
