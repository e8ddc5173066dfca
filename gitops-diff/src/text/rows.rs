//! A difference as rows: what all forms of text are made of.

use std::collections::BTreeSet;

use gitops_core::yaml::to_yaml;
use gitops_core::{Difference, FieldChange, FieldConflict, FieldOwner, FieldValue};
use serde_json::Value;
use similar::{DiffOp, TextDiff};

use super::clean::{clean, shortened, shortened_pair, width};

/// A value up to this width stands beside its path.
pub(super) const INLINE: usize = 72;
/// How many lines of one field are shown; what is longer says how much was left out.
pub(super) const MAX_LINES: usize = 400;
/// Up to so many lines, old and new together, are compared line by line. Of longer ones
/// the beginnings are listed.
const MAX_COMPARED: usize = 10_000;
/// So many lines that are the same stand around those that aren't.
const CONTEXT: usize = 3;

/// One field: a line, and the lines below it. All text in it is clean.
pub(super) struct Row {
    pub(super) sign: char,
    pub(super) path: String,
    /// What stands beside the path.
    pub(super) inline: Option<Inline>,
    pub(super) note: Option<String>,
    pub(super) block: Vec<Line>,
}

/// What stands beside a path.
pub(super) enum Inline {
    /// Both sides, of which at least one is there.
    Values(Option<String>, Option<String>),
    /// Something about it.
    Text(String),
}

/// One line of a block: what is before, and after. Both if it is the same, or if one takes
/// the other's place; then they differ.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    Same(String),
    Changed(Option<String>, Option<String>),
    /// Something about the lines.
    Note(String),
}

pub(super) fn rows(difference: &Difference) -> Vec<Row> {
    let mut rows: Vec<_> = difference.changes.iter().map(row).collect();
    // Conflicts are among the changes, where their owner is named already.
    let refused: BTreeSet<_> = difference
        .conflicts
        .iter()
        .map(|conflict| clean(&conflict.path.to_string()))
        .collect();
    for change in &mut rows {
        if refused.contains(&change.path) {
            change.sign = '!';
        }
    }
    rows.extend(difference.unowned.iter().map(unowned));
    rows
}

fn owner_note(owner: &FieldOwner) -> String {
    format!("[{}]", clean(&owner.to_string()))
}

fn unowned(field: &FieldConflict) -> Row {
    Row {
        sign: '=',
        path: clean(&field.path.to_string()),
        inline: None,
        note: Some(match &field.owner {
            Some(owner) => owner_note(owner),
            None => "[not ours]".to_owned(),
        }),
        block: Vec::new(),
    }
}

/// A value in so few words that it stands beside its path.
fn short(side: &FieldValue) -> Option<String> {
    match side {
        FieldValue::Value(Value::String(text)) if text.contains('\n') => None,
        FieldValue::Value(value) => {
            let text = clean(&value.to_string());
            (width(&text) <= INLINE).then_some(text)
        }
        other => Some(other.to_string()),
    }
}

fn row(change: &FieldChange) -> Row {
    let (sign, before, after) = match (&change.before, &change.after) {
        (FieldValue::Absent, after) => ('+', None, Some(after)),
        (before, FieldValue::Absent) => ('-', Some(before), None),
        (before, after) => ('~', Some(before), Some(after)),
    };
    let inline = match (before, after) {
        (Some(FieldValue::Redacted), Some(FieldValue::Redacted)) => {
            Some(Inline::Text("(secret changed)".to_owned()))
        }
        (Some(before), Some(after)) => short(before)
            .zip(short(after))
            .filter(|(before, after)| width(before) + width(after) <= INLINE)
            .map(|(before, after)| Inline::Values(Some(before), Some(after))),
        (Some(side), None) => short(side).map(|text| Inline::Values(Some(text), None)),
        (None, Some(side)) => short(side).map(|text| Inline::Values(None, Some(text))),
        (None, None) => None,
    };
    let block = match &inline {
        Some(_) => Vec::new(),
        None => block(before, after),
    };
    Row {
        sign,
        path: clean(&change.path.to_string()),
        inline,
        note: change.owner.as_ref().map(owner_note),
        block,
    }
}

