//! `headroom-controllers check`: is it ready, may its loops do their work, does it hold its lease, are nodes measured; or
//! have its loops been handed back?

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::Parser;
use headroom_runtime::{
    check::{self, CheckFlags, LeaseId, Plan, Right, Rule, Step, rights},
    client::ClientOptions,
    process::{ConnectionFlags, LeaderFlags, parse_or_explain},
};

use super::inputs;
use crate::{node_headroom::NodeHeadroomOptions, node_lifecycle::LifecycleProfile, selection};

const PROGRAM: &str = "headroom-controllers";
/// The lease, and what the names of its pods begin with.
const OUR_NAME: &str = "headroom-controllers";
/// Where kubelets' leases are.
const NODE_LEASES: &str = "kube-node-lease";

const READ: &[&str] = &["list", "watch"];
const READ_ONE: &[&str] = &["get", "list", "watch"];
const OWN: &[&str] = &["get", "list", "watch", "create", "delete"];
const MANAGE: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

const fn core(resources: &'static [&'static str], verbs: &'static [&'static str]) -> Rule {
    Rule { group: "", resources, verbs }
}

const SLICES: Rule = Rule { group: "discovery.k8s.io", resources: &["endpointslices"], verbs: MANAGE };
const SLICES_RESTRICTED: Rule =
    Rule { group: "discovery.k8s.io", resources: &["endpointslices/restricted"], verbs: &["create"] };
const REPLICA_SETS: Rule = Rule { group: "apps", resources: &["replicasets"], verbs: READ };
const JOBS: Rule = Rule { group: "batch", resources: &["jobs"], verbs: READ };

/// What every loop needs: the role `base` of `charts/headroom/files/rbac/loops.yaml`.
const BASE: &[Rule] = &[
    core(&["events"], &["create", "patch"]),
    Rule { group: "authentication.k8s.io", resources: &["tokenreviews"], verbs: &["create"] },
    Rule { group: "authorization.k8s.io", resources: &["subjectaccessreviews"], verbs: &["create"] },
];

/// What the profiles `fast` and `patient` read besides.
const PROFILE: &[Rule] =
    &[REPLICA_SETS, JOBS, Rule { group: "headroom.dev", resources: &["nodeheadrooms", "memoryprofiles"], verbs: READ }];

/// What each loop needs, as its role of that file grants it.
const LOOPS: &[(&str, &[Rule])] = &[
    (
        selection::NODE_HEADROOM,
        &[
            core(&["nodes", "pods"], READ),
            Rule { group: "headroom.dev", resources: &["nodeheadrooms"], verbs: OWN },
            Rule { group: "headroom.dev", resources: &["nodeheadrooms/status"], verbs: &["patch", "update"] },
            Rule { group: "metrics.k8s.io", resources: &["nodes", "pods"], verbs: &["list"] },
        ],
    ),
    (
        selection::MEMORY_PROFILE,
        &[
            core(&["pods"], READ),
            REPLICA_SETS,
            JOBS,
            Rule { group: "headroom.dev", resources: &["memoryprofiles"], verbs: OWN },
            Rule { group: "headroom.dev", resources: &["memoryprofiles/status"], verbs: &["update"] },
        ],
    ),
    (
        selection::REPLICATION,
        &[
            core(&["replicationcontrollers"], READ_ONE),
            core(&["replicationcontrollers/status"], &["patch"]),
            core(&["replicationcontrollers/finalizers"], &["update"]),
            core(&["pods"], MANAGE),
        ],
    ),
    (
        selection::ENDPOINTS,
        &[
            core(&["pods"], READ),
            core(&["services"], READ_ONE),
            core(&["endpoints"], MANAGE),
            core(&["endpoints/restricted"], &["create"]),
        ],
    ),
    (
        selection::ENDPOINT_SLICE,
        &[
            core(&["nodes", "pods", "services"], READ),
            core(&["services/finalizers"], &["update"]),
            SLICES,
            SLICES_RESTRICTED,
        ],
    ),
    (
        selection::ENDPOINT_SLICE_MIRRORING,
        &[
            core(&["endpoints", "services"], READ),
            core(&["endpoints/finalizers"], &["update"]),
            SLICES,
            SLICES_RESTRICTED,
        ],
    ),
    (
        selection::NODE_LIFECYCLE,
        &[
            core(&["nodes"], &["get", "list", "watch", "patch"]),
            core(&["nodes/status"], &["patch"]),
            core(&["pods"], READ),
            core(&["pods/status"], &["patch"]),
        ],
    ),
    (
        selection::TAINT_EVICTION,
        &[
            core(&["nodes"], READ),
            core(&["pods"], &["get", "list", "watch", "delete"]),
            core(&["pods/status"], &["patch"]),
        ],
    ),
    (
        selection::POD_GC,
        &[
            core(&["nodes"], READ_ONE),
            core(&["pods"], &["list", "watch", "delete"]),
            core(&["pods/status"], &["patch"]),
        ],
    ),
];

