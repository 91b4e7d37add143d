//! A decision in one line, from its explanation.

use headroom_core::quantity::human_bytes;
use headroom_engine::engine::PodExplanation;

/// Why the pod fits on `node`, in bytes that people read: what it needs, what the node has, how the node scored. Absent
/// when memory had no say.
#[must_use]
pub(crate) fn one_line(explanation: &PodExplanation, node: &str) -> Option<String> {
    let chosen = explanation.nodes.iter().find(|n| n.name == *node)?;
    let (demand, memory) = (explanation.demand.as_ref()?, chosen.memory.as_ref()?);
    let feasible = explanation.nodes.iter().filter(|n| n.feasible).count();
    let score = chosen.scores.iter().find(|s| s.plugin == "MemoryHeadroom");
    let fits = match memory.fits {
        Some("swap") => format!("with {} of swap", human_bytes(memory.accessible_swap_bytes)),
        _ => "fits in RAM".to_owned(),
    };
    let score = score.map_or_else(String::new, |s| format!(", score {}", s.score));
    Some(format!(
        "{} of {} free: {fits}{score}, {feasible}/{} nodes",
        human_bytes(demand.memory_bytes),
        human_bytes(memory.headroom_bytes),
        explanation.nodes.len(),
    ))
}
