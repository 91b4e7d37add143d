//! The catalogues: those that are built in, and files.

use std::path::Path;

use anyhow::Context;
use headroom_core::Timestamp;
use headroom_planner::{Catalogue, Cluster, machine::labelled_type};
use headroom_runtime::wire::time::parse_rfc3339;

use crate::{explain::table::paragraph, file};

/// Prices older than this are said to be, days.
const OLD_DAYS: u64 = 365;

/// A catalogue of the repository.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../catalogues/", $name, ".yaml")))),*]
    };
}

/// By name; where several have a cluster's types, the first counts: those in force come before those of old.
const BUILT_IN: &[(&str, &str)] =
    built_in!("digitalocean", "digitalocean-managed", "linode", "hetzner", "vultr", "home", "digitalocean-2019");

/// Labels of the nodes of managed pools, and the catalogue of such pools where one is built in: DigitalOcean, Linode,
/// Google, Amazon, Azure.
const POOLS: [(&str, Option<&str>); 5] = [
    ("doks.digitalocean.com/node-pool", Some("digitalocean-managed")),
    ("lke.linode.com/pool-id", None),
    ("cloud.google.com/gke-nodepool", None),
    ("eks.amazonaws.com/nodegroup", None),
    ("kubernetes.azure.com/agentpool", None),
];

/// The names of those that are built in.
fn names() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn parsed(text: &str) -> anyhow::Result<Catalogue> {
    serde_saphyr::from_str(text).map_err(|error| {
        // The reader shows the place in several lines.
        anyhow::anyhow!("{}", error.to_string().lines().next().unwrap_or("not a catalogue"))
    })
}

/// The catalogue of this name, or in this file.
///
/// # Errors
/// One line: there is neither, or it cannot be read.
pub(super) fn find(name: &str) -> anyhow::Result<Catalogue> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return parsed(text).with_context(|| format!("--catalog {name}"));
    }
    let path = Path::new(name);
    anyhow::ensure!(
        path.exists() || name == "-",
        "--catalog {name}: neither a file nor one of the catalogues {}",
        names()
    );
    let text = file::read(path).with_context(|| format!("--catalog {name}"))?;
    parsed(&text).with_context(|| format!("--catalog {name}"))
}

/// The first catalogue that has the types of all nodes, by their labels; that of managed pools where all are in one.
pub(super) fn of(cluster: &Cluster) -> Option<Catalogue> {
    let types: Vec<&str> = cluster.nodes.values().filter_map(|node| labelled_type(node)).map(|t| &**t).collect();
    if types.is_empty() || types.len() < cluster.nodes.len() {
        return None;
    }
    let has_all = |catalogue: &Catalogue| types.iter().all(|name| catalogue.offer(name).is_some());
    let managed = pool(cluster).filter(|(_, count, _)| *count == cluster.nodes.len()).and_then(|(_, _, own)| own);
    let (first, others): (Vec<_>, Vec<_>) = BUILT_IN.iter().partition(|(name, _)| Some(*name) == managed);
    first.into_iter().chain(others).filter_map(|(_, text)| parsed(text).ok()).find(has_all)
}

/// The label of managed pools that nodes have, how many have it, and the catalogue of such pools.
fn pool(cluster: &Cluster) -> Option<(&'static str, usize, Option<&'static str>)> {
    let with = |label: &str| cluster.nodes.values().filter(|node| node.meta.labels.has(label)).count();
    let pools = POOLS.into_iter().map(|(label, own)| (label, with(label), own));
    pools.max_by_key(|(_, count, _)| *count).filter(|(_, count, _)| *count > 0)
}

/// What to say where machines of a catalogue that has swap are planned for nodes of managed pools.
pub(super) fn managed(cluster: &Cluster, catalogue: &Catalogue) -> Option<String> {
    let (label, count, own) = pool(cluster).filter(|_| catalogue.offers.iter().any(|offer| offer.swap))?;
    let nodes = if count == 1 { "1 node is".to_owned() } else { format!("{count} nodes are") };
    let instead = own.map_or_else(|| "--swap none".to_owned(), |own| format!("--swap none or --catalog {own}"));
    Some(format!(
        "{nodes} of a managed pool ({label}), whose machines have swap only where the provider sets it up: {instead} \
         plans without"
    ))
}

/// A line per catalogue, below it what it has, and where its prices are from.
pub(super) fn list() -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, yaml) in BUILT_IN {
        let catalogue = parsed(yaml).with_context(|| format!("catalogue {name}"))?;
        let (count, date) = (catalogue.offers.len(), &catalogue.date);
        text.push_str(&format!("{name:22}  {date}  {count:2} machines\n"));
        paragraph(&mut text, "    ", &catalogue.provider);
        paragraph(&mut text, "    ", &catalogue.source);
    }
    Ok(text)
}

/// A warning where prices are old.
pub(super) fn age(catalogue: &Catalogue, now: Timestamp) -> Option<String> {
    let date = parse_rfc3339(&format!("{}T00:00:00Z", catalogue.date))?;
    let days = now.since(date).as_secs() / 86_400;
    let (name, date) = (&catalogue.name, &catalogue.date);
    (days > OLD_DAYS).then(|| format!("catalogue {name} has the prices of {date}, {days} days ago: look them up"))
}

