//! What the verbs that only look are looking at, and as of when: the live cluster, or a saved one.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use headroom_core::Timestamp;
use headroom_runtime::wire::time::parse_rfc3339;

use crate::{cluster::Connection, file, snapshot::NotASnapshot};

/// What is looked at, and as of when.
#[derive(Debug, Args)]
pub(crate) struct View {
    /// A saved cluster instead of the live one: a v1 List in YAML or JSON, - for standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["context", "cluster", "user", "act_as", "as_group", "kubeconfig", "request_timeout"]
    )]
    pub(crate) snapshot: Option<PathBuf>,
    /// The time as of which all of it is said, RFC 3339; now, or that of the snapshot's newest sample or object
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

fn time(text: &str) -> Result<Timestamp, String> {
    parse_rfc3339(text).ok_or_else(|| format!("{text:?} is not a time like 2026-11-22T10:00:00Z"))
}

impl View {
    /// What `read` makes of the saved cluster; `None` where the live one is looked at.
    ///
    /// # Errors
    /// The file cannot be read, or is no snapshot.
    pub(crate) fn saved<T>(&self, read: impl FnOnce(&str) -> Result<T, NotASnapshot>) -> anyhow::Result<Option<T>> {
        let Some(path) = &self.snapshot else { return Ok(None) };
        let named = || format!("--snapshot {}", path.display());
        let text = file::read(path).with_context(named)?;
        read(&text).map(Some).with_context(named)
    }

    /// ` in FILE`, behind what a saved cluster lacks.
    pub(crate) fn place(&self) -> String {
        self.snapshot.as_ref().map(|path| format!(" in {}", path.display())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::objects;

    fn view(args: &[&str]) -> Result<View, clap::Error> {
        #[derive(Debug, clap::Parser)]
        struct Top {
            #[command(flatten)]
            view: View,
        }
        let parsed = <Top as clap::Parser>::try_parse_from(std::iter::once("x").chain(args.iter().copied()));
        parsed.map(|top| top.view)
    }

    #[test]
    fn the_live_cluster_or_a_saved_one() {
        let live = view(&["--context", "c", "--at", "2026-11-22T10:00:00Z"]).unwrap();
        assert_eq!((live.saved(objects).unwrap(), live.place()), (None, String::new()));
        assert_eq!(live.at.unwrap().to_string(), "2026-11-22T10:00:00Z");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"kind": "List", "items": []}"#).unwrap();
        let path = file.path().display().to_string();
        let saved = view(&["--snapshot", &path]).unwrap();
        assert_eq!((saved.saved(objects).unwrap(), saved.place()), (Some(Vec::new()), format!(" in {path}")));
    }

    #[test]
    fn what_is_wrong_is_named_in_one_line() {
        let of_live =
            "--context=c --cluster=c --user=u --as=u --as-group=g --kubeconfig=k --request-timeout=5s".split(' ');
        for live in of_live {
            let said = view(&["--snapshot=f", live]).unwrap_err().to_string();
            assert!(said.contains("cannot be used with"), "{live}: {said}");
        }
        assert!(view(&["--at", "yesterday"]).unwrap_err().to_string().contains("is not a time like"));
        let absent = view(&["--snapshot=/does/not/exist"]).unwrap();
        let line = format!("{:#}", absent.saved(objects).unwrap_err());
        assert!(line.starts_with("--snapshot /does/not/exist: ") && !line.contains('\n'), "{line}");
    }
}
