//! The engine that places pods, with the nodes of a question in it. Nothing is executed: a pod that is placed stays
//! assumed, and is taken out again when the question is over.

use std::sync::Arc;

use headroom_core::{
    Now, Str,
    object::{Node, NodeHeadroom, Pod, Volume, VolumeKind},
};
use headroom_engine::{ConfigError, Configuration, DecisionResult, Engine, Input, Mode, NoProbe, Registry};

/// The scheduler that is asked.
#[derive(Debug, Clone)]
pub struct Scheduler {
    /// Its configuration. Its extenders are not asked.
    pub config: Configuration,
    /// Its plugins.
    pub registry: fn() -> Registry,
}

impl Scheduler {
    /// The default configuration with the plugins of the tree.
    #[must_use]
    pub fn standard() -> Self {
        Self { config: Configuration::default(), registry: Registry::in_tree }
    }

    /// The names of its profiles.
    #[must_use]
    pub fn profiles(&self) -> Vec<Str> {
        self.config.profiles.iter().map(|profile| profile.scheduler_name.clone()).collect()
    }
}

/// A cluster in the engine's memory.
#[derive(Debug)]
pub struct World {
    engine: Engine,
    now: Now,
    version: u64,
    decisions: usize,
}

impl World {
    /// A cluster without nodes, that knows `others`: namespaces, selectors, profiles, budgets, storage.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot be used.
    pub fn new(scheduler: &Scheduler, others: &[Input], now: Now) -> Result<Self, ConfigError> {
        let mut config = scheduler.config.clone();
        config.extenders.clear();
        let engine = Engine::new(config, (scheduler.registry)(), 0, Mode::Primary)?;
        // Versions of ours are newer than those that an API server has given.
        let mut this = Self { engine, now, version: u64::MAX / 2, decisions: 0 };
        for input in others {
            this.tell(input.clone());
        }
        this.tell(Input::Tick);
        Ok(this)
    }

    /// The engine, to be read.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, for those who try changes of their own.
    pub const fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Now {
        self.now
    }

    /// How many decisions were made: what a question costs.
    #[must_use]
    pub const fn decisions(&self) -> usize {
        self.decisions
    }

    /// Something is different.
    pub fn tell(&mut self, input: Input) {
        // Nobody executes anything here.
        self.engine.handle(input, self.now, &mut Vec::new());
    }

    const fn newer(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// A node, with its sample.
    pub fn add_node(&mut self, node: &Arc<Node>, sample: Option<&Arc<NodeHeadroom>>) {
        if let Some(sample) = sample {
            self.tell(Input::SampleApplied(sample.clone()));
        }
        self.tell(Input::NodeApplied(node.clone()));
    }

    /// The node goes; what is known of its memory stays, should it come back.
    pub fn remove_node(&mut self, name: &Str) {
        self.tell(Input::NodeDeleted { name: name.clone() });
    }

    /// A pod that is on this node.
    pub fn put(&mut self, pod: &Pod, node: &Str) {
        let mut bound = pod.clone();
        bound.node_name = Some(node.clone());
        bound.meta.resource_version = self.newer();
        self.tell(Input::PodApplied(Arc::new(bound)));
    }

    /// The pod is not there any more.
    pub fn take(&mut self, pod: &Pod) {
        self.tell(Input::PodDeleted { key: pod.meta.key.clone(), uid: pod.meta.uid.clone() });
    }

    /// Where the scheduler puts the pod, which counts there from now on; or what it says when no node will do.
    ///
    /// # Errors
    /// The message of the FailedScheduling event. The pod is not in the world then.
    pub fn place(&mut self, pod: &Pod) -> Result<Str, String> {
        self.decisions += 1;
        let mut pending = anew(pod);
        pending.meta.resource_version = self.newer();
        self.tell(Input::PodApplied(Arc::new(pending)));
        let decision = self.engine.schedule_one(self.now, &mut Vec::new(), &mut NoProbe);
        self.engine.take_reports();
        let why = match decision.map(|decision| decision.result) {
            Some(DecisionResult::Assumed { node, .. }) => return Ok(node),
            Some(DecisionResult::Unschedulable { message, .. } | DecisionResult::Error { message }) => {
                cleaned(&message)
            }
            Some(DecisionResult::Skipped | DecisionResult::Shadow { .. }) => "the scheduler skips it".to_owned(),
            None => "it waits at a scheduling gate".to_owned(),
        };
        self.take(pod);
        Err(why)
    }

    /// The nodes on which the pod would be let, those first that it fills best.
    pub fn feasible(&mut self, pod: &Pod) -> Vec<Str> {
        self.decisions += 1;
        let explained = self.engine.explain(&anew(pod), self.now);
        let mut nodes: Vec<(i64, Str)> = explained
            .nodes
            .iter()
            .filter(|node| node.feasible)
            .map(|node| (node.memory.as_ref().map_or(i64::MAX, |memory| memory.headroom_bytes), node.name.clone()))
            .collect();
        nodes.sort_by(|a, b| (a.0, &*a.1).cmp(&(b.0, &*b.1)));
        nodes.into_iter().map(|(_, name)| name).collect()
    }
}

/// The pod as it is made for another place. The ephemeral volumes that it had go with the one that was there; where the
/// new ones may be is not known, and they are left out.
fn anew(pod: &Pod) -> Pod {
    let mut anew = pod.clone();
    let was_there = anew.node_name.take().is_some();
    let ephemeral = |volume: &Volume| matches!(volume.kind, VolumeKind::Ephemeral);
    if was_there && anew.spec.volumes.iter().any(ephemeral) {
        let spec = Arc::make_mut(&mut anew.spec);
        spec.volumes = spec.volumes.iter().filter(|volume| !ephemeral(volume)).cloned().collect();
    }
    anew
}

/// The message without what it says of preemption: planned pods never preempt.
fn cleaned(message: &str) -> String {
    let whole = message.split(" preemption: ").next().unwrap_or(message).trim_end();
    // PostFilter plugins answer in turn, and the one for dynamic resources comes first.
    whole.strip_suffix(" no new claims to deallocate,").unwrap_or(whole).to_owned()
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::{node, pod};

    use super::*;

    fn world() -> World {
        let mut world = World::new(&Scheduler::standard(), &[], Now::at_secs(1_800_000_000)).unwrap();
        world.add_node(&node("a").capacity("1", "1Gi", 3).arc(), None);
        world
    }

    #[test]
    fn a_placed_pod_counts_until_it_is_taken() {
        let mut world = world();
        let (first, second) = (pod("p").requests("600m", "64Mi").build(), pod("q").requests("600m", "64Mi").build());
        assert_eq!(world.place(&first), Ok("a".into()));
        let why = world.place(&second).unwrap_err();
        assert_eq!(why, "0/1 nodes are available: 1 Insufficient cpu.");
        world.take(&first);
        assert_eq!(world.place(&second), Ok("a".into()));
        world.take(&second);
        world.put(&first, &"a".into());
        assert!(world.place(&second).is_err() && world.feasible(&second).is_empty());
        world.take(&first);
        assert_eq!(world.feasible(&second), ["a"]);
        assert_eq!(world.decisions(), 6);
    }

    #[test]
    fn gates_and_missing_nodes_are_said() {
        let mut world = world();
        assert_eq!(world.place(&pod("g").gate("x").build()).unwrap_err(), "it waits at a scheduling gate");
        world.remove_node(&"a".into());
        assert!(!world.place(&pod("p").build()).unwrap_err().is_empty());
    }
}
