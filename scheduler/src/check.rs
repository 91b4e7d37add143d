//! `headroom-scheduler check`: is it ready, may it do its work, does it hold its lease; or has its work been handed back?

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::Parser;
use headroom_runtime::{
    check::{self, CheckFlags, LeaseId, Plan, Right, Rule, Step, rights},
    client::ClientOptions,
    process::{ConnectionFlags, LeaderFlags, parse_or_explain},
};

use crate::options::{ModeFlag, OUR_NAME, STOCK_LEASE};

const PROGRAM: &str = "headroom-scheduler";
const READ: &[&str] = &["list", "watch"];

/// What it reads and writes in every mode, as `charts/headroom/files/rbac/scheduler.yaml` grants it.
const ALWAYS: [Rule; 9] = [
    Rule { group: "", resources: &["pods"], verbs: &["get", "list", "watch"] },
    Rule {
        group: "",
        resources: &[
            "nodes",
            "namespaces",
            "services",
            "replicationcontrollers",
            "persistentvolumeclaims",
            "persistentvolumes",
        ],
        verbs: READ,
    },
    Rule { group: "apps", resources: &["replicasets", "statefulsets"], verbs: READ },
    Rule { group: "policy", resources: &["poddisruptionbudgets"], verbs: READ },
    Rule {
        group: "storage.k8s.io",
        resources: &["storageclasses", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"],
        verbs: READ,
    },
    Rule { group: "headroom.dev", resources: &["nodeheadrooms", "memoryprofiles"], verbs: READ },
    Rule { group: "events.k8s.io", resources: &["events"], verbs: &["create", "patch"] },
    Rule { group: "authentication.k8s.io", resources: &["tokenreviews"], verbs: &["create"] },
    Rule { group: "authorization.k8s.io", resources: &["subjectaccessreviews"], verbs: &["create"] },
];

/// What it writes where it binds pods, as `scheduler-primary.yaml` grants it.
const BINDING: [Rule; 4] = [
    Rule { group: "", resources: &["pods/binding"], verbs: &["create"] },
    Rule { group: "", resources: &["pods/status"], verbs: &["patch"] },
    Rule { group: "", resources: &["pods"], verbs: &["delete"] },
    Rule { group: "", resources: &["persistentvolumeclaims", "persistentvolumes"], verbs: &["patch"] },
];

/// The flags of `headroom-scheduler check`.
#[derive(Debug, Parser)]
#[command(
    name = "headroom-scheduler check",
    bin_name = "headroom-scheduler check",
    version,
    about = "Asks, as the account of headroom-scheduler, whether it does its work; or whether it may be removed",
    after_help = "Exit status: 0 yes, 1 it could not be found out, 2 no.

Examples:
  headroom-scheduler check --mode=shadow --url=https://headroom-scheduler.kube-system.svc:10259
      is it ready, may it do its work, does it hold its lease?
  headroom-scheduler check --mode=primary --handed-back
      does another scheduler hold the lease kube-scheduler and renew it, and is no takeover in effect?
  headroom-scheduler check --mode=shadow --handed-back
      is it held by none of ours, and is no takeover in effect?"
)]
struct Options {
    /// How the process takes part
    #[arg(long, value_enum, default_value = "primary")]
    mode: ModeFlag,
    #[command(flatten)]
    check: CheckFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    leader: LeaderFlags,
}

impl Options {
    fn steps(&self) -> Vec<Step> {
        let flags = &self.leader;
        let elects = flags.leader_elect.unwrap_or(true);
        let usual = if self.mode == ModeFlag::Primary { STOCK_LEASE } else { OUR_NAME };
        let lease = LeaseId {
            namespace: flags.leader_elect_resource_namespace.clone().unwrap_or_else(|| "kube-system".to_owned()),
            name: flags.leader_elect_resource_name.clone().unwrap_or_else(|| usual.to_owned()),
        };
        let ours = self.check.holder.clone().unwrap_or_else(|| format!("{OUR_NAME}-"));
        if self.check.handed_back {
            let lease = match (self.mode, elects) {
                (ModeFlag::Primary, true) => Step::HeldByOthers(lease, ours),
                (ModeFlag::Primary, false) => Step::Known(
                    false,
                    "it runs without leader election and schedules as long as it runs: upgrade to mode=shadow first"
                        .to_owned(),
                ),
                // What it was installed as says nothing of a takeover, which changes the Deployment alone.
                _ => {
                    let stock = LeaseId { namespace: "kube-system".to_owned(), name: STOCK_LEASE.to_owned() };
                    Step::NotHeld(stock, ours, "kubectl headroom handback first")
                }
            };
            return vec![lease, Step::NothingTaken];
        }
        let mut steps = Vec::new();
        if let Some(url) = &self.check.url {
            steps.push(Step::Ready { url: url.clone(), authority: self.check.certificate_authority.clone() });
        }
        let mut wanted = rights(&ALWAYS);
        if self.mode != ModeFlag::Shadow {
            wanted.extend(rights(&BINDING));
        }
        if elects {
            let rule = Rule { group: "coordination.k8s.io", resources: &["leases"], verbs: &["get", "update"] };
            wanted.extend(Right::on(rule, &lease.namespace, &lease.name));
        }
        steps.push(Step::May(wanted));
        if elects {
            steps.push(Step::Held(lease, ours));
        }
        steps
    }
}

