//! Carrying out what is suggested: patches of workloads, and resizes of pods that run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    report::{Container, Report, Workload, declared, pod_spec},
    suggest::Sizes,
    workload,
};
use crate::{
    doctor::text::cut,
    reach::why,
    trace::{
        api,
        json::{condition, list, text, uid},
    },
};

/// How long kubelets are given to say what they make of a resize.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Who writes, as managedFields name it.
const MANAGER: &str = "kubectl-headroom";

/// What was done, or could not be: lines for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Done(String),
    Failed(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Done(line) | Self::Failed(line)) = self;
        f.write_str(line)
    }
}

/// All of it, in order.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) lines: Vec<Line>,
    /// The workloads whose templates have the new sizes now.
    pub(super) patched: BTreeSet<String>,
}

impl Done {
    fn say(&mut self, line: String) {
        self.lines.push(Line::Done(line));
    }

    fn fail(&mut self, line: String) {
        self.lines.push(Line::Failed(line));
    }

    /// Whether something could not be done.
    pub(super) fn failed(&self) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Failed(_)))
    }
}

/// Sends a strategic merge patch.
async fn patch(client: &Client, path: &str, body: &Value) -> Result<Value, kube::Error> {
    let request = http::Request::patch(format!("{path}?fieldManager={MANAGER}"))
        .header(http::header::CONTENT_TYPE, "application/strategic-merge-patch+json")
        .body(body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}

/// Why a write was refused, in one line.
fn refused(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 409 => {
            "it was changed by somebody else meanwhile: run this again".to_owned()
        }
        kube::Error::Api(status) => cut(&status.message),
        error => why(error),
    }
}

/// What a workload is called in what is said, and tells it from all others.
fn named(workload: &Workload) -> String {
    format!("{} in {}", workload.short(), workload.namespace)
}

/// Patches every workload that has a patch.
pub(super) async fn workloads(client: &Client, report: &Report) -> Done {
    let mut done = Done::default();
    for workload in &report.workloads {
        let (Some(patch_of), Some(listed)) = (&workload.patch, workload::known(&workload.kind)) else { continue };
        let named = named(workload);
        let path = format!("{}/{}", listed.path(Some(&workload.namespace)), workload.name);
        let mut body = patch_of.clone();
        // Whoever wrote in between is not overwritten.
        body["metadata"] = json!({"resourceVersion": workload.resource_version});
        match patch(client, &path, &body).await {
            Ok(_) => {
                done.say(format!("{named}: patched, which {}", workload.effect));
                if let Some(undo) = &workload.undo {
                    done.say(format!("# to take it back:\n{}", workload.command(undo)));
                }
                done.patched.insert(named);
            }
            Err(error) => done.fail(format!("{named}: not patched: {}", refused(&error))),
        }
    }
    done
}

/// A pod that was told its new sizes.
struct Told<'a> {
    workload: &'a Workload,
    name: String,
    /// Memory that is requested for its containers from now on, bytes by container.
    wanted: BTreeMap<String, i64>,
}

/// What became of a wish for other sizes.
enum Resize<'a> {
    /// The API server has them.
    Told(Told<'a>),
    /// The pod had them already.
    Same,
    /// It may not have them.
    Refused,
}

