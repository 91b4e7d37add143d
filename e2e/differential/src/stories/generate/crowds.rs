//! Stories about Services with more endpoints than fit into a slice.
//!
//! Stock draws lots about which endpoint comes into which slice; how large the slices are follows from what was there
//! before, if all that happens in a step is taken as one change. Therefore pods are chosen by their slice, not by name, and
//! never does a story ask a question whose answer is such a lot:
//!
//! - Pods whose ports differ share slices behind a number and not behind a name, and which of them share one is chance.
//!   Once they are mixed they stay so: slices that are parted by port would be of any size.
//! - Endpoints are cut in proportion to their subsets, rounded up, in the order of a hash of UIDs: those that are cut have
//!   one subset.

use serde_json::{Value, json};

use crate::generate::Rng;
use crate::stories::{Few, Step};

const SERVICE: &str = "svc1";
/// What pods are called by their first port.
const NAME: &str = "http";

/// What a story remembers.
struct Plot {
    /// Pods that wait to be called.
    waiting: u32,
    /// Those that were.
    called: u32,
    /// Whether some are not ready.
    unready: bool,
    /// Whether the two crowds have different ports.
    differ: bool,
    /// The Service's target: 0 is [`NAME`].
    target: Option<usize>,
}

/// The steps of a story.
pub(super) fn steps(rng: &mut Rng) -> Vec<Step> {
    // An eighth of them is about as large as Endpoints may be.
    let large = rng.percent(12);
    let first = if large { rng.between(980, 1040) } else { rng.between(90, 260) };
    let waiting = number(rng.between(60, 130));
    let port = if large { 8080 } else { rng.pick(&[8080, 9090]) };
    let mut plot = Plot { waiting, called: 0, unready: false, differ: port != 8080, target: None };
    let mut steps = vec![
        crowd("p", number(first), json!({"app": "crowd"}), 8080),
        crowd("q", waiting, json!({"app": "later"}), port),
        Step::Create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE},
            "spec": {"selector": {"app": "crowd"}, "ports": plot.ports(rng)}})),
    ];
    for _ in 0..rng.between(3, 5) {
        plot.go_on(rng, &mut steps);
    }
    steps
}

impl Plot {
    fn go_on(&mut self, rng: &mut Rng, steps: &mut Vec<Step>) {
        match rng.below(9) {
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
            6 => {
                // All of them go, and all come back.
                steps.extend(["nobody", "crowd"].map(|app| patch(json!({"selector": {"app": app}}))));
            }
            _ => steps.push(patch(json!({"ports": self.ports(rng)}))),
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

    /// Ports of the Service that it does not have yet.
    fn ports(&mut self, rng: &mut Rng) -> Value {
        let targets = [json!(NAME), json!(8080), json!(9090)];
        let mixed = self.differ && self.target.is_some_and(|target| target > 0);
        let others: Vec<usize> =
            (usize::from(mixed)..targets.len()).filter(|target| self.target != Some(*target)).collect();
        let target = rng.pick(&others);
        self.target = Some(target);
        json!([{"name": "web", "port": 80, "targetPort": targets[target]}])
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

fn patch(spec: Value) -> Step {
    Step::Patch("Service".to_owned(), SERVICE.to_owned(), json!({"spec": spec}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_were_mixed_are_not_parted() {
        let named = |step: &Step| match step {
            Step::Create(service) => Some(service["spec"]["ports"][0]["targetPort"] == NAME),
            Step::Patch(_, _, change) if change["spec"]["ports"].is_array() => {
                Some(change["spec"]["ports"][0]["targetPort"] == NAME)
            }
            _ => None,
        };
        let mut parted = 0;
        for seed in 0..200 {
            let steps = steps(&mut Rng::new(seed));
            let [Step::Crowd { count, port: first, .. }, Step::Crowd { port: second, .. }, ..] = &steps[..] else {
                panic!("{steps:?}");
            };
            let behind: Vec<bool> = steps.iter().filter_map(named).collect();
            let returns = behind.windows(2).any(|two| two == [false, true]);
            assert!(first == second || (*count < 900 && !returns), "seed {seed}: {steps:?}");
            parted += usize::from(first != second && behind[0] && behind.len() > 1);
        }
        assert!(parted > 5, "{parted}");
    }
}
