//! How the API server is reached, as kubectl reaches it: its flags, its files and, in a pod without any, the pod's
//! ServiceAccount.

use std::{io, path::PathBuf, sync::OnceLock, time::Duration};

use anyhow::Context;
use clap::Args;
use headroom_runtime::process::GoDuration;
use http::HeaderValue;
use kube::{
    Client, Config,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::reach;

/// Which cluster, and as whom, as for kubectl.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Connection {
    /// Context of the kubeconfig
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Cluster of the kubeconfig, instead of the context's
    #[arg(long)]
    pub(crate) cluster: Option<String>,
    /// User of the kubeconfig, instead of the context's
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Act as this user, if you may: a name, or system:serviceaccount:NAMESPACE:NAME
    #[arg(long = "as", value_name = "USER", value_parser = name)]
    pub(crate) act_as: Option<String>,
    /// And as a member of this group; may be given more than once
    #[arg(long, value_name = "GROUP", value_parser = name)]
    pub(crate) as_group: Vec<String>,
    /// Kubeconfig file; without it KUBECONFIG's, ~/.kube/config, or the ServiceAccount of the pod that this runs in
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Give up a request when the server is silent for so long: 1s, 2m, 3h; a number alone is seconds, and 0 is for
    /// ever
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = patience)]
    pub(crate) request_timeout: Duration,
    /// The address of the server that was chosen
    #[arg(skip)]
    pub(crate) chosen: OnceLock<String>,
}

/// Who somebody is to be, as a header can carry it.
fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || HeaderValue::from_str(text).is_err() {
        return Err("a name without control characters is expected".to_owned());
    }
    Ok(text.to_owned())
}

/// A duration in kubectl's syntax.
fn patience(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let expected = |_| "expected 0, a number of seconds, or numbers with units like 1s, 2m or 3h".to_owned();
    text.parse::<GoDuration>().map(Duration::from).map_err(expected)
}

