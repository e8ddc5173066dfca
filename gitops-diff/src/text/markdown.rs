//! Markdown for a comment on a pull request.

use std::fmt::Write as _;

use gitops_core::Difference;

use super::clean::{clean, longest_run};
use super::rows::{self, Inline, Row};

/// Writes a difference for a comment on a pull request: a heading and a fenced diff.
///
/// The fence is longer than any in a value, so nothing gets out of it. For several objects
/// in one comment, and a limit on its length, see [`Report::markdown`](super::Report::markdown).
/// An empty difference is empty text.
///
/// ```
/// use gitops_diff::FieldManager;
/// use gitops_diff::SchemaDiffer;
/// use gitops_diff::text::markdown;
/// use gitops_diff::serde_json::json;
///
/// let scale = |replicas| {
///     json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
///            "spec": {"replicas": replicas}})
/// };
/// let difference =
///     SchemaDiffer::builtin().compare(&scale(3), &scale(5), &FieldManager::new("ours")?)?;
/// assert_eq!(
///     markdown("Deployment web", &difference),
///     "#### ` Deployment web `\n\n```diff\n- .spec.replicas  5\n+ .spec.replicas  3\n```\n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn markdown(object: &str, difference: &Difference) -> String {
    if difference.is_empty() {
        return String::new();
    }
    let name = clean(object);
    let quote = "`".repeat(longest_run(&name, '`') + 1);
    format!("#### {quote} {name} {quote}\n\n{}", fenced(difference))
}

/// The difference in a fence.
pub(super) fn fenced(difference: &Difference) -> String {
    let mut body = String::new();
    for row in rows::rows(difference) {
        write_row(&row, &mut body);
    }
    let fence = "`".repeat(longest_run(&body, '`').max(2) + 1);
    format!("{fence}diff\n{body}{fence}\n")
}

/// Within a diff fence the first character of a line gives its colour: `-`, `+` and `!`.
fn write_row(row: &Row, out: &mut String) {
    let refused = row.sign == '!';
    let note = match (&row.note, refused) {
        (Some(note), true) => format!("  {note} refused unless forced"),
        (Some(note), false) => format!("  {note}"),
        (None, true) => "  refused unless forced".to_owned(),
        (None, false) => String::new(),
    };
    let path = &row.path;
    match &row.inline {
        Some(Inline::Values(before, after)) => {
            let last = after.is_none();
            if let Some(text) = before {
                let note = if last { note.as_str() } else { "" };
                let _ = writeln!(out, "- {path}  {text}{note}");
            }
            if let Some(text) = after {
                let _ = writeln!(out, "+ {path}  {text}{note}");
            }
        }
        Some(Inline::Text(text)) => {
            let _ = writeln!(out, "! {path}  {text}{note}");
        }
        None => {
            let sign = match row.sign {
                '~' => '!',
                '=' => ' ',
                sign => sign,
            };
            let _ = writeln!(out, "{sign} {path}{note}");
        }
    }
    for (sign, text) in rows::unified(&row.block) {
        let _ = writeln!(out, "{}", format!("{sign}     {text}").trim_end());
    }
}

/// Text between tags of HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