/// The lines of a value: those of a text, or of YAML.
fn text_of(side: Option<&FieldValue>) -> String {
    match side {
        None => String::new(),
        Some(FieldValue::Value(Value::String(text))) => text.clone(),
        Some(FieldValue::Value(value)) => to_yaml(value),
        Some(other) => other.to_string(),
    }
}

fn block(before: Option<&FieldValue>, after: Option<&FieldValue>) -> Vec<Line> {
    let (old, new) = (text_of(before), text_of(after));
    let count = old.lines().count() + new.lines().count();
    let mut out = if count > MAX_COMPARED {
        beginnings(&old, &new)
    } else {
        compared(&old, &new)
    };
    if out.is_empty() {
        // Two texts that differ in the last line break, or in how a line ends.
        out.push(Line::Note("(line ends differ)".to_owned()));
    }
    if out.len() > MAX_LINES {
        let left = out.len() - MAX_LINES;
        out.truncate(MAX_LINES);
        out.push(Line::Note(format!("… {left} more lines")));
    }
    out
}

fn beginnings(old: &str, new: &str) -> Vec<Line> {
    let shown = MAX_LINES / 2 - 1;
    let side = |text: &str, line: fn(String) -> Line| {
        let left = text.lines().count().saturating_sub(shown);
        let mut lines: Vec<_> = text
            .lines()
            .take(shown)
            .map(|text| line(shortened(&clean(text))))
            .collect();
        if left > 0 {
            lines.push(Line::Note(format!("… {left} more lines")));
        }
        lines
    };
    let mut lines = side(old, |text| Line::Changed(Some(text), None));
    lines.extend(side(new, |text| Line::Changed(None, Some(text))));
    lines
}

/// A line with marks for the spaces at its end, which may be all that differs.
fn ended(line: &str) -> String {
    let bare = line.trim_end_matches([' ', '\t']);
    let end = line.get(bare.len()..).unwrap_or_default();
    format!("{bare}{}", end.replace(' ', "·").replace('\t', "→"))
}

fn compared(old: &str, new: &str) -> Vec<Line> {
    let (olds, news): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let compared = TextDiff::from_slices(&olds, &news);
    let at = |lines: &[&str], at: usize| clean(lines.get(at).copied().unwrap_or_default());
    let mut out = Vec::new();
    for group in compared.grouped_ops(CONTEXT) {
        if !out.is_empty() {
            out.push(Line::Note("…".to_owned()));
        }
        for operation in group {
            match operation {
                DiffOp::Equal { new_index, len, .. } => out.extend(
                    (new_index..new_index + len)
                        .map(|line| Line::Same(shortened(&at(&news, line)))),
                ),
                changed => {
                    let (old_range, new_range) = (changed.old_range(), changed.new_range());
                    let pairs = old_range.len().min(new_range.len());
                    out.extend((0..pairs).map(|pair| {
                        let (old, new) = shortened_pair(
                            &ended(&at(&olds, old_range.start + pair)),
                            &ended(&at(&news, new_range.start + pair)),
                        );
                        Line::Changed(Some(old), Some(new))
                    }));
                    let olds = old_range
                        .skip(pairs)
                        .map(|line| (shortened(&ended(&at(&olds, line))), true));
                    let news = new_range
                        .skip(pairs)
                        .map(|line| (shortened(&ended(&at(&news, line))), false));
                    out.extend(olds.chain(news).map(|(text, old)| {
                        if old {
                            Line::Changed(Some(text), None)
                        } else {
                            Line::Changed(None, Some(text))
                        }
                    }));
                }
            }
        }
    }
    out
}

/// The lines one below the other, as a unified diff has them: what goes before what comes.
pub(super) fn unified(block: &[Line]) -> Vec<(char, &str)> {
    let mut out = Vec::new();
    let mut coming = Vec::new();
    for line in block {
        if let Line::Changed(old, new) = line {
            out.extend(old.iter().map(|text| ('-', text.as_str())));
            coming.extend(new.iter().map(|text| ('+', text.as_str())));
            continue;
        }
        out.append(&mut coming);
        match line {
            Line::Same(text) | Line::Note(text) => out.push((' ', text.as_str())),
            Line::Changed(..) => {}
        }
    }
    out.append(&mut coming);
    out
}