impl Connection {
    /// The kubeconfig: the one that is given, or what kubectl would find. None where there is none.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn file(&self) -> anyhow::Result<Option<Kubeconfig>> {
        let file = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path).map(Some),
            None => merged(&files()),
        };
        file.with_context(|| self.place())
    }

    /// What errors about the kubeconfig begin with.
    fn place(&self) -> String {
        match &self.kubeconfig {
            Some(path) => format!("--kubeconfig {}", path.display()),
            None => "no usable kubeconfig: give --kubeconfig FILE or set KUBECONFIG".to_owned(),
        }
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let mut config = match self.file()? {
            Some(file) => {
                self.check(&file)?;
                let chosen = KubeConfigOptions {
                    context: self.context.clone(),
                    cluster: self.cluster.clone(),
                    user: self.user.clone(),
                };
                Config::from_custom_kubeconfig(file, &chosen).await.with_context(|| self.place())?
            }
            None => self.without_file(&files(), Config::incluster)?,
        };
        self.act(&mut config)?;
        self.limit(&mut config);
        Ok(config)
    }

    /// What flags name has to be in the file. kube would take a user that is not there for one without credentials.
    fn check(&self, file: &Kubeconfig) -> anyhow::Result<()> {
        let contexts = file.contexts.iter().map(|context| &context.name).collect();
        let clusters = file.clusters.iter().map(|cluster| &cluster.name).collect();
        let users = file.auth_infos.iter().map(|user| &user.name).collect();
        let named: [(&str, &Option<String>, Vec<&String>); 3] =
            [("context", &self.context, contexts), ("cluster", &self.cluster, clusters), ("user", &self.user, users)];
        for (what, name, known) in named {
            if let Some(name) = name
                && !known.contains(&name)
            {
                anyhow::bail!("--{what} {name}: the kubeconfig has no such {what}");
            }
        }
        Ok(())
    }

    /// Where there is no kubeconfig: the ServiceAccount of the pod that this runs in, unless flags name what only a
    /// kubeconfig has.
    fn without_file(
        &self,
        looked: &[PathBuf],
        account: impl FnOnce() -> Result<Config, InClusterError>,
    ) -> anyhow::Result<Config> {
        let named = self.context.is_some() || self.cluster.is_some() || self.user.is_some();
        match account() {
            Ok(config) if !named => Ok(config),
            // In a pod, which has none, or not a whole one.
            Err(error) if !named && !matches!(error, InClusterError::ReadEnvironmentVariable(_)) => {
                Err(anyhow::Error::new(error).context("no kubeconfig, and no usable ServiceAccount of this pod"))
            }
            _ => {
                let looked: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
                let at = if looked.is_empty() { String::new() } else { format!(" at {}", looked.join(", ")) };
                anyhow::bail!("no kubeconfig{at}: give --kubeconfig FILE or set KUBECONFIG")
            }
        }
    }

    /// As whom. What is not given stays as the kubeconfig has it.
    fn act(&self, config: &mut Config) -> anyhow::Result<()> {
        let who = &mut config.auth_info;
        if let Some(user) = &self.act_as {
            who.impersonate = Some(user.clone());
        }
        if !self.as_group.is_empty() {
            // The API server takes groups for those of a user alone.
            anyhow::ensure!(who.impersonate.is_some(), "--as-group: give --as USER as well");
            who.impersonate_groups = Some(self.as_group.clone());
        }
        Ok(())
    }

    fn limit(&self, config: &mut Config) {
        let limit = self.request_timeout;
        if limit.is_zero() {
            return;
        }
        let at_most = |usual: Option<Duration>| Some(usual.map_or(limit, |usual| usual.min(limit)));
        config.connect_timeout = at_most(config.connect_timeout);
        config.write_timeout = at_most(config.write_timeout);
        config.read_timeout = Some(limit);
        // Otherwise the time between two requests counts.
        config.reset_reader_on_write = true;
    }

    /// A client, and the namespace of the context.
    pub(crate) async fn client(&self) -> anyhow::Result<(Client, String)> {
        let config = self.config().await?;
        let namespace = config.default_namespace.clone();
        let server = self.chosen.get_or_init(|| reach::address(&config.cluster_url));
        let client =
            Client::try_from(config).with_context(|| format!("no usable certificates or credentials for {server}"))?;
        Ok((client, namespace))
    }

    /// The address of the server that a client was made for.
    pub(crate) fn server(&self) -> Option<&str> {
        self.chosen.get().map(String::as_str)
    }
}

/// Where kubectl looks for a kubeconfig: in the files that KUBECONFIG lists, else in the home directory.
fn files() -> Vec<PathBuf> {
    let listed: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
        .map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    if !listed.is_empty() {
        return listed;
    }
    std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect()
}

