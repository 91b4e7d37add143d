//! `metrics.md`: from what the processes register.

use std::fmt::Write as _;

use headroom_runtime::metrics::Family;

use crate::markdown::{Table, code, codes, text};

pub(crate) fn page() -> anyhow::Result<String> {
    let scheduler = headroom_scheduler::metric_families()?;
    let controllers = headroom_controllers::app::metric_families()?;
    let (both, scheduler): (Vec<_>, Vec<_>) = scheduler.into_iter().partition(|family| controllers.contains(family));
    let controllers: Vec<_> = controllers.into_iter().filter(|family| !both.contains(family)).collect();
    let mut out = "# Metrics\n\n\
         On `/metrics` of the secure port (`kubernetes_healthcheck` and `kubernetes_healthchecks_total` on \
         `/metrics/slis`), for callers whose bearer token may `get` that path. A family is shown once it has a series. \
         Names without `headroom_` are upstream's, and mean the same.\n"
        .to_owned();
    for (title, families) in
        [("Both processes", both), ("headroom-scheduler", scheduler), ("headroom-controllers", controllers)]
    {
        let _ = write!(out, "\n## {title}\n\n{}", table(&families));
    }
    Ok(out)
}

fn table(families: &[Family]) -> String {
    let mut table = Table::new(&["name", "type", "labels", ""]);
    for family in families {
        table.row(&[
            code(&family.name),
            family.kind.to_owned(),
            codes(family.labels.iter().map(String::as_str)),
            text(&family.help),
        ]);
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_where_they_belong() {
        let page = page().unwrap();
        let (both, rest) = page.split_once("## headroom-scheduler").unwrap();
        let (scheduler, controllers) = rest.split_once("## headroom-controllers").unwrap();
        assert!(both.contains("| `leader_election_master_status` | gauge | `name` |"), "{both}");
        assert!(both.contains("`kubernetes_healthcheck` | gauge | `name`, `type` |"), "{both}");
        assert!(scheduler.contains("| `scheduler_schedule_attempts_total` | counter | `result`, `profile` |"));
        assert!(scheduler.contains("`headroom_foreign_bindings_total`"));
        assert!(controllers.contains("| `workqueue_depth` | gauge | `name` |"));
        assert!(controllers.contains("`endpoint_slice_controller_changes` | counter | `operation` |"));
        assert!(!controllers.contains("process_resident_memory_bytes"));
    }
}