fn rules(controller: &str) -> &'static [Rule] {
    LOOPS.iter().find(|(name, _)| *name == controller).map(|(_, rules)| *rules).unwrap_or_default()
}

/// The flags of `headroom-controllers check`: those of the process from which its rights follow, and what to check.
#[derive(Debug, Parser)]
#[command(
    name = "headroom-controllers check",
    bin_name = "headroom-controllers check",
    version,
    about = "Asks, as the account of headroom-controllers, whether its loops do their work; or whether it may be removed",
    after_help = "Exit status: 0 yes, 1 it could not be found out, 2 no.

Examples:
  headroom-controllers check --url=https://headroom-controllers.kube-system.svc:10257 --samples
      is it ready, may it do its work, does it hold its lease, does every node have a fresh sample?
  headroom-controllers check --controllers=endpoints-controller --handed-back
      has every process of ours stopped that runs loops of kube-controller-manager, and is no takeover in effect?"
)]
struct Options {
    /// Loops that the process runs
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = selection::DEFAULT, allow_hyphen_values = true)]
    controllers: Vec<String>,
    /// Its profile of node lifecycle
    #[arg(long, value_name = "PROFILE", default_value = "stock")]
    node_lifecycle_profile: LifecycleProfile,
    /// Every node must have a fresh sample
    #[arg(long)]
    samples: bool,
    #[command(flatten)]
    check: CheckFlags,
    #[command(flatten)]
    node_headroom: NodeHeadroomOptions,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    leader: LeaderFlags,
}

impl Options {
    fn steps(&self) -> Result<Vec<Step>, selection::SelectionError> {
        let selected = selection::select(&self.controllers)?;
        let flags = &self.leader;
        let elects = flags.leader_elect.unwrap_or(true);
        let lease = LeaseId {
            namespace: flags.leader_elect_resource_namespace.clone().unwrap_or_else(|| "kube-system".to_owned()),
            name: flags.leader_elect_resource_name.clone().unwrap_or_else(|| OUR_NAME.to_owned()),
        };
        let ours = self.check.holder.clone().unwrap_or_else(|| format!("{OUR_NAME}-"));
        if self.check.handed_back {
            let taken =
                selected.iter().any(|name| ![selection::NODE_HEADROOM, selection::MEMORY_PROFILE].contains(name));
            let first = "take the stock component's loops out of controllers.loops first";
            let lease = match (taken, elects) {
                (true, true) => Step::NotHeld(lease, ours, first),
                (true, false) => {
                    Step::Known(false, format!("it runs without leader election and works as long as it runs: {first}"))
                }
                (false, _) => Step::Known(true, "it was not installed with a loop of the stock component".to_owned()),
            };
            return Ok(vec![lease, Step::NothingTaken]);
        }
        let mut steps = Vec::new();
        if let Some(url) = &self.check.url {
            steps.push(Step::Ready { url: url.clone(), authority: self.check.certificate_authority.clone() });
        }
        let mut wanted: Vec<Rule> = BASE.to_vec();
        wanted.extend(selected.iter().flat_map(|name| rules(name)));
        if !inputs::profile_kinds(self.node_lifecycle_profile, &selected).is_empty() {
            wanted.extend(PROFILE);
        }
        let mut wanted = rights(&wanted);
        let leases = |verbs| Rule { group: "coordination.k8s.io", resources: &["leases"], verbs };
        if selected.contains(&selection::NODE_LIFECYCLE) {
            wanted.extend(Right::on(leases(READ_ONE), NODE_LEASES, ""));
        }
        if selected.contains(&selection::NODE_HEADROOM) {
            let account = &self.node_headroom.token_service_account;
            let token = core(&["serviceaccounts/token"], &["create"]);
            wanted.extend(Right::on(token, &account.namespace, &account.name));
        }
        if elects {
            wanted.extend(Right::on(leases(&["get", "update"]), &lease.namespace, &lease.name));
        }
        steps.push(Step::May(wanted));
        if elects {
            steps.push(Step::Held(lease, ours));
        }
        if self.samples {
            steps.push(Step::FreshSamples);
        }
        Ok(steps)
    }
}