/// These files in one, as kubectl merges them, without those that are not there. None where none of them is.
fn merged(files: &[PathBuf]) -> Result<Option<Kubeconfig>, KubeconfigError> {
    let mut merged: Option<Kubeconfig> = None;
    for path in files {
        let file = match Kubeconfig::read_from(path) {
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        merged = Some(match merged {
            Some(before) => before.merge(file)?,
            None => file,
        });
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use std::{env::VarError, net::TcpListener};

    use serde_json::json;

    use super::*;
    use crate::{
        cluster::read,
        testkit::{block_on, kubeconfig},
    };

    fn connection(args: &[&str]) -> Result<Connection, clap::Error> {
        #[derive(Debug, clap::Parser)]
        struct Verb {
            #[command(flatten)]
            connection: Connection,
        }
        let parsed = <Verb as clap::Parser>::try_parse_from(std::iter::once("x").chain(args.iter().copied()));
        parsed.map(|verb| verb.connection)
    }

    /// Two of everything; whoever is `v` acts as somebody else.
    fn two() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "one",
            "contexts": [
                {"name": "one", "context": {"cluster": "a", "user": "u"}},
                {"name": "two", "context": {"cluster": "b", "user": "v", "namespace": "shop"}}
            ],
            "clusters": [
                {"name": "a", "cluster": {"server": "https://a.example:6443"}},
                {"name": "b", "cluster": {"server": "https://b.example:6443"}}
            ],
            "users": [
                {"name": "u", "user": {"username": "ada"}},
                {"name": "v", "user": {"username": "bob", "as": "carol", "as-groups": ["ops"]}}
            ]
        });
        std::fs::write(file.path(), kubeconfig.to_string()).unwrap();
        file
    }

    /// What flags make of that file.
    fn config(args: &[&str]) -> anyhow::Result<Config> {
        let file = two();
        let path = format!("--kubeconfig={}", file.path().display());
        let connection = connection(&[args, &[path.as_str()]].concat()).unwrap();
        block_on(connection.config())
    }

    #[test]
    fn flags_choose_from_the_kubeconfig() {
        type Chosen = (&'static str, &'static str, &'static str, Option<&'static str>, &'static [&'static str]);
        let cases: [(&[&str], Chosen); 8] = [
            (&[], ("a.example", "default", "ada", None, &[])),
            (&["--context", "two"], ("b.example", "shop", "bob", Some("carol"), &["ops"])),
            (&["--cluster", "b"], ("b.example", "default", "ada", None, &[])),
            (&["--user", "v"], ("a.example", "default", "bob", Some("carol"), &["ops"])),
            (&["--context=two", "--cluster=a", "--user=u"], ("a.example", "shop", "ada", None, &[])),
            (
                &["--as", "eve", "--as-group", "x", "--as-group=ÿ"],
                ("a.example", "default", "ada", Some("eve"), &["x", "ÿ"]),
            ),
            // As kubectl does it: what no flag says is as the file says it.
            (&["--user=v", "--as=eve"], ("a.example", "default", "bob", Some("eve"), &["ops"])),
            (&["--user=v", "--as-group=x"], ("a.example", "default", "bob", Some("carol"), &["x"])),
        ];
        for (args, expected) in cases {
            let config = config(args).unwrap();
            let groups: Vec<&str> = config.auth_info.impersonate_groups.iter().flatten().map(String::as_str).collect();
            let found = (
                config.cluster_url.host().unwrap(),
                config.default_namespace.as_str(),
                config.auth_info.username.as_deref().unwrap(),
                config.auth_info.impersonate.as_deref(),
                groups.as_slice(),
            );
            assert_eq!(found, expected, "{args:?}");
        }
    }

    #[test]
    fn what_is_wrong_gets_one_line() {
        for (args, expected) in [
            (["--context", "c"], "--context c: the kubeconfig has no such context"),
            (["--cluster", "c"], "--cluster c: the kubeconfig has no such cluster"),
            (["--user", "c"], "--user c: the kubeconfig has no such user"),
            (["--as-group", "c"], "--as-group: give --as USER as well"),
        ] {
            let line = reach::line(&config(&args).unwrap_err(), None);
            assert_eq!(line, expected);
        }
        for (args, expected) in [
            (["--as", ""], "a name without control characters is expected"),
            (["--as", "a\nb"], "a name without control characters is expected"),
            (["--as-group", "\u{7f}"], "a name without control characters is expected"),
            (["--request-timeout", ""], "a number of seconds"),
            (["--request-timeout", "soon"], "a number of seconds"),
            (["--request-timeout", "1.5"], "a number of seconds"),
            (["--request-timeout", "99999999999"], "a number of seconds"),
        ] {
            let said = connection(&args).unwrap_err().to_string();
            assert!(said.contains(args[0]) && said.contains(expected), "{args:?}: {said}");
        }
        let absent = connection(&["--kubeconfig", "/does/not/exist"]).unwrap();
        let line = reach::line(&block_on(absent.config()).unwrap_err(), None);
        assert!(line.starts_with("--kubeconfig /does/not/exist: ") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn requests_wait_as_long_as_for_kubectl() {
        let usual = Config::new("https://a.example".parse().unwrap());
        let unlimited: [&[&str]; 3] = [&[], &["--request-timeout", "0"], &["--request-timeout=0s"]];
        for args in unlimited {
            let config = config(args).unwrap();
            assert_eq!((config.connect_timeout, config.read_timeout), (usual.connect_timeout, None), "{args:?}");
            assert_eq!(config.write_timeout, usual.write_timeout, "{args:?}");
        }
        for (text, seconds) in [("5", 5), ("5s", 5), ("1m30s", 90), ("3h", 10_800)] {
            let limit = Duration::from_secs(seconds);
            let config = config(&["--request-timeout", text]).unwrap();
            assert_eq!(config.read_timeout, Some(limit), "{text}");
            // To connect never takes longer than it usually may.
            assert_eq!(config.connect_timeout, usual.connect_timeout.map(|usual| usual.min(limit)), "{text}");
            assert_eq!(config.write_timeout, usual.write_timeout.map(|usual| usual.min(limit)), "{text}");
        }
    }

    #[test]
    fn a_server_that_is_silent_is_given_up() {
        // The system takes connections, and nobody answers.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let file = kubeconfig(&url);
        let path = format!("--kubeconfig={}", file.path().display());
        let connection = connection(&[path.as_str(), "--request-timeout=300ms"]).unwrap();
        let error = block_on(async {
            let (client, _) = connection.client().await.unwrap();
            let mut notes = Vec::new();
            tokio::time::timeout(Duration::from_secs(30), read(&client, &mut notes)).await.unwrap().unwrap_err()
        });
        let line = reach::line(&error, connection.server());
        assert!(line.starts_with(&format!("cannot list nodes: cannot reach {url}: timed out; ")), "{line}");
    }

    #[test]
    fn files_that_are_not_there_are_left_out_of_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let (absent, broken) = (dir.path().join("absent"), dir.path().join("broken"));
        std::fs::write(&broken, "a: [").unwrap();
        let (two, other) = (two(), kubeconfig("https://c.example"));
        assert!(merged(&[]).unwrap().is_none());
        assert!(merged(std::slice::from_ref(&absent)).unwrap().is_none());
        let all = [absent, two.path().to_owned(), other.path().to_owned()];
        let file = merged(&all).unwrap().unwrap();
        let names: Vec<&str> = file.contexts.iter().map(|context| context.name.as_str()).collect();
        assert_eq!((names, file.current_context.as_deref()), (vec!["one", "two", "c"], Some("one")));
        assert!(merged(&[two.path().to_owned(), broken]).is_err());
    }

    #[test]
    fn without_a_kubeconfig_the_pods_account_counts() {
        let account = || Ok(Config::new("https://10.96.0.1".parse().unwrap()));
        let outside = || Err(InClusterError::ReadEnvironmentVariable(VarError::NotPresent));
        let looked = [PathBuf::from("/a"), PathBuf::from("/b")];
        let any = Connection::default();
        assert_eq!(any.without_file(&looked, account).unwrap().cluster_url.host(), Some("10.96.0.1"));
        let line = |found: anyhow::Result<Config>| reach::line(&found.unwrap_err(), None);
        let nothing = "no kubeconfig at /a, /b: give --kubeconfig FILE or set KUBECONFIG";
        assert_eq!(line(any.without_file(&looked, outside)), nothing);
        // Nobody is sent elsewhere than to what was named.
        for args in [["--context", "c"], ["--cluster", "c"], ["--user", "c"]] {
            assert_eq!(line(connection(&args).unwrap().without_file(&looked, account)), nothing, "{args:?}");
        }
        let locked = || Err(InClusterError::ReadDefaultNamespace(io::Error::other("locked")));
        let line = line(any.without_file(&looked, locked));
        assert!(line.starts_with("no kubeconfig, and no usable ServiceAccount of this pod: "), "{line}");
        assert!(line.ends_with("locked"), "{line}");
    }
}
