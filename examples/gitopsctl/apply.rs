//! `gitopsctl apply`

use anyhow::Result;

use crate::{Output, SUCCESS, UNWELL, progress, target};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: target::TargetArgs,
    /// The form of the report
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let target = args.target.build(None).await?;
    let pass = target.reconciler.reconcile_once();
    let report = progress::during(&target.reconciler, pass).await;
    if let Some(fake) = &target.fake {
        fake.save()?;
    }
    let report = report?;
    args.output.write(&report)?;
    if let Some(fake) = &target.fake {
        anstream::eprintln!("{}", fake.traffic());
    }
    Ok(if report.is_success() { SUCCESS } else { UNWELL })
}
