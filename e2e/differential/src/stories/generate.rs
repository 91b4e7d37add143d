//! Stories from seeds: the same seed gives the same story. Names and labels are drawn from short lists, so that
//! controllers, Services and pods meet.

mod crowds;
mod mirror;
mod nodes;
mod quota;
mod zones;

use serde_json::{Value, json};

use super::{Pick, Step, Story};
use crate::generate::Rng;

pub(super) use self::nodes::OUT_OF_SERVICE;

const APPS: [&str; 2] = ["a", "b"];
const UNATTENDED: [&str; 3] = ["n1", "n2", "n3"];

/// Seeds from here on are about Endpoints that users write themselves, which are mirrored into slices.
pub const MIRRORED: u64 = 10_000;
/// Seeds from here on have Services of both address families.
pub const DUAL: u64 = 20_000;
/// Seeds from here on have a quota that is too small for a while.
pub const QUOTA: u64 = 30_000;
/// Seeds from here on have nodes of their own, to which something happens.
pub const NODES: u64 = 40_000;
/// Seeds from here on have Services with more endpoints than fit into a slice.
pub const CROWDS: u64 = 50_000;
/// Seeds from here on have a Service whose endpoints are hinted to zones by their nodes' CPU.
pub const ZONES: u64 = 60_000;

/// What a story has so far, as its author remembers it. What controllers do is not known here: steps about pods that are
/// not there are left out when the story is told.
#[derive(Debug, Default)]
struct Plot {
    controllers: Vec<(String, &'static str)>,
    services: Vec<String>,
    /// Services so far. A name is not used twice: there is no garbage collector here, so that slices of the first one
    /// would still stand when the second comes, and when its manager deletes them is a matter of chance.
    named: u32,
    bare: u32,
    /// Runs so far; some of them may not have found a pod.
    runs: u32,
    /// Whether Services say which address families they want.
    dual: bool,
    steps: Vec<Step>,
}

/// The story of a seed.
#[must_use]
pub fn story(seed: u64) -> Story {
    let rng = &mut Rng::new(seed ^ 0x57_0217);
    let steps = match seed {
        ZONES.. => Some(zones::steps(rng)),
        CROWDS.. => Some(crowds::steps(rng)),
        NODES.. => Some(nodes::steps(rng)),
        QUOTA.. => Some(quota::steps(rng)),
        MIRRORED..DUAL => Some(mirror::steps(rng)),
        _ => None,
    };
    if let Some(steps) = steps {
        return Story { seed, steps };
    }
    let mut plot = Plot { dual: seed >= DUAL, ..Plot::default() };
    let length = rng.between(5, 12);
    if plot.dual {
        plot.controller(rng);
        plot.service(rng);
    } else if rng.percent(75) {
        plot.controller(rng);
    } else {
        plot.service(rng);
    }
    while plot.steps.len() < length {
        plot.go_on(rng);
    }
    Story { seed, steps: plot.steps }
}

impl Plot {
    fn go_on(&mut self, rng: &mut Rng) {
        let owner = (!self.controllers.is_empty()).then(|| rng.below(self.controllers.len()));
        let service = (!self.services.is_empty()).then(|| rng.below(self.services.len()));
        match (rng.below(20), owner, service) {
            (0, ..) if self.controllers.len() < 2 => self.controller(rng),
            (1 | 2, ..) if self.services.len() < 3 => self.service(rng),
            (3..=8, Some(owner), _) => {
                let owner = self.controllers[owner].0.clone();
                self.run(rng, Pick::Fresh(owner));
            }
            (9, Some(owner), _) => {
                let replicas = rng.below(6);
                self.patch("ReplicationController", &self.controllers[owner].0.clone(), json!({"replicas": replicas}));
            }
            (10, Some(owner), _) => self.change_controller(rng, owner),
            (11 | 12, _, Some(service)) => self.change_service(rng, service),
            (13, ..) => {
                self.bare += 1;
                let name = format!("bare{}", self.bare);
                self.steps.push(Step::Create(bare(rng, &name)));
                if rng.percent(70) {
                    self.run(rng, Pick::Name(name));
                }
            }
            (14 | 15, ..) if self.runs > 0 => {
                let pick = self.old(rng);
                self.steps.push(Step::Ready(pick, rng.percent(50)));
            }
            (16, ..) if self.runs > 0 => {
                let pick = self.old(rng);
                let labels = match rng.below(3) {
                    0 => json!({"app": "other"}),
                    1 => json!({"app": rng.pick(&APPS)}),
                    _ => json!({"tier": rng.pick(&["front", "back"])}),
                };
                self.steps.push(Step::Label(pick, labels));
            }
            (17 | 18, ..) if self.runs > 0 => {
                let pick = self.old(rng);
                self.steps.push(Step::Remove(pick, rng.pick(&[0, 0, 30])));
            }
            (19, ..) if self.runs > 0 => {
                let pick = self.old(rng);
                self.steps.push(Step::End(pick, (rng.pick(&["Failed", "Failed", "Succeeded"])).to_owned()));
            }
            _ => {}
        }
    }

