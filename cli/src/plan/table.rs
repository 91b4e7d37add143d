//! The plan as tables for people.

use std::fmt::Write as _;

use headroom_core::quantity::human_bytes;
use headroom_planner::{
    Price,
    report::{Cheapest, Loss, NoSet, NodeRoom, Plan, Waiting, WorkloadRoom},
    today::MAX_MORE,
};

use super::ask::count;
use crate::{
    explain::table::paragraph,
    top::table::{Table, UNKNOWN, bytes},
};

/// Most pods that are named in one place; `wide` names all.
const MAX_NAMED: usize = 5;

/// The plan for people; `wide` adds columns, and names every pod.
pub(super) fn table(plan: &Plan, wide: bool) -> String {
    let mut text = String::new();
    paragraph(&mut text, "", &plan.summary);
    if let Some(catalogue) = &plan.catalogue {
        paragraph(&mut text, "", &format!("prices: {} as of {}", catalogue.name, catalogue.date));
    }
    if let Some(cheapest) = &plan.cheapest {
        arithmetic(&mut text, plan, cheapest);
    }
    nodes(&mut text, plan, wide);
    if !plan.workloads.is_empty() {
        workloads(&mut text, &plan.workloads);
    }
    if !plan.losses.is_empty() {
        losses(&mut text, &plan.losses, wide);
    }
    if plan.cheapest.is_none() && !plan.placements.is_empty() {
        placements(&mut text, plan, wide);
    }
    let (as_now, pending): (Vec<Waiting>, Vec<Waiting>) = plan.pending.iter().cloned().partition(|pod| pod.waits_now);
    for (what, pods) in [("Without a place", pending), ("Without a place, as they are now", as_now)] {
        if !pods.is_empty() {
            let _ = writeln!(text, "\n{what}:");
            waiting(&mut text, &pods, wide);
        }
    }
    if let Some(cheapest) = &plan.cheapest {
        moves(&mut text, plan, cheapest, wide);
    }
    if let Some(none) = &plan.no_set {
        no_set(&mut text, plan, none, wide);
    }
    if !plan.assumptions.is_empty() {
        text.push_str("\nTaken for granted:\n");
    }
    for assumption in &plan.assumptions {
        paragraph(&mut text, "  - ", assumption);
    }
    text
}

/// A price with the catalogue's currency.
fn money(plan: &Plan, price: Price) -> String {
    let currency = plan.catalogue.as_ref().map_or("", |catalogue| catalogue.currency.as_str());
    match price.to_string().strip_prefix('-') {
        Some(amount) => format!("-{currency}{amount}"),
        None => format!("{currency}{price}"),
    }
}

fn price(plan: &Plan, price: Option<Price>) -> String {
    price.map_or_else(|| UNKNOWN.to_owned(), |price| money(plan, price))
}

