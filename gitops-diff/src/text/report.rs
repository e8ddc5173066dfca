//! Several objects at once.

use std::fmt::Write as _;

use gitops_core::{Difference, ObjectId, Plan, Verb};
use serde_json::{Value, json};

use super::clean::clean;
use super::markdown::{escaped, fenced};
use super::{Colour, Paint, side_by_side, unified};

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It isn't there and is made.
    Created,
    /// It is there, and changes if its difference isn't empty.
    Changed,
    /// It is there and goes.
    Deleted,
}

impl Fate {
    fn sign(self) -> char {
        match self {
            Self::Created => '+',
            Self::Changed => '~',
            Self::Deleted => '-',
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
        }
    }
}

/// The most characters that a comment on GitHub may have.
pub const GITHUB_COMMENT: usize = 65_536;

/// The differences of several objects, in the order in which they were added, to be written
/// in one of the forms.
///
/// ```
/// use gitops_diff::{GroupKind, ObjectId};
/// use gitops_diff::SchemaDiffer;
/// use gitops_diff::text::{Colour, Fate, Report};
/// use gitops_diff::serde_json::json;
///
/// let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"},
///                     "data": {"mode": "fast"}});
/// let id = ObjectId::namespaced(GroupKind::new("", "ConfigMap"), "shop", "app");
///
/// let mut report = Report::new();
/// report.push(id, Fate::Created, SchemaDiffer::builtin().created(&object)?);
/// report.note("1 file was not read");
/// assert_eq!(
///     report.unified(Colour::Plain),
///     r#"+ ConfigMap shop/app
///   + .data  {"mode":"fast"}
/// 1 file was not read
/// 1 created
/// "#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Report {
    entries: Vec<Entry>,
    unchanged: usize,
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    object: ObjectId,
    fate: Fate,
    difference: Difference,
}

impl Entry {
    /// Whether there is something to tell.
    fn tells(&self) -> bool {
        self.fate != Fate::Changed || !self.difference.is_empty()
    }

    fn heading(&self) -> String {
        format!("{} {}", self.fate.sign(), self.object)
    }
}

impl Report {
    /// A report without objects.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object. What is [`Changed`](Fate::Changed) with an empty difference is only
    /// counted.
    pub fn push(&mut self, object: ObjectId, fate: Fate, difference: Difference) {
        let entry = Entry {
            object,
            fate,
            difference,
        };
        if entry.tells() {
            self.entries.push(entry);
        } else {
            self.unchanged += 1;
        }
    }

    /// Counts objects that are as desired, without naming them.
    pub fn add_unchanged(&mut self, count: usize) {
        self.unchanged += count;
    }

    /// Adds a line that stands below the objects, such as a problem.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Whether no object changes and there is no note.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.entries.is_empty()
    }

    /// How many objects are created, changed, deleted and unchanged, in one line: `1
    /// created, 4 unchanged`. Nothing of which there is none is named; without objects it
    /// is `no objects`.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |fate| self.entries.iter().filter(|e| e.fate == fate).count();
        let parts: Vec<_> = [
            (count(Fate::Created), "created"),
            (count(Fate::Changed), "changed"),
            (count(Fate::Deleted), "deleted"),
            (self.unchanged, "unchanged"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
        if parts.is_empty() {
            "no objects".to_owned()
        } else {
            parts.join(", ")
        }
    }

    fn lines(&self, colour: Colour, body: impl Fn(&Difference, &mut String)) -> String {
        let mut out = String::new();
        for entry in &self.entries {
            out.push_str(&Paint(colour).bold(&clean(&entry.heading())));
            out.push('\n');
            body(&entry.difference, &mut out);
        }
        for note in &self.notes {
            let _ = writeln!(out, "{}", clean(note));
        }
        let _ = writeln!(out, "{}", self.summary());
        out
    }

    /// As lines one below the other, each object as [`unified`](fn@super::unified) writes it.
    #[must_use]
    pub fn unified(&self, colour: Colour) -> String {
        self.lines(colour, |difference, out| {
            unified::body(difference, colour, out);
        })
    }

    /// In two columns, each object as [`side_by_side`](fn@super::side_by_side) writes it.
    #[must_use]
    pub fn side_by_side(&self, columns: usize, colour: Colour) -> String {
        self.lines(colour, |difference, out| {
            side_by_side::body(difference, columns, colour, out);
        })
    }

    /// As JSON: the objects that change, each as [`json`](fn@super::json) writes it with its
    /// `fate`, the notes, and how many objects are unchanged.
    ///
    /// ```
    /// use gitops_diff::text::Report;
    /// use gitops_diff::serde_json::json;
    ///
    /// let empty = json!({"objects": [], "notes": [], "unchanged": 0});
    /// assert_eq!(Report::new().json(), empty);
    /// ```
    #[must_use]
    pub fn json(&self) -> Value {
        let objects: Vec<_> = self
            .entries
            .iter()
            .map(|entry| {
                let mut object = super::json(&entry.object, &entry.difference);
                if let Some(members) = object.as_object_mut() {
                    members.insert("fate".to_owned(), entry.fate.word().into());
                }
                object
            })
            .collect();
        json!({"objects": objects, "notes": self.notes, "unchanged": self.unchanged})
    }

    /// As a comment on a pull request, at most `limit` bytes long ([`GITHUB_COMMENT`]; a
    /// character has at least one byte, so it is short enough however it is counted).
    ///
    /// Each object folds out. Where not all fit, those that don't are named without their
    /// difference, and where not even that fits, the rest is counted. A limit that is too
    /// small for the summary gives empty text.
    ///
    /// Nothing in a value or name is taken for Markdown or HTML, or obeyed by a terminal.
    #[must_use]
    pub fn markdown(&self, title: &str, limit: usize) -> String {
        let head = format!("### {}\n\n{}\n", inert(title), self.summary());
        let notes: Vec<_> = self
            .notes
            .iter()
            .map(|note| format!("\n> {}\n", code(note)))
            .collect();
        let told = &self.entries;
        // Room that is kept for the line that counts what is left out.
        let left_out = |count: usize| format!("\n… and {count} more\n");
        let tail = left_out(told.len() + notes.len()).len();
        if head.len() > limit {
            return String::new();
        }
        let mut out = head;
        let mut left = 0;
        for note in &notes {
            if left == 0 && out.len() + note.len() + tail <= limit {
                out.push_str(note);
            } else {
                left += 1;
            }
        }
        // Each object is at least named, if that fits; only then is room given to differences.
        let names: Vec<_> = told.iter().map(named).collect();
        let mut room = limit.saturating_sub(out.len() + tail);
        let mut listed = 0;
        for name in &names {
            if left > 0 || name.len() > room {
                break;
            }
            room -= name.len();
            listed += 1;
        }
        left += told.len() - listed;
        for (entry, name) in told.iter().zip(&names).take(listed) {
            let whole = folded(entry);
            if let Some(extra) = whole.len().checked_sub(name.len())
                && extra <= room
            {
                room -= extra;
                out.push_str(&whole);
            } else {
                out.push_str(name);
            }
        }
        if left > 0 && out.len() + left_out(left).len() <= limit {
            out.push_str(&left_out(left));
        }
        out
    }
}

