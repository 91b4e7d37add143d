//! `configuration.md`: the fields that the decoder knows, as it tells them; the defaults, as `--write-config-to` writes
//! them; and what is refused, as it is refused.

use std::fmt::Write as _;

use anyhow::Context;
use headroom_core::memory::{Params, args};
use headroom_engine::{
    Configuration, Registry,
    config::{API_VERSION, KIND, parse_duration},
};
use serde_json::{Map, Value, json};

use crate::{
    markdown::{Table, code, text},
    root,
};

/// Where the arguments of the memory model are described.
const PARAMS: &str = "common/core/src/memory/params.rs";
/// A name that no field has: who is asked about it tells those that there are.
const NOBODY: &str = "noSuchField";
/// Where the defaults of objects are that are not there by default.
const NOWHERE: &str = "/none";

/// Objects of the configuration: what they are called here, what [`document`] knows them by, and where the defaults of
/// their fields are.
const OBJECTS: [(&str, &str, &str); 8] = [
    ("the file", "", ""),
    ("leaderElection", "leaderElection", "/leaderElection"),
    ("clientConnection", "clientConnection", "/clientConnection"),
    ("profiles[]", "profiles", "/profiles/0"),
    ("profiles[].plugins", "plugins", NOWHERE),
    ("extenders[]", "extenders", NOWHERE),
    ("extenders[].managedResources[]", "managedResources", NOWHERE),
    ("extenders[].tlsConfig", "tlsConfig", NOWHERE),
];

/// What is refused, each with something that must not be there, as one line of YAML.
const REFUSED: [&str; 18] = [
    "paralelism: 4",
    "parallelism: many",
    "parallelism: 0",
    "percentageOfNodesToScore: 101",
    "podInitialBackoffSeconds: 0",
    "podMaxBackoffSeconds: 0",
    "clientConnection: {burst: -1}",
    "leaderElection: {leaseDuration: 15}",
    "leaderElection: {leaseDuration: 5s}",
    "leaderElection: {renewDeadline: 2s}",
    "leaderElection: {resourceLock: endpoints}",
    "profiles: [{}, {}]",
    "profiles: [{schedulerName: a}, {schedulerName: a}]",
    "profiles: [{plugins: {score: {enabled: [{name: NodeName}]}}}]",
    "profiles: [{plugins: {multiPoint: {enabled: [{name: GangScheduling}]}}}]",
    "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {kind: Other}}]}]",
    "profiles: [{pluginConfig: [{name: MemoryHeadroom, args: {phi: 2}}]}]",
    "extenders: [{filterVerb: filter}]",
];

pub(crate) fn page() -> anyhow::Result<String> {
    let registry = Registry::in_tree();
    let defaults = Configuration::default().to_value(&registry);
    let mut out = format!(
        "# Configuration\n\n\
         `headroom-scheduler --config FILE` reads `kind: {KIND}` of `apiVersion: {API_VERSION}`. What the fields do here, \
         and which are accepted and not followed, is in [configuration.md](../configuration.md).\n"
    );
    for (title, object, pointer) in OBJECTS {
        let shown = if object.is_empty() { "The file".to_owned() } else { code(title) };
        let _ = write!(out, "\n## {shown}\n\n{}", fields(object, defaults.pointer(pointer)));
    }
    let _ = write!(
        out,
        "\n## `MemoryHeadroomArgs`\n\n\
         Of the plugin MemoryHeadroom, and of `headroom-controllers --memory-config`. More in \
         [memory.md](../memory.md#arguments).\n\n{}",
        arguments()?
    );
    let _ = write!(
        out,
        "\n## What is refused\n\n\
         The start ends with status 1 and one line (`headroom-scheduler: --config FILE: ` and this):\n\n{}",
        refused(&registry)
    );
    let yaml = Configuration::default().to_yaml(&registry).map_err(anyhow::Error::msg)?;
    let _ = write!(
        out,
        "\n## The defaults\n\nAs `headroom-scheduler --write-config-to FILE` writes them:\n\n```yaml\n{}\n```\n",
        yaml.trim_end()
    );
    Ok(out)
}

