//! `headroom-… check`: whether a process does its work, asked from beside it with its own account, as `helm test` does;
//! and whether it may go, as the chart's hook before an uninstall does.
//!
//! Each step is looked at again until it holds, until its answer is final, or until the time is up. Exit status: 0 all
//! hold, 1 something could not be found out, 2 the answer to one of them is no.

mod lease;
mod look;
mod rights;

use std::{ffi::OsString, io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use tokio::time::{Instant, sleep, timeout};

pub use self::{
    lease::LeaseId,
    rights::{Right, Rule, rights},
};
use self::{
    lease::Watched,
    look::{Context, fresh_samples, lease_of, may, nothing_taken, ready},
};
use crate::{
    client::{ClientOptions, Fence, Purpose, build, load_config},
    metrics::ClientMetrics,
    process::{GoDuration, clean, one_line},
};

/// The word behind the program's name.
const VERB: &str = "check";
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest look; one that takes longer is cut off and made again.
const LOOK: Duration = Duration::from_secs(10);

/// What both processes can be asked.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What is checked")]
pub struct CheckFlags {
    /// Secure port of the process, https://HOST:PORT: /readyz must answer
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// CA of its certificate (PEM). Not checked if not given: nothing is sent that is worth a lie
    #[arg(id = "check-authority", long = "certificate-authority", value_name = "FILE", requires = "url")]
    pub certificate_authority: Option<PathBuf>,
    /// What the holder of the lease begins with when it is ours: the name of the Deployment and a hyphen
    #[arg(long, value_name = "PREFIX")]
    pub holder: Option<String>,
    /// How long to wait for what does not hold yet
    #[arg(id = "check-timeout", long = "timeout", value_name = "DURATION", default_value = "60s")]
    pub timeout: GoDuration,
    /// Look at nothing but this: has the work been handed back, so that the process may be removed?
    #[arg(long, conflicts_with_all = ["url", "check-authority"])]
    pub handed_back: bool,
}

/// One thing to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The process answers `ok` on `/readyz`.
    Ready {
        /// `https://HOST:PORT`.
        url: String,
        /// Who issued its certificate; `None` leaves it unchecked.
        authority: Option<PathBuf>,
    },
    /// Our account may do all of it.
    May(Vec<Right>),
    /// The lease is held and renewed by a process whose identity begins so.
    Held(LeaseId, String),
    /// The lease is held and renewed by somebody else: the stock component works.
    HeldByOthers(LeaseId, String),
    /// Nobody whose identity begins so holds the lease, or they have stopped renewing it; else what has to be done first.
    NotHeld(LeaseId, String, &'static str),
    /// Nothing that `kubectl headroom takeover` has written down is still to be handed back.
    NothingTaken,
    /// Every node has a fresh sample.
    FreshSamples,
    /// What is known without asking anybody: the answer, and why.
    Known(bool, String),
}

/// What a look at a step has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// It holds.
    Yes(String),
    /// It does not hold yet; at the end of the time that is a no.
    NotYet(String),
    /// It does not hold, and waiting does not help.
    No(String),
    /// It could not be found out.
    Unknown(String),
}

/// What to ask, and whom.
#[derive(Debug)]
pub struct Plan {
    /// Name of the program, for messages.
    pub program: &'static str,
    /// Where the API server is, and who we are.
    pub connection: ClientOptions,
    /// For how long what does not hold is looked at again.
    pub timeout: Duration,
    /// The steps, in the order in which they are told.
    pub steps: Vec<Step>,
}

/// The command line without the verb, when it is one of `PROGRAM check …`.
#[must_use]
pub fn arguments(args: &[OsString]) -> Option<Vec<OsString>> {
    let (program, rest) = args.split_first()?;
    let (verb, rest) = rest.split_first()?;
    (verb == VERB).then(|| std::iter::once(program).chain(rest).cloned().collect())
}

/// Finds everything out and tells it, a line for each step on stdout. Returns the exit status: 0 all hold, 1 something
/// could not be found out, 2 the answer to one of them is no.
#[must_use]
pub fn run(plan: &Plan) -> ExitCode {
    let complain = |line: &str| {
        let _ = writeln!(std::io::stderr(), "{}: {}", plan.program, clean(line));
        ExitCode::FAILURE
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}")),
    };
    match runtime.block_on(find_out(plan)) {
        Ok(found) => {
            let _ = write!(std::io::stdout(), "{}", table(&found));
            ExitCode::from(status(&found))
        }
        Err(line) => complain(&line),
    }
}

