//! `kubectl headroom handback`: from Headroom to stock, the way of `takeover` back.

mod steps;

use std::process::ExitCode;

use clap::Args;

use self::steps::{Wish, give};
use crate::{
    NO,
    cluster::Connection,
    takeover::{Manner, refuse, rights},
};

/// Flags of `handback`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl headroom handback --dry-run                     the plan
  kubectl headroom handback                               everything
  kubectl headroom handback --loops endpoints-controller  one loop

Exit status: 0 done, 1 a step failed and what was done is undone, 2 the answer is no")]
pub(crate) struct Options {
    #[command(flatten)]
    manner: Manner,
}

impl Options {
    pub(crate) const fn connection(&self) -> &Connection {
        &self.manner.connection
    }
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let manner = &options.manner;
    let (client, facts) = manner.look().await?;
    let wish = Wish { scheduler: manner.scheduler, loops: manner.loops(), granted: rights::granted(&client).await? };
    let plan = match give(&facts, &wish) {
        Ok(plan) => plan,
        Err(refused) => return Ok(refuse("handback", &refused)),
    };
    print!("{}", plan.text());
    if manner.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !manner.carry_out(&client, &facts, &plan).await? {
        return Ok(ExitCode::from(NO));
    }
    print!("{}", plan.lasting_text());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
