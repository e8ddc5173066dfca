//! JSON patch as the API server applies it, and the smallest one between two documents.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    MAX_COPIED_BYTES, MAX_DEPTH, MAX_OPERATIONS, PatchError, check_depth, deeper_than, depth,
    go_type, json_size,
};

/// Applies a JSON patch to `document`.
///
/// The API server uses version 4 of [evanphx/json-patch], which is more lenient than
/// [RFC 6902]. Like it, this function
///
/// * lets a `test` for `null` (or without a value) pass when the member is absent;
/// * lets `replace` set a member that is absent, and `copy` of an absent member set `null`;
/// * counts negative indices from the end of a list;
/// * ignores what stands before the first `/` of a path;
/// * doesn't allow `add`, `remove`, `move` or `copy` of the whole document, and `replace`
///   of it only by an object or list.
///
/// [evanphx/json-patch]: https://github.com/evanphx/json-patch
/// [RFC 6902]: https://www.rfc-editor.org/rfc/rfc6902
///
/// # Errors
///
/// The first operation that doesn't apply, a patch that isn't a list of operations, or a
/// limit that is passed ([`MAX_OPERATIONS`], [`MAX_COPIED_BYTES`], [`MAX_DEPTH`]).
/// Nothing is applied then.
///
/// ```
/// use gitops_diff::patch;
/// use serde_json::json;
///
/// let document = json!({"metadata": {"finalizers": ["a"]}});
/// let patch = json!([
///     {"op": "test", "path": "/metadata/labels", "value": null},
///     {"op": "add", "path": "/metadata/finalizers/-", "value": "b"},
/// ]);
/// assert_eq!(
///     patch::json::apply(&document, &patch)?,
///     json!({"metadata": {"finalizers": ["a", "b"]}}),
/// );
/// # Ok::<(), patch::PatchError>(())
/// ```
pub fn apply(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = operations(patch)?;
    check_depth(document, "the document")?;
    check_depth(patch, "the patch")?;
    let mut run = Run {
        document: document.clone(),
        depth: depth(document),
        copied: 0,
    };
    for (at, operation) in operations.iter().enumerate() {
        run.step(operation, at)?;
    }
    Ok(run.document)
}

/// Members of a JSON patch's operations that mean nothing, as the API server warns of
/// them: `json patch unknown field "[0].valu"`.
///
/// ```
/// use serde_json::json;
/// let patch = json!([{"op": "remove", "path": "/a", "why": "old"}]);
/// assert_eq!(
///     gitops_diff::patch::json::unknown_fields(&patch),
///     [r#"json patch unknown field "[0].why""#],
/// );
/// ```
#[must_use]
pub fn unknown_fields(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        let Some(members) = operation.as_object() else {
            continue;
        };
        for name in members.keys() {
            if !matches!(name.as_str(), "op" | "path" | "from" | "value") {
                found.push(format!("json patch unknown field \"[{at}].{name}\""));
            }
        }
    }
    found
}

/// One operation, with its parts checked for type as the API server does before it
/// applies any.
struct Operation<'p> {
    kind: Option<&'p str>,
    path: Option<&'p str>,
    from: Option<&'p str>,
    value: &'p Value,
}

fn operations(patch: &Value) -> Result<Vec<Operation<'_>>, PatchError> {
    let malformed = |found: &Value, place: &str| PatchError::Malformed {
        message: format!(
            "error decoding patch: json: cannot unmarshal {} into Go {place}",
            go_type(found)
        ),
    };
    let list = match patch {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        other => return Err(malformed(other, "value of type []handlers.jsonPatchOp")),
    };
    if list.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations { found: list.len() });
    }
    let text = |members: &'_ Map<String, Value>, name: &str| match members.get(name) {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(other) => Err(malformed(
            other,
            &format!("struct field jsonPatchOp.{name} of type string"),
        )),
    };
    list.iter()
        .map(|operation| match operation {
            Value::Null => Ok(Operation {
                kind: None,
                path: None,
                from: None,
                value: &Value::Null,
            }),
            Value::Object(members) => {
                text(members, "op")?;
                text(members, "path")?;
                text(members, "from")?;
                Ok(Operation {
                    kind: members.get("op").and_then(Value::as_str),
                    path: members.get("path").and_then(Value::as_str),
                    from: members.get("from").and_then(Value::as_str),
                    value: members.get("value").unwrap_or(&Value::Null),
                })
            }
            other => Err(malformed(other, "value of type handlers.jsonPatchOp")),
        })
        .collect()
}

