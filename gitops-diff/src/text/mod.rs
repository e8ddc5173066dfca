//! A [`Difference`] for people and for programs: aligned text, Markdown, JSON.
//!
//! A difference holds no secret, so none of these can show one. Names and values come
//! from repositories and clusters, though: control characters (which a terminal obeys) and
//! those that turn the direction of text are written as escapes, and Markdown is fenced so
//! that nothing in a value gets out of the fence.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use gitops_core::{Difference, FieldChange, FieldConflict, FieldValue, ObjectId};
use serde_json::{Map, Value, json};
use similar::{ChangeTag, TextDiff};

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    #[default]
    Plain,
    /// With the escapes that terminals know.
    Ansi,
}

/// Paths up to this length are aligned; a longer one pushes its value to the right.
const PATH_COLUMN: usize = 64;
/// A value up to this length stands beside its path.
const INLINE: usize = 72;
/// How many lines of one field are shown; what is longer says how much was left out.
const MAX_LINES: usize = 400;
/// Up to so many lines, old and new together, are compared line by line. Of longer ones
/// the beginnings are listed.
const MAX_COMPARED: usize = 10_000;

/// Writes a difference as lines: one for a small change, a line diff for a large one.
///
/// `+` is a field that comes, `-` one that goes, `~` one that changes, `=` one that is as
/// desired and not ours, `!` one that another manager refuses. An empty difference is
/// empty text.
///
/// ```
/// use gitops_core::FieldManager;
/// use gitops_diff::SchemaDiffer;
/// use gitops_diff::text::{Colour, unified};
/// use serde_json::json;
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
/// let object = "ConfigMap app";
/// assert_eq!(
///     unified(object, &difference, Colour::Plain),
///     r#"ConfigMap app
///   ~ .data.app.conf
///       port = 80
///      -host = a
///      +host = b
///   ~ .data.mode      "slow" -> "fast"
/// "#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn unified(object: &str, difference: &Difference, colour: Colour) -> String {
    if difference.is_empty() {
        return String::new();
    }
    let paint = Paint(colour);
    let mut out = paint.bold(&clean(object));
    out.push('\n');
    let rows = rows(difference);
    let width = rows
        .iter()
        .map(|row| row.path.chars().count())
        .filter(|width| *width <= PATH_COLUMN)
        .max()
        .unwrap_or(0);
    for row in &rows {
        let mut line = format!("  {} {}", row.sign, row.path);
        if let Some(text) = &row.inline {
            let pad = width.saturating_sub(row.path.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', pad));
            line.push_str(text);
        }
        out.push_str(&paint.sign(row.sign, &line));
        if let Some(note) = &row.note {
            let _ = write!(out, "  {}", paint.dim(note));
        }
        out.push('\n');
        for (sign, text) in &row.block {
            out.push_str(&paint.sign(*sign, &format!("     {sign}{text}")));
            out.push('\n');
        }
    }
    out
}

/// Writes a difference for a comment on a pull request: a heading and a fenced diff.
///
/// ```
/// use gitops_diff::text::markdown;
/// # use gitops_core::Difference;
/// assert_eq!(markdown("ConfigMap app", &Difference::default()), "");
/// ```
#[must_use]
pub fn markdown(object: &str, difference: &Difference) -> String {
    if difference.is_empty() {
        return String::new();
    }
    let mut body = String::new();
    for row in rows(difference) {
        // Within a diff fence the first character of a line gives its colour.
        let _ = write!(body, "{} {}", row.sign, row.path);
        if let Some(text) = row.inline {
            let _ = write!(body, "  {text}");
        }
        if let Some(note) = row.note {
            let _ = write!(body, "  {note}");
        }
        body.push('\n');
        for (sign, text) in row.block {
            let _ = writeln!(body, "{sign}     {text}");
        }
    }
    let fence = "`".repeat(longest_run(&body, '`').max(2) + 1);
    let name = clean(object);
    let quote = "`".repeat(longest_run(&name, '`') + 1);
    format!("#### {quote} {name} {quote}\n\n{fence}diff\n{body}{fence}\n")
}

/// A difference as JSON: paths as the API server writes them, and for each change what
/// happens, the two sides as far as they may be shown, and the owner.
///
/// ```
/// use gitops_core::{Difference, GroupKind, ObjectId};
/// use serde_json::json;
///
/// let object = ObjectId::namespaced(GroupKind::new("", "ConfigMap"), "shop", "app");
/// assert_eq!(
///     gitops_diff::text::json(&object, &Difference::default()),
///     json!({"object": "ConfigMap shop/app", "changes": [], "unowned": [], "conflicts": []}),
/// );
/// ```
#[must_use]
pub fn json(object: &ObjectId, difference: &Difference) -> Value {
    let fields = |fields: &[FieldConflict]| -> Vec<Value> {
        fields
            .iter()
            .map(|field| json!({"path": field.path.to_string(), "owner": field.owner}))
            .collect()
    };
    json!({
        "object": object.to_string(),
        "changes": difference.changes.iter().map(change).collect::<Vec<_>>(),
        "unowned": fields(&difference.unowned),
        "conflicts": fields(&difference.conflicts),
    })
}

