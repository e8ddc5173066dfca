//! When two scalars mean the same, by the format that the schema states.
//!
//! The API server rewrites some values (`1000m` to `1`), clients write others in their
//! own way (`1h0m0s` for `60m`). Such a rewrite is no difference. What is no number,
//! quantity, time or the like in spite of its format is compared as it stands.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use serde_json::{Number, Value};

use crate::quantity::Quantity;

/// Whether two scalars are equal, given the `format` of their type.
///
/// | format | equal |
/// |---|---|
/// | `quantity` | the same amount: `0.5`, `"500m"` |
/// | `byte` | the same bytes: line breaks and spare bits don't count |
/// | `date-time` | the same instant, to the microsecond |
/// | `duration` | the same length of time: `60m`, `1h0m0s` |
/// | any other, or none | the same value; numbers by value, so `1` and `1.0` |
///
/// ```
/// use gitops_diff::equality::scalars_equal;
/// use gitops_diff::serde_json::json;
///
/// assert!(scalars_equal(&json!("1000m"), &json!(1), Some("quantity")));
/// assert!(!scalars_equal(&json!("80"), &json!(80), Some("int-or-string")));
/// assert!(scalars_equal(&json!(1), &json!(1.0), None));
/// ```
#[must_use]
pub fn scalars_equal(a: &Value, b: &Value, format: Option<&str>) -> bool {
    if a == b {
        return true;
    }
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if numbers_equal(a, b) => return true,
        _ => {}
    }
    match format {
        Some("quantity") => match (quantity(a), quantity(b)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        },
        Some("byte") => both(a, b, decode),
        Some("date-time") => both(a, b, instant),
        Some("duration") => both(a, b, duration),
        _ => false,
    }
}

/// Whether two values are equal all through: numbers by value, objects in any order of
/// their members.
#[must_use]
pub fn values_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers_equal(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| values_equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| values_equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Whether two numbers have the same value, exactly.
fn numbers_equal(a: &Number, b: &Number) -> bool {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a == b;
    }
    if let (Some(a), Some(b)) = (a.as_u64(), b.as_u64()) {
        return a == b;
    }
    let whole = |number: &Number| {
        number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
    };
    match (whole(a), whole(b), a.as_f64(), b.as_f64()) {
        // Two whole numbers, of which one is negative and one beyond i64.
        (Some(_), Some(_), _, _) => false,
        (None, None, Some(a), Some(b)) => a == b,
        (Some(whole), None, _, Some(float)) | (None, Some(whole), Some(float), _) => {
            // Beyond 2^53 a float stands for many whole numbers; compare as whole ones.
            float.fract() == 0.0 && float.abs() < 1e19 && float as i128 == whole
        }
        _ => false,
    }
}