/// Runs it; `args` are those behind the verb, with the program's name before them.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let complain = |line: &str| {
        let _ = writeln!(std::io::stderr(), "{PROGRAM} check: {line}");
        ExitCode::FAILURE
    };
    let options: Options = match parse_or_explain(args) {
        Ok(options) => options,
        Err(Ok(text)) => {
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Err(line)) => return complain(&line),
    };
    let steps = match options.steps() {
        Ok(steps) => steps,
        Err(error) => return complain(&error.to_string()),
    };
    check::run(&Plan {
        program: PROGRAM,
        connection: ClientOptions {
            kubeconfig: options.connection.kubeconfig.clone(),
            context: None,
            master: options.connection.master.clone(),
            user_agent: concat!("headroom-controllers/", env!("CARGO_PKG_VERSION"), " check").to_owned(),
        },
        timeout: options.check.timeout.0,
        steps,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const SHIPPED: &str = include_str!("../../../charts/headroom/files/rbac/loops.yaml");

    fn steps(args: &[&str]) -> Vec<Step> {
        let options: Options = parse_or_explain(std::iter::once(PROGRAM).chain(args.iter().copied())).unwrap();
        options.steps().unwrap()
    }

    fn wanted(rules: &[Rule]) -> BTreeSet<String> {
        rights(rules).iter().map(|right| format!("{} {}.{}", right.verb, right.resource, right.group)).collect()
    }

    /// `verb resource.group` of every rule, by the role's name without its prefix.
    fn granted() -> Vec<(String, BTreeSet<String>)> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(SHIPPED).unwrap();
        let words = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let role = |document: &Value| {
            let mut all = BTreeSet::new();
            for rule in document["rules"].as_array().unwrap() {
                for group in words(&rule["apiGroups"]) {
                    for resource in words(&rule["resources"]) {
                        all.extend(words(&rule["verbs"]).iter().map(|verb| format!("{verb} {resource}.{group}")));
                    }
                }
            }
            let name = document["metadata"]["name"].as_str().unwrap();
            (name.strip_prefix("headroom-controllers-").unwrap().to_owned(), all)
        };
        documents.iter().map(role).collect()
    }

    #[test]
    fn the_shipped_roles_grant_what_is_asked_for_and_nothing_else() {
        let granted = granted();
        assert_eq!(granted.len(), selection::KNOWN.len() + 2);
        for (role, rights) in granted {
            let rules = match role.as_str() {
                "base" => BASE,
                "lifecycle-profile" => PROFILE,
                other => rules(&format!("{other}-controller")),
            };
            assert_eq!(rights, wanted(rules), "{role}");
        }
    }

    #[test]
    fn what_a_loop_watches_it_may_watch() {
        for known in selection::KNOWN {
            let all = wanted(rules(known.name));
            for kind in inputs::needs(known.name).iter().filter(|kind| kind.plural != "leases") {
                for verb in READ {
                    assert!(
                        all.contains(&format!("{verb} {}.{}", kind.plural, kind.group)),
                        "{}: {kind:?}",
                        known.name
                    );
                }
            }
        }
    }

    #[test]
    fn rights_follow_from_the_loops_and_the_profile() {
        let asked = |args: &[&str]| -> Vec<String> {
            let rights = steps(args).into_iter().find_map(|step| match step {
                Step::May(rights) => Some(rights),
                _ => None,
            });
            let short = |right: Right| format!("{} {} {}", right.verb, right.resource, right.namespace);
            rights.unwrap().into_iter().map(short).collect()
        };
        let has = |all: &[String], right: &str| all.iter().any(|one| one == right);
        let usual = asked(&["--kubelet-token-service-account=ops/reader"]);
        assert!(has(&usual, "create serviceaccounts/token ops") && !has(&usual, "delete pods "), "{usual:?}");
        let loops = "--controllers=node-lifecycle-controller,taint-eviction-controller";
        let stock = asked(&[loops]);
        assert!(has(&stock, "delete pods ") && has(&stock, "get leases kube-node-lease"), "{stock:?}");
        assert!(!has(&stock, "watch jobs ") && has(&asked(&[loops, "--node-lifecycle-profile=fast"]), "watch jobs "));
    }

    #[test]
    fn only_loops_of_the_stock_component_have_to_be_handed_back() {
        let asked = |args: &[&str]| steps(&[&["--handed-back"][..], args].concat());
        // A takeover may have given it some since.
        assert!(matches!(&asked(&[])[..], [Step::Known(true, _), Step::NothingTaken]));
        let taken = "--controllers=endpoints-controller";
        let ours = |step: &Step| matches!(step, Step::NotHeld(id, ..) if id.name == "headroom-controllers");
        assert!(matches!(&asked(&[taken])[..], [held, Step::NothingTaken] if ours(held)));
        assert!(matches!(&asked(&[taken, "--leader-elect=false"])[..], [Step::Known(false, _), Step::NothingTaken]));
    }
}