#[cfg(test)]
mod tests {
    use headroom_core::Now;
    use headroom_planner::Scheduler;
    use serde_json::json;

    use super::*;
    use crate::snapshot::Snapshot;

    #[test]
    fn every_catalogue_can_be_read_and_says_where_it_is_from() {
        for (name, text) in BUILT_IN {
            let catalogue = parsed(text).unwrap();
            assert_eq!(catalogue.name, *name);
            assert!(catalogue.source.len() > 10, "{name}");
            assert!(parse_rfc3339(&format!("{}T00:00:00Z", catalogue.date)).is_some(), "{name}");
        }
    }

    #[test]
    fn the_list_says_where_prices_are_from() {
        let list = list().unwrap();
        assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
        let heads = list.lines().filter(|line| !line.starts_with(' '));
        let heads: Vec<&str> = heads.filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(heads.join(", "), names());
        let words = list.split_whitespace().collect::<Vec<_>>().join(" ");
        for (name, text) in BUILT_IN {
            let source = parsed(text).unwrap().source;
            let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&source), "{name}: {list}");
        }
    }

    #[test]
    fn prices_of_the_founding_story() {
        let then = find("digitalocean-2019").unwrap();
        for (machine, price) in
            [("s-1vcpu-1gb", 500), ("s-1vcpu-2gb", 1000), ("s-2vcpu-2gb", 1500), ("s-2vcpu-4gb", 2000)]
        {
            assert_eq!(then.offer(machine).unwrap().price.0, price, "{machine}");
        }
        let now = parse_rfc3339("2026-11-29T00:00:00Z").unwrap();
        assert!(age(&then, now).unwrap().contains("days ago"));
        assert!(find("digitalocean-managed").unwrap().offers.iter().all(|offer| !offer.swap));
    }

    #[test]
    fn prices_have_their_currency() {
        let of = |name: &str, machine: &str| {
            let catalogue = find(name).unwrap();
            catalogue.money(catalogue.offer(machine).unwrap().price)
        };
        assert_eq!((of("hetzner", "cx23"), of("hetzner", "ccx63")), ("€5.99".to_owned(), "€853.99".to_owned()));
        assert_eq!(
            (of("vultr", "vc2-1c-0.5gb"), of("linode", "g6-standard-2")),
            ("$3.50".to_owned(), "$24".to_owned())
        );
    }

    /// What is chosen and said for nodes with these labels, all of one type.
    fn chosen(labels: &[Option<&str>], machine: &str) -> (Option<String>, Option<String>) {
        let nodes = labels.iter().enumerate().map(|(number, label)| {
            let mut all = json!({"node.kubernetes.io/instance-type": machine});
            if let Some(label) = label {
                all[*label] = json!("pool");
            }
            json!({"kind": "Node", "metadata": {"name": format!("n{number}"), "labels": all}})
        });
        let cluster = Cluster::new(Snapshot::from_objects(nodes).inputs(), &Scheduler::standard(), Now::default());
        let said = managed(&cluster, &find("digitalocean").unwrap());
        assert_eq!(managed(&cluster, &find("digitalocean-managed").unwrap()), None);
        (of(&cluster).map(|catalogue| catalogue.name), said)
    }

    #[test]
    fn managed_pools_have_no_swap_of_their_own() {
        let doks = Some("doks.digitalocean.com/node-pool");
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(chosen(&[None, None], "s-1vcpu-2gb"), (name("digitalocean"), None));
        let (own, said) = chosen(&[doks, doks], "s-1vcpu-2gb");
        let line = "2 nodes are of a managed pool (doks.digitalocean.com/node-pool), whose machines have swap only where \
                    the provider sets it up: --swap none or --catalog digitalocean-managed plans without";
        assert_eq!((own, said), (name("digitalocean-managed"), name(line)));
        // Where it has not all types, or not all nodes are in one, the other is; what is said stays.
        assert_eq!(chosen(&[doks], "s-4vcpu-8gb").0, name("digitalocean"));
        let (own, said) = chosen(&[doks, None], "s-1vcpu-2gb");
        assert_eq!(own, name("digitalocean"));
        assert!(said.unwrap().starts_with("1 node is of a managed pool (doks"));
        let (own, said) = chosen(&[Some("lke.linode.com/pool-id")], "g6-standard-2");
        assert_eq!(own, name("linode"));
        assert!(said.unwrap().ends_with(" the provider sets it up: --swap none plans without"));
    }

    #[test]
    fn an_unknown_catalogue_gets_one_line() {
        let line = format!("{:#}", find("moon").unwrap_err());
        let known = "digitalocean, digitalocean-managed, linode, hetzner, vultr, home, digitalocean-2019";
        assert_eq!(line, format!("--catalog moon: neither a file nor one of the catalogues {known}"));
        let broken = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(broken.path(), "kind: List\n").unwrap();
        let line = format!("{:#}", find(broken.path().to_str().unwrap()).unwrap_err());
        assert!(!line.contains('\n'), "{line}");
    }
}
