//! The demo does what it says: exit status 0 only when every step was verified.

use std::time::Duration;

use headroom_e2e::our_binary;

#[tokio::test]
async fn every_step_of_the_demo_holds() {
    let mut command = tokio::process::Command::new(our_binary("demo").unwrap());
    command.kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(240), command.output()).await.expect("it hangs").unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    assert_eq!(out.matches("    ok: ").count(), 6, "{out}");
    let wide: Vec<&str> = out.lines().filter(|l| l.chars().count() > 80).collect();
    assert!(wide.is_empty(), "lines too long: {wide:?}");
}