    fn run(&mut self, rng: &mut Rng, pick: Pick) {
        self.runs += 1;
        self.steps.push(Step::Run(pick, (rng.pick(&UNATTENDED)).to_owned(), rng.percent(75)));
    }

    /// A pod that ran once.
    fn old(&self, rng: &mut Rng) -> Pick {
        Pick::Address(1 + u32::try_from(rng.below(self.runs as usize)).unwrap_or(0))
    }

    fn patch(&mut self, kind: &str, name: &str, spec: Value) {
        self.steps.push(Step::Patch(kind.to_owned(), name.to_owned(), json!({"spec": spec})));
    }

    fn controller(&mut self, rng: &mut Rng) {
        // Two with the same selector would race for pods.
        let app = APPS[self.controllers.len() % APPS.len()];
        let name = format!("rc-{app}");
        let mut labels = json!({"app": app});
        if rng.percent(30) {
            labels["tier"] = json!(rng.pick(&["front", "back"]));
        }
        let mut spec = json!({"replicas": rng.below(5), "selector": {"app": app},
            "template": {"metadata": {"labels": labels}, "spec": template(rng)}});
        if rng.percent(20) {
            spec["template"]["metadata"]["annotations"] = json!({"example.com/note": "x"});
        }
        if rng.percent(15) {
            spec["minReadySeconds"] = json!(rng.pick(&[1, 10]));
        }
        let metadata = json!({"name": name, "labels": if rng.percent(50) { labels } else { json!({"own": "label"}) }});
        self.steps.push(Step::Create(
            json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": metadata, "spec": spec}),
        ));
        self.controllers.push((name, app));
    }

    fn change_controller(&mut self, rng: &mut Rng, owner: usize) {
        let (name, app) = self.controllers[owner].clone();
        match rng.below(5) {
            0 => {
                self.controllers.remove(owner);
                self.steps.push(Step::Delete("ReplicationController".to_owned(), name));
            }
            1 => self.patch("ReplicationController", &name, json!({"minReadySeconds": rng.pick(&[0, 5])})),
            2 => {
                // Narrower: pods without the label are let go.
                let labels = json!({"app": app, "tier": "front"});
                self.patch(
                    "ReplicationController",
                    &name,
                    json!({"selector": labels, "template": {"metadata": {"labels": labels}}}),
                );
            }
            3 => self.patch(
                "ReplicationController",
                &name,
                json!({"template": {"metadata": {"labels": {"version": rng.pick(&["1", "2"])}}}}),
            ),
            _ => self.steps.push(Step::Patch(
                "ReplicationController".to_owned(),
                name,
                json!({"metadata": {"labels": {"changed": "yes"}}}),
            )),
        }
    }

