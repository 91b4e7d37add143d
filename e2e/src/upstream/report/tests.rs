use std::time::Duration;

use super::*;

fn spec(group: &str, title: &str) -> Spec {
    Spec {
        text: format!("[sig-x] {group} {title} [Conformance]"),
        group: group.to_owned(),
        title: title.to_owned(),
        conformance: true,
    }
}

fn report(lines: &[(&str, &str, Outcome, Outcome)]) -> Report {
    let plan = Plan {
        sides: Side::ALL.to_vec(),
        filter: Vec::new(),
        all: false,
        spec_timeout: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        keep: false,
        command: "make e2e-upstream".to_owned(),
    };
    let mut report = Report::new(&plan);
    for side in Side::ALL {
        let run = |line: &(&str, &str, Outcome, Outcome)| {
            let outcome = if side == Side::Stock { line.2.clone() } else { line.3.clone() };
            (spec(line.0, line.1), Run { outcome, seconds: 1.5 })
        };
        report.add(side, lines.iter().map(run).collect());
    }
    report
}

fn fail(reason: &str) -> Outcome {
    Outcome::Fail(reason.to_owned())
}

fn example() -> Report {
    let curl = Outcome::NotRun("needs a container".to_owned());
    report(&[
        ("Predicates", "one", Outcome::Pass, Outcome::Pass),
        ("Rc", "two", Outcome::Pass, fail("waited | in <vain>")),
        ("Predicates", "three", fail("same"), fail("same")),
        ("Predicates", "four", fail("stock only"), Outcome::Pass),
        ("Rc", "five", curl.clone(), curl),
        ("Rc", "six", Outcome::Pass, Outcome::Skip("no".to_owned())),
    ])
}

#[test]
fn what_stock_passes_and_ours_does_not_is_a_difference() {
    let report = example();
    let titles: Vec<&str> = report.differences().map(|line| line.spec.title.as_str()).collect();
    assert_eq!(titles, ["two", "six"]);
    assert_eq!(report.summary(), "stock passes 3 of 5, headroom passes 2 of 5; 1 not run");
}

#[test]
fn the_table_groups_specs_and_gives_reasons_once() {
    let expected = "
Predicates
  stock  ours
  pass   pass  one
  FAIL   FAIL  three
         stock: same
  FAIL   pass  four
         stock: stock only

Rc
  stock  ours
  pass   FAIL  two
         ours: waited | in <vain>
  pass   skip  six
         ours: no

Not run
  Rc: five
         needs a container

stock passes 3 of 5, headroom passes 2 of 5; 1 not run
2 pass with the stock components and not with ours
";
    assert_eq!(table(&example()), expected);
}

#[test]
fn the_page_and_the_json_are_written_and_hold_everything() {
    let dir = tempfile::tempdir().unwrap();
    write(&example(), dir.path()).unwrap();
    let page = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
    for part in [
        "- Command: `make e2e-upstream`",
        "**Pass with the stock components and not with ours:**\n\n- Rc: two\n- Rc: six\n",
        "| two (conformance) | pass | FAIL: waited \\| in &lt;vain> |",
        "## Not run\n\n| spec | why |\n|---|---|\n| Rc: five | needs a container |",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("latest.json")).unwrap()).unwrap();
    assert_eq!(json["specs"][1]["headroom"]["outcome"], "fail");
    assert_eq!(json["specs"][1]["headroom"]["reason"], "waited | in <vain>");
    assert_eq!(json["specs"][0]["stock"]["outcome"], "pass");
    assert_eq!(json["specs"][0]["stock"]["seconds"], 1.5);
}

#[test]
fn one_side_alone_has_no_differences() {
    let mut report = example();
    for line in &mut report.specs {
        line.stock = None;
    }
    assert_eq!(report.differences().count(), 0);
}
