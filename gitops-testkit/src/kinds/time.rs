//! Times as `metav1.Time` and `metav1.MicroTime` read and write them.

use jiff::Timestamp;

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// A time in whole seconds, in UTC: `2006-01-02T15:04:05Z`.
///
/// # Errors
///
/// The text of Go's `time.ParseError`.
pub(crate) fn seconds(text: &str) -> Result<String, String> {
    Ok(parse(text, SECONDS)?
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string())
}

/// A time with six decimals, in UTC: `2006-01-02T15:04:05.000000Z`.
///
/// # Errors
///
/// The text of Go's `time.ParseError`.
pub(crate) fn micros(text: &str) -> Result<String, String> {
    Ok(parse(text, MICROS)?
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string())
}

fn parse(text: &str, layout: &str) -> Result<Timestamp, String> {
    let fail = |rest: &str, part: &str| {
        Err(format!(
            "parsing time {} as {}: cannot parse {} as {}",
            go(text),
            go(layout),
            go(rest),
            go(part)
        ))
    };
    let mut rest = text;
    for (part, width) in [
        ("2006", 4),
        ("-", 1),
        ("01", 2),
        ("-", 1),
        ("02", 2),
        ("T", 1),
        ("15", 2),
        (":", 1),
        ("04", 2),
        (":", 1),
        ("05", 2),
    ] {
        let fits = match rest.get(..width) {
            Some(head) if part.starts_with(|c: char| c.is_ascii_digit()) => {
                head.bytes().all(|c| c.is_ascii_digit())
            }
            Some(head) => head == part,
            None => false,
        };
        if !fits {
            return fail(rest, part);
        }
        let value: u32 = rest.get(..width).and_then(|t| t.parse().ok()).unwrap_or(1);
        let range = match part {
            "01" if !(1..=12).contains(&value) => Some("month"),
            "02" if !(1..=31).contains(&value) => Some("day"),
            "15" if value > 23 => Some("hour"),
            "04" if value > 59 => Some("minute"),
            "05" if value > 59 => Some("second"),
            _ => None,
        };
        if let Some(name) = range {
            return Err(format!("parsing time {}: {name} out of range", go(text)));
        }
        rest = rest.get(width..).unwrap_or_default();
    }
    if let Some(digits) = rest
        .strip_prefix('.')
        .filter(|d| d.starts_with(|c: char| c.is_ascii_digit()))
    {
        let len = digits.bytes().take_while(u8::is_ascii_digit).count();
        if layout == MICROS && len != 6 {
            return fail(rest, ".000000");
        }
        rest = digits.get(len..).unwrap_or_default();
    } else if layout == MICROS {
        return fail(rest, ".000000");
    }
    let zone = rest.as_bytes();
    let zoned = rest == "Z"
        || matches!(zone, [b'+' | b'-', a, b, b':', c, d]
            if [a, b, c, d].iter().all(|x| x.is_ascii_digit()));
    if !zoned {
        if let Some(extra) = rest.strip_prefix('Z') {
            return Err(format!(
                "parsing time {}: extra text: {}",
                go(text),
                go(extra)
            ));
        }
        return fail(rest, "Z07:00");
    }
    text.parse()
        .map_err(|_| format!("parsing time {}: day out of range", go(text)))
}

fn go(text: &str) -> String {
    super::error::quote(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(
            seconds("2024-02-29T12:00:00+02:00").as_deref(),
            Ok("2024-02-29T10:00:00Z")
        );
        assert_eq!(
            seconds("2024-02-29T12:00:00.999Z").as_deref(),
            Ok("2024-02-29T12:00:00Z")
        );
        assert_eq!(
            micros("2024-02-29T12:00:00.000001Z").as_deref(),
            Ok("2024-02-29T12:00:00.000001Z")
        );
    }

    #[test]
    fn what_is_no_time_is_refused_in_gos_words() {
        for (given, error) in [
            (
                "yesterday",
                r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#,
            ),
            (
                "2024-02-29 12:00:00Z",
                r#"parsing time "2024-02-29 12:00:00Z" as "2006-01-02T15:04:05Z07:00": cannot parse " 12:00:00Z" as "T""#,
            ),
            (
                "2024-13-01T00:00:00Z",
                r#"parsing time "2024-13-01T00:00:00Z": month out of range"#,
            ),
            (
                "2023-02-29T00:00:00Z",
                r#"parsing time "2023-02-29T00:00:00Z": day out of range"#,
            ),
            (
                "2024-01-01T00:00:00",
                r#"parsing time "2024-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
        ] {
            assert_eq!(seconds(given), Err(error.to_owned()), "{given}");
        }
        assert!(
            micros("2024-02-29T12:00:00Z")
                .unwrap_err()
                .ends_with(r#"cannot parse "Z" as ".000000""#)
        );
    }
}
