//! The screen: acts, what was seen, what was sent. Colours on a terminal only, and not where
//! `NO_COLOR` is set.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use gitops_testkit::cluster::RecordedRequest;

const TITLE: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The curtain rises.
pub(crate) fn title(text: &str) {
    anstream::println!("{TITLE}{text}{TITLE:#}\n");
}

/// An act begins.
pub(crate) fn act(number: u32, name: &str) {
    anstream::println!("{TITLE}{number}  {name}{TITLE:#}");
}

/// What somebody did.
pub(crate) fn deed(text: &str) {
    anstream::println!("   {text}");
}

/// What was found to be as it should.
pub(crate) fn found(text: &str) {
    anstream::println!("   {GOOD}ok{GOOD:#} {text}");
}

/// What was sent to the API, and how long the act took.
pub(crate) fn sent(requests: &[RecordedRequest], took: Duration) {
    let mut verbs = BTreeMap::new();
    for request in requests {
        *verbs.entry(request.verb.as_str()).or_insert(0_usize) += 1;
    }
    let verbs: Vec<_> = verbs
        .iter()
        .map(|(verb, count)| format!("{count} {verb}"))
        .collect();
    let verbs = if verbs.is_empty() {
        "nothing".into()
    } else {
        verbs.join(", ")
    };
    anstream::println!("   {DIM}{took:.1?}; sent to the API: {verbs}{DIM:#}\n");
}

/// Lines of something longer.
pub(crate) fn lines(text: &str) {
    for line in text.lines() {
        anstream::println!("   {DIM}|{DIM:#} {line}");
    }
}

/// The story went wrong.
pub(crate) fn broken(error: &anyhow::Error) {
    anstream::eprintln!("   {BAD}not so:{BAD:#} {error:#}");
}
