//! The core crates know neither tokio nor a Kubernetes client: their dependency lists say so (DESIGN.md 3).
#![allow(clippy::unwrap_used, reason = "test code")]

use std::process::Command;

/// Everything that the crate needs to build, as cargo resolves it.
fn dependencies(package: &str) -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let workspace = format!("{}/..", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let output = Command::new(cargo)
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--package", package])
        .current_dir(workspace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|l| l.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_cores_do_no_input_or_output() {
    for package in ["headroom-core", "headroom-engine"] {
        let found = dependencies(package);
        assert!(found.iter().any(|d| d == package), "cargo tree printed nothing of use: {found:?}");
        let forbidden: Vec<_> = found
            .iter()
            .filter(|d| {
                d.starts_with("kube")
                    || d.starts_with("tokio")
                    || ["k8s-openapi", "hyper", "reqwest", "async-std"].contains(&d.as_str())
            })
            .collect();
        assert!(forbidden.is_empty(), "{package} depends on {forbidden:?}");
    }
}

#[test]
fn the_check_can_fail() {
    assert!(dependencies("headroom-runtime").iter().any(|d| d == "tokio"));
}
