//! Upstream's `Test_isSchedulableAfterNodeChange`.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::plugins::between_pods::labelled;

#[test]
fn after_nodes() {
    let plain = || NodeAffinity::from_args(None).unwrap();
    let adding = |key: &str| {
        let expression = json!({"key": key, "operator": "In", "values": ["bar"]});
        let required = json!({"nodeSelectorTerms": [{"matchExpressions": [expression]}]});
        let args = json!({"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        NodeAffinity::from_args(Some(&args)).unwrap()
    };
    let n = |text: &str| labelled("n", text).arc();
    let grown = |text: &str| labelled("n", text).capacity("64", "64Gi", 110).arc();
    let p = with(pod("p"), Some(vec![by("foo=bar")]), vec![]);
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    type Row = (NodeAffinity, Option<Arc<Node>>, Arc<Node>, Hint);
    let rows: [Row; 10] = [
        (plain(), None, n(""), Hint::Skip),
        (plain(), None, n("foo=bar"), Hint::Queue),
        (plain(), Some(n("")), grown(""), Hint::Skip),
        (plain(), Some(n("")), n("k=v"), Hint::Skip),
        (plain(), Some(n("foo=bar")), n("k=v"), Hint::Skip),
        (plain(), Some(n("")), n("foo=bar"), Hint::Queue),
        (plain(), Some(n("foo=bar")), grown("foo=bar"), Hint::Skip),
        (adding("foo"), None, n(""), Hint::Skip),
        (adding("foo"), None, n("foo=bar"), Hint::Queue),
        // Ours: upstream compares the pod's own affinity alone with what the node was, and leaves the pod waiting.
        (adding("pool"), Some(n("foo=bar")), n("foo=bar,pool=bar"), Hint::Queue),
    ];
    for (i, (plugin, old, new, expected)) in rows.into_iter().enumerate() {
        let change = Change::Node { old, new: Some(new) };
        assert_eq!(plugin.hint(&change, &p, &view), expected, "case {i}");
    }
}
