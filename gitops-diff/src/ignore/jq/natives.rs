//! The filters that aren't defined in jq itself, and what values are to each other.

use std::cmp::Ordering;

use jaq_core::ops::Math;
use regex::RegexBuilder;
use serde_json::{Map, Number, Value};

use super::eval::{Env, Flow, Item, Run, Stop, Then, fail, size, truth};
use super::expr::Expr;
use super::{JqError, Step};

/// Names and numbers of arguments. Sorted.
const KNOWN: &[(&str, usize)] = &[
    ("ascii_downcase", 0),
    ("ascii_upcase", 0),
    ("ceil", 0),
    ("contains", 1),
    ("empty", 0),
    ("endswith", 1),
    ("error", 0),
    ("error", 1),
    ("explode", 0),
    ("false", 0),
    ("first", 1),
    ("floor", 0),
    ("fromjson", 0),
    ("getpath", 1),
    ("group_by", 1),
    ("has", 1),
    ("implode", 0),
    ("indices", 1),
    ("keys", 0),
    ("keys_unsorted", 0),
    ("last", 1),
    ("length", 0),
    ("limit", 2),
    ("ltrimstr", 1),
    ("not", 0),
    ("null", 0),
    ("path", 1),
    ("range", 3),
    ("recurse", 0),
    ("reverse", 0),
    ("round", 0),
    ("rtrimstr", 1),
    ("skip", 2),
    ("sort_by", 1),
    ("split", 1),
    ("startswith", 1),
    ("test", 1),
    ("test", 2),
    ("tojson", 0),
    ("tonumber", 0),
    ("tostring", 0),
    ("trim", 0),
    ("true", 0),
    ("type", 0),
];

pub(super) fn is_known(name: &str, arguments: usize) -> bool {
    KNOWN.binary_search(&(name, arguments)).is_ok()
}

/// A regular expression may compile to this many bytes.
const MAX_COMPILED: usize = 1 << 18;

/// Goes on with each result of a filter.
pub(super) fn call<'v>(
    run: &mut Run<'v>,
    name: &str,
    arguments: &'v [Expr],
    env: &Env<'v>,
    input: Item<'v>,
    then: Then<'_, 'v>,
) -> Flow {
    match (name, arguments) {
        ("empty", []) => Ok(()),
        ("recurse", []) => run.recurse(input, then),
        ("first", [source]) => take(run, 1, source, env, input, then),
        ("last", [source]) => {
            let mut last = None;
            run.eval(source, env, input, &mut |_, item| {
                last = Some(item);
                Ok(())
            })?;
            match last {
                Some(item) => then(run, item),
                None => Ok(()),
            }
        }
        ("limit", [count, source]) => run.eval(count, env, input.clone(), &mut |run, count| {
            let count = whole(count.value.get())?;
            take(run, count, source, env, input.clone(), then)
        }),
        ("skip", [count, source]) => run.eval(count, env, input.clone(), &mut |run, count| {
            let mut left = whole(count.value.get())?;
            run.eval(source, env, input.clone(), &mut |run, item| {
                if left > 0 {
                    left -= 1;
                    return Ok(());
                }
                then(run, item)
            })
        }),
        ("path", [source]) => run.eval(source, env, input.into_root(), &mut |run, item| {
            let path = item.path().ok_or(Stop::Limit(JqError::NoPath))?;
            let path = Value::Array(path.into_iter().map(step_value).collect());
            run.allocate(size(&path))?;
            then(run, Item::made(path))
        }),
        ("getpath", [path]) => run.eval(path, env, input.clone(), &mut |run, path| {
            let Value::Array(steps) = path.value.get() else {
                return fail("a path is a list");
            };
            let mut item = input.clone();
            for step in steps {
                run.spend(1)?;
                item = run.at(&item, step)?;
            }
            then(run, item)
        }),
        ("range", [from, to, by]) => range(run, [from, to, by], env, &input, then),
        ("error", []) => Err(Stop::Error(run.copy(input.value.get())?)),
        ("error", [message]) => run.eval(message, env, input, &mut |run, message| {
            Err(Stop::Error(run.copy(message.value.get())?))
        }),
        ("sort_by" | "group_by", [by]) => {
            let made = sorted(run, by, env, &input, name == "group_by")?;
            then(run, Item::made(made))
        }
        ("test", [pattern, flags]) => run.eval(flags, env, input.clone(), &mut |run, flags| {
            run.eval(pattern, env, input.clone(), &mut |run, pattern| {
                let answer = test(run, &input, &pattern, flags.value.get().as_str())?;
                then(run, Item::made(Value::Bool(answer)))
            })
        }),
        ("test", [pattern]) => run.eval(pattern, env, input.clone(), &mut |run, pattern| {
            let answer = test(run, &input, &pattern, Some(""))?;
            then(run, Item::made(Value::Bool(answer)))
        }),
        (_, []) => {
            run.look(input.value.get())?;
            let made = of_one(name, input.value.get())?;
            run.allocate(size(&made))?;
            then(run, Item::made(made))
        }
        (_, [argument]) => run.eval(argument, env, input.clone(), &mut |run, argument| {
            let (a, b) = (input.value.get(), argument.value.get());
            run.look(a)?;
            run.look(b)?;
            if name == "contains" || name == "indices" {
                // In the worst case each of one is held against each of the other.
                run.spend((size(a) / 32).saturating_mul(size(b) / 32))?;
            }
            let made = of_two(name, a, b)?;
            run.allocate(size(&made))?;
            then(run, Item::made(made))
        }),
        _ => fail(format!("there is no filter {name}")),
    }
}