/// Resizes the pods of all workloads that are to be changed. Where the workloads were `patched`, only pods that this
/// leaves alone: the others are made anew. `pods` are as they were read.
pub(super) async fn in_place(client: &Client, report: &Report, pods: &[Value], patched: &BTreeSet<String>) -> Done {
    let mut done = Done::default();
    let mut told = Vec::new();
    let pods = pods.iter().filter(|object| text(object, "/kind") == "Pod");
    let by_name: BTreeMap<(&str, &str), &Value> =
        pods.map(|pod| ((text(pod, "/metadata/namespace"), text(pod, "/metadata/name")), pod)).collect();
    for workload in report.workloads.iter().filter(|workload| workload.changed().next().is_some()) {
        let patched = patched.contains(&named(workload));
        if patched && workload.restarts {
            continue;
        }
        let mut resized = false;
        for name in &workload.pods {
            let Some(pod) = by_name.get(&(workload.namespace.as_str(), name.as_str())) else { continue };
            match resize(client, workload, pod, &mut done).await {
                Resize::Told(one) => {
                    told.push(one);
                    resized = true;
                }
                Resize::Same => resized = true,
                Resize::Refused => {}
            }
        }
        if !patched && resized {
            let old = "is as it was: its next rollout, and every new pod, has the\n# old sizes. To keep the new ones";
            let how = match &workload.patch {
                Some(template) => format!(":\n{}", workload.command(template)),
                None => ", set them where its containers are declared.".to_owned(),
            };
            done.say(format!("# the template of {} {old}{how}", workload.short()));
        }
    }
    answers(client, told, &mut done).await;
    done
}

/// Asks for new sizes of one pod.
async fn resize<'a>(client: &Client, workload: &'a Workload, pod: &Value, done: &mut Done) -> Resize<'a> {
    let name = text(pod, "/metadata/name");
    let named = format!("pod/{name} in {}", workload.namespace);
    let missing: Vec<(&Container, Container)> =
        workload.changed().filter_map(|container| Some((container, differs(container, pod)?))).collect();
    if missing.is_empty() {
        done.say(format!("{named}: has these sizes already"));
        return Resize::Same;
    }
    let spec = pod_spec(missing.iter().map(|(_, own)| own), |own| (own.suggested, own.now));
    let mut body = json!({"spec": spec});
    // Another pod of this name is not meant.
    body["metadata"] = json!({"uid": uid(pod)});
    let path = format!("{}/{name}/resize", api::PODS.path(Some(&workload.namespace)));
    match patch(client, &path, &body).await {
        Ok(_) => {
            let wanted = missing.iter().map(|(c, _)| (c.name.clone(), c.suggested.request())).collect();
            Resize::Told(Told { workload, name: name.to_owned(), wanted })
        }
        Err(error) => {
            let why = match &error {
                // What is missing is the subresource, not the pod.
                kube::Error::Api(status) if status.code == 404 && !status.message.contains(name) => {
                    "this API server cannot resize pods that run; Kubernetes 1.33 and later can".to_owned()
                }
                error => refused(error),
            };
            done.fail(format!("{named}: not resized: {why}"));
            Resize::Refused
        }
    }
}

/// The container with the sizes that it has in this pod, where they are not those that it should have. A size that
/// the template does not declare is not taken away from the pod: a LimitRange gave it, and nothing may be removed.
fn differs(container: &Container, pod: &Value) -> Option<Container> {
    let field = if container.sidecar { "/spec/initContainers" } else { "/spec/containers" };
    let spec = list(pod, field).iter().find(|spec| text(spec, "/name") == container.name)?;
    let now = declared(spec);
    let suggested = Sizes {
        request_bytes: container.suggested.request_bytes.or(now.request_bytes),
        limit_bytes: container.suggested.limit_bytes.or(now.limit_bytes),
    };
    (now != suggested).then(|| Container { now, suggested, ..container.clone() })
}

/// What a kubelet says of a resize, once it says anything.
fn answer(pod: &Value, wanted: &BTreeMap<String, i64>) -> Option<(bool, String)> {
    if let Some(pending) = condition(pod, "PodResizePending").filter(|c| text(c, "/status") == "True") {
        let (reason, message) = (text(pending, "/reason"), text(pending, "/message"));
        // Deferred ones are tried again by the kubelet when there is room.
        return Some((reason == "Deferred", cut(&format!("the kubelet says {reason}: {message}"))));
    }
    let statuses = || list(pod, "/status/initContainerStatuses").iter().chain(list(pod, "/status/containerStatuses"));
    let has = |name: &str, bytes: i64| {
        statuses().any(|status| text(status, "/name") == name && declared(status).request() == bytes)
    };
    let error = condition(pod, "PodResizeInProgress").filter(|c| text(c, "/reason") == "Error");
    if let Some(error) = error {
        return Some((false, cut(&format!("the kubelet cannot: {}", text(error, "/message")))));
    }
    wanted.iter().all(|(name, bytes)| has(name, *bytes)).then(|| (true, "resized".to_owned()))
}