fn both<T: PartialEq>(a: &Value, b: &Value, read: impl Fn(&str) -> Option<T>) -> bool {
    let (Some(a), Some(b)) = (a.as_str(), b.as_str()) else {
        return false;
    };
    match (read(a), read(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        // The server takes spaces around it away.
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

fn instant(text: &str) -> Option<i64> {
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_microsecond)
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Reads base64 as Go does: line breaks are skipped, spare bits ignored.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    if text.contains(['\r', '\n']) {
        let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        LENIENT.decode(joined).ok()
    } else {
        LENIENT.decode(text).ok()
    }
}

/// Reads a duration as Go's `time.ParseDuration` does, in nanoseconds: `1h15m30.5s`.
fn duration(text: &str) -> Option<i128> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let read = |digits: &str| match digits {
            "" => Some(0),
            digits => digits.parse::<i128>().ok(),
        };
        total = total.checked_add(read(whole)?.checked_mul(unit)?)?;
        // Finer than a nanosecond is cut off, whatever comes after eighteen digits is
        // finer still.
        let fraction = fraction.get(..fraction.len().min(18))?;
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        total = total.checked_add(read(fraction)?.checked_mul(unit)? / scale)?;
        rest = after;
    }
    // Go holds 63 bits.
    if total > i128::from(i64::MAX) {
        return None;
    }
    Some(if negative { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn formats_decide_what_is_equal() {
        for (a, b, format, equal) in [
            (json!(1), json!(1.0), "", true),
            (json!(1), json!(2), "", false),
            (json!("1"), json!(1), "", false),
            (
                json!(9_007_199_254_740_993_u64),
                json!(9_007_199_254_740_992.0),
                "",
                false,
            ),
            (json!(u64::MAX), json!(-1), "", false),
            (json!(u64::MAX), json!(u64::MAX), "", true),
            (json!("1000m"), json!("1"), "quantity", true),
            (json!("0.5"), json!(0.5), "quantity", true),
            (json!("1Gi"), json!("1024Mi"), "quantity", true),
            (json!("1Gi"), json!("1G"), "quantity", false),
            (json!("rubbish"), json!("Rubbish"), "quantity", false),
            (json!("1000m"), json!("1"), "", false),
            (json!(" 1 "), json!("1"), "quantity", true),
            (json!("8Ei"), json!("9223372036854775807"), "quantity", true),
            (json!(1e3), json!("1k"), "quantity", true),
            (json!("80"), json!(80), "int-or-string", false),
            (json!(80), json!(80.0), "int-or-string", true),
            (json!("YQ=="), json!("YQ==\n"), "byte", true),
            (json!("YR=="), json!("YQ=="), "byte", true),
            (json!("YQ=="), json!("Yg=="), "byte", false),
            (json!("YQ"), json!("YQ=="), "byte", false),
            (
                json!("2024-01-01T00:00:00Z"),
                json!("2024-01-01T01:00:00+01:00"),
                "date-time",
                true,
            ),
            (
                json!("2024-01-01T00:00:00Z"),
                json!("2024-01-01T00:00:00.000000Z"),
                "date-time",
                true,
            ),
            (
                json!("2024-01-01T00:00:00Z"),
                json!("2024-01-01T00:00:01Z"),
                "date-time",
                false,
            ),
            (json!("60m"), json!("1h0m0s"), "duration", true),
            (json!("1.5h"), json!("90m"), "duration", true),
            (json!("-1.5s"), json!("-1500ms"), "duration", true),
            (json!("0"), json!("0s"), "duration", true),
            (json!("1d"), json!("24h"), "duration", false),
            (json!("1"), json!("1s"), "duration", false),
            (json!(null), json!("0"), "quantity", false),
        ] {
            let format = (!format.is_empty()).then_some(format);
            assert_eq!(scalars_equal(&a, &b, format), equal, "{a} {b} {format:?}");
            assert_eq!(scalars_equal(&b, &a, format), equal, "{b} {a} {format:?}");
        }
    }

    /// Values of which many are equal to one another, each by another format.
    fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            (-3_i64..3).prop_map(Value::from),
            (-3_i64..3).prop_map(|whole| Value::from(whole as f64)),
            Just(json!(0.5)),
            Just(json!(u64::MAX)),
            Just(json!(1e19)),
            Just(json!(9_007_199_254_740_993_u64)),
            Just(json!(9_007_199_254_740_992.0)),
        ];
        let text = prop_oneof![
            "[0-2](m|k|Ki|e0|000m|\\.0)?",
            "(60|1)(s|m|h)",
            "YQ(==)?\n?",
            "2024-01-01T0[01]:00:00(Z|\\+01:00|\\.000000Z|\\.0000001Z)",
            "x?",
        ];
        prop_oneof![number, text.prop_map(Value::from), Just(Value::Null)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn equality_is_an_equivalence(
            a in value(), b in value(), c in value(),
            format in prop::sample::select(vec!["", "quantity", "byte", "date-time", "duration"]),
        ) {
            let equal = |a: &Value, b: &Value| scalars_equal(a, b, (!format.is_empty()).then_some(format));
            prop_assert!(equal(&a, &a));
            prop_assert_eq!(equal(&a, &b), equal(&b, &a));
            if equal(&a, &b) && equal(&b, &c) {
                prop_assert!(equal(&a, &c), "{} {} {} {}", a, b, c, format);
            }
            // Within a list and a map it is the same as on its own, without a format.
            let same = scalars_equal(&a, &b, None);
            prop_assert_eq!(values_equal(&json!([a]), &json!([b])), same);
            prop_assert_eq!(values_equal(&json!({"k": a}), &json!({"k": b})), same);
        }
    }

    #[test]
    fn hostile_durations_are_refused() {
        let long = format!("{}h", "9".repeat(100));
        for text in [
            "",
            "-",
            "+",
            ".",
            "s",
            ".s",
            "1",
            "1x",
            "1.2.3s",
            "é",
            long.as_str(),
            "99999999999999h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
