//! Lines for a terminal, one below the other.

use std::fmt::Write as _;

use gitops_core::Difference;

use super::clean::{clean, width};
use super::rows::{self, Inline, Row};
use super::{Colour, Paint};

/// Paths up to this width are aligned; a wider one pushes its value to the right.
const PATH_COLUMN: usize = 64;

/// Writes a difference as lines: one for a small change, a line diff for a large one.
///
/// `+` is a field that comes, `-` one that goes, `~` one that changes, `=` one that is as
/// desired and not ours, `!` one that another manager refuses unless forced. In brackets
/// stands who owns the field now. An empty difference is empty text.
///
/// A value that is wider than a line stands below its path, as YAML or as the lines of the
/// text that it is. Of one field at most 400 lines are shown, and of a line 240 characters;
/// what was left out is counted.
///
/// ```
/// use gitops_diff::FieldManager;
/// use gitops_diff::SchemaDiffer;
/// use gitops_diff::text::{Colour, unified};
/// use gitops_diff::serde_json::json;
///
/// let config = |mode: &str, text: &str| {
///     json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"},
///            "data": {"mode": mode, "app.conf": text}})
/// };
/// let difference = SchemaDiffer::builtin().compare(
///     &config("fast", "port = 80\nhost = b\n"),
///     &config("slow", "port = 80\nhost = a\n"),
///     &FieldManager::new("ours")?,
/// )?;
/// assert_eq!(
///     unified("ConfigMap app", &difference, Colour::Plain),
///     r#"ConfigMap app
///   ~ .data.app.conf
///       port = 80
///      -host = a
///      +host = b
///   ~ .data.mode  "slow" -> "fast"
/// "#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn unified(object: &str, difference: &Difference, colour: Colour) -> String {
    if difference.is_empty() {
        return String::new();
    }
    let mut out = Paint(colour).bold(&clean(object));
    out.push('\n');
    body(difference, colour, &mut out);
    out
}

/// The rows without a heading.
pub(super) fn body(difference: &Difference, colour: Colour, out: &mut String) {
    let paint = Paint(colour);
    let rows = rows::rows(difference);
    let column = rows
        .iter()
        .filter(|row| row.inline.is_some() || row.block.is_empty())
        .map(|row| width(&row.path))
        .filter(|width| *width <= PATH_COLUMN)
        .max()
        .unwrap_or(0);
    for row in &rows {
        let mut line = format!("  {} {}", row.sign, row.path);
        if let Some(text) = beside(row) {
            let pad = column.saturating_sub(width(&row.path)) + 2;
            line.extend(std::iter::repeat_n(' ', pad));
            line.push_str(&text);
        }
        out.push_str(&paint.sign(row.sign, &line));
        if let Some(note) = &row.note {
            let _ = write!(out, "  {}", paint.dim(note));
        }
        out.push('\n');
        for (sign, text) in rows::unified(&row.block) {
            out.push_str(&paint.sign(sign, format!("     {sign}{text}").trim_end()));
            out.push('\n');
        }
    }
}

fn beside(row: &Row) -> Option<String> {
    Some(match row.inline.as_ref()? {
        Inline::Text(text) => text.clone(),
        Inline::Values(Some(before), Some(after)) => format!("{before} -> {after}"),
        Inline::Values(before, after) => before.clone().or_else(|| after.clone())?,
    })
}