struct Run {
    document: Value,
    /// Never less than the number of levels of the document.
    depth: usize,
    copied: usize,
}

impl Run {
    fn step(&mut self, operation: &Operation<'_>, at: usize) -> Result<(), PatchError> {
        let fails = |path: &str, reason: &'static str| PatchError::DoesNotApply {
            operation: at,
            path: path.to_owned(),
            reason,
        };
        let path = |path: Option<&'_ str>| match path {
            Some(path) => Ok(path.to_owned()),
            None => Err(fails("", "the operation has no path or no from")),
        };
        match operation.kind {
            Some("add") => {
                let path = path(operation.path)?;
                let levels = depth(operation.value);
                self.add(&path, operation.value.clone(), levels, &fails)
            }
            Some("remove") => {
                let path = path(operation.path)?;
                self.remove(&path, &fails).map(drop)
            }
            Some("replace") => {
                let path = path(operation.path)?;
                self.replace(&path, operation.value, &fails)
            }
            Some("move") => {
                let from = path(operation.from)?;
                let moved = self.remove(&from, &fails)?;
                let path = path(operation.path)?;
                let levels = self.depth.saturating_sub(tokens(&from));
                self.add(&path, moved, levels, &fails)
            }
            Some("copy") => {
                let from = path(operation.from)?;
                let value = self.get(&from, &fails)?.cloned().unwrap_or(Value::Null);
                self.copied = self.copied.saturating_add(json_size(&value));
                if self.copied > MAX_COPIED_BYTES {
                    return Err(PatchError::CopyTooLarge { operation: at });
                }
                let path = path(operation.path)?;
                let levels = depth(&value);
                self.add(&path, value, levels, &fails)
            }
            Some("test") => {
                let path = path(operation.path)?;
                let found = if path.is_empty() {
                    Some(&self.document)
                } else {
                    self.get(&path, &fails)?
                };
                if found.unwrap_or(&Value::Null) == operation.value {
                    Ok(())
                } else {
                    Err(PatchError::TestFailed {
                        operation: at,
                        path,
                    })
                }
            }
            _ => Err(fails(
                operation.path.unwrap_or_default(),
                "the op is none of add, remove, replace, move, copy and test",
            )),
        }
    }

    /// The object or list that holds what `path` names, and the last part of `path`.
    fn parent<'d>(document: &'d mut Value, path: &str) -> Option<(&'d mut Value, String)> {
        let (_, pointer) = path.split_once('/')?;
        let mut parts = pointer.split('/');
        let last = unescape(parts.next_back()?);
        let mut here = document;
        for part in parts {
            let part = unescape(part);
            here = match here {
                Value::Object(members) => members.get_mut(&part)?,
                Value::Array(items) => {
                    let at = index(&part, items.len(), false).ok()?;
                    items.get_mut(at)?
                }
                _ => return None,
            };
        }
        (here.is_object() || here.is_array()).then_some((here, last))
    }

    /// What stands at `path`: `None` for a member that is absent.
    fn get(&mut self, path: &str, fails: &Fails<'_>) -> Result<Option<&Value>, PatchError> {
        let Some((parent, last)) = Self::parent(&mut self.document, path) else {
            return Err(fails(path, NO_PATH));
        };
        match parent {
            Value::Array(items) => {
                let at = index(&last, items.len(), false).map_err(|why| fails(path, why))?;
                Ok(items.get(at))
            }
            Value::Object(members) => Ok(members.get(&last)),
            _ => Err(fails(path, NO_PATH)),
        }
    }

    fn add(
        &mut self,
        path: &str,
        value: Value,
        levels: usize,
        fails: &Fails<'_>,
    ) -> Result<(), PatchError> {
        self.deepen(tokens(path), levels, &value)?;
        let Some((parent, last)) = Self::parent(&mut self.document, path) else {
            return Err(fails(path, NO_PATH));
        };
        match parent {
            Value::Array(items) if last == "-" => items.push(value),
            Value::Array(items) => {
                let at = index(&last, items.len(), true).map_err(|why| fails(path, why))?;
                items.insert(at, value);
            }
            Value::Object(members) => {
                members.insert(last, value);
            }
            _ => return Err(fails(path, NO_PATH)),
        }
        Ok(())
    }

    fn remove(&mut self, path: &str, fails: &Fails<'_>) -> Result<Value, PatchError> {
        let Some((parent, last)) = Self::parent(&mut self.document, path) else {
            return Err(fails(path, NO_PATH));
        };
        match parent {
            Value::Array(items) => {
                let at = index(&last, items.len(), false).map_err(|why| fails(path, why))?;
                Ok(items.remove(at))
            }
            Value::Object(members) => members
                .remove(&last)
                .ok_or_else(|| fails(path, "there is no such member to take away")),
            _ => Err(fails(path, NO_PATH)),
        }
    }

    fn replace(&mut self, path: &str, value: &Value, fails: &Fails<'_>) -> Result<(), PatchError> {
        if path.is_empty() {
            if !value.is_object() && !value.is_array() {
                return Err(fails(path, "a document is replaced by an object or a list"));
            }
            self.document = value.clone();
            self.depth = depth(value);
            return Ok(());
        }
        self.deepen(tokens(path), depth(value), value)?;
        let Some((parent, last)) = Self::parent(&mut self.document, path) else {
            return Err(fails(path, NO_PATH));
        };
        match parent {
            Value::Array(items) => {
                let at = index(&last, items.len(), false).map_err(|why| fails(path, why))?;
                if let Some(item) = items.get_mut(at) {
                    *item = value.clone();
                }
            }
            Value::Object(members) => {
                members.insert(last, value.clone());
            }
            _ => return Err(fails(path, NO_PATH)),
        }
        Ok(())
    }

    /// Notes that a value of at most `levels` levels comes to stand `under` levels down.
    ///
    /// The bound may be too high after a `move`. It is measured anew only when it passes
    /// the limit, so that a patch of many moves doesn't walk a large document each time.
    fn deepen(&mut self, under: usize, levels: usize, value: &Value) -> Result<(), PatchError> {
        if under > MAX_DEPTH {
            return Err(PatchError::TooDeep { what: "the result" });
        }
        self.depth = self.depth.max(under + levels);
        if self.depth > MAX_DEPTH {
            if deeper_than(value, MAX_DEPTH - under) {
                return Err(PatchError::TooDeep { what: "the result" });
            }
            self.depth = depth(&self.document).max(under + depth(value));
        }
        Ok(())
    }
}