/// A table of these lines, after an empty one.
fn lines(text: &mut String, columns: &[&'static str], lines: &[Vec<String>]) {
    let mut table = Table::new(columns);
    table.fit(lines.iter());
    text.push('\n');
    text.push_str(&table.head());
    for line in lines {
        text.push_str(&table.line(line));
    }
}

fn nodes(text: &mut String, plan: &Plan, wide: bool) {
    let cells = |node: &NodeRoom| {
        let guess = |known: bool| if known { "" } else { "~" };
        let mut cells = vec![
            node.name.clone(),
            node.machine.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            price(plan, node.price_per_month),
            human_bytes(node.ram_bytes),
            format!("{}{}", guess(node.overhead_measured), human_bytes(node.overhead_bytes)),
            price(plan, node.overhead_per_month),
            bytes(node.headroom_bytes),
            node.pods.to_string(),
        ];
        if wide {
            cells.extend([
                node.role.to_owned(),
                bytes(node.accessible_swap_bytes),
                human_bytes(node.requested_memory_bytes),
                format!("{}m/{}m", node.requested_milli_cpu, node.allocatable_milli_cpu),
                human_bytes(node.headroom_agent_bytes),
                price(plan, node.headroom_agent_per_month),
                human_bytes(node.control_plane_bytes),
                price(plan, node.control_plane_per_month),
            ]);
        }
        cells
    };
    let all: Vec<Vec<String>> = plan.nodes.iter().map(cells).collect();
    let mut columns = vec!["NODE", "MACHINE", "A MONTH", "RAM", "SYSTEM", "COSTS", "LEFT", "PODS"];
    if wide {
        columns.extend(["ROLE", "SWAP LEFT", "REQUESTED", "CPU", "HEADROOM", "COSTS", "CONTROL PLANE", "COSTS"]);
    }
    lines(text, &columns, &all);
}

fn workloads(text: &mut String, all: &[WorkloadRoom]) {
    let cells = |room: &WorkloadRoom| {
        let more = if room.reason.is_none() && room.more >= MAX_MORE { "+" } else { "" };
        vec![
            format!("{}/{}", room.namespace, room.name),
            room.kind.clone(),
            room.replicas.to_string(),
            format!("{}{more}", room.more),
        ]
    };
    let mut shown: Vec<&WorkloadRoom> = all.iter().collect();
    shown.sort_by_key(|room| room.more);
    let all: Vec<Vec<String>> = shown.iter().map(|room| cells(room)).collect();
    lines(text, &["WORKLOAD", "KIND", "PODS", "MORE FIT"], &all);
    // Of those that cannot grow at all, why.
    for room in shown.iter().filter(|room| room.more == 0) {
        if let Some(reason) = &room.reason {
            paragraph(text, "  ", &format!("{}/{}: {reason}", room.namespace, room.name));
        }
    }
}

/// Names of pods, as many as are named.
fn named(pods: &[Waiting], wide: bool) -> String {
    let most = if wide { pods.len() } else { MAX_NAMED };
    let names = pods.iter().take(most).map(|pod| format!("{}/{}", pod.namespace, pod.name));
    let mut names = names.collect::<Vec<_>>().join(", ");
    if pods.len() > most {
        let _ = write!(names, " and {} more", pods.len() - most);
    }
    names
}

fn losses(text: &mut String, all: &[Loss], wide: bool) {
    text.push_str("\nIf one node is lost:\n");
    let harmless: Vec<&str> = all.iter().filter(|l| l.pending.is_empty()).map(|l| l.node.as_str()).collect();
    for loss in all.iter().filter(|loss| !loss.pending.is_empty()) {
        let waits = count(loss.pending.len(), "pod");
        let line = format!("{waits} of {} without a place: {}", loss.pods, named(&loss.pending, wide));
        paragraph(text, &format!("  {}: ", loss.node), &line);
    }
    if !harmless.is_empty() {
        let what = if harmless.len() == all.len() { "any of them: " } else { "" };
        paragraph(text, "  ", &format!("{what}{}: every pod finds another place", harmless.join(", ")));
    }
    let servers: Vec<&str> = all.iter().filter(|loss| loss.control_plane).map(|loss| loss.node.as_str()).collect();
    if let [one] = servers.as_slice() {
        paragraph(text, "  ", &format!("{one} runs the control plane: nothing new is placed before it is back"));
    }
}

fn placements(text: &mut String, plan: &Plan, wide: bool) {
    let most = if wide { plan.placements.len() } else { 4 * MAX_NAMED };
    let cells = plan.placements.iter().take(most).map(|placement| {
        vec![
            format!("{}/{}", placement.namespace, placement.name),
            placement.from.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            placement.to.clone(),
        ]
    });
    let all: Vec<Vec<String>> = cells.collect();
    lines(text, &["POD", "FROM", "TO"], &all);
    if plan.placements.len() > most {
        let _ = writeln!(text, "and {} more: -o wide", plan.placements.len() - most);
    }
}

fn waiting(text: &mut String, pods: &[Waiting], wide: bool) {
    let most = if wide { pods.len() } else { MAX_NAMED };
    for pod in pods.iter().take(most) {
        paragraph(text, "  ", &format!("{}/{}: {}", pod.namespace, pod.name, pod.reason));
        for fix in &pod.fixes {
            paragraph(text, "    - ", fix);
        }
    }
    if pods.len() > most {
        let _ = writeln!(text, "  and {} more: -o wide", pods.len() - most);
    }
}

/// What the machines cost, and how far from the best that can be.
fn arithmetic(text: &mut String, plan: &Plan, cheapest: &Cheapest) {
    let cells = cheapest.machines.iter().map(|machines| {
        let count = i64::try_from(machines.count).unwrap_or(i64::MAX);
        let all = machines.price_per_month.map(|price| Price(price.0.saturating_mul(count)));
        vec![
            machines.count.to_string(),
            machines.machine.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            machines.role.to_owned(),
            if machines.swap_bytes > 0 { human_bytes(machines.swap_bytes) } else { UNKNOWN.to_owned() },
            machines.exist.to_string(),
            price(plan, machines.price_per_month),
            price(plan, all),
        ]
    });
    let mut all: Vec<Vec<String>> = cells.collect();
    let total = |words: &str, amount: Price| {
        let mut cells = vec![String::new(); 6];
        words.clone_into(&mut cells[1]);
        cells.push(money(plan, amount));
        cells
    };
    all.push(total("together", cheapest.price_per_month));
    if cheapest.today_is_known() {
        all.push(total("today", cheapest.today_per_month));
        all.push(total("difference", Price(cheapest.price_per_month.0 - cheapest.today_per_month.0)));
    }
    lines(text, &["COUNT", "MACHINE", "ROLE", "SWAP", "THERE", "EACH", "A MONTH"], &all);
    let bound = money(plan, cheapest.lower_bound_per_month);
    let line = if cheapest.optimal {
        format!("No set of these machines costs less: {bound} is a lower bound.")
    } else {
        format!("No set of these machines costs less than {bound}; between that and this answer nothing is proven.")
    };
    text.push('\n');
    paragraph(text, "", &line);
    if cheapest.steered {
        let line = "The scheduler's own choices do not lead there: place the pods with node selectors or affinity.";
        paragraph(text, "", line);
    }
    if cheapest.unpriced_nodes > 0 {
        let nodes = count(cheapest.unpriced_nodes, "node");
        paragraph(text, "", &format!("{nodes} of today have no known price and count nothing."));
    }
}

fn moves(text: &mut String, plan: &Plan, cheapest: &Cheapest, wide: bool) {
    text.push_str("\nThe way there:\n");
    if cheapest.moves.is_empty() {
        text.push_str("  nothing to do: these are the machines of today\n");
    }
    for (i, step) in cheapest.moves.iter().enumerate() {
        let felt = if step.interrupts { " [interrupts]" } else { "" };
        let after = money(plan, step.price_per_month_after);
        paragraph(
            text,
            &format!("{:3}. ", i + 1),
            &format!("{}: {}{felt}; then {after} a month", step.node, step.text),
        );
        let felt = |pod: &&headroom_planner::moves::PodMove| wide || pod.interrupts.is_some();
        for pod in step.pods.iter().filter(felt) {
            let why = pod.interrupts.map(|why| format!(" ({why})")).unwrap_or_default();
            paragraph(text, "     - ", &format!("{}/{} to {}{why}", pod.namespace, pod.name, pod.to));
        }
    }
    immovable(text, &cheapest.immovable, wide);
}

/// What is known where no set was found.
fn no_set(text: &mut String, plan: &Plan, none: &NoSet, wide: bool) {
    if let Some(bound) = none.lower_bound_per_month {
        let bound = money(plan, bound);
        text.push('\n');
        paragraph(text, "", &format!("No set of these machines that costs less than {bound} would do."));
    }
    immovable(text, &none.immovable, wide);
}

fn immovable(text: &mut String, pods: &[Waiting], wide: bool) {
    if !pods.is_empty() {
        text.push_str("\nCannot leave their node, which stays therefore:\n");
        waiting(text, pods, wide);
    }
}
