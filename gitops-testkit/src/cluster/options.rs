//! The options of requests: read from the query (or a delete's body) and validated.

use serde_json::{Value, json};

use super::request::Query;
use super::status::{ApiError, ApiResult, Cause};

/// What to do about unknown and duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// The options of a create, update or patch.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    /// The manager that owns what is written.
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    pub(crate) force: bool,
}

/// The kinds of options, as errors name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionsKind {
    Create,
    Update,
    Patch,
    /// A server-side apply, which are `PatchOptions` too.
    Apply,
}

impl OptionsKind {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

fn dry_run_causes(values: &[&str]) -> Vec<Cause> {
    if values.iter().all(|value| *value == "All") {
        Vec::new()
    } else {
        vec![Cause::not_supported("dryRun", &json!(values), &["All"])]
    }
}

impl WriteOptions {
    pub(crate) fn read(query: &Query, kind: OptionsKind, user_agent: &str) -> ApiResult<Self> {
        let mut causes = Vec::new();
        let manager = query.get("fieldManager").unwrap_or_default();
        match kind {
            OptionsKind::Apply if manager.is_empty() => {
                causes.push(Cause::required(
                    "fieldManager",
                    "is required for apply patch",
                ));
            }
            OptionsKind::Patch if query.get("force").is_some() => {
                causes.push(Cause::forbidden(
                    "force",
                    "may not be specified for non-apply patch",
                ));
            }
            _ => {}
        }
        if manager.len() > 128 {
            causes.push(Cause::too_long("fieldManager", 128));
        }
        if let Some((at, _)) = manager.char_indices().find(|(_, c)| c.is_control()) {
            causes.push(Cause::invalid(
                "fieldManager",
                &json!(manager),
                &format!("should only contain printable characters (invalid character at {at})"),
            ));
        }
        let dry_run: Vec<&str> = query.all("dryRun").collect();
        causes.extend(dry_run_causes(&dry_run));
        let validation = match query.get("fieldValidation") {
            None | Some("" | "Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                causes.push(Cause::not_supported(
                    "fieldValidation",
                    &json!(other),
                    &["", "Ignore", "Strict", "Warn"],
                ));
                FieldValidation::Warn
            }
        };
        if !causes.is_empty() {
            return Err(ApiError::invalid_options(kind.name(), &causes));
        }
        let manager = if manager.is_empty() {
            user_agent_manager(user_agent)
        } else {
            manager.to_owned()
        };
        Ok(Self {
            dry_run: !dry_run.is_empty(),
            manager,
            validation,
            force: query.flag("force"),
        })
    }
}

/// The manager of a write that names none: the user agent up to the first slash.
fn user_agent_manager(user_agent: &str) -> String {
    let name = user_agent.split('/').next().unwrap_or_default();
    let mut out = String::new();
    for c in name.chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > 128 {
            break;
        }
        out.push(c);
    }
    out
}

/// The options of a delete.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) dry_run: bool,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) grace_period: Option<i64>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) propagation: Option<String>,
}

