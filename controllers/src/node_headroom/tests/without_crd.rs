//! Objects that cannot be made.

use super::*;

#[test]
fn without_the_crd_it_asks_once_a_minute() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.start();
    let mut creates = 0;
    for _ in 0..20 {
        rig.good(600);
        for (id, op) in rig.take() {
            assert!(matches!(op, Op::Create { .. }));
            creates += 1;
            rig.answer(id, Err(WriteError::NotFound("no such resource".into())));
        }
    }
    assert!((4..=6).contains(&creates), "{creates} in 300 s");
}

/// Answers what kubelets are asked now.
fn answer_all(rig: &mut Collector) {
    for (id, name, path) in rig.commands() {
        let sample = Scraped::Summary(Box::new(summary(rig.seconds(), 600)));
        let result = if path == Path::Configz { Err(ScrapeError::NoAddress) } else { Ok(sample) };
        rig.result(id, &name, path, result);
    }
}

/// Many nodes whose objects cannot be made, for this reason, until they can.
fn one_node_tries_for_all(reason: &WriteError) {
    let mut rig = rig();
    for i in 0..20 {
        rig.node(small(&format!("n{i}")).arc());
    }
    rig.start();
    let mut tries = Vec::new();
    for _ in 0..300 {
        rig.advance(SECOND);
        answer_all(&mut rig);
        for (id, op) in rig.take() {
            assert!(matches!(op, Op::Create { .. }), "{op:?}");
            tries.push(rig.seconds());
            rig.answer(id, Err(reason.clone()));
        }
    }
    // Those that were on their way at first, then one a minute.
    let late = tries.iter().filter(|second| **second > 30).count();
    assert!((4..=5).contains(&late), "{reason}: {tries:?}");
    // It is there now.
    let (mut made, mut rv) = (0, 1);
    for _ in 0..90 {
        rig.advance(SECOND);
        answer_all(&mut rig);
        for (id, op) in rig.take() {
            made += u32::from(matches!(op, Op::Create { .. }));
            rv += 1;
            rig.ok(id, "nh", rv);
        }
    }
    assert_eq!(made, 20, "{reason}");
}

#[test]
fn without_the_crd_one_node_tries_for_all() {
    one_node_tries_for_all(&WriteError::NotFound("no such resource".into()));
}

#[test]
fn while_the_crd_goes_one_node_tries_for_all() {
    let name = "nodeheadrooms.headroom.dev \"n1\"";
    let text = format!("{name} is forbidden: create not allowed while custom resource definition is terminating");
    one_node_tries_for_all(&WriteError::Forbidden(text));
    let message = "create is not supported on resources of kind \"nodeheadrooms.headroom.dev\"".into();
    one_node_tries_for_all(&WriteError::Other { code: 405, message });
}