fn change(change: &FieldChange) -> Value {
    let mut members = Map::new();
    members.insert("path".to_owned(), change.path.to_string().into());
    members.insert("change".to_owned(), kind(change).into());
    let mut secret = false;
    for (name, side) in [("before", &change.before), ("after", &change.after)] {
        match side {
            FieldValue::Absent => {}
            FieldValue::Value(value) => {
                members.insert(name.to_owned(), value.clone());
            }
            _ => secret = true,
        }
    }
    if secret {
        members.insert("secret".to_owned(), true.into());
    }
    if let Some(owner) = &change.owner {
        members.insert("owner".to_owned(), json!(owner));
    }
    Value::Object(members)
}

fn kind(change: &FieldChange) -> &'static str {
    match (&change.before, &change.after) {
        (FieldValue::Absent, _) => "added",
        (_, FieldValue::Absent) => "removed",
        _ => "changed",
    }
}

/// One field: a line, and the lines below it.
struct Row {
    sign: char,
    path: String,
    inline: Option<String>,
    note: Option<String>,
    block: Vec<(char, String)>,
}

fn rows(difference: &Difference) -> Vec<Row> {
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
    rows.extend(difference.unowned.iter().map(|field| Row {
        sign: '=',
        path: clean(&field.path.to_string()),
        inline: None,
        note: Some(match &field.owner {
            Some(owner) => format!("[{}]", clean(&owner.to_string())),
            None => "[not ours]".to_owned(),
        }),
        block: Vec::new(),
    }));
    rows
}

fn row(change: &FieldChange) -> Row {
    let (sign, before, after) = match (&change.before, &change.after) {
        (FieldValue::Absent, after) => ('+', None, Some(after)),
        (before, FieldValue::Absent) => ('-', Some(before), None),
        (before, after) => ('~', Some(before), Some(after)),
    };
    let short = |side: &FieldValue| match side {
        FieldValue::Value(Value::String(text)) if text.contains('\n') => None,
        FieldValue::Value(value) => {
            let text = clean(&value.to_string());
            (text.chars().count() <= INLINE).then_some(text)
        }
        other => Some(other.to_string()),
    };
    let inline = match (before, after) {
        (Some(FieldValue::Redacted), Some(FieldValue::Redacted)) => {
            Some("(secret changed)".to_owned())
        }
        (Some(before), Some(after)) => short(before)
            .zip(short(after))
            .map(|(before, after)| format!("{before} -> {after}"))
            .filter(|text| text.chars().count() <= INLINE),
        (Some(side), None) | (None, Some(side)) => short(side),
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
        note: change
            .owner
            .as_ref()
            .map(|owner| format!("[{}]", clean(&owner.to_string()))),
        block,
    }
}

/// The lines of a value: those of a text, or of JSON with one member on each.
fn text_of(side: Option<&FieldValue>) -> String {
    match side {
        None => String::new(),
        Some(FieldValue::Value(Value::String(text))) => text.clone(),
        Some(FieldValue::Value(value)) => {
            serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
        }
        Some(other) => other.to_string(),
    }
}

fn block(before: Option<&FieldValue>, after: Option<&FieldValue>) -> Vec<(char, String)> {
    let (before, after) = (text_of(before), text_of(after));
    let lines = before.lines().count() + after.lines().count();
    let mut out = Vec::new();
    if lines > MAX_COMPARED {
        for (sign, text) in [('-', &before), ('+', &after)] {
            let shown = MAX_LINES / 2;
            out.extend(text.lines().take(shown).map(|line| (sign, clean(line))));
            let left = text.lines().count().saturating_sub(shown);
            if left > 0 {
                out.push((' ', format!("… {left} more lines")));
            }
        }
        return out;
    } else {
        let compared = TextDiff::from_lines(&before, &after);
        for group in compared.grouped_ops(3) {
            if !out.is_empty() {
                out.push((' ', "…".to_owned()));
            }
            for operation in group {
                for line in compared.iter_changes(&operation) {
                    let sign = match line.tag() {
                        ChangeTag::Delete => '-',
                        ChangeTag::Insert => '+',
                        ChangeTag::Equal => ' ',
                    };
                    out.push((sign, clean(line.value().trim_end_matches(['\n', '\r']))));
                }
            }
        }
    }
    if out.is_empty() {
        // Two texts that differ in the last line break, or in how a line ends.
        out.push(('~', "line ends differ".to_owned()));
    }
    if out.len() > MAX_LINES {
        let left = out.len() - MAX_LINES;
        out.truncate(MAX_LINES);
        out.push((' ', format!("… {left} more lines")));
    }
    out
}

