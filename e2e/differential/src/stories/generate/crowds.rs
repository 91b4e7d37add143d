//! Stories about Services with more endpoints than fit into a slice.
//!
//! Stock draws lots about which endpoint comes into which slice; how large the slices are follows from what was there
//! before, if all that happens in a step is taken as one change. Therefore pods are chosen by their slice, not by name.

use serde_json::{Value, json};

use crate::generate::Rng;
use crate::stories::{Few, Step};

const SERVICE: &str = "svc1";

/// What a story remembers.
struct Plot {
    /// Pods that wait to be called.
    waiting: u32,
    /// Those that were.
    called: u32,
    /// Whether some are not ready.
    unready: bool,
}

/// The steps of a story.
pub(super) fn steps(rng: &mut Rng) -> Vec<Step> {
    // An eighth of them is about as large as Endpoints may be.
    let first = if rng.percent(12) { rng.between(980, 1040) } else { rng.between(90, 260) };
    let mut plot = Plot { waiting: number(rng.between(60, 130)), called: 0, unready: false };
    let ports: [u16; 2] = [8080, rng.pick(&[8080, 8080, 9090])];
    let mut steps = vec![
        crowd("p", number(first), json!({"app": "crowd"}), ports[0]),
        crowd("q", plot.waiting, json!({"app": "later"}), ports[1]),
        service(rng),
    ];
    for _ in 0..rng.between(3, 5) {
        plot.go_on(rng, &mut steps);
    }
    steps
}

impl Plot {
    fn go_on(&mut self, rng: &mut Rng, steps: &mut Vec<Step>) {
        match rng.below(7) {
            0 | 1 => steps.extend(self.call(rng)),
            2 => steps.push(thin(rng)),
            3 | 4 => {
                // What is written anyway takes in what comes.
                let mut both = vec![thin(rng)];
                both.extend(self.call(rng));
                steps.push(Step::Together(both));
            }
            5 if !self.unready => {
                self.unready = true;
                let few = Few { service: SERVICE.to_owned(), rank: 0, count: rng.between(1, 20) };
                steps.push(Step::Unready(few));
            }
            _ => {
                let target = [json!(8080), json!(9090), json!("http")][rng.below(3)].clone();
                let spec = json!({"ports": [{"name": "web", "port": 80, "targetPort": target}]});
                steps.push(Step::Patch("Service".to_owned(), SERVICE.to_owned(), json!({"spec": spec})));
            }
        }
    }

    /// More pods come, if some are waiting.
    fn call(&mut self, rng: &mut Rng) -> Option<Step> {
        let count = number(rng.between(1, 60)).min(self.waiting);
        let from = self.called;
        self.waiting -= count;
        self.called += count;
        let labels = json!({"app": "crowd"});
        (count > 0).then(|| Step::Mark { stem: "q".to_owned(), from, count, labels })
    }
}

fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn crowd(stem: &str, count: u32, labels: Value, port: u16) -> Step {
    Step::Crowd { stem: stem.to_owned(), count, labels, port }
}

/// Pods go, few enough for the smallest of the large slices.
fn thin(rng: &mut Rng) -> Step {
    Step::Thin(Few { service: SERVICE.to_owned(), rank: rng.below(2), count: rng.between(1, 25) })
}

fn service(rng: &mut Rng) -> Step {
    let target = if rng.percent(50) { json!("http") } else { json!(8080) };
    Step::Create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE},
        "spec": {"selector": {"app": "crowd"}, "ports": [{"name": "web", "port": 80, "targetPort": target}]}}))
}