/// Waits a little for what the kubelets say.
async fn answers(client: &Client, mut told: Vec<Told<'_>>, done: &mut Done) {
    let deadline = Instant::now() + PATIENCE;
    while !told.is_empty() {
        let mut silent = Vec::new();
        for one in told {
            let named = format!("pod/{} in {}", one.name, one.workload.namespace);
            let path = format!("{}/{}", api::PODS.path(Some(&one.workload.namespace)), one.name);
            match get(client, &path).await {
                Ok(pod) => match answer(&pod, &one.wanted) {
                    Some((true, line)) => done.say(format!("{named}: {line}{}", restarted(&pod, &one.wanted))),
                    Some((false, line)) => done.fail(format!("{named}: {line}")),
                    None => silent.push(one),
                },
                Err(error) => done.fail(format!("{named}: {}", refused(&error))),
            }
        }
        told = silent;
        if told.is_empty() || Instant::now() >= deadline {
            break;
        }
        sleep(LOOK).await;
    }
    for one in told {
        done.say(format!(
            "pod/{} in {}: the API server has the new sizes; its kubelet has not answered within {} s",
            one.name,
            one.workload.namespace,
            PATIENCE.as_secs()
        ));
    }
}

async fn get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request(request).await
}

/// Containers whose policy is to be restarted when their memory changes.
fn restarted(pod: &Value, wanted: &BTreeMap<String, i64>) -> String {
    let all = list(pod, "/spec/initContainers").iter().chain(list(pod, "/spec/containers"));
    let restarts = all.filter(|spec| {
        let policies = list(spec, "/resizePolicy").iter();
        let mut memory = policies.filter(|policy| text(policy, "/resourceName") == "memory");
        wanted.contains_key(text(spec, "/name"))
            && memory.any(|policy| text(policy, "/restartPolicy") == "RestartContainer")
    });
    let names: Vec<&str> = restarts.map(|spec| text(spec, "/name")).collect();
    if names.is_empty() { String::new() } else { format!("; its resizePolicy restarts {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets_answer_by_conditions_and_by_what_containers_have() {
        let pod = |conditions: Value, memory: &str| {
            json!({"status": {"conditions": conditions, "containerStatuses": [
                {"name": "c", "resources": {"requests": {"memory": memory}}}]}})
        };
        let wanted = BTreeMap::from([("c".to_owned(), 64 << 20)]);
        let none = json!([]);
        assert_eq!(answer(&pod(none.clone(), "32Mi"), &wanted), None);
        assert_eq!(answer(&pod(none, "64Mi"), &wanted), Some((true, "resized".to_owned())));
        for (reason, fine) in [("Deferred", true), ("Infeasible", false)] {
            let pending = json!([{"type": "PodResizePending", "status": "True", "reason": reason, "message": "m"}]);
            let said = answer(&pod(pending, "32Mi"), &wanted).unwrap();
            assert_eq!(said, (fine, format!("the kubelet says {reason}: m")));
        }
        let failing = json!([{"type": "PodResizeInProgress", "status": "True", "reason": "Error", "message": "m"}]);
        assert_eq!(answer(&pod(failing, "32Mi"), &wanted), Some((false, "the kubelet cannot: m".to_owned())));
    }

    #[test]
    fn restarts_are_told() {
        let pod = |policy: &str| {
            let policies = json!([{"resourceName": "memory", "restartPolicy": policy}]);
            json!({"spec": {"containers": [{"name": "c", "resizePolicy": policies}]}})
        };
        let wanted = BTreeMap::from([("c".to_owned(), 1)]);
        assert_eq!(restarted(&pod("RestartContainer"), &wanted), "; its resizePolicy restarts c");
        assert_eq!(restarted(&pod("NotRequired"), &wanted), "");
    }
}
