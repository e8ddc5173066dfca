//! What a plain scalar means under the YAML 1.1 rules that `kubectl` reads with.
//!
//! The rules are those of `go.yaml.in/yaml/v2` (`resolve.go`) as seen through
//! `sigs.k8s.io/yaml`, checked against `kubectl` 1.33.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// What a scalar resolves to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Only above `i64::MAX`.
    Uint(u64),
    /// Finite or not: JSON can't hold the latter, but a key may be one.
    Float(f64),
    /// The text as it stands.
    Text,
}

impl Scalar {
    /// The name of the tag, for errors.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Int(_) | Self::Uint(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Text => "!!str",
        }
    }
}

/// Resolves a scalar that has neither quotes nor a tag.
pub(super) fn resolve(text: &str) -> Scalar {
    // The first byte decides what it can be at all; most scalars end here.
    match text.as_bytes().first() {
        None => Scalar::Null,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => {
            word(text)
        }
        Some(b'.') => dotted(text),
        Some(b'+' | b'-' | b'0'..=b'9') => number(text),
        Some(_) => Scalar::Text,
    }
}

fn word(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        _ => Scalar::Text,
    }
}

/// `.5`, `.5_0`, `.inf`, `.nan`.
fn dotted(text: &str) -> Scalar {
    match text {
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" => return Scalar::Float(f64::INFINITY),
        _ => {}
    }
    // Here an underscore counts only between two digits, as in a Go literal.
    let bytes = text.as_bytes();
    let between_digits = |at: usize| {
        let digit = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(u8::is_ascii_digit)
        };
        digit(at.checked_sub(1)) && digit(at.checked_add(1))
    };
    if (0..bytes.len()).any(|at| bytes.get(at) == Some(&b'_') && !between_digits(at)) {
        return Scalar::Text;
    }
    float(&without_underscores(text)).map_or(Scalar::Text, Scalar::Float)
}

fn number(text: &str) -> Scalar {
    match text {
        "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let plain = without_underscores(text);
    if let Some(integer) = integer(&plain) {
        return integer;
    }
    if let Some(float) = float(&plain) {
        return Scalar::Float(float);
    }
    // `0b-1` is -1: the sign may stand behind the prefix, in binary only.
    if let Some(digits) = plain.strip_prefix("0b")
        && let Ok(integer) = i64::from_str_radix(digits, 2)
    {
        return Scalar::Int(integer);
    }
    Scalar::Text
}

fn without_underscores(text: &str) -> Cow<'_, str> {
    if text.contains('_') {
        Cow::Owned(text.replace('_', ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// An integer with Go's base prefixes: `0x`, `0o`, `0b`, and `0` for octal.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, signed, rest) = match text.as_bytes().first()? {
        b'-' => (true, true, text.get(1..)?),
        b'+' => (false, true, text.get(1..)?),
        _ => (false, false, text),
    };
    let (radix, digits) = match rest.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, rest.get(2..)?),
        [b'0', b'o' | b'O', _, ..] => (8, rest.get(2..)?),
        [b'0', b'b' | b'B', _, ..] => (2, rest.get(2..)?),
        [b'0', _, ..] => (8, rest.get(1..)?),
        _ => (10, rest),
    };
    // `from_str_radix` would take a second sign.
    if !digits.bytes().all(|byte| char::from(byte).is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        0_i64.checked_sub_unsigned(magnitude).map(Scalar::Int)
    } else if let Ok(integer) = i64::try_from(magnitude) {
        Some(Scalar::Int(integer))
    } else {
        // Go reads a sign only with signed integers.
        (!signed).then_some(Scalar::Uint(magnitude))
    }
}

/// A finite float in YAML's decimal form.
fn float(text: &str) -> Option<f64> {
    // Out of range is not a number to Go, and the text stays text.
    is_float(text)
        .then(|| text.parse().ok())
        .flatten()
        .filter(|float: &f64| float.is_finite())
}

/// Whether the text matches
/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`.
pub(super) fn is_float(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let start = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let mut at = digits(start);
    let whole = at > start;
    if bytes.get(at) == Some(&b'.') {
        let fraction = at + 1;
        at = digits(fraction);
        if !whole && at == fraction {
            return false;
        }
    } else if !whole {
        return false;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        let exponent = at;
        at = digits(exponent);
        if at == exponent {
            return false;
        }
    }
    at == bytes.len()
}

/// A float as JSON: a whole number prints as an integer, as Go's encoder does it.
///
/// None if the float is infinite or not a number.
pub(super) fn float_to_json(float: f64) -> Option<Value> {
    if float.fract() == 0.0 {
        // 2^53: below, every whole float is exactly one integer.
        if float.abs() < 9_007_199_254_740_992.0 {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            return Some(Value::from(float as i64));
        }
        // Go prints up to 1e21 without an exponent, with the shortest digits that
        // give the float back and zeros behind them, and reads the result as an
        // integer where it fits. Rust prints the same digits.
        if float.abs() < 1e21 {
            let text = float.to_string();
            if let Ok(integer) = text.parse::<i64>() {
                return Some(Value::from(integer));
            }
            if let Ok(integer) = text.parse::<u64>() {
                return Some(Value::from(integer));
            }
        }
    }
    Number::from_f64(float).map(Value::Number)
}

/// A float as the text of a key: the shortest digits of a 32 bit float, in Go's `g`
/// format.
pub(super) fn float_to_key(float: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "sigs.k8s.io/yaml does so")]
    let float = float as f32;
    if float.is_nan() {
        return ".nan".into();
    }
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.into();
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return float.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// Whether the text is one of the timestamps that an explicit `!!timestamp` takes.
pub(super) fn is_timestamp(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at).unwrap_or(""), text.get(at..)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = parts.next().unwrap_or("");
    if year.len() != 4 || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let within = |part: Option<&str>, from: u8, to: u8| {
        part.is_some_and(|part| {
            (1..=2).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && part
                    .parse()
                    .is_ok_and(|number: u8| (from..=to).contains(&number))
        })
    };
    let date_ok = within(parts.next(), 1, 12) && within(parts.next(), 1, 31);
    if !date_ok || parts.next().is_some() {
        return false;
    }
    let Some(time) = time else { return true };
    let (separator, time) = time.split_at(1);
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    // A space goes without a zone, a T with one.
    let zone_ok = match (separator, zone) {
        (" ", zone) => zone.is_empty(),
        (_, "Z") => true,
        (_, zone) => zone
            .get(1..)
            .and_then(|zone| zone.split_once(':'))
            .is_some_and(|(hours, minutes)| {
                hours.len() == 2
                    && minutes.len() == 2
                    && within(Some(hours), 0, 24)
                    && within(Some(minutes), 0, 60)
            }),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    zone_ok
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && within(parts.next(), 0, 23)
        && within(parts.next(), 0, 59)
        && within(parts.next(), 0, 59)
        && parts.next().is_none()
}