fn step_value(step: Step) -> Value {
    match step {
        Step::Name(name) => Value::String(name),
        Step::Place(at) => Value::from(at),
    }
}

/// The first results of a term.
fn take<'v>(
    run: &mut Run<'v>,
    count: u64,
    source: &'v Expr,
    env: &Env<'v>,
    input: Item<'v>,
    then: Then<'_, 'v>,
) -> Flow {
    if count == 0 {
        return Ok(());
    }
    let label = run.label();
    let mut left = count;
    let done = run.eval(source, env, input, &mut |run, item| {
        then(run, item)?;
        left -= 1;
        if left == 0 {
            return Err(Stop::Break(label));
        }
        Ok(())
    });
    run.until(label, done)
}

fn range<'v>(
    run: &mut Run<'v>,
    [from, to, by]: [&'v Expr; 3],
    env: &Env<'v>,
    input: &Item<'v>,
    then: Then<'_, 'v>,
) -> Flow {
    run.eval(from, env, input.clone(), &mut |run, from| {
        run.eval(to, env, input.clone(), &mut |run, to| {
            run.eval(by, env, input.clone(), &mut |run, by| {
                let number = |item: &Item<'v>| match item.value.get().as_f64() {
                    Some(number) => Ok(number),
                    None => fail("a range is of numbers"),
                };
                let (mut at, to, by) = (number(&from)?, number(&to)?, number(&by)?);
                if by == 0.0 {
                    return fail("a range has steps");
                }
                while (by > 0.0 && at < to) || (by < 0.0 && at > to) {
                    run.spend(1)?;
                    then(run, Item::made(from_f64(at)))?;
                    at += by;
                }
                Ok(())
            })
        })
    })
}

/// The elements by what a term says of them, in order; or in groups of those of which it
/// says the same.
fn sorted<'v>(
    run: &mut Run<'v>,
    by: &'v Expr,
    env: &Env<'v>,
    input: &Item<'v>,
    groups: bool,
) -> Result<Value, Stop> {
    if !input.value.get().is_array() {
        return fail("only a list can be sorted");
    }
    let mut items: Vec<(Vec<Value>, Value)> = Vec::new();
    run.each(input, &mut |run, item| {
        let key = run.collect(by, env, item.clone())?;
        items.push((key, run.copy(item.value.get())?));
        Ok(())
    })?;
    let keys: u64 = items.iter().flat_map(|(key, _)| key).map(size).sum();
    run.spend((keys / 8).saturating_mul(u64::from((items.len() as u64).ilog2_or_zero()) + 1))?;
    items.sort_by(|(a, _), (b, _)| order_all(a, b));
    if !groups {
        return Ok(items.into_iter().map(|(_, item)| item).collect());
    }
    let mut out: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    for (key, item) in items {
        match out.last_mut() {
            Some((last, group)) if order_all(last, &key).is_eq() => group.push(item),
            _ => out.push((key, vec![item])),
        }
    }
    Ok(out
        .into_iter()
        .map(|(_, group)| Value::Array(group))
        .collect())
}

