use clap::{CommandFactory, Parser};

use super::figure::{Figure, medians, percentile};
use super::page::{Entry, merged, page, read, table, write};
use super::*;

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
    assert!(Arguments::try_parse_from(["bench-budgets", "--row", "latency,memory"]).is_ok());
}

#[test]
fn rows_go_by_name_or_family() {
    assert_eq!(Row::find("latency").unwrap(), [Row::Latency]);
    assert_eq!(Row::find("memory").unwrap().len(), 3);
    assert_eq!(Row::find("samples/10").unwrap(), [Row::Samples(10)]);
    assert!(Row::find("nothing").unwrap_err().to_string().contains("--list"));
}

#[test]
fn medians_are_held_against_the_bars() {
    let round = |rss: f64| vec![Figure::at_most("RSS", rss, 10.0, (1, "MiB")), Figure::told("peak", rss, (1, "MiB"))];
    let all = medians(&[round(9.0), round(30.0), round(10.0)]);
    assert_eq!(all.iter().map(|figure| figure.met).collect::<Vec<_>>(), [Some(true), None]);
    assert_eq!(all[0].measured, "10.0 MiB");
    assert!(medians(&[]).is_empty());
}

#[test]
fn percentiles_are_by_nearest_rank() {
    let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
    assert!((percentile(&mut values, 0.5) - 50.0).abs() < f64::EPSILON);
    assert!((percentile(&mut values, 0.99) - 99.0).abs() < f64::EPSILON);
    assert!(percentile(&mut [], 0.5).is_nan());
}

#[test]
fn a_row_stays_until_it_is_measured_again() {
    let dir = tempfile::tempdir().unwrap();
    let entry = |row, rss| Entry::new(row, 1, medians(&[vec![Figure::at_most("RSS", rss, 10.0, (1, "MiB"))]]));
    for (row, rss) in [(Row::Latency, 1.0), (Row::ALL[0], 11.0), (Row::Latency, 2.0)] {
        write(dir.path(), &merged(read(dir.path()).unwrap(), entry(row, rss))).unwrap();
    }
    let entries = read(dir.path()).unwrap();
    assert_eq!(entries.iter().map(Entry::is_met).collect::<Vec<_>>(), [false, true]);
    let text = page(&entries);
    assert!(text.contains("| RSS | ≤ 10.0 MiB | 11.0 MiB | **no** |") && text.contains("2.0 MiB"), "{text}");
    assert!(!text.contains("| 1.0 MiB"), "{text}");
    assert!(table(&entries[0]).lines().all(|line| line.chars().count() <= 80));
    assert!(dir.path().join("budgets.md").is_file());
}
