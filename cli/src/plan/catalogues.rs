//! The catalogues: those that are built in, and files.

use std::path::Path;

use anyhow::Context;
use headroom_core::Timestamp;
use headroom_planner::{Catalogue, Cluster, machine::labelled_type};
use headroom_runtime::wire::time::parse_rfc3339;

use crate::file;

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
    built_in!("digitalocean", "digitalocean-managed", "linode", "home", "digitalocean-2019");

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

/// The first catalogue that has the types of all nodes, by their labels.
pub(super) fn of(cluster: &Cluster) -> Option<Catalogue> {
    let types: Vec<&str> = cluster.nodes.values().filter_map(|node| labelled_type(node)).map(|t| &**t).collect();
    if types.is_empty() || types.len() < cluster.nodes.len() {
        return None;
    }
    let has_all = |catalogue: &Catalogue| types.iter().all(|name| catalogue.offer(name).is_some());
    BUILT_IN.iter().filter_map(|(_, text)| parsed(text).ok()).find(has_all)
}

/// One line per catalogue.
pub(super) fn list() -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, yaml) in BUILT_IN {
        let catalogue = parsed(yaml).with_context(|| format!("catalogue {name}"))?;
        let (count, date) = (catalogue.offers.len(), &catalogue.date);
        text.push_str(&format!("{name:22}  {date}  {count:2} machines  {}\n", catalogue.provider));
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
    use super::*;

    #[test]
    fn every_catalogue_can_be_read_and_says_where_it_is_from() {
        for (name, text) in BUILT_IN {
            let catalogue = parsed(text).unwrap();
            assert_eq!(catalogue.name, *name);
            assert!(catalogue.source.len() > 10, "{name}");
            assert!(parse_rfc3339(&format!("{}T00:00:00Z", catalogue.date)).is_some(), "{name}");
        }
        assert_eq!(list().unwrap().lines().count(), BUILT_IN.len());
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
    fn an_unknown_catalogue_gets_one_line() {
        let line = format!("{:#}", find("moon").unwrap_err());
        assert!(line.starts_with("--catalog moon: neither a file nor one of the catalogues digitalocean, "), "{line}");
        let broken = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(broken.path(), "kind: List\n").unwrap();
        let line = format!("{:#}", find(broken.path().to_str().unwrap()).unwrap_err());
        assert!(!line.contains('\n'), "{line}");
    }
}