    fn service(&mut self, rng: &mut Rng) {
        self.named += 1;
        let name = format!("svc{}", self.named);
        let mut spec = json!({"ports": ports(rng)});
        if rng.percent(90) {
            spec["selector"] = json!({"app": rng.pick(&APPS)});
        }
        if rng.percent(20) {
            spec["clusterIP"] = "None".into();
        }
        if rng.percent(20) {
            spec["publishNotReadyAddresses"] = true.into();
        }
        if rng.percent(15) {
            spec["trafficDistribution"] = json!(rng.pick(&["PreferSameZone", "PreferSameNode"]));
        }
        if self.dual {
            let (policy, families) = rng.pick(&[
                ("SingleStack", &["IPv6"] as &[&str]),
                ("PreferDualStack", &["IPv4"]),
                ("RequireDualStack", &["IPv4", "IPv6"]),
                ("RequireDualStack", &["IPv6", "IPv4"]),
            ]);
            spec["ipFamilyPolicy"] = policy.into();
            spec["ipFamilies"] = json!(families);
        }
        let mut metadata = json!({"name": name});
        if rng.percent(40) {
            metadata["labels"] = json!({"team": "blue"});
        }
        self.steps
            .push(Step::Create(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})));
        self.services.push(name);
    }

    fn change_service(&mut self, rng: &mut Rng, service: usize) {
        let name = self.services[service].clone();
        match rng.below(if self.dual { 8 } else { 7 }) {
            7 => self.patch("Service", &name, json!({"ipFamilyPolicy": "PreferDualStack"})),
            0 => {
                self.services.remove(service);
                self.steps.push(Step::Delete("Service".to_owned(), name));
            }
            1 => self.patch("Service", &name, json!({"ports": ports(rng)})),
            2 => self.patch("Service", &name, json!({"selector": {"app": rng.pick(&APPS)}})),
            3 => self.patch("Service", &name, json!({"selector": {"tier": "front"}})),
            4 => self.patch("Service", &name, json!({"publishNotReadyAddresses": rng.percent(50)})),
            5 => self.patch(
                "Service",
                &name,
                json!({"trafficDistribution": rng.pick(&["PreferSameZone", "PreferSameNode"])}),
            ),
            _ => self.steps.push(Step::Patch(
                "Service".to_owned(),
                name,
                json!({"metadata": {"labels": {"team": rng.pick(&["red", "green"])}}}),
            )),
        }
    }
}

/// Always two names for ports, so that Services find them or not.
fn template(rng: &mut Rng) -> Value {
    let number = rng.pick(&[8080, 9090]);
    let mut container = json!({"name": "main", "image": "registry.example/app:1",
        "ports": [{"name": "http", "containerPort": number}]});
    if rng.percent(30) {
        container["ports"] = json!([{"name": "http", "containerPort": number},
            {"name": "dns", "containerPort": 53, "protocol": "UDP"}]);
    }
    let mut spec = json!({"containers": [container]});
    if rng.percent(15) {
        spec["hostname"] = "host".into();
        spec["subdomain"] = "svc1".into();
    }
    spec
}

fn bare(rng: &mut Rng, name: &str) -> Value {
    let mut labels = json!({"app": rng.pick(&["a", "b", "c"])});
    if rng.percent(40) {
        labels["tier"] = json!(rng.pick(&["front", "back"]));
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": template(rng)})
}

fn ports(rng: &mut Rng) -> Value {
    let target = |rng: &mut Rng| -> Value {
        if rng.percent(50) { json!(rng.pick(&["http", "none"])) } else { json!(rng.pick(&[8080, 9090])) }
    };
    let mut all = vec![json!({"name": "web", "port": 80, "targetPort": target(rng)})];
    if rng.percent(30) {
        all.push(json!({"name": "more", "port": 81, "targetPort": target(rng)}));
    }
    if rng.percent(20) {
        all.push(json!({"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}));
    }
    if rng.percent(15) {
        all[0]["appProtocol"] = "http".into();
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_story_and_every_feature_turns_up() {
        assert_eq!(story(7), story(7));
        let seeds = (0..300).chain(MIRRORED..MIRRORED + 100).chain(DUAL..DUAL + 50).chain(QUOTA..QUOTA + 50);
        let seeds = seeds.chain(NODES..NODES + 50).chain(CROWDS..CROWDS + 50).chain(ZONES..ZONES + 50);
        let all: String = seeds.map(|seed| format!("{:?}", story(seed))).collect();
        for feature in [
            "ReplicationController",
            "minReadySeconds",
            "trafficDistribution",
            "publishNotReadyAddresses",
            "clusterIP",
            "Succeeded",
            "Remove",
            "Label",
            "Ready(",
            "subdomain",
            "appProtocol",
            "bare2",
            "UDP",
            "Delete(\"Service\"",
            "Delete(\"ReplicationController\"",
            "Delete(\"Endpoints\"",
            "skip-mirror",
            "notReadyAddresses",
            "fd00::1",
            "RequireDualStack",
            "PreferDualStack",
            "ResourceQuota",
            "Status(",
            "Silence(",
            "Leave(",
            "out-of-service",
            "Untaint(",
            "Wait(",
            "tolerationSeconds",
            "Crowd {",
            "Thin(",
            "Unready(",
            "Together(",
            "Machines(",
            "topology-mode",
            "topology-aware-hints",
            "Status(\"Node\"",
            "Delete(\"Node\"",
            "control_plane: true",
        ] {
            assert!(all.contains(feature), "{feature}");
        }
        assert!((0..300).all(|seed| story(seed).steps.len() >= 5));
    }
}