type Fails<'f> = dyn Fn(&str, &'static str) -> PatchError + 'f;

const NO_PATH: &str = "the document has no such path";

/// How many steps `path` has.
fn tokens(path: &str) -> usize {
    path.bytes().filter(|byte| *byte == b'/').count()
}

/// One step of a JSON pointer. In one pass, so `~01` is `~1` and not `/`.
pub(crate) fn unescape(part: &str) -> String {
    if !part.contains('~') {
        return part.to_owned();
    }
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (decoded, length) = match from.as_bytes().get(1) {
            Some(b'0') => ('~', 2),
            Some(b'1') => ('/', 2),
            _ => ('~', 1),
        };
        out.push(decoded);
        rest = from.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// `part` as one step of a JSON pointer.
pub(crate) fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// The place that `part` names in a list of `length`; one more place if `inserting`.
fn index(part: &str, length: usize, inserting: bool) -> Result<usize, &'static str> {
    let at: i64 = part.parse().map_err(|_| "this isn't a place in a list")?;
    let places = length + usize::from(inserting);
    let outside = "the list has no such place";
    if at < 0 {
        let back = usize::try_from(at.unsigned_abs()).map_err(|_| outside)?;
        return places.checked_sub(back).ok_or(outside);
    }
    let at = usize::try_from(at).map_err(|_| outside)?;
    if at < places { Ok(at) } else { Err(outside) }
}

/// How many pairs of list elements are compared at most to find the shortest edit of
/// one list. Longer lists are edited by place.
const MAX_PAIRS: usize = 1 << 20;

