use futures::channel::oneshot;

use serde_json::{Value, json};

use super::*;
use crate::{
    distribution::requests::MERGE,
    takeover::canary::Kind,
    testkit::{Asked, FakeServer, block_on, refusal},
};

const CONFIG: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";

/// A change of kubeadm's ConfigMap, which was read as version 7.
fn of_config() -> Api {
    let patch = |value: &str| json!({"data": {"ClusterConfiguration": value}});
    Api::Patch {
        path: CONFIG.to_owned(),
        kind: MERGE,
        patch: patch("new"),
        undo: patch("old"),
        read_as: Some("7".to_owned()),
        says: vec!["ConfigMap kube-system/kubeadm-config".to_owned()],
        back: vec!["ConfigMap kube-system/kubeadm-config".to_owned()],
    }
}

/// An API server whose ConfigMap says this, is of version 9, and takes patches of that version alone.
fn server(says: &'static str) -> FakeServer {
    FakeServer::new(move |asked| match asked.method.as_str() {
        "GET" => (200, json!({"metadata": {"resourceVersion": "9"}, "data": {"ClusterConfiguration": says}})),
        "PATCH" if asked.body["metadata"]["resourceVersion"] != "9" => refusal(409, "the object has been modified"),
        _ => (200, json!({})),
    })
}

fn methods(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.method.as_str()).collect()
}

#[test]
fn what_somebody_changed_meanwhile_is_not_overwritten() {
    for (says, expected) in [("theirs", Sent::Changed), ("old", Sent::Changed), ("new", Sent::Made)] {
        let server = server(says);
        let sent = block_on(async { send(&Requests::new(server.client()), &of_config()).await.unwrap() });
        assert_eq!(sent, expected, "{says}");
        let asked = server.asked();
        assert_eq!(methods(&asked), ["PATCH", "GET"]);
        let path = asked[0].path.as_str();
        assert_eq!(
            (path.split('?').next(), &asked[0].body["metadata"]["resourceVersion"]),
            (Some(CONFIG), &json!("7"))
        );
    }
}

#[test]
fn a_change_is_undone_while_it_is_as_it_was_made() {
    for (says, expected, asked) in [
        ("new", None, &["GET", "PATCH"][..]),
        // It never came to be.
        ("old", None, &["GET"][..]),
        ("theirs", Some(CHANGED), &["GET"][..]),
    ] {
        let server = server(says);
        let undone =
            block_on(async { unsend(&Requests::new(server.client()), &of_config().reversed()).await.unwrap() });
        assert_eq!(undone, expected, "{says}");
        let all = server.asked();
        assert_eq!(methods(&all), asked);
        if let [_, patch] = all.as_slice() {
            let expected = json!({"metadata": {"resourceVersion": "9"}, "data": {"ClusterConfiguration": "old"}});
            assert_eq!(patch.body, expected);
        }
    }
    let gone = FakeServer::new(|_| refusal(404, "not found"));
    let undone = block_on(async { unsend(&Requests::new(gone.client()), &of_config().reversed()).await.unwrap() });
    assert_eq!(undone, Some("it is gone"));
}

fn settings() -> Settings {
    Settings {
        namespace: "kube-system".to_owned(),
        run: "1".to_owned(),
        timeout: Duration::from_secs(1),
        quiet: None,
        tries: 1,
        here: None,
    }
}

/// To be called within a runtime.
fn executor<'a>(server: &FakeServer, settings: &'a Settings) -> Executor<'a> {
    let client = server.client();
    Executor {
        requests: Requests::new(client.clone()),
        client,
        settings,
        canaries: Vec::new(),
        left: Vec::new(),
        attempt: 0,
        done: Vec::new(),
        gives_back: false,
    }
}

/// The creation of the record.
fn of_record() -> Api {
    let record = json!({"kind": "ConfigMap", "metadata": {"name": "headroom-takeover"}});
    Api::Create { collection: record::COLLECTION.to_owned(), object: record }
}

#[test]
fn a_conflict_is_one_line_and_what_was_done_before_is_undone() {
    let server = server("theirs");
    let settings = settings();
    let line = block_on(async {
        let mut executor = executor(&server, &settings);
        executor.change(&Change::Api(of_record())).await.unwrap();
        let error = executor.change(&Change::Api(of_config())).await.unwrap_err();
        executor.undo().await;
        format!("{error:#}")
    });
    assert_eq!(line, format!("ConfigMap kube-system/kubeadm-config: {CHANGED}; run this again, which reads it again"));
    let asked = server.asked();
    assert_eq!(methods(&asked), ["POST", "PATCH", "GET", "DELETE"]);
    assert_eq!(asked[3].path, record::PATH);
}