/// Runs it; `args` are those behind the verb, with the program's name before them.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let options: Options = match parse_or_explain(args) {
        Ok(options) => options,
        Err(Ok(text)) => {
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Err(line)) => {
            let _ = writeln!(std::io::stderr(), "{PROGRAM} check: {line}");
            return ExitCode::FAILURE;
        }
    };
    check::run(&Plan {
        program: PROGRAM,
        connection: ClientOptions {
            kubeconfig: options.connection.kubeconfig.clone(),
            context: None,
            master: options.connection.master.clone(),
            user_agent: concat!("headroom-scheduler/", env!("CARGO_PKG_VERSION"), " check").to_owned(),
        },
        timeout: options.check.timeout.0,
        steps: options.steps(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const SCHEDULER: &str = include_str!("../../charts/headroom/files/rbac/scheduler.yaml");
    const SCHEDULER_PRIMARY: &str = include_str!("../../charts/headroom/files/rbac/scheduler-primary.yaml");

    fn steps(args: &[&str]) -> Vec<Step> {
        let options: Options = parse_or_explain(std::iter::once(PROGRAM).chain(args.iter().copied())).unwrap();
        options.steps()
    }

    /// `verb resource.group` of every rule of a role in a file.
    fn granted(file: &str, role: &str) -> BTreeSet<String> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(file).unwrap();
        let role = documents.iter().find(|d| d["kind"] == "ClusterRole" && d["metadata"]["name"] == role).unwrap();
        let words = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let mut all = BTreeSet::new();
        for rule in role["rules"].as_array().unwrap() {
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    all.extend(words(&rule["verbs"]).iter().map(|verb| format!("{verb} {resource}.{group}")));
                }
            }
        }
        all
    }

    fn wanted(rules: &[Rule]) -> BTreeSet<String> {
        rights(rules).iter().map(|right| format!("{} {}.{}", right.verb, right.resource, right.group)).collect()
    }

    #[test]
    fn the_shipped_roles_grant_what_is_asked_for_and_nothing_else() {
        assert_eq!(granted(SCHEDULER, "headroom-scheduler"), wanted(&ALWAYS));
        assert_eq!(granted(SCHEDULER_PRIMARY, "headroom-scheduler-primary"), wanted(&BINDING));
        for kind in crate::AWAITED {
            for verb in READ {
                let right = format!("{verb} {}.{}", kind.plural, kind.group);
                assert!(wanted(&ALWAYS).contains(&right), "{right} is watched");
            }
        }
    }

    #[test]
    fn each_mode_looks_at_its_own_lease() {
        let lease = |args: &[&str]| {
            steps(args).into_iter().find_map(|step| match step {
                Step::Held(id, ours) => Some((id.name, ours)),
                _ => None,
            })
        };
        let is = |name: &str, ours: &str| Some((name.to_owned(), ours.to_owned()));
        assert_eq!(lease(&["--mode=primary"]), is("kube-scheduler", "headroom-scheduler-"));
        assert_eq!(lease(&["--mode=shadow", "--holder=hr-scheduler-"]), is("headroom-scheduler", "hr-scheduler-"));
        assert_eq!(lease(&["--mode=shadow", "--leader-elect=false"]), None);
    }

    #[test]
    fn handing_back_is_asked_alone() {
        let asked = steps(&["--mode=primary", "--handed-back"]);
        let by_others =
            matches!(&asked[..], [Step::HeldByOthers(id, _), Step::NothingTaken] if id.name == "kube-scheduler");
        assert!(by_others, "{asked:?}");
        let asked = steps(&["--mode=primary", "--handed-back", "--leader-elect=false"]);
        assert!(matches!(&asked[..], [Step::Known(false, _), Step::NothingTaken]), "{asked:?}");
        // Installed to look on, and made primary by a takeover since.
        for mode in ["--mode=shadow", "--mode=secondary"] {
            let asked = steps(&[mode, "--handed-back", "--holder=hr-scheduler-", "--leader-elect-resource-name=own"]);
            let [Step::NotHeld(id, ours, _), Step::NothingTaken] = &asked[..] else { panic!("{asked:?}") };
            assert_eq!((id.to_string().as_str(), ours.as_str()), ("kube-system/kube-scheduler", "hr-scheduler-"));
        }
        let both = ["headroom-scheduler", "--handed-back", "--url=https://a:1"];
        assert!(parse_or_explain::<Options>(both).unwrap_err().is_err_and(|line| line.contains("--url")));
    }
}