/// Looks at every step until there is nothing left to wait for. `Err` is the line for a connection that cannot be made.
async fn find_out(plan: &Plan) -> Result<Vec<(&'static str, Seen)>, String> {
    let start = Instant::now();
    let end = start + plan.timeout;
    let context = if plan.steps.iter().all(|step| matches!(step, Step::Known(..) | Step::Ready { .. })) {
        Context::default()
    } else {
        let failed = |error: &(dyn std::error::Error + 'static)| one_line(error);
        let config = load_config(&plan.connection).await.map_err(|error| failed(&error))?;
        let metrics = ClientMetrics::unregistered().map_err(|error| failed(&error))?;
        let client = build(&config, Purpose::Watch, &Fence::closed(), &metrics).map_err(|error| failed(&error))?;
        Context { api: Some(client) }
    };
    let mut watched = vec![Watched::default(); plan.steps.len()];
    let mut found: Vec<Option<Seen>> = vec![None; plan.steps.len()];
    loop {
        for ((step, watched), seen) in plan.steps.iter().zip(&mut watched).zip(&mut found) {
            if matches!(seen, Some(Seen::Yes(_) | Seen::No(_))) {
                continue;
            }
            let left = end.saturating_duration_since(Instant::now()).min(LOOK);
            match timeout(left, look(step, watched, start, &context)).await {
                Ok(new) => *seen = Some(new),
                // A first look that was cut off has shown nothing; a later one leaves what the one before has shown.
                Err(_) => {
                    seen.get_or_insert_with(|| Seen::Unknown("no answer in time".to_owned()));
                }
            }
        }
        let waiting = found.iter().any(|seen| matches!(seen, Some(Seen::NotYet(_) | Seen::Unknown(_)) | None));
        if !waiting || Instant::now() + PAUSE >= end {
            break;
        }
        sleep(PAUSE).await;
    }
    let unseen = || Seen::Unknown("there was no time to look".to_owned());
    Ok(plan.steps.iter().map(label).zip(found.into_iter().map(|seen| seen.unwrap_or_else(unseen))).collect())
}

async fn look(step: &Step, watched: &mut Watched, start: Instant, context: &Context) -> Seen {
    match step {
        Step::Ready { url, authority } => ready(url, authority.as_deref()).await,
        Step::May(rights) => may(context, rights).await,
        Step::FreshSamples => fresh_samples(context).await,
        Step::NothingTaken => nothing_taken(context).await,
        Step::Known(true, why) => Seen::Yes(why.clone()),
        Step::Known(false, why) => Seen::No(why.clone()),
        Step::Held(id, ours) | Step::HeldByOthers(id, ours) | Step::NotHeld(id, ours, _) => {
            let lease = match lease_of(context, id).await {
                Ok(lease) => lease,
                Err(why) => return Seen::Unknown(why),
            };
            let standing = watched.look(lease, start.elapsed());
            match step {
                Step::HeldByOthers(..) => standing.held_by_others(id, ours),
                Step::NotHeld(_, _, first) => standing.not_held_by_us(id, ours, first),
                _ => standing.held_by_us(id, ours),
            }
        }
    }
}

const fn label(step: &Step) -> &'static str {
    match step {
        Step::Ready { .. } => "ready",
        Step::May(_) => "rights",
        Step::Held(..) => "lease",
        Step::HeldByOthers(..) | Step::NotHeld(..) | Step::NothingTaken | Step::Known(..) => "handed back",
        Step::FreshSamples => "samples",
    }
}

/// A line for each step. At the end of the time, what does not hold yet does not hold.
fn table(found: &[(&'static str, Seen)]) -> String {
    let line = |(label, seen): &(&'static str, Seen)| {
        let (answer, why) = match seen {
            Seen::Yes(why) => ("yes", why),
            Seen::NotYet(why) | Seen::No(why) => ("no", why),
            Seen::Unknown(why) => ("unknown", why),
        };
        // Names of objects of others stand in some of these.
        format!("{label:<12} {answer:<8} {}\n", clean(why))
    };
    found.iter().map(line).collect()
}

fn status(found: &[(&'static str, Seen)]) -> u8 {
    let any = |what: fn(&Seen) -> bool| found.iter().any(|(_, seen)| what(seen));
    if any(|seen| matches!(seen, Seen::No(_) | Seen::NotYet(_))) {
        2
    } else {
        u8::from(any(|seen| matches!(seen, Seen::Unknown(_))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(Into::into).collect()
    }

    fn plan(steps: Vec<Step>) -> Plan {
        Plan { program: "test", connection: ClientOptions::default(), timeout: Duration::from_secs(1), steps }
    }

    #[test]
    fn the_verb_is_the_second_word() {
        assert_eq!(arguments(&words("headroom-scheduler check --a")), Some(words("headroom-scheduler --a")));
        for other in ["headroom-scheduler", "headroom-scheduler --mode check", "check"] {
            assert_eq!(arguments(&words(other)), None, "{other}");
        }
    }

    #[test]
    fn a_no_outweighs_what_could_not_be_found_out() {
        let all = |seen: &[Seen]| status(&seen.iter().map(|s| ("x", s.clone())).collect::<Vec<_>>());
        let (yes, no) = (Seen::Yes(String::new()), Seen::No(String::new()));
        let (later, unknown) = (Seen::NotYet(String::new()), Seen::Unknown(String::new()));
        assert_eq!(all(std::slice::from_ref(&yes)), 0);
        assert_eq!(all(&[yes.clone(), unknown.clone()]), 1);
        assert_eq!(all(&[unknown, no]), 2);
        assert_eq!(all(&[yes, later]), 2, "the time is up");
    }

    #[tokio::test]
    async fn what_is_known_needs_no_cluster() {
        let found = find_out(&plan(vec![Step::Known(true, "a".into()), Step::Known(false, "b".into())])).await.unwrap();
        assert_eq!(status(&found), 2);
        assert_eq!(table(&found), "handed back  yes      a\nhanded back  no       b\n");
        assert_eq!(table(&[("lease", Seen::No("a\nb\u{1b}[2J".into()))]), "lease        no       a b [2J\n");
    }

    #[tokio::test]
    async fn nobody_who_listens_is_not_ready() {
        let step = Step::Ready { url: "https://127.0.0.1:1".into(), authority: None };
        let found = find_out(&plan(vec![step])).await.unwrap();
        assert!(matches!(&found[..], [("ready", Seen::NotYet(why))] if why.contains("127.0.0.1:1")), "{found:?}");
        let step = Step::Ready { url: "nonsense".into(), authority: None };
        let found = find_out(&plan(vec![step])).await.unwrap();
        assert!(matches!(&found[..], [("ready", Seen::Unknown(why))] if why.contains("--url")), "{found:?}");
    }
}
