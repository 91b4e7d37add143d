//! The nodes of a plan for spreadsheets (RFC 4180).

use headroom_planner::report::{NodeRoom, Plan};

const COLUMNS: &str = "node,role,machine,exists,price_per_month,ram_bytes,overhead_bytes,overhead_per_month,\
                       headroom_agent_bytes,pods,requested_memory_bytes,requested_milli_cpu,headroom_bytes,\
                       accessible_swap_bytes,control_plane_bytes,control_plane_per_month";

/// One line per node, with a head.
pub(super) fn csv(plan: &Plan) -> String {
    let mut text = format!("{COLUMNS}\r\n");
    for node in &plan.nodes {
        text.push_str(&line(node));
    }
    text
}

fn line(node: &NodeRoom) -> String {
    fn shown<T: ToString>(value: Option<&T>) -> String {
        value.map(T::to_string).unwrap_or_default()
    }
    let cells = [
        quoted(&node.name),
        node.role.to_owned(),
        quoted(node.machine.as_deref().unwrap_or_default()),
        node.exists.to_string(),
        shown(node.price_per_month.as_ref()),
        node.ram_bytes.to_string(),
        node.overhead_bytes.to_string(),
        shown(node.overhead_per_month.as_ref()),
        node.headroom_agent_bytes.to_string(),
        node.pods.to_string(),
        node.requested_memory_bytes.to_string(),
        node.requested_milli_cpu.to_string(),
        shown(node.headroom_bytes.as_ref()),
        shown(node.accessible_swap_bytes.as_ref()),
        node.control_plane_bytes.to_string(),
        shown(node.control_plane_per_month.as_ref()),
    ];
    cells.join(",") + "\r\n"
}

/// In quotes where it has to be.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