/// Gives the JSON patch that leads from `before` to `after`, empty if they are equal.
///
/// Lists are compared by the longest common run of elements, so an insertion at the front
/// is one `add`. Where replacing a value within the document is shorter than changing its
/// parts, it is replaced. The patch has no `test`, `move` or `copy`.
///
/// ```
/// use gitops_diff::patch::json;
/// use serde_json::json;
///
/// let patch = json::generate(
///     &json!({"args": ["a", "b"], "old": {"of": "much", "text": "here"}}),
///     &json!({"args": ["new", "a", "b"]}),
/// )?;
/// assert_eq!(patch, json!([
///     {"op": "add", "path": "/args/0", "value": "new"},
///     {"op": "remove", "path": "/old"},
/// ]));
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
///
/// # Errors
///
/// [`PatchError::TooDeep`], [`PatchError::TooManyOperations`], and
/// [`PatchError::Inexpressible`] if `after` is neither an object nor a list (the API
/// server doesn't replace a document by one).
pub fn generate(before: &Value, after: &Value) -> Result<Value, PatchError> {
    check_depth(before, "the document")?;
    check_depth(after, "the wanted document")?;
    let mut operations = Vec::new();
    if before != after {
        if !after.is_object() && !after.is_array() {
            return Err(PatchError::Inexpressible {
                path: String::new(),
                reason: "a JSON patch can't replace a document by a scalar",
            });
        }
        compare("", before, after, &mut operations);
    }
    if operations.len() > MAX_OPERATIONS {
        operations = vec![json!({"op": "replace", "path": "", "value": after})];
    }
    Ok(Value::Array(operations))
}

fn compare(path: &str, before: &Value, after: &Value, out: &mut Vec<Value>) {
    let start = out.len();
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, old) in before {
                let path = || format!("{path}/{}", escape(name));
                match after.get(name) {
                    None => out.push(json!({"op": "remove", "path": path()})),
                    Some(new) if new != old => compare(&path(), old, new, out),
                    Some(_) => {}
                }
            }
            for (name, new) in after {
                if !before.contains_key(name) {
                    let path = format!("{path}/{}", escape(name));
                    out.push(json!({"op": "add", "path": path, "value": new}));
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => compare_lists(path, before, after, out),
        _ => {}
    }
    // A value of the other kind, or one whose parts take more room than the whole. The
    // document itself is never replaced for that: somebody else may change it too.
    let parts: usize = out.iter().skip(start).map(json_size).sum();
    let whole = json!({"op": "replace", "path": path, "value": after});
    if out.len() == start || (!path.is_empty() && parts > json_size(&whole)) {
        out.truncate(start);
        out.push(whole);
    }
}

fn compare_lists(path: &str, before: &[Value], after: &[Value], out: &mut Vec<Value>) {
    // Where the list now stands while the operations are carried out one by one.
    let mut at = 0;
    let (mut old, mut new) = (0, 0);
    for (kept_old, kept_new) in common(before, after)
        .into_iter()
        .chain([(before.len(), after.len())])
    {
        // Elements between two kept ones are changed in place as far as both lists have
        // some, then added or taken away.
        while old < kept_old && new < kept_new {
            if let (Some(from), Some(to)) = (before.get(old), after.get(new)) {
                compare(&format!("{path}/{at}"), from, to, out);
            }
            (old, new, at) = (old + 1, new + 1, at + 1);
        }
        while old < kept_old {
            out.push(json!({"op": "remove", "path": format!("{path}/{at}")}));
            old += 1;
        }
        while new < kept_new {
            if let Some(value) = after.get(new) {
                out.push(json!({"op": "add", "path": format!("{path}/{at}"), "value": value}));
            }
            (new, at) = (new + 1, at + 1);
        }
        (old, new, at) = (kept_old + 1, kept_new + 1, at + 1);
    }
}

