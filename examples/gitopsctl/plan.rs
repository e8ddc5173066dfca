//! `gitopsctl plan`

use anyhow::Result;
use gitops_diff::text::Report;

use crate::output::{DiffOutput, Form};
use crate::{Output, SUCCESS, UNWELL, progress, target};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: target::TargetArgs,
    #[command(flatten)]
    output: DiffOutput,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let target = args.target.build(None).await?;
    let plan = progress::during(&target.reconciler, target.reconciler.plan()).await?;
    match args.output.form {
        Form::Text => Output::Text.write(&plan)?,
        Form::Json => Output::Json.write(&plan)?,
        Form::SideBySide | Form::Markdown => {
            let title = format!("Plan for {} at {}", plan.reconciler, plan.target);
            args.output.write(&title, &Report::from(&plan));
        }
    }
    let well = plan.problems.is_empty() && plan.hold.is_none() && !plan.writes();
    Ok(if well { SUCCESS } else { UNWELL })
}