/// A document with these fields in the object of this name.
fn document(object: &str, inner: Value) -> Value {
    let fields = match object {
        "" => inner,
        "leaderElection" | "clientConnection" => json!({ object: inner }),
        "plugins" => json!({"profiles": [{"plugins": inner}]}),
        "managedResources" => json!({"extenders": [{"managedResources": [inner]}]}),
        "tlsConfig" => json!({"extenders": [{"tlsConfig": inner}]}),
        list => json!({ list: [inner] }),
    };
    let mut all = fields.as_object().cloned().unwrap_or_default();
    all.insert("apiVersion".to_owned(), API_VERSION.into());
    all.insert("kind".to_owned(), KIND.into());
    Value::Object(all)
}

/// What the decoder says of one field with one value in an object.
fn said(object: &str, field: &str, value: Value) -> Option<String> {
    let inner = Value::Object(Map::from_iter([(field.to_owned(), value)]));
    Configuration::from_value(document(object, inner)).err().map(|error| error.to_string())
}

/// The fields of an object: an unknown one makes the decoder name those that there are.
fn names(object: &str) -> Vec<String> {
    let line = said(object, NOBODY, json!(0)).unwrap_or_default();
    let known = line.split_once("expected").map_or("", |(_, known)| known);
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn fields(object: &str, defaults: Option<&Value>) -> String {
    let mut table = Table::new(&["field", "type", "default"]);
    for name in names(object) {
        let default = defaults.and_then(|all| all.get(&name)).filter(|value| !value.is_object() && !value.is_array());
        let default = default.map(Value::to_string).unwrap_or_default();
        table.row(&[code(&name), kind(object, &name, &default), code(&default)]);
    }
    table.finish()
}

/// The type of a field, as the decoder names it when it gets something else.
fn kind(object: &str, field: &str, default: &str) -> String {
    let expected = |value: Value| {
        let line = said(object, field, value)?;
        let (_, after) = line.split_once("invalid type: ")?;
        Some(after.split_once("expected ")?.1.to_owned())
    };
    // A truth is wrong for everything but a truth.
    let expected = expected(json!(true)).or_else(|| expected(json!("text")));
    // Those that are looked at before the decoder sees them are texts.
    let expected = expected.unwrap_or_else(|| "a string".to_owned());
    if expected.starts_with("a string") && default.len() > 2 && parse_duration(default.trim_matches('"')).is_ok() {
        return "duration".to_owned();
    }
    let words = [
        ("a boolean", "true or false"),
        ("i32", "whole number"),
        ("i64", "whole number"),
        ("f64", "number"),
        ("a sequence", "list"),
        ("struct", "object"),
        ("a string", "text"),
    ];
    let word = words.iter().find(|(start, _)| expected.starts_with(start));
    word.map_or_else(|| text(&expected), |(_, word)| (*word).to_owned())
}

fn refused(registry: &Registry) -> String {
    let mut table = Table::new(&["this", "is answered with"]);
    for line in REFUSED {
        let document = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{line}\n");
        let built = Configuration::from_yaml(&document).and_then(|config| config.build(registry).map(drop));
        table.row(&[code(line), built.err().map(|error| code(&error.to_string())).unwrap_or_default()]);
    }
    table.finish()
}

fn arguments() -> anyhow::Result<String> {
    let source = std::fs::read_to_string(root().join(PARAMS)).with_context(|| PARAMS.to_owned())?;
    let defaults = args::encode(&Params::default());
    let mut table = Table::new(&["argument", "default", "allowed", ""]);
    for name in argument_names() {
        let default = defaults.get(&name).map_or_else(|| "none".to_owned(), |value| size(&name, value));
        table.row(&[code(&name), code(&default), allowed(&name), text(&comment(&source, &snake(&name)))]);
    }
    Ok(table.finish())
}

/// All arguments: those that have a default, and the one that has none.
fn argument_names() -> Vec<String> {
    let with = Params { latency_critical_priority: Some(0), ..Params::default() };
    args::encode(&with).keys().cloned().collect()
}

/// Sizes as people write them.
fn size(name: &str, value: &Value) -> String {
    const MIB: i64 = 1 << 20;
    match value.as_i64() {
        Some(bytes) if name.ends_with("Bytes") && bytes % MIB == 0 => format!("{}Mi", bytes / MIB),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

/// What a value must be, as it is told to who gives one that is not.
fn allowed(name: &str) -> String {
    let told = |value: Value| {
        let error = args::decode(&Map::from_iter([(name.to_owned(), value)])).err()?;
        error.message.split_once("must be ").map(|(_, must)| must.to_owned())
    };
    let expected = || {
        let error = args::decode(&Map::from_iter([(name.to_owned(), json!({}))])).err()?;
        let (_, after) = error.message.split_once("expected ")?;
        Some(after.split_once(", not ").map_or(after, |(expected, _)| expected).to_owned())
    };
    let must = told(json!(-1)).or_else(|| told(json!(0))).or_else(expected).unwrap_or_default();
    let must = must.replace("between ", "").replace(" and ", " to ");
    text(&must.replace(&(1_i64 << 50).to_string(), "1Pi"))
}

/// `floorMinBytes` as `floor_min_bytes`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The comment of a field in the source.
fn comment(source: &str, field: &str) -> String {
    let wanted = format!("pub {field}:");
    let mut said: Vec<&str> = Vec::new();
    for line in source.lines().map(str::trim) {
        match line.strip_prefix("///") {
            Some(more) => said.push(more.trim()),
            None if line.starts_with(&wanted) => {
                // Links of rustdoc are names of arguments here.
                return camel(&said.join(" "));
            }
            None => said.clear(),
        }
    }
    String::new()
}

/// [`Self::fresh_seconds`] as `freshSeconds`.
fn camel(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`Self::") {
        let (name, tail) = after.split_once("`]").unwrap_or((after, ""));
        out.push_str(before);
        out.push('`');
        for (i, word) in name.split('_').enumerate() {
            let mut letters = word.chars();
            match letters.next() {
                Some(first) if i > 0 => out.extend(first.to_uppercase().chain(letters)),
                Some(first) => out.extend(std::iter::once(first).chain(letters)),
                None => {}
            }
        }
        out.push('`');
        rest = tail;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_tells_its_fields() {
        for (title, object, _) in OBJECTS {
            let names = names(object);
            assert!(names.len() > 1 && names.iter().all(|name| !name.is_empty()), "{title}: {names:?}");
        }
        assert!(names("").contains(&"profiles".to_owned()));
        assert!(names("plugins").contains(&"preFilter".to_owned()));
        assert_eq!(kind("", "parallelism", "16"), "whole number");
        assert_eq!(kind("leaderElection", "leaderElect", "true"), "true or false");
        assert_eq!(kind("leaderElection", "leaseDuration", "\"15s\""), "duration");
        assert_eq!(kind("", "profiles", ""), "list");
    }

    #[test]
    fn what_is_refused_is_refused() {
        let table = refused(&Registry::in_tree());
        for line in table.lines().skip(2) {
            assert!(!line.ends_with("| |"), "this is not refused: {line}");
        }
    }

    #[test]
    fn every_argument_has_a_default_a_range_and_a_comment() {
        let table = arguments().unwrap();
        assert_eq!(table.lines().count(), 2 + argument_names().len());
        for line in table.lines().skip(2) {
            let cells: Vec<&str> = line.split(" | ").collect();
            assert!(cells.len() == 4 && cells.iter().all(|cell| cell.len() > 2), "{line}");
        }
        assert!(table.contains("| `floorMinBytes` | `64Mi` | 0 to 1Pi |"), "{table}");
        assert!(table.contains("`enforcement` | `Filter` | Filter or Score |"), "{table}");
        assert!(table.contains("scaled as `freshSeconds`"), "{table}");
    }
}