/// The places of the elements that both lists keep, in order.
fn common(before: &[Value], after: &[Value]) -> Vec<(usize, usize)> {
    let same = |a: &Value, b: &Value| a == b;
    let front = before
        .iter()
        .zip(after)
        .take_while(|(a, b)| same(a, b))
        .count();
    let (rest_before, rest_after) = (
        before.get(front..).unwrap_or_default(),
        after.get(front..).unwrap_or_default(),
    );
    let back = rest_before
        .iter()
        .rev()
        .zip(rest_after.iter().rev())
        .take_while(|(a, b)| same(a, b))
        .count();
    let (rows, columns) = (rest_before.len() - back, rest_after.len() - back);

    let mut kept: Vec<_> = (0..front).map(|at| (at, at)).collect();
    if rows.saturating_mul(columns) <= MAX_PAIRS {
        // Numbers stand for elements, so that a pair is compared in one step.
        let mut numbers = HashMap::new();
        let mut number = |value: &Value| {
            let next = numbers.len();
            *numbers.entry(value.to_string()).or_insert(next)
        };
        let a: Vec<_> = rest_before.iter().take(rows).map(&mut number).collect();
        let b: Vec<_> = rest_after.iter().take(columns).map(&mut number).collect();
        // longest[i][j]: of what comes from i and j on.
        let mut longest = vec![vec![0_u32; columns + 1]; rows + 1];
        for (i, x) in a.iter().enumerate().rev() {
            for (j, y) in b.iter().enumerate().rev() {
                longest[i][j] = if x == y {
                    longest[i + 1][j + 1] + 1
                } else {
                    longest[i + 1][j].max(longest[i][j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < rows && j < columns {
            if a[i] == b[j] {
                kept.push((front + i, front + j));
                (i, j) = (i + 1, j + 1);
            } else if longest[i + 1][j] >= longest[i][j + 1] {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
    kept.extend((0..back).map(|at| (front + rows + at, front + columns + at)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leniencies_are_those_of_the_api_server() {
        let document = json!({"m": {"x": "1", "a/b": "2", "n": null}, "l": ["p", "q"]});
        for (patch, expected) in [
            // Absent and null are the same to a test, also without a value.
            (
                json!([{"op": "test", "path": "/m/none", "value": null}]),
                json!({}),
            ),
            (json!([{"op": "test", "path": "/m/none"}]), json!({})),
            (json!([{"op": "test", "path": "/m/n"}]), json!({})),
            (
                json!([{"op": "replace", "path": "/m/none", "value": 1}]),
                json!({"m": {"none": 1}}),
            ),
            (
                json!([{"op": "copy", "from": "/m/none", "path": "/m/c"}]),
                json!({"m": {"c": null}}),
            ),
            (
                json!([{"op": "replace", "path": "ignored/m/x", "value": 1}]),
                json!({"m": {"x": 1}}),
            ),
            (
                json!([{"op": "replace", "path": "/m/a~1b", "value": 1}]),
                json!({"m": {"a/b": 1}}),
            ),
            (
                json!([{"op": "replace", "path": "/l/-1", "value": 1}]),
                json!({"l": ["p", 1]}),
            ),
            (
                json!([{"op": "add", "path": "/l/-1", "value": 1}]),
                json!({"l": ["p", "q", 1]}),
            ),
            (
                json!([{"op": "add", "path": "/l/+1", "value": 1}]),
                json!({"l": ["p", 1, "q"]}),
            ),
            (json!([]), json!({})),
            (Value::Null, json!({})),
        ] {
            let mut wanted = document.clone();
            for (name, value) in expected.as_object().unwrap() {
                match (value, &mut wanted[name]) {
                    (Value::Object(members), Value::Object(to)) => to.extend(members.clone()),
                    (value, to) => *to = value.clone(),
                }
            }
            assert_eq!(apply(&document, &patch).unwrap(), wanted, "{patch}");
        }
    }

    #[test]
    fn what_the_api_server_refuses_is_refused() {
        let document = json!({"m": {"x": "1"}, "l": ["p"], "s": "t", "n": null});
        for patch in [
            json!([{"op": "test", "path": "/m/x", "value": "no"}]),
            json!([{"op": "test", "path": "/m/x"}]),
            json!([{"op": "test", "path": "/m/none", "value": 1}]),
            json!([{"op": "test", "path": "/none/x", "value": null}]),
            json!([{"op": "test", "path": "/l/1", "value": null}]),
            json!([{"op": "remove", "path": "/m/none"}]),
            json!([{"op": "remove", "path": "/l/-"}]),
            json!([{"op": "remove", "path": "/l/1"}]),
            json!([{"op": "remove", "path": "/l/-2"}]),
            json!([{"op": "remove", "path": ""}]),
            json!([{"op": "add", "path": "", "value": {}}]),
            json!([{"op": "add", "path": "/l/2", "value": 1}]),
            json!([{"op": "add", "path": "/l/x", "value": 1}]),
            json!([{"op": "add", "path": "/s/x", "value": 1}]),
            json!([{"op": "add", "path": "/n/x", "value": 1}]),
            json!([{"op": "add", "path": "/nowhere/deep", "value": 1}]),
            json!([{"op": "add", "value": 1}]),
            json!([{"op": "replace", "path": "/l/1", "value": 1}]),
            json!([{"op": "replace", "path": "", "value": 1}]),
            json!([{"op": "move", "path": "/m/y"}]),
            json!([{"op": "move", "from": "/m/none", "path": "/m/y"}]),
            json!([{"op": "move", "from": "/m", "path": "/m/y"}]),
            json!([{"op": "copy", "from": "/none/x", "path": "/m/y"}]),
            json!([{"op": "frobnicate", "path": "/m/x"}]),
            json!([{"path": "/m/x"}]),
            json!([null]),
        ] {
            let status = apply(&document, &patch).unwrap_err().status();
            assert_eq!((status.code, status.reason), (422, "Invalid"), "{patch}");
        }
    }

    #[test]
    fn a_patch_of_another_form_is_a_bad_request() {
        for (patch, message) in [
            (
                json!({"op": "add"}),
                "error decoding patch: json: cannot unmarshal object into Go value of type \
                 []handlers.jsonPatchOp",
            ),
            (
                json!([{"op": 5}]),
                "error decoding patch: json: cannot unmarshal number into Go struct field \
                 jsonPatchOp.op of type string",
            ),
            (
                json!(["x"]),
                "error decoding patch: json: cannot unmarshal string into Go value of type \
                 handlers.jsonPatchOp",
            ),
        ] {
            let status = apply(&json!({}), &patch).unwrap_err().status();
            assert_eq!((status.code, status.message.as_str()), (400, message));
        }
    }

    #[test]
    fn pointers_are_unescaped_in_one_pass() {
        for (escaped, plain) in [
            ("a~1b", "a/b"),
            ("~01", "~1"),
            ("~", "~"),
            ("~2", "~2"),
            ("é~0", "é~"),
        ] {
            assert_eq!(unescape(escaped), plain);
        }
        assert_eq!(unescape(&escape("~1/~0")), "~1/~0");
    }

    #[test]
    fn operations_copies_and_depth_are_bounded() {
        let many: Vec<_> = (0..=MAX_OPERATIONS)
            .map(|_| json!({"op": "test", "path": ""}))
            .collect();
        let error = apply(&json!({}), &Value::Array(many)).unwrap_err();
        assert_eq!(error.status().code, 413);

        // Doubles each time.
        let doubling: Vec<_> = (0..40)
            .map(|n| json!({"op": "copy", "from": "/a", "path": format!("/a/{n}")}))
            .collect();
        let error = apply(&json!({"a": {}}), &Value::Array(doubling)).unwrap_err();
        assert!(matches!(error, PatchError::CopyTooLarge { .. }), "{error}");

        let mut path = String::new();
        let nesting: Vec<_> = (0..=MAX_DEPTH)
            .map(|_| {
                path.push_str("/a");
                json!({"op": "add", "path": path, "value": {}})
            })
            .collect();
        let error = apply(&json!({}), &Value::Array(nesting)).unwrap_err();
        assert_eq!(error, PatchError::TooDeep { what: "the result" });
    }

    #[test]
    fn moves_to_and_fro_do_not_count_as_depth() {
        let moves: Vec<_> = (0..2000)
            .map(|n| match n % 2 {
                0 => json!({"op": "move", "from": "/a", "path": "/b/c/d/e"}),
                _ => json!({"op": "move", "from": "/b/c/d/e", "path": "/a"}),
            })
            .collect();
        let document = json!({"a": {"x": [1]}, "b": {"c": {"d": {}}}});
        assert_eq!(apply(&document, &Value::Array(moves)).unwrap(), document);
    }

    #[test]
    fn generated_patches_are_short() {
        for (before, after, expected) in [
            (json!({"a": 1}), json!({"a": 1}), json!([])),
            (
                json!({"l": ["first element", "second element", "third element", "fourth element", "fifth element"]}),
                json!({"l": ["first element", "third element", "fourth element", "fifth element", "x"]}),
                json!([
                    {"op": "remove", "path": "/l/1"},
                    {"op": "add", "path": "/l/4", "value": "x"},
                ]),
            ),
            (
                json!({"l": [{"name": "a", "image": "i:1", "args": ["x", "y"]}, {"name": "b"}]}),
                json!({"l": [{"name": "a", "image": "i:2", "args": ["x", "y"]}, {"name": "b"}]}),
                json!([{"op": "replace", "path": "/l/0/image", "value": "i:2"}]),
            ),
            (
                json!({"o": {"aaaaaaaa": 1, "bbbbbbbb": 2}}),
                json!({"o": {}}),
                json!([{"op": "replace", "path": "/o", "value": {}}]),
            ),
            (
                json!({"a": {}}),
                json!({"a": []}),
                json!([{"op": "replace", "path": "/a", "value": []}]),
            ),
        ] {
            let patch = generate(&before, &after).unwrap();
            assert_eq!(patch, expected);
            assert_eq!(apply(&before, &patch).unwrap(), after);
        }
    }
}
