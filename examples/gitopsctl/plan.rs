//! `gitopsctl plan`

use anyhow::Result;

use crate::{Output, SUCCESS, UNWELL, progress, target};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: target::TargetArgs,
    /// The form of the plan
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let target = args.target.build(None).await?;
    let plan = progress::during(&target.reconciler, target.reconciler.plan()).await?;
    args.output.write(&plan)?;
    let well = plan.problems.is_empty() && plan.hold.is_none() && !plan.writes();
    Ok(if well { SUCCESS } else { UNWELL })
}
