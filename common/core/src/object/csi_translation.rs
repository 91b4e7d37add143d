//! In-tree volumes as their CSI drivers see them (`k8s.io/csi-translation-lib`): names of volumes and topology.
//!
//! Only what the scheduler reads. Unlike upstream, Azure disks that are not managed count like managed ones: such
//! volumes have not been supported since CSI took over, and a driver would refuse them.

use std::{borrow::Cow, collections::BTreeSet};

use super::storage::{InTreePlugin, PersistentVolume, PvSource};
use crate::{
    selector::{NodeSelector, NodeSelectorTerm, Operator, Requirement},
    str::Str,
};

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";
/// Between the zones of a volume that is in several.
const ZONES: &str = "__";

impl InTreePlugin {
    /// The label by which nodes of the CSI driver tell their zone; absent where topology is left alone.
    const fn topology_key(self) -> Option<&'static str> {
        match self {
            Self::AwsEbs => Some("topology.ebs.csi.aws.com/zone"),
            Self::GcePd => Some("topology.gke.io/zone"),
            Self::Cinder => Some("topology.cinder.csi.openstack.org/zone"),
            Self::AzureDisk | Self::Portworx | Self::AzureFile | Self::Vsphere => None,
        }
    }

    /// The CSI driver's name for a volume that is given inline, by the plugin's name for it. Absent when it cannot be
    /// one.
    #[must_use]
    pub fn inline_handle(self, id: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::AwsEbs => ebs_handle(id).map(Cow::Borrowed),
            Self::GcePd => Some(format!("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/{id}").into()),
            _ => Some(id.into()),
        }
    }
}

/// `aws://<zone>/vol-…` or `vol-…`.
fn ebs_handle(id: &str) -> Option<&str> {
    let Some(rest) = id.strip_prefix("aws://") else { return Some(id) };
    let path = rest.split_once('/').map_or("", |(_, path)| path).trim_matches('/');
    (path.starts_with("vol-") && !path.contains('/')).then_some(path)
}

/// The one region of all zones, which are named `<locale>-<region>-<zone>`.
fn gce_region(zones: &[&str]) -> Option<String> {
    let mut regions = BTreeSet::new();
    for zone in zones {
        let parts: Vec<_> = zone.split('-').collect();
        let [locale, region, _] = parts[..] else { return None };
        regions.insert(format!("{locale}-{region}"));
    }
    if regions.len() == 1 { regions.pop_first() } else { None }
}

fn gce_handle(pv: &PersistentVolume, disk: &str) -> Option<String> {
    let label = |key| pv.meta.labels.get(key).filter(|v| !v.is_empty());
    let zones = label(BETA_ZONE).or_else(|| label(ZONE)).map_or("", Str::as_str);
    let all: Vec<&str> = zones.split(ZONES).collect();
    Some(match all[..] {
        [""] => format!("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/{disk}"),
        [zone] => format!("projects/UNSPECIFIED/zones/{zone}/disks/{disk}"),
        _ => format!("projects/UNSPECIFIED/regions/{}/disks/{disk}", gce_region(&all)?),
    })
}

impl PersistentVolume {
    /// The CSI driver of the volume and the driver's name for it, also when the volume is still described in the terms
    /// of an in-tree plugin. Absent for all other volumes.
    #[must_use]
    pub fn csi(&self) -> Option<(&str, Cow<'_, str>)> {
        match &self.source {
            PvSource::Csi { driver, handle } => Some((driver, handle.as_str().into())),
            PvSource::InTree { plugin, id } if plugin.is_translated() => {
                let handle = match plugin {
                    InTreePlugin::GcePd => gce_handle(self, id)?.into(),
                    _ => plugin.inline_handle(id)?,
                };
                Some((plugin.csi_driver(), handle))
            }
            _ => None,
        }
    }

    /// The in-tree plugin of the volume, when it has one that is translated.
    #[must_use]
    pub const fn in_tree_plugin(&self) -> Option<InTreePlugin> {
        match &self.source {
            PvSource::InTree { plugin, .. } if plugin.is_translated() => Some(*plugin),
            _ => None,
        }
    }

    /// The node affinity of an in-tree volume on nodes where its CSI driver serves it: zones are told by the driver's
    /// label (`translateTopologyFromInTreeToCSI`).
    #[must_use]
    pub fn migrated_affinity(&self) -> Option<NodeSelector> {
        let key = self.in_tree_plugin().and_then(InTreePlugin::topology_key);
        let Some(key) = key else { return self.node_affinity.clone() };
        let mut affinity = self.node_affinity.clone().unwrap_or_default();
        let uses = |affinity: &NodeSelector, key: &str| {
            affinity.terms.iter().flat_map(|t| &t.match_expressions).any(|r| r.key == *key)
        };
        let beta = if uses(&affinity, ZONE) {
            false
        } else {
            uses(&affinity, BETA_ZONE) || (!self.meta.labels.has(ZONE) && self.meta.labels.has(BETA_ZONE))
        };
        let zone = if beta { BETA_ZONE } else { ZONE };
        let has_zones =
            affinity.terms.iter().flat_map(|t| &t.match_expressions).any(|r| r.key == *zone && !r.values.is_empty());
        if has_zones {
            rename(&mut affinity, zone, key);
        } else if let Some(label) = self.meta.labels.get(zone) {
            let zones: BTreeSet<&str> = label.split(ZONES).map(str::trim).filter(|z| !z.is_empty()).collect();
            if !zones.is_empty() {
                add(&mut affinity, key, zones.into_iter().map(Str::from).collect());
            }
        }
        if beta {
            rename(&mut affinity, BETA_REGION, REGION);
        }
        (self.node_affinity.is_some() || !affinity.terms.is_empty()).then_some(affinity)
    }
}

