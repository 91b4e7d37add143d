//! `crds.md`: from the schemas that the chart installs.

use std::fmt::Write as _;

use serde_json::Value;

use crate::markdown::{Table, code, codes, text};

/// How deep a schema is followed.
const MAX_DEPTH: usize = 8;

pub(crate) fn page() -> anyhow::Result<String> {
    let mut out = format!(
        "# Custom resources\n\n\
         Group `{}`, version `{}`. Sizes are bytes, times RFC 3339 in UTC, and what is not known is an absent field, never \
         0. Neither kind has anything to be wished for: the processes write the status, people read it. The version changes \
         by addition only. The chart's YAML is `{}`.\n",
        headroom_api::GROUP,
        headroom_api::VERSION,
        headroom_api::CRDS_FILE
    );
    for crd in headroom_api::crds() {
        let crd = serde_json::to_value(&crd)?;
        let names = &crd["spec"]["names"];
        let version = &crd["spec"]["versions"][0];
        let schema = &version["schema"]["openAPIV3Schema"];
        let strings = |value: &Value| value.as_array().into_iter().flatten().map(shown).collect::<Vec<_>>();
        let _ = write!(
            out,
            "\n## {}\n\n{} {}; `kubectl get {}` (short {}).\n",
            shown(&names["kind"]),
            text(&shown(&schema["description"])),
            if crd["spec"]["scope"] == "Cluster" { "Cluster-scoped" } else { "Namespaced" },
            shown(&names["plural"]),
            codes(strings(&names["shortNames"]).iter().map(String::as_str)),
        );
        let mut columns = Table::new(&["column", "field", ""]);
        for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
            columns.row(&[
                code(&shown(&column["name"]).to_uppercase()),
                code(&shown(&column["jsonPath"])),
                text(&shown(&column["description"])),
            ]);
        }
        let _ = write!(out, "\n{}", columns.finish());
        let mut fields = Table::new(&["field", "type", ""]);
        walk(&mut fields, "status", &schema["properties"]["status"], 0);
        let _ = write!(out, "\n{}", fields.finish());
    }
    Ok(out)
}

/// Text of a string; nothing for anything else.
fn shown(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Rows of the fields below an object.
fn walk(table: &mut Table, path: &str, schema: &Value, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let list = field["type"] == "array";
        let path = format!("{path}.{name}{}", if list { "[]" } else { "" });
        let inner = if list { &field["items"] } else { field };
        table.row(&[code(&path), kind(field), text(&shown(&field["description"]))]);
        walk(table, &path, inner, depth + 1);
    }
}

/// The type, with the values that are allowed.
fn kind(field: &Value) -> String {
    let values: Vec<String> =
        field["enum"].as_array().into_iter().flatten().map(shown).filter(|v| !v.is_empty()).collect();
    if !values.is_empty() {
        return codes(values.iter().map(String::as_str));
    }
    let keys: Vec<String> = field["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().map(shown).collect();
    let format = shown(&field["format"]);
    match (shown(&field["type"]).as_str(), format.as_str()) {
        ("array", _) if !keys.is_empty() => format!("list, by {}", codes(keys.iter().map(String::as_str))),
        ("array", _) => "list".to_owned(),
        ("string", "date-time") => "time".to_owned(),
        ("integer", _) => "whole number".to_owned(),
        (kind, _) => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_columns_of_both_kinds() {
        let page = page().unwrap();
        for expected in [
            "## NodeHeadroom\n",
            "| `status.memory.workingSetBytes` | whole number |",
            "| `status.pods[].swapUsedBytes` | whole number |",
            "| `status.observedAt` | time |",
            "`status.swap.behavior` | `LimitedSwap`, `NoSwap`, `Unlimited`, `Unknown`",
            "| `HEADROOM` | `.status.display.headroom` |",
            "## MemoryProfile\n",
            "`status.containers[].peakBytes`",
        ] {
            assert!(page.contains(expected), "{expected} is missing in\n{page}");
        }
    }
}
