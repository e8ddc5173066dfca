//! `gitopsctl run`

use std::time::Duration;

use anyhow::{Context, Result};
use gitops_core::{Event, EventKind, Report};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Output, SUCCESS, target};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: target::TargetArgs,
    /// How often Git is looked at, in seconds or as 30s, 5m, 1h
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    interval: Duration,
    /// The form of the events: lines of text, or one JSON object a line
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let target = args.target.build(Some(args.interval)).await?;
    // For kubectl, while this runs.
    let server = match &target.fake {
        Some(fake) => Some(fake.listen(0).await?),
        None => None,
    };
    if let Some(server) = &server {
        anstream::eprintln!("the fake cluster is at {}", server.url());
    }
    let mut events = target.reconciler.subscribe();
    let mut printer = Printer::new(args.output);
    let printing = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            printer.print(&event);
        }
    });

    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("no signal handler")?;
    let mut terminate = signal(SignalKind::terminate()).context("no signal handler")?;
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        anstream::eprintln!("finishing the write in flight");
        stop.cancel();
    });

    let result = target.reconciler.run(shutdown).await;
    if let Some(fake) = &target.fake {
        fake.save()?;
    }
    // No more events come; what was told is printed first.
    drop(target.reconciler);
    printing.await.context("the printer of events failed")?;
    result?;
    Ok(SUCCESS)
}

/// Prints events as they come.
struct Printer {
    output: Output,
    /// What is wrong as of the last pass. It is told when it changes, not with every pass.
    trouble: Vec<String>,
}

impl Printer {
    fn new(output: Output) -> Self {
        Self {
            output,
            trouble: Vec::new(),
        }
    }

    fn print(&mut self, event: &Event) {
        if self.output == Output::Json {
            match serde_json::to_string(event) {
                Ok(line) => anstream::println!("{line}"),
                Err(error) => anstream::eprintln!("an event can't be written: {error}"),
            }
            return;
        }
        let lines = match &event.kind {
            EventKind::Finished { report } => self.finished(report),
            kind => text(kind).into_iter().collect(),
        };
        let time = event.time.strftime("%H:%M:%S");
        for line in lines {
            anstream::println!("{time} {line}");
        }
    }

    /// A pass that did something, or after which something else is wrong than before.
    fn finished(&mut self, report: &Report) -> Vec<String> {
        let before = std::mem::replace(&mut self.trouble, trouble(report));
        if self.trouble == before && report.written() == 0 {
            return Vec::new();
        }
        let mut lines = self.trouble.clone();
        // The objects were told of one by one.
        lines.extend(report.to_string().lines().last().map(str::to_owned));
        lines
    }
}

/// What is wrong beside single objects.
fn trouble(report: &Report) -> Vec<String> {
    let problems = report
        .problems
        .iter()
        .map(|problem| format!("problem: {problem}"));
    let errors = report.errors.iter().map(|error| format!("error: {error}"));
    let hold = report.hold.iter().map(|hold| format!("held: {hold}"));
    problems.chain(errors).chain(hold).collect()
}

fn text(kind: &EventKind) -> Option<String> {
    Some(match kind {
        EventKind::RevisionFound { revision, .. } => format!("revision {revision}"),
        EventKind::Object { report, .. } => report.to_string(),
        EventKind::Drift {
            object,
            deleted: true,
            ..
        } => format!("drift: {object} was deleted"),
        EventKind::Drift {
            object, changes, ..
        } => {
            let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
            format!("drift: {object} {}", changes.join(", "))
        }
        EventKind::Healed { object, took, .. } => format!("healed: {object} in {took:.1?}"),
        EventKind::Contested {
            object,
            heals,
            wait,
            rivals,
        } => format!(
            "contested: {object} was healed {heals} times in a row against {}; waiting {wait:?}",
            rivals.join(", ")
        ),
        EventKind::Failed { error, retry_in } => {
            format!("error: {error}; next try in {retry_in:?}")
        }
        EventKind::Watching => "watching for drift".into(),
        EventKind::WatchInterrupted { reason } => format!("the watch broke: {reason}"),
        _ => return None,
    })
}

/// Reads `30`, `30s`, `5m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("give seconds, or a number with s, m or h".into()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "give seconds, or a number with s, m or h")?;
    match number.checked_mul(seconds) {
        Some(0) | None => Err("must be at least a second and no eternity".into()),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
    }
}