fn rename(affinity: &mut NodeSelector, from: &str, to: &str) {
    for r in affinity.terms.iter_mut().flat_map(|t| &mut t.match_expressions) {
        if r.key == *from {
            r.key = to.into();
        }
    }
}

/// Every term demands it.
fn add(affinity: &mut NodeSelector, key: &str, values: Box<[Str]>) {
    if affinity.terms.is_empty() {
        affinity.terms = Box::new([NodeSelectorTerm::default()]);
    }
    for term in &mut affinity.terms {
        let mut all = std::mem::take(&mut term.match_expressions).into_vec();
        all.push(Requirement { key: key.into(), operator: Operator::In, values: values.clone() });
        term.match_expressions = all.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::volume;

    #[test]
    fn handles() {
        for (plugin, id, labels, expected) in [
            (InTreePlugin::AwsEbs, "vol-1", vec![], Some("vol-1")),
            (InTreePlugin::AwsEbs, "aws://us-east-1/vol-1", vec![], Some("vol-1")),
            (InTreePlugin::AwsEbs, "aws:///vol-1", vec![], Some("vol-1")),
            (InTreePlugin::AwsEbs, "aws://us-east-1/volume", vec![], None),
            (InTreePlugin::AwsEbs, "aws://", vec![], None),
            (InTreePlugin::GcePd, "d", vec![], Some("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d")),
            (InTreePlugin::GcePd, "d", vec![(ZONE, "eu-w1-a")], Some("projects/UNSPECIFIED/zones/eu-w1-a/disks/d")),
            (
                InTreePlugin::GcePd,
                "d",
                vec![(BETA_ZONE, "eu-w1-a__eu-w1-b")],
                Some("projects/UNSPECIFIED/regions/eu-w1/disks/d"),
            ),
            (InTreePlugin::GcePd, "d", vec![(ZONE, "eu-w1-a__eu-w2-b")], None),
            (InTreePlugin::Cinder, "c", vec![], Some("c")),
            (InTreePlugin::Vsphere, "v", vec![], None),
        ] {
            let mut pv = volume("pv").in_tree(plugin, id);
            for (key, value) in labels {
                pv = pv.label(key, value);
            }
            let pv = pv.build();
            let got = pv.csi();
            assert_eq!(got.as_ref().map(|(_, h)| &**h), expected, "{plugin:?} {id}");
            assert!(got.is_none_or(|(driver, _)| driver == plugin.csi_driver()));
        }
    }

    #[test]
    fn topology_is_told_by_the_drivers_label() {
        let requirement = |pv: &PersistentVolume| {
            let affinity = pv.migrated_affinity()?;
            let all: Vec<_> = affinity
                .terms
                .iter()
                .flat_map(|t| &t.match_expressions)
                .map(|r| format!("{}={}", r.key, r.values.iter().map(Str::as_str).collect::<Vec<_>>().join("|")))
                .collect();
            Some(all.join(","))
        };
        let pv = || volume("pv").in_tree(InTreePlugin::AwsEbs, "vol-1");
        let key = "topology.ebs.csi.aws.com/zone";
        for (pv, expected) in [
            (pv(), None),
            (pv().label(ZONE, "a__b__"), Some(format!("{key}=a|b"))),
            (pv().affinity(ZONE, &["a"]).label(ZONE, "b"), Some(format!("{key}=a"))),
            (pv().affinity(BETA_ZONE, &["a"]).affinity(BETA_REGION, &["r"]), Some(format!("{key}=a,{REGION}=r"))),
            (pv().affinity("host", &["n"]).label(BETA_ZONE, "z"), Some(format!("host=n,{key}=z"))),
            (volume("pv").in_tree(InTreePlugin::AzureDisk, "x").affinity(ZONE, &["a"]), Some(format!("{ZONE}=a"))),
        ] {
            assert_eq!(requirement(&pv.build()), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_volume_is_survived(id in "\\PC{0,40}", zones in "[a-c_-]{0,20}") {
            for plugin in InTreePlugin::ALL {
                let pv = volume("pv").in_tree(plugin, &id).label(ZONE, &zones).build();
                let _ = pv.csi();
                let _ = pv.migrated_affinity();
            }
        }
    }
}
