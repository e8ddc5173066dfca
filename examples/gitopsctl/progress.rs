//! What is going on, on a terminal.

use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use gitops_core::{EventKind, Reconciler};
use indicatif::{ProgressBar, ProgressStyle};

/// Waits for `work`, and shows on a terminal what the reconciler does meanwhile.
pub(crate) async fn during<T>(reconciler: &Reconciler, work: impl Future<Output = T>) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let bar = ProgressBar::new_spinner().with_message("looking at Git");
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut events = reconciler.subscribe();
    let (mut done, mut all) = (0, 0);
    let mut work = std::pin::pin!(work);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            Some(event) = events.next() => match event.kind {
                EventKind::RevisionFound { revision, .. } => {
                    bar.set_message(format!("reading {revision}"));
                }
                EventKind::Planned { plan, .. } => all = plan.actions.len(),
                EventKind::Object { report, .. } => {
                    done += 1;
                    bar.set_message(format!("{done} of {all}: {}", report.object));
                }
                _ => {}
            },
        }
    };
    bar.finish_and_clear();
    result
}
