//! Whole objects as differences: those that come, and those that go.

use gitops_core::{DiffError, Difference, FieldValue};
use serde_json::{Value, json};

use super::{SchemaDiffer, object_id};
use crate::ignore::IgnoreRules;

impl SchemaDiffer {
    /// The difference of an object that isn't there yet: all that `desired` states.
    ///
    /// What identifies the object and what no apply writes (`status`, server-owned
    /// metadata) is left out. Secrets are redacted as in any difference. Ignore rules don't
    /// count: what isn't there yet is made as it is stated.
    ///
    /// ```
    /// use gitops_diff::SchemaDiffer;
    /// use gitops_diff::serde_json::json;
    ///
    /// let secret = json!({
    ///     "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "labels": {"app": "db"}},
    ///     "stringData": {"password": "hunter2"},
    /// });
    /// let created = SchemaDiffer::builtin().created(&secret)?;
    /// let lines: Vec<_> = created.changes.iter().map(ToString::to_string).collect();
    /// assert_eq!(lines, [
    ///     r#"+ .metadata.labels = {"app":"db"}"#,
    ///     "+ .stringData.password = (secret)",
    /// ]);
    /// # Ok::<(), gitops_diff::DiffError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`compare`](Self::compare).
    pub fn created(&self, desired: &Value) -> Result<Difference, DiffError> {
        let part = |name: &str| desired.get(name).cloned().unwrap_or_default();
        let nothing = json!({
            "apiVersion": part("apiVersion"), "kind": part("kind"), "metadata": {},
        });
        let id = object_id(desired);
        self.compare_as(id, desired, &nothing, "", None, &IgnoreRules::new())
    }

    /// The difference of an object that goes: all that `live` has, taken away. What is
    /// left out is the same as in [`created`](Self::created).
    ///
    /// # Errors
    ///
    /// As [`compare`](Self::compare).
    pub fn deleted(&self, live: &Value) -> Result<Difference, DiffError> {
        let mut found = self.created(live)?;
        for change in &mut found.changes {
            change.before = std::mem::replace(&mut change.after, FieldValue::Absent);
        }
        Ok(found)
    }
}