impl DeleteOptions {
    /// Reads the body, or the query if there is no body.
    pub(crate) fn read(query: &Query, body: Option<&Value>) -> ApiResult<Self> {
        let mut causes = Vec::new();
        let mut options = Self::default();
        let mut dry_run: Vec<String> = Vec::new();
        if let Some(body) = body {
            let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
            options.grace_period = body.get("gracePeriodSeconds").and_then(Value::as_i64);
            options.orphan_dependents = body.get("orphanDependents").and_then(Value::as_bool);
            options.propagation = text(body.get("propagationPolicy"));
            options.uid = text(body.pointer("/preconditions/uid"));
            options.resource_version = text(body.pointer("/preconditions/resourceVersion"));
            for value in body
                .get("dryRun")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                dry_run.push(value.as_str().unwrap_or_default().to_owned());
            }
        } else {
            options.grace_period = query.number("gracePeriodSeconds")?;
            options.orphan_dependents = query
                .get("orphanDependents")
                .map(|_| query.flag("orphanDependents"));
            options.propagation = query.text("propagationPolicy").map(str::to_owned);
            dry_run = query.all("dryRun").map(str::to_owned).collect();
        }
        if let Some(policy) = &options.propagation {
            if options.orphan_dependents.is_some() {
                causes.push(Cause::invalid(
                    "propagationPolicy",
                    &json!(policy),
                    "orphanDependents and deletionPropagation cannot be both set",
                ));
            } else if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
                causes.push(Cause::not_supported(
                    "propagationPolicy",
                    &json!(policy),
                    &["Foreground", "Background", "Orphan", "nil"],
                ));
            }
        }
        let values: Vec<&str> = dry_run.iter().map(String::as_str).collect();
        causes.extend(dry_run_causes(&values));
        if !causes.is_empty() {
            return Err(ApiError::invalid_options("DeleteOptions", &causes));
        }
        options.dry_run = !values.is_empty();
        // A negative period means at once; the server takes it for one second.
        if options.grace_period.is_some_and(|period| period < 0) {
            options.grace_period = Some(1);
        }
        Ok(options)
    }

    /// The finalizers of `had` as this delete leaves them, for garbage collection.
    pub(crate) fn finalizers(&self, had: &[String], orphan_by_default: bool) -> Vec<String> {
        let has = |name: &str| had.iter().any(|f| f == name);
        let policy = self.propagation.as_deref();
        let orphan = match (self.orphan_dependents, policy) {
            (Some(orphan), _) => orphan,
            (None, Some(policy)) => policy == "Orphan",
            (None, None) if has("orphan") => true,
            (None, None) if has("foregroundDeletion") => false,
            (None, None) => orphan_by_default,
        };
        let foreground = match (self.orphan_dependents, policy) {
            (Some(_), _) => false,
            (None, Some(policy)) => policy == "Foreground",
            (None, None) => has("foregroundDeletion"),
        };
        let mut finalizers: Vec<String> = had
            .iter()
            .filter(|f| !matches!(f.as_str(), "orphan" | "foregroundDeletion"))
            .cloned()
            .collect();
        if orphan {
            finalizers.push("orphan".to_owned());
        }
        if foreground {
            finalizers.push("foregroundDeletion".to_owned());
        }
        finalizers
    }
}

/// Which version of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    /// Any that is not older.
    NotOlderThan(u64),
    /// Exactly this one.
    Exact(u64),
    /// The newest.
    Latest,
}

/// The options of a list.
#[derive(Debug, Clone)]
pub(crate) struct ListOptions {
    pub(crate) version: VersionMatch,
    pub(crate) limit: usize,
    pub(crate) continue_token: Option<String>,
}

fn parse_version(text: &str) -> Result<u64, String> {
    text.parse::<u64>().map_err(|_| {
        format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax")
    })
}

