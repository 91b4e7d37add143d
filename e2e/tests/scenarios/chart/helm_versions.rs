//! The chart is run with the Helm that the harness builds (4.2). What can be said of older ones without them is looked up
//! here: that the templates call nothing, and the schema of the values says nothing, that Helm 3.14 does not know.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::CHART;
use serde_json::Value;

/// Functions and words of templates in Helm 3.14: of Go's text/template, of sprig 3.2.3, and Helm's own (`include`, the
/// conversions from and to YAML). One that is not here needs a look at when it came: `toYamlPretty`, for example, is newer.
const KNOWN: &str = "add and append concat contains deepCopy default define dict else end eq fail false first fromYaml \
                     fromYamlArray get gt has if include index int join list merge ne nindent not omit or printf quote \
                     range replace set sha256sum splitList ternary toString toYaml trimSuffix trunc with without";

/// Keywords that came with JSON Schema 2019-09 and 2020-12. Helm 3.14 reads draft 7 and passes over what it does not know: a
/// rule with one of these would refuse nothing there.
const NEWER: [&str; 12] = [
    "$anchor",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveRef",
    "dependentRequired",
    "dependentSchemas",
    "maxContains",
    "minContains",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
];

fn below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { below(&path, found) } else { found.push(path) }
    }
}

/// The words in the actions (`{{ … }}`) of a template that name neither a field nor a variable, without texts and comments.
fn words(template: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = template;
    while let Some((_, after)) = rest.split_once("{{") {
        rest = after;
        let inner = rest.trim_start_matches(['-', ' ']);
        if inner.starts_with("/*") {
            rest = inner.split_once("*/").map_or("", |(_, behind)| behind);
            continue;
        }
        let (mut word, mut before) = (String::new(), ' ');
        while let Some(c) = rest.chars().next() {
            if c.is_ascii_alphanumeric() || c == '_' {
                word.push(c);
            } else {
                // What follows a dot or a `$` is a field or a variable; numbers begin with a digit.
                if word.starts_with(|c: char| c.is_ascii_alphabetic()) && !matches!(before, '.' | '$') {
                    found.insert(word.clone());
                }
                word.clear();
                before = c;
            }
            if rest.starts_with("}}") {
                break;
            }
            rest = &rest[c.len_utf8()..];
            if matches!(c, '"' | '`') {
                rest = behind(rest, c);
            }
        }
    }
    found
}

/// What stands behind the end of a text.
fn behind(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return &text[i + 1..],
            _ => {}
        }
    }
    ""
}

#[test]
fn templates_call_what_helm_3_14_knows() {
    let mut paths = Vec::new();
    below(&Path::new(CHART).join("templates"), &mut paths);
    assert!(paths.len() > 15, "{paths:?}");
    let mut used = BTreeSet::new();
    for path in paths {
        let words = words(&std::fs::read_to_string(&path).unwrap());
        let known = |word: &String| KNOWN.split(' ').any(|known| known == word);
        let unknown: Vec<&String> = words.iter().filter(|word| !known(word)).collect();
        assert!(unknown.is_empty(), "{}: is {unknown:?} in Helm 3.14? If so, it belongs into KNOWN", path.display());
        used.extend(words);
    }
    assert!(used.len() > 30, "{used:?}");
}

#[test]
fn the_schema_of_the_values_is_of_draft_7() {
    fn keywords(value: &Value, names: bool, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    // In these, names are those of values.
                    let inside = !names && matches!(name.as_str(), "properties" | "patternProperties" | "definitions");
                    if !names {
                        found.insert(name.clone());
                    }
                    keywords(value, inside, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| keywords(item, false, found)),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(Path::new(CHART).join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let mut found = BTreeSet::new();
    keywords(&schema, false, &mut found);
    let newer: Vec<&str> = NEWER.into_iter().filter(|name| found.contains(*name)).collect();
    assert!(newer.is_empty() && found.len() > 20, "{newer:?} of {found:?}");
}

#[test]
fn words_of_templates_are_found() {
    let template = "a: {{- include \"x y\" $ | nindent 4 }}\n{{/* no word */}}{{- range $k, $v := .Values.fields }}{{ $v.name }}\
                    {{ `{{ $value | humanize }}` }}{{ end -}} {{ printf \"\\\"%s\" (dict \"a\" .b) }} 7 of it";
    let expected = ["dict", "end", "include", "nindent", "printf", "range"].map(str::to_owned);
    assert_eq!(words(template), BTreeSet::from(expected));
}