/// Text that a terminal or browser shows and does not obey.
fn clean(text: &str) -> String {
    let obeyed = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.chars().any(obeyed) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if obeyed(c) {
                c.escape_unicode().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

fn longest_run(text: &str, wanted: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

struct Paint(Colour);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        match self.0 {
            Colour::Plain => text.to_owned(),
            Colour::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn sign(&self, sign: char, text: &str) -> String {
        match sign {
            '+' => self.with("32", text),
            '-' => self.with("31", text),
            '~' => self.with("33", text),
            '!' => self.with("35", text),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitops_core::{FieldOwner, FieldPath};

    fn changed(name: &str, before: FieldValue, after: FieldValue) -> FieldChange {
        FieldChange {
            path: FieldPath::root().field("spec").field(name),
            before,
            after,
            owner: None,
        }
    }

    fn sample() -> Difference {
        let owner = FieldOwner {
            manager: "hpa".to_owned(),
            operation: "Update".to_owned(),
            subresource: Some("scale".to_owned()),
            time: None,
        };
        let value = |value: Value| FieldValue::Value(value);
        let mut replicas = changed("replicas", value(json!(5)), value(json!(3)));
        replicas.owner = Some(owner.clone());
        let mut difference = Difference::default();
        difference.conflicts.push(FieldConflict {
            path: replicas.path.clone(),
            owner: Some(owner.clone()),
        });
        difference.unowned.push(FieldConflict {
            path: FieldPath::root().field("spec").field("paused"),
            owner: Some(owner),
        });
        difference.changes = vec![
            changed("added", FieldValue::Absent, value(json!({"a": 1}))),
            changed("gone", value(json!("x")), FieldValue::Absent),
            replicas,
            changed("secret", FieldValue::Redacted, FieldValue::Redacted),
            changed("text", value(json!("a\nb\n")), value(json!("a\nc\n"))),
        ];
        difference
    }

    #[test]
    fn lines_are_aligned_and_say_who_owns_what() {
        assert_eq!(
            unified("Deployment shop/web", &sample(), Colour::Plain),
            "Deployment shop/web\n\
             \x20 + .spec.added     {\"a\":1}\n\
             \x20 - .spec.gone      \"x\"\n\
             \x20 ! .spec.replicas  5 -> 3  [hpa (Update of scale)]\n\
             \x20 ~ .spec.secret    (secret changed)\n\
             \x20 ~ .spec.text\n\
             \x20     a\n\
             \x20    -b\n\
             \x20    +c\n\
             \x20 = .spec.paused  [hpa (Update of scale)]\n"
        );
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let plain = unified("x", &sample(), Colour::Plain);
        let mut coloured = unified("x", &sample(), Colour::Ansi);
        assert!(coloured.contains("\u{1b}[32m"));
        for code in ["0", "1", "2", "31", "32", "33", "35"] {
            coloured = coloured.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(coloured, plain);
    }

    #[test]
    fn no_value_gets_out_of_its_place() {
        let evil = "\u{1b}[2J\u{7}\u{202e}\u{9b}0m\n```\n</details> @everyone\n";
        let difference = {
            let mut difference = Difference::default();
            let value = FieldValue::Value(json!(evil));
            difference.changes = vec![
                changed(evil, FieldValue::Absent, value.clone()),
                changed("b", FieldValue::Value(json!({evil: evil})), value),
            ];
            difference
        };
        let text = unified(evil, &difference, Colour::Plain);
        assert!(
            !text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']),
            "{text}"
        );
        let text = markdown(evil, &difference);
        assert!(
            !text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']),
            "{text}"
        );
        // The fence is longer than any in the value.
        let fences = text.lines().filter(|line| line.starts_with("````"));
        assert_eq!(fences.count(), 2, "{text}");
    }

    #[test]
    fn json_names_paths_and_kinds_and_no_secret() {
        let object = ObjectId::namespaced(
            gitops_core::GroupKind::new("apps", "Deployment"),
            "shop",
            "web",
        );
        let value = json(&object, &sample());
        assert_eq!(
            value["changes"][2],
            json!({"path": ".spec.replicas", "change": "changed", "before": 5, "after": 3,
                   "owner": {"manager": "hpa", "operation": "Update", "subresource": "scale"}})
        );
        assert_eq!(
            value["changes"][3],
            json!({"path": ".spec.secret", "change": "changed", "secret": true})
        );
    }

    #[test]
    fn long_values_are_cut_and_say_so() {
        let text = |word: &str| {
            let lines: Vec<_> = (0..30_000).map(|n| format!("{word}{n}")).collect();
            FieldValue::Value(json!(lines.join("\n")))
        };
        let mut difference = Difference::default();
        difference.changes = vec![changed("l", text("a"), text("b"))];
        let shown = unified("x", &difference, Colour::Plain);
        assert!(
            shown.lines().count() < 2 * MAX_LINES,
            "{}",
            shown.lines().count()
        );
        assert!(shown.contains("more lines"), "{shown}");
    }

    #[test]
    fn a_text_that_differs_in_its_last_line_break_shows_so() {
        let value = |text: &str| FieldValue::Value(json!(text));
        let mut difference = Difference::default();
        difference.changes = vec![changed("l", value("a\nb\n"), value("a\nb"))];
        let shown = unified("x", &difference, Colour::Plain);
        assert!(shown.lines().count() > 2, "{shown}");
    }
}