#[test]
fn two_of_a_kind_are_never_the_way_back() {
    let api = Api::Create { collection: "/c".to_owned(), object: json!({"kind": "ConfigMap"}) };
    let work = HostWork { on: Vec::new(), edits: Vec::new(), command: Vec::new() };
    let asked = Change::Operator { does: vec!["stop".to_owned()], undoes: vec!["start".to_owned()] };
    for (done, undone, gives_back, blocks) in [
        (Done::Made(api.clone()), true, true, false),
        (Done::Made(api.clone()), false, false, true),
        (Done::Here(work.clone()), true, true, false),
        (Done::Here(work), false, true, true),
        // Ours ends whatever becomes of stock.
        (Done::Asked(asked.clone()), false, false, false),
        // Ours would start before anybody can have stopped stock.
        (Done::Asked(asked.clone()), false, true, true),
    ] {
        assert_eq!(done.blocks(undone, gives_back), blocks, "{done:?}");
    }
    let patch = |path: &str| {
        let (path, patch) = (path.to_owned(), Value::Null);
        let undo = patch.clone();
        Api::Patch { path, kind: MERGE, patch, undo, read_as: None, says: Vec::new(), back: Vec::new() }
    };
    assert!(!Done::Made(api.clone()).moves() && Done::Asked(asked.clone()).moves(), "a record starts nothing");
    assert!(!Done::Made(patch(record::PATH)).moves() && Done::Made(patch("/apis/apps/v1/x")).moves());
    assert_eq!(Done::Asked(asked).back().lines(), ["start"]);
    assert_eq!(Done::Made(api.clone()).back(), Change::Api(api.reversed()));
}

#[test]
fn whoever_insists_on_an_end_is_told_what_is_left() {
    let canary = || Canary::new(Kind::Endpoints, "default", "1", 0);
    // Before the first canary is gone, and before the first change is undone.
    for canaries in [vec![canary()], Vec::new()] {
        let (asked, first) = oneshot::channel::<()>();
        let mut asked = Some(asked);
        let server = FakeServer::new(move |_| {
            if let Some(asked) = asked.take() {
                let _ = asked.send(());
            }
            refusal(500, "not today")
        });
        let settings = settings();
        let (ended, rest) = block_on(async {
            let mut executor = executor(&server, &settings);
            executor.canaries = canaries.clone();
            executor.done = vec![Done::Made(of_record()), Done::Made(of_config())];
            let insisted = async {
                first.await.unwrap();
                "SIGINT"
            };
            let ended = executor.put_right(Some(&anyhow::anyhow!("a step failed")), insisted).await;
            (ended, executor.rest(true))
        });
        assert_eq!(ended, Err("SIGINT"));
        let head = "  for you to undo, in this order, as far as it was done:";
        let mut expected: Vec<String> = canaries.iter().map(not_removed).collect();
        let changes =
            [head, "    ConfigMap kube-system/kubeadm-config", head, "    delete ConfigMap headroom-takeover"];
        expected.extend(changes.map(str::to_owned));
        assert_eq!(rest, expected);
    }
}

#[test]
fn what_was_wanted_is_nothing_to_undo() {
    let server = FakeServer::new(|_| (404, json!({})));
    let settings = settings();
    block_on(async {
        let mut executor = executor(&server, &settings);
        executor.done = vec![Done::Made(of_record())];
        assert_eq!(executor.put_right(None, async { "SIGINT" }).await, Ok(()), "done before anybody can insist");
        assert!(executor.rest(false).is_empty() && executor.rest(true).len() == 2);
    });
}

#[test]
fn a_canary_that_stays_is_tried_once_more_and_told() {
    let canary = Canary::new(Kind::Endpoints, "default", "1", 0);
    // So many deletions are refused: those of its Service and its Endpoints, once or for good.
    for (refusals, stays) in [(2, false), (100, true)] {
        let mut refused = 0;
        let server = FakeServer::new(move |asked| {
            if asked.method == "DELETE" && refused < refusals {
                refused += 1;
                return refusal(500, "not today");
            }
            (200, json!({"metadata": {}}))
        });
        let settings = settings();
        block_on(async {
            let mut executor = executor(&server, &settings);
            executor.canaries = vec![canary.clone()];
            executor.clean().await;
            assert!(executor.canaries.is_empty(), "nobody asks it any more");
            assert_eq!(executor.left.as_slice(), std::slice::from_ref(&canary));
            assert_eq!(executor.rest(false), [not_removed(&canary)]);
            assert_eq!(executor.put_right(None, std::future::pending()).await, Ok(()));
            assert_eq!(executor.left.is_empty(), !stays);
            assert_eq!(outcome(Ok(()), Ok(()), &executor.left).is_err(), stays);
        });
        let deletions = server.asked().iter().filter(|asked| asked.method == "DELETE").count();
        assert_eq!(deletions, 4, "twice each");
    }
    let said = |result, ended| outcome(result, ended, std::slice::from_ref(&canary)).unwrap_err().to_string();
    assert_eq!(said(Ok(()), Ok(())), "every step is done, and canaries are left");
    assert!(said(Ok(()), Err("SIGINT")).starts_with("stopped by SIGINT"));
    assert_eq!(said(Err(anyhow::anyhow!("a step failed")), Ok(())), "a step failed", "that counts for more");
}