trait Log2 {
    fn ilog2_or_zero(self) -> u32;
}

impl Log2 for u64 {
    fn ilog2_or_zero(self) -> u32 {
        self.checked_ilog2().unwrap_or_default()
    }
}

fn test<'v>(
    run: &mut Run<'v>,
    input: &Item<'v>,
    pattern: &Item<'v>,
    flags: Option<&str>,
) -> Result<bool, Stop> {
    let (Some(text), Some(pattern)) = (input.value.get().as_str(), pattern.value.get().as_str())
    else {
        return fail("test takes texts");
    };
    let Some(flags) = flags else {
        return fail("the flags of test are a text");
    };
    // To compile it costs more than to run it.
    run.spend(1000 + 64 * pattern.len() as u64 + text.len() as u64)?;
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MAX_COMPILED);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'x' => builder.ignore_whitespace(true),
            's' => builder.dot_matches_new_line(true),
            'g' | 'n' => &mut builder,
            other => return fail(format!("{other:?} is no flag of test")),
        };
    }
    match builder.build() {
        Ok(regex) => Ok(regex.is_match(text)),
        Err(_) => fail("test takes a regular expression"),
    }
}

fn from_f64(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

fn whole(value: &Value) -> Result<u64, Stop> {
    match value.as_f64() {
        Some(number) if number >= 0.0 => Ok(number as u64),
        Some(_) => Ok(0),
        None => fail("a count is a number"),
    }
}

/// What a value is.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The order of values: null, false, true, numbers, texts, lists, objects.
pub(super) fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a
                .as_f64()
                .partial_cmp(&b.as_f64())
                .unwrap_or(Ordering::Equal),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => order_all(a, b),
        (Value::Object(a), Value::Object(b)) => {
            let (a, b) = (by_name(a), by_name(b));
            a.iter()
                .map(|(name, _)| name)
                .cmp(b.iter().map(|(name, _)| name))
                .then_with(|| {
                    let orders = a.iter().zip(&b).map(|((_, a), (_, b))| order(a, b));
                    orders.fold(Ordering::Equal, Ordering::then)
                })
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

fn by_name(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

fn order_all(a: &[Value], b: &[Value]) -> Ordering {
    let orders = a.iter().zip(b).map(|(a, b)| order(a, b));
    orders
        .fold(Ordering::Equal, Ordering::then)
        .then(a.len().cmp(&b.len()))
}

pub(super) fn to_text(run: &mut Run<'_>, value: &Value) -> Result<String, Stop> {
    run.allocate(size(value))?;
    Ok(match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// `a + b` and its like. What it makes is counted before it is made.
pub(super) fn math(run: &mut Run<'_>, operator: Math, a: &Value, b: &Value) -> Result<Value, Stop> {
    let made = size(a).saturating_add(size(b));
    match (operator, a, b) {
        (Math::Add, Value::Null, other) | (Math::Add, other, Value::Null) => run.copy(other),
        (Math::Add, Value::String(a), Value::String(b)) => {
            run.allocate(made)?;
            Ok(Value::String(format!("{a}{b}")))
        }
        (Math::Add, Value::Array(a), Value::Array(b)) => {
            run.allocate(made)?;
            Ok(a.iter().chain(b).cloned().collect())
        }
        (Math::Add, Value::Object(a), Value::Object(b)) => {
            run.allocate(made)?;
            let mut sum = a.clone();
            sum.extend(b.iter().map(|(name, value)| (name.clone(), value.clone())));
            Ok(Value::Object(sum))
        }
        (Math::Sub, Value::Array(a), Value::Array(b)) => {
            run.allocate(made)?;
            run.spend((made / 32).saturating_mul(b.len() as u64))?;
            let gone = |item: &Value| b.iter().any(|other| order(item, other).is_eq());
            Ok(a.iter().filter(|item| !gone(item)).cloned().collect())
        }
        (Math::Mul, Value::String(text), Value::Number(times))
        | (Math::Mul, Value::Number(times), Value::String(text)) => {
            let times = times.as_f64().unwrap_or_default();
            if times <= 0.0 {
                return Ok(Value::Null);
            }
            let times = times.ceil() as u64;
            run.allocate(32 + times.saturating_mul(text.len() as u64 + 1))?;
            Ok(Value::String(text.repeat(times as usize)))
        }
        (Math::Div, Value::String(text), Value::String(by)) => {
            run.allocate(made.saturating_mul(33))?;
            Ok(pieces(text, by))
        }
        (_, Value::Number(a), Value::Number(b)) => {
            let (a, b) = (
                a.as_f64().unwrap_or_default(),
                b.as_f64().unwrap_or_default(),
            );
            Ok(from_f64(match operator {
                Math::Add => a + b,
                Math::Sub => a - b,
                Math::Mul => a * b,
                Math::Div | Math::Rem if b == 0.0 => return fail("division by zero"),
                Math::Div => a / b,
                Math::Rem => a.trunc() % b.trunc(),
            }))
        }
        (operator, a, b) => fail(format!(
            "{} {} {} has no meaning",
            kind(a),
            operator.as_str(),
            kind(b)
        )),
    }
}

fn pieces(text: &str, by: &str) -> Value {
    if text.is_empty() {
        return Value::Array(Vec::new());
    }
    if by.is_empty() {
        return text.chars().map(|c| Value::from(c.to_string())).collect();
    }
    text.split(by).map(Value::from).collect()
}

pub(super) fn slice(value: &Value, from: &Value, to: &Value) -> Result<Value, Stop> {
    let bounds = |length: usize| {
        let bound = |value: &Value, otherwise: usize| match value {
            Value::Null => Ok(otherwise),
            Value::Number(number) => {
                let at = number.as_f64().unwrap_or_default().floor();
                let at = if at < 0.0 { at + length as f64 } else { at };
                Ok(at.clamp(0.0, length as f64) as usize)
            }
            _ => fail("the bounds of a slice are numbers"),
        };
        let (from, to) = (bound(from, 0)?, bound(to, length)?);
        Ok((from, to.saturating_sub(from)))
    };
    match value {
        Value::Null => Ok(Value::Null),
        Value::Array(items) => {
            let (from, count) = bounds(items.len())?;
            Ok(items.iter().skip(from).take(count).cloned().collect())
        }
        Value::String(text) => {
            let (from, count) = bounds(text.chars().count())?;
            Ok(Value::String(text.chars().skip(from).take(count).collect()))
        }
        other => fail(format!("{} can't be sliced", kind(other))),
    }
}

/// Filters that look at their input only.
fn of_one(name: &str, value: &Value) -> Result<Value, Stop> {
    let number = || match value.as_f64() {
        Some(number) => Ok(number),
        None => fail(format!("{name} takes a number")),
    };
    let text = || match value.as_str() {
        Some(text) => Ok(text),
        None => fail(format!("{name} takes a text")),
    };
    Ok(match name {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "not" => Value::Bool(!truth(value)),
        "type" => Value::from(kind(value)),
        "length" => match value {
            Value::Null => Value::from(0),
            Value::Bool(_) => return fail("a boolean has no length"),
            Value::Number(number) => from_f64(number.as_f64().unwrap_or_default().abs()),
            Value::String(text) => Value::from(text.chars().count()),
            Value::Array(items) => Value::from(items.len()),
            Value::Object(members) => Value::from(members.len()),
        },
        "keys" | "keys_unsorted" => match value {
            Value::Array(items) => (0..items.len()).map(Value::from).collect(),
            Value::Object(members) => by_name(members)
                .into_iter()
                .map(|(name, _)| Value::from(name.as_str()))
                .collect(),
            other => return fail(format!("{} has no keys", kind(other))),
        },
        "tostring" => match value {
            Value::String(text) => Value::from(text.as_str()),
            other => Value::from(other.to_string()),
        },
        "tojson" => Value::from(value.to_string()),
        "fromjson" => match serde_json::from_str(text()?) {
            Ok(value) => value,
            Err(_) => return fail("fromjson takes JSON"),
        },
        "tonumber" => match value {
            Value::Number(number) => Value::Number(number.clone()),
            other => match other.as_str().and_then(|text| text.trim().parse().ok()) {
                Some(number) => Value::Number(number),
                None => return fail("tonumber takes a number"),
            },
        },
        "floor" => from_f64(number()?.floor()),
        "ceil" => from_f64(number()?.ceil()),
        "round" => from_f64(number()?.round()),
        "ascii_downcase" => Value::from(text()?.to_ascii_lowercase()),
        "ascii_upcase" => Value::from(text()?.to_ascii_uppercase()),
        "trim" => Value::from(text()?.trim()),
        "explode" => text()?.chars().map(|c| Value::from(u32::from(c))).collect(),
        "implode" => {
            let point = |value: &Value| {
                let point = u32::try_from(value.as_u64()?).ok()?;
                char::from_u32(point)
            };
            let points = value.as_array().and_then(|items| {
                let chars: Option<String> = items.iter().map(point).collect();
                chars
            });
            match points {
                Some(text) => Value::String(text),
                None => return fail("implode takes code points"),
            }
        }
        "reverse" => match value {
            Value::Null => Value::Array(Vec::new()),
            Value::Array(items) => items.iter().rev().cloned().collect(),
            Value::String(text) => Value::String(text.chars().rev().collect()),
            other => return fail(format!("{} can't be reversed", kind(other))),
        },
        _ => return fail(format!("there is no filter {name}")),
    })
}

/// Filters that look at their input and one argument.
fn of_two(name: &str, value: &Value, argument: &Value) -> Result<Value, Stop> {
    let texts = || match (value.as_str(), argument.as_str()) {
        (Some(text), Some(part)) => Ok((text, part)),
        _ => fail(format!("{name} takes texts")),
    };
    Ok(match name {
        "has" => Value::Bool(match (value, argument) {
            (Value::Object(members), Value::String(name)) => members.contains_key(name),
            (Value::Array(items), Value::Number(at)) => at
                .as_u64()
                .is_some_and(|at| usize::try_from(at).is_ok_and(|at| at < items.len())),
            _ => return fail("has takes a name for an object, a number for a list"),
        }),
        "contains" => Value::Bool(contains(value, argument)?),
        "startswith" => {
            let (text, part) = texts()?;
            Value::Bool(text.starts_with(part))
        }
        "endswith" => {
            let (text, part) = texts()?;
            Value::Bool(text.ends_with(part))
        }
        "ltrimstr" | "rtrimstr" => {
            let stripped = match (value.as_str(), argument.as_str()) {
                (Some(text), Some(part)) if name == "ltrimstr" => text.strip_prefix(part),
                (Some(text), Some(part)) => text.strip_suffix(part),
                _ => None,
            };
            stripped.map_or_else(|| value.clone(), Value::from)
        }
        "split" => {
            let (text, by) = texts()?;
            pieces(text, by)
        }
        "indices" => match (value, argument) {
            (Value::Null, _) => Value::Null,
            (Value::String(text), Value::String(part)) if !part.is_empty() => text
                .char_indices()
                .enumerate()
                .filter(|(_, (byte, _))| {
                    text.get(*byte..)
                        .is_some_and(|rest| rest.starts_with(part.as_str()))
                })
                .map(|(at, _)| Value::from(at))
                .collect(),
            (Value::Array(items), Value::Array(part)) if !part.is_empty() => items
                .windows(part.len())
                .enumerate()
                .filter(|(_, window)| order_all(window, part).is_eq())
                .map(|(at, _)| Value::from(at))
                .collect(),
            (Value::Array(items), part) if !part.is_array() => items
                .iter()
                .enumerate()
                .filter(|(_, item)| order(item, part).is_eq())
                .map(|(at, _)| Value::from(at))
                .collect(),
            (Value::String(_), Value::String(_)) | (Value::Array(_), _) => Value::Null,
            _ => return fail("indices takes a list or a text"),
        },
        _ => return fail(format!("there is no filter {name}")),
    })
}

fn contains(value: &Value, part: &Value) -> Result<bool, Stop> {
    match (value, part) {
        (Value::String(text), Value::String(part)) => Ok(text.contains(part.as_str())),
        (Value::Array(items), Value::Array(parts)) => {
            for part in parts {
                let mut found = false;
                for item in items {
                    found = found
                        || (kind(item) == kind(part) && contains(item, part).unwrap_or(false));
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Object(members), Value::Object(parts)) => {
            for (name, part) in parts {
                match members.get(name) {
                    Some(member) if kind(member) == kind(part) && contains(member, part)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (value, part) if kind(value) == kind(part) => Ok(order(value, part).is_eq()),
        (value, part) => fail(format!(
            "whether {} contains {} has no meaning",
            kind(value),
            kind(part)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_and_all_of_them_are_there() {
        assert!(KNOWN.is_sorted());
    }
}