/// A line of text in which nothing is Markdown, HTML or a mention of somebody.
fn inert(text: &str) -> String {
    let mut out = String::new();
    for c in escaped(text).chars() {
        match c {
            // A mention is looked for in the text that comes of this.
            '@' => out.push_str("@<!-- -->"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '|' | '~' | ':' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", inert(text))
}

fn fields(difference: &Difference) -> String {
    match difference.changes.len() + difference.unowned.len() {
        1 => "1 field".to_owned(),
        count => format!("{count} fields"),
    }
}

/// An object without its difference.
fn named(entry: &Entry) -> String {
    let heading = code(&entry.heading());
    let what = if entry.difference.is_empty() {
        entry.fate.word().to_owned()
    } else {
        format!(
            "{}, {}, not shown",
            entry.fate.word(),
            fields(&entry.difference)
        )
    };
    format!("\n{heading} {what}\n")
}

/// An object that folds out to its difference.
fn folded(entry: &Entry) -> String {
    if entry.difference.is_empty() {
        return named(entry);
    }
    format!(
        "\n<details><summary>{} {}</summary>\n\n{}\n</details>\n",
        code(&entry.heading()),
        fields(&entry.difference),
        fenced(&entry.difference),
    )
}

impl From<&Plan> for Report {
    /// What a plan does to each object: what it creates, changes and deletes. An object that
    /// is created is only named, for a plan holds no manifests. What it leaves alone and
    /// why, its problems, and that it holds deletions back, are notes.
    fn from(plan: &Plan) -> Self {
        let mut report = Self::new();
        for action in &plan.actions {
            let object = action.object.clone();
            let mut difference = Difference::default();
            match &action.verb {
                Verb::Create => report.push(object, Fate::Created, difference),
                Verb::Update {
                    changes, forced, ..
                }
                | Verb::Adopt {
                    changes, forced, ..
                } => {
                    difference.changes.clone_from(changes);
                    difference.conflicts.clone_from(forced);
                    report.push(object, Fate::Changed, difference);
                }
                Verb::Prune { .. } => report.push(object, Fate::Deleted, difference),
                Verb::Skip { reason } | Verb::Release { reason } | Verb::Keep { reason } => {
                    report.note(format!("{} {object}: {reason}", action.verb.name()));
                }
                verb => report.note(format!("{} {object}", verb.name())),
            }
            if let Verb::Adopt { from, .. } = &action.verb {
                report.note(format!("adopt {} from {from}", action.object));
            }
        }
        for problem in &plan.problems {
            report.note(format!("problem {problem}"));
        }
        if let Some(hold) = &plan.hold {
            report.note(format!("held {hold}"));
        }
        report.add_unchanged(plan.unchanged);
        report
    }
}
