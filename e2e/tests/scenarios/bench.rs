//! The bench itself: a short run with the stock scheduler and the bare loop, so that the tool does not rot.

use std::process::Command;

use headroom_e2e::slots;

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bench"))
}

#[tokio::test]
async fn quick_bench_of_stock_and_bare_binds_every_pod_once() {
    let _slot = slots(1).await;
    let dir = tempfile::tempdir().unwrap();
    let output = bench().args(["--quick", "--only", "stock,bare", "--output"]).arg(dir.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    for part in ["20 nodes, 500 pods", "bare ", "stock ", "5 nodes, 100 bound pods, idle"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");

    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.path().join("latest.json")).unwrap()).unwrap();
    for burst in json["bursts"].as_array().unwrap() {
        let run = &burst["runs"][0];
        assert_eq!(run["bound_exactly_once"], true, "{burst}");
        // How fast is for a bench on a machine that does nothing else.
        assert!(run["pods_per_second"].as_f64().unwrap() > 1.0, "{burst}");
        let (rate, with_events) = (&run["pods_per_second"], &run["pods_per_second_with_events"]);
        assert!(with_events.as_f64().unwrap() <= rate.as_f64().unwrap(), "{burst}");
        assert!(run["cpu_micros_per_pod"].as_f64().unwrap() > 1.0, "{burst}");
        assert!(run["peak_rss_bytes"].as_u64().unwrap() > 1 << 20, "{burst}");
        // The stock scheduler writes one event per pod, the bare loop none.
        let events = run["events"].as_u64().unwrap();
        assert_eq!(events, if burst["contestant"] == "stock" { 500 } else { 0 }, "{burst}");
    }
    assert_eq!(json["idle"][0]["contestant"], "stock");
    assert!(json["idle"][0]["runs"][0]["rss_bytes"].as_u64().unwrap() > 20 << 20);
    let page = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
    assert!(page.contains("](bursts.svg)") && dir.path().join("bursts.svg").is_file(), "{page}");
}

#[test]
fn what_is_missing_is_told_before_anything_starts() {
    let output = bench()
        .args(["--quick", "--only", "headroom", "--no-write"])
        .env("HEADROOM_SCHEDULER_BIN", "/nonexistent/headroom-scheduler")
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("/nonexistent/headroom-scheduler") && err.contains("cargo build"), "{err}");
    assert!(!err.contains("control plane ready"), "{err}");

    let elsewhere = tempfile::tempdir().unwrap();
    let output = bench().args(["--only", "bare"]).current_dir(elsewhere.path()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("--no-write"), "{err}");
}