impl ListOptions {
    pub(crate) fn read(query: &Query) -> ApiResult<Self> {
        let mut causes = Vec::new();
        let version = query.get("resourceVersion").unwrap_or_default();
        let matching = query.get("resourceVersionMatch").unwrap_or_default();
        let continue_token = query.text("continue").map(str::to_owned);
        let field = "resourceVersionMatch";
        if !matching.is_empty() {
            if version.is_empty() {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if continue_token.is_some() {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                causes.push(Cause::not_supported(
                    field,
                    &json!(matching),
                    &["Exact", "NotOlderThan", ""],
                ));
            }
            if matching == "Exact" && version == "0" {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if query.get("sendInitialEvents").is_some() {
            causes.push(Cause::forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        if !causes.is_empty() {
            return Err(ApiError::invalid_options("ListOptions", &causes));
        }
        let limit = query.number("limit")?.unwrap_or(0).max(0);
        let number = if version.is_empty() {
            0
        } else {
            parse_version(version)
                .map_err(|e| ApiError::bad_request(format!("invalid resource version: {e}")))?
        };
        if continue_token.is_some() && number > 0 {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let version = match (number, matching) {
            (0, _) => VersionMatch::Latest,
            (number, "Exact") => VersionMatch::Exact(number),
            // With a limit and no match a version means exactly that one.
            (number, "") if limit > 0 => VersionMatch::Exact(number),
            (number, _) => VersionMatch::NotOlderThan(number),
        };
        Ok(Self {
            version,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            continue_token,
        })
    }
}

/// The options of a watch.
#[derive(Debug, Clone)]
pub(crate) struct WatchOptions {
    /// Only later events; `None` begins with what there is.
    pub(crate) from: Option<u64>,
    /// Begin with what there is.
    pub(crate) initial: bool,
    /// Say when the initial events end.
    pub(crate) initial_end: bool,
    pub(crate) bookmarks: bool,
    pub(crate) timeout_seconds: Option<u64>,
}

impl WatchOptions {
    pub(crate) fn read(query: &Query) -> ApiResult<Self> {
        let mut causes = Vec::new();
        let field = "resourceVersionMatch";
        let matching = query.get(field).unwrap_or_default();
        let initial = query
            .get("sendInitialEvents")
            .map(|_| query.flag("sendInitialEvents"));
        if initial.is_some() && matching != "NotOlderThan" {
            causes.push(Cause::forbidden(
                field,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !matching.is_empty() {
            if initial.is_none() {
                causes.push(Cause::forbidden(field, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
            }
            if matching != "NotOlderThan" {
                causes.push(Cause::not_supported(
                    field,
                    &json!(matching),
                    &["NotOlderThan"],
                ));
            }
        }
        if query.text("continue").is_some() {
            causes.push(Cause::forbidden(
                field,
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if !causes.is_empty() {
            return Err(ApiError::invalid_options("ListOptions", &causes));
        }
        let version = match query.text("resourceVersion") {
            None => 0,
            Some(text) => parse_version(text).map_err(ApiError::bare_internal)?,
        };
        let bookmarks = query.flag("allowWatchBookmarks");
        let timeout = query.number("timeoutSeconds")?;
        Ok(Self {
            from: match initial {
                Some(true) => None,
                _ => (version > 0).then_some(version),
            },
            initial: initial.unwrap_or(version == 0),
            initial_end: initial == Some(true) && bookmarks,
            bookmarks,
            timeout_seconds: timeout
                .and_then(|t| u64::try_from(t).ok())
                .filter(|t| *t > 0),
        })
    }

    /// The version that must have been reached before a watch with initial events.
    pub(crate) fn not_older_than(query: &Query) -> ApiResult<u64> {
        match query.text("resourceVersion") {
            None => Ok(0),
            Some(text) => parse_version(text).map_err(ApiError::bare_internal),
        }
    }
}

/// The version that a get asks for at least.
pub(crate) fn get_version(query: &Query) -> ApiResult<u64> {
    WatchOptions::not_older_than(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_options_are_validated() {
        let read = |text: &str, kind| WriteOptions::read(&Query::parse(text), kind, "me/1.0 (x)");
        let options = read("dryRun=All&fieldValidation=Strict", OptionsKind::Create).unwrap();
        assert!(options.dry_run && options.validation == FieldValidation::Strict);
        assert_eq!(options.manager, "me");
        for (text, kind, message) in [
            (
                "dryRun=Some",
                OptionsKind::Patch,
                "PatchOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"",
            ),
            (
                "",
                OptionsKind::Apply,
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ),
            (
                "force=true",
                OptionsKind::Patch,
                "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
            ),
        ] {
            assert_eq!(read(text, kind).unwrap_err().message, message);
        }
    }

    #[test]
    fn deletes_change_the_finalizers_of_the_collector() {
        let options = |policy: &str| DeleteOptions {
            propagation: Some(policy.to_owned()),
            ..DeleteOptions::default()
        };
        let had = ["example.com/x".to_owned(), "orphan".to_owned()];
        assert_eq!(
            options("Foreground").finalizers(&had, false),
            ["example.com/x", "foregroundDeletion"]
        );
        assert_eq!(
            options("Background").finalizers(&had, false),
            ["example.com/x"]
        );
        assert_eq!(DeleteOptions::default().finalizers(&had, false), had);
        assert_eq!(DeleteOptions::default().finalizers(&[], true), ["orphan"]);
    }
}
