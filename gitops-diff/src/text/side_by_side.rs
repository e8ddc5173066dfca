//! Two columns for a terminal: what runs, and what is desired.

use std::fmt::Write as _;

use gitops_core::Difference;

use super::clean::{clean, untabbed, width, wrapped};
use super::rows::{self, Inline, Line, Row};
use super::{Colour, Paint};

/// The narrowest that two columns are readable in.
const NARROWEST: usize = 40;

/// Writes a difference in two columns: what runs on the left, what is desired on the right.
///
/// `columns` is how wide a line may be, in columns of a terminal; below 40 it counts as 40.
/// A longer line goes on below, so nothing is cut that [`unified`](super::unified) shows.
/// Between the columns stands what happens: `>` a line comes, `<` one goes, `|` one changes.
/// An empty difference is empty text.
///
/// ```
/// use gitops_diff::FieldManager;
/// use gitops_diff::SchemaDiffer;
/// use gitops_diff::text::{Colour, side_by_side};
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
///     side_by_side("ConfigMap app", &difference, 40, Colour::Plain),
///     r#"ConfigMap app
/// ~ .data.app.conf
///   port = 80           port = 80
///   host = a          | host = b
/// ~ .data.mode
///   "slow"            | "fast"
/// "#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn side_by_side(
    object: &str,
    difference: &Difference,
    columns: usize,
    colour: Colour,
) -> String {
    if difference.is_empty() {
        return String::new();
    }
    let mut out = Paint(colour).bold(&clean(object));
    out.push('\n');
    body(difference, columns, colour, &mut out);
    out
}

/// The rows without a heading.
pub(super) fn body(difference: &Difference, columns: usize, colour: Colour, out: &mut String) {
    // Two spaces, a column, ` | `, a column.
    let half = (columns.max(NARROWEST) - 5) / 2;
    let paint = Paint(colour);
    for row in &rows::rows(difference) {
        let note = row.note.as_ref().map(|note| paint.dim(note));
        let head = paint.sign(row.sign, &format!("{} {}", row.sign, row.path));
        out.push_str(&head);
        if let Some(Inline::Text(text)) = &row.inline {
            let _ = write!(out, "  {}", paint.sign(row.sign, text));
        }
        if let Some(note) = note {
            let _ = write!(out, "  {note}");
        }
        out.push('\n');
        for line in lines(row) {
            write_line(&line, half, &paint, out);
        }
    }
}

fn lines(row: &Row) -> Vec<Line> {
    match &row.inline {
        Some(Inline::Values(before, after)) => vec![Line::Changed(before.clone(), after.clone())],
        _ => row.block.clone(),
    }
}

fn write_line(line: &Line, half: usize, paint: &Paint, out: &mut String) {
    let (left, mark, right) = match line {
        Line::Note(text) => {
            let _ = writeln!(out, "  {}", paint.dim(text));
            return;
        }
        Line::Same(text) => (Some(text), ' ', Some(text)),
        Line::Changed(Some(before), Some(after)) => (Some(before), '|', Some(after)),
        Line::Changed(before, None) => (before.as_ref(), '<', None),
        Line::Changed(None, after) => (None, '>', after.as_ref()),
    };
    let pieces = |side: Option<&String>| match side {
        Some(text) => wrapped(&untabbed(text), half),
        None => Vec::new(),
    };
    let (left, right) = (pieces(left), pieces(right));
    for at in 0..left.len().max(right.len()) {
        let piece = |side: &[String]| side.get(at).cloned().unwrap_or_default();
        let (before, after) = (piece(&left), piece(&right));
        let pad = " ".repeat(half.saturating_sub(width(&before)));
        let (go, come) = if mark == ' ' { (' ', ' ') } else { ('-', '+') };
        let mark = if at == 0 { mark } else { ' ' };
        let text = format!(
            "  {}{pad} {mark} {}",
            paint.sign(go, &before),
            paint.sign(come, &after)
        );
        out.push_str(text.trim_end());
        out.push('\n');
    }
}
