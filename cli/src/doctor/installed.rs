//! How Headroom was installed, as its Deployments show it: what is to be done about it differs.

use super::{
    finding::Fix,
    look::{Look, flag, is_k3s},
    state::{PodFacts, Program},
    text::arg,
};
use crate::{distribution::ours::Ours, takeover::helm};

/// Where it is unless something else shows, and where nobody but operators can make what looks like it.
const SYSTEM: &str = "kube-system";
/// Where k3s looks for manifests, which it applies whenever it starts.
const OF_K3S: &str = "/var/lib/rancher/k3s/server/manifests";

/// A way in which it may have been installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way<'a> {
    /// As this release in this namespace.
    Helm { release: &'a str, namespace: &'a str },
    /// From `deploy/`, or from manifests of somebody's own.
    Manifests,
    /// Its Deployments are not seen: older snapshots have none, and not everybody may read them.
    Unknown,
}

impl<'a> Look<'a> {
    /// The Deployment of a program of ours: the one in kube-system, else the only one.
    pub(super) fn deployment(&self, program: Program) -> Option<&'a Ours> {
        let all: Vec<&'a Ours> =
            self.state.ours.iter().filter(|(of, _)| *of == program).map(|(_, ours)| ours).collect();
        let only = all.first().filter(|_| all.len() == 1);
        all.iter().find(|ours| ours.namespace == SYSTEM).or(only).copied()
    }

    /// Whether something of ours is there, a Deployment or a pod.
    pub(super) fn is_installed(&self) -> bool {
        let ours = [Some(Program::Scheduler), Some(Program::Controllers)];
        !self.state.ours.is_empty() || self.pods().any(|pod| ours.contains(&pod.program))
    }

    /// Namespace and name of a program's Deployment, ready for a command. One that is not seen has its usual name, and is
    /// where the other one is.
    pub(super) fn place(&self, program: Program) -> (&'a str, &'a str) {
        let other = if program == Program::Scheduler { Program::Controllers } else { Program::Scheduler };
        let name = if program == Program::Scheduler { "headroom-scheduler" } else { "headroom-controllers" };
        match (self.deployment(program), self.deployment(other)) {
            (Some(ours), _) => (arg(&ours.namespace), arg(&ours.name)),
            (None, Some(beside)) => (arg(&beside.namespace), name),
            (None, None) => (SYSTEM, name),
        }
    }

    /// The account whose token kubelets see: its namespace and its name, ready for a command.
    pub(super) fn kubelet_reader(&self) -> (&'a str, &'a str) {
        let (namespace, _) = self.place(Program::Controllers);
        let said = self.deployment(Program::Controllers).and_then(|ours| ours.flag("kubelet-token-service-account"));
        let account = said.and_then(|account| account.split_once('/'));
        account.map_or((namespace, "headroom-kubelet-reader"), |(namespace, name)| (arg(namespace), arg(name)))
    }

    /// Adds the look at the pods of ours.
    pub(super) fn list_pods(&self, fix: Fix, program: Program) -> Fix {
        let (namespace, _) = self.place(program);
        fix.run(format!("kubectl -n {namespace} get pods -l app.kubernetes.io/part-of=headroom"))
    }

    /// Adds the look at the log of the controllers.
    pub(super) fn read_log(&self, fix: Fix) -> Fix {
        let (namespace, name) = self.place(Program::Controllers);
        fix.run(format!("kubectl -n {namespace} logs deployment/{name} --tail 50"))
    }

    /// How a program of ours was installed. One that is not seen came with the other one.
    fn way(&self, program: Program) -> Way<'a> {
        let all = [program, Program::Scheduler, Program::Controllers];
        match all.into_iter().find_map(|program| self.deployment(program)) {
            None => Way::Unknown,
            Some(Ours { release: Some(release), namespace, .. }) => Way::Helm { release, namespace },
            Some(_) => Way::Manifests,
        }
    }

    /// Whether it is known that Helm has not installed this program.
    pub(super) fn is_without_helm(&self, program: Program) -> bool {
        self.way(program) == Way::Manifests
    }

    /// Whether our scheduler is a static pod, as `deploy/kubeadm` has it: no Deployment is to be changed then.
    pub(super) fn has_static_scheduler(&self) -> bool {
        self.deployment(Program::Scheduler).is_none() && self.running(Program::Scheduler).any(|pod| pod.row.is_mirror())
    }

    /// What our schedulers do, by the arguments of those that run and by their Deployment. Empty where nothing shows it.
    pub(super) fn modes(&self) -> Vec<&'a str> {
        // Without arguments nothing is known: a saved cluster leaves them out.
        let known = self.running(Program::Scheduler).filter(|pod| !pod.args.is_empty());
        let running = known.map(|pod| flag(&pod.args, "mode").last().copied().unwrap_or("primary"));
        running.chain(self.deployment(Program::Scheduler).map(Ours::mode)).collect()
    }

    /// Adds what is to be done where Helm has installed a program, or may have: `add` is given the release and its
    /// namespace, ready for a command.
    pub(super) fn with_helm(&self, fix: Fix, program: Program, add: impl FnOnce(Fix, &str, &str) -> Fix) -> Fix {
        match self.way(program) {
            Way::Helm { release, namespace } => add(fix, arg(release), arg(namespace)),
            Way::Manifests => fix,
            Way::Unknown => add(fix, "headroom", SYSTEM),
        }
    }

    /// Adds what is to be done where Helm has not installed a program, or may not have: a remark, then commands.
    pub(super) fn without_helm(&self, fix: Fix, program: Program, remark: &str, commands: &[&str]) -> Fix {
        let fix = match self.way(program) {
            Way::Helm { .. } => return fix,
            Way::Manifests => fix.say(remark),
            Way::Unknown => fix.say(format!("or, installed from deploy/: {remark}")),
        };
        commands.iter().fold(fix, Fix::run)
    }

    /// The values of the chart, besides those that are given, after which the release of a program goes on with what its
    /// processes do: a release does not know of a takeover that was not made lasting.
    fn kept(&self, program: Program, given: &str) -> Vec<String> {
        let words = |of: Program| match self.way(program) {
            Way::Helm { release, namespace } => {
                let its = |ours: &&Ours| ours.release.as_deref() == Some(release) && ours.namespace == namespace;
                self.deployment(of).filter(its).map(|ours| ours.words.as_slice())
            }
            Way::Manifests => None,
            // A static pod is no part of a release.
            Way::Unknown => {
                let known = |pod: &&PodFacts| !pod.args.is_empty() && !pod.row.is_mirror();
                self.running(of).find(known).map(|pod| pod.args.as_slice())
            }
        };
        let (scheduler, controllers) = (words(Program::Scheduler), words(Program::Controllers));
        helm::kept(given, scheduler.unwrap_or_default(), controllers.unwrap_or_default())
    }

    /// Adds the upgrade of Helm that changes these values of the chart (words of a command, further lines among them) and
    /// leaves the others as they are, or as a takeover has made them; nothing where Helm has not installed the program.
    pub(super) fn upgrade(&self, fix: Fix, program: Program, values: &str) -> Fix {
        let kept = self.kept(program, values);
        self.with_helm(fix, program, |fix, release, namespace| {
            let fix = fix.run(format!("helm -n {namespace} upgrade {release} charts/headroom \\"));
            let given = format!("--reset-then-reuse-values {values}");
            let words = kept.iter().fold(given.trim_end().to_owned(), |words, value| format!("{words} \\\n{value}"));
            words.lines().fold(fix, |fix, line| fix.run(format!("  {line}")))
        })
    }

    /// Adds what changes a program of ours: values of the chart, and without Helm what is to be changed in its Deployment,
    /// a remark.
    pub(super) fn change(&self, fix: Fix, program: Program, values: &str, by_hand: &str) -> Fix {
        let fix = self.upgrade(fix, program, values);
        let (namespace, name) = self.place(program);
        let edit = format!("kubectl -n {namespace} edit deployment {name}");
        let fix = self.without_helm(fix, program, by_hand, &[&edit]);
        if self.nodes().any(is_k3s) && !matches!(self.way(program), Way::Helm { .. }) {
            return fix.say(format!("and in its file in {OF_K3S}, if it is there still"));
        }
        fix
    }
}
