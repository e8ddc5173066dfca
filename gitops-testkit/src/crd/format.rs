//! The string formats that an API server checks in custom resources.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Whether `text` is of format `name`; formats that the server ignores fit everything.
pub(super) fn is_valid(name: &str, text: &str) -> bool {
    match name {
        "date-time" | "datetime" => date_time(text),
        "date" => date(text),
        "duration" => duration(text),
        "email" => email(text),
        "hostname" => hostname(text),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => crate::kinds::parse_cidr(text).is_some(),
        "mac" => mac(text),
        "uri" => uri(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => {
            uuid(text, name.strip_prefix("uuid").unwrap_or_default())
        }
        "byte" => STANDARD.decode(text).is_ok() && !text.is_empty() || text.is_empty(),
        "isbn" | "isbn10" | "isbn13" => isbn(text, name),
        "creditcard" => credit_card(text),
        "ssn" => parts_of_digits(text, &[3, 2, 4]),
        "hexcolor" => hex_color(text),
        "rgbcolor" => rgb_color(text),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|c| c.is_ascii_hexdigit()),
        "k8s-short-name" => text.is_empty() || crate::kinds::is_label(text),
        "k8s-long-name" => text.is_empty() || crate::kinds::is_subdomain(text),
        _ => true,
    }
}

fn date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// RFC 3339, with the freedoms that `strfmt` takes: a lower-case `t` or `z`, no seconds' fraction.
fn date_time(text: &str) -> bool {
    let Some((day, time)) = text.split_once(['T', 't']) else {
        return false;
    };
    let zone = time.find(['Z', 'z', '+', '-']).map(|i| time.split_at(i));
    let Some((clock, zone)) = zone else {
        return false;
    };
    let zone_ok = matches!(zone, "Z" | "z")
        || (zone.len() == 6 && parts_of_digits_by(zone.get(1..).unwrap_or_default(), ':', &[2, 2]));
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let hour_ok = clock
        .split(':')
        .zip([23_u32, 59, 59])
        .all(|(part, max)| part.parse::<u32>().is_ok_and(|v| v <= max));
    date(day)
        && parts_of_digits_by(clock, ':', &[2, 2, 2])
        && hour_ok
        && !fraction.is_empty()
        && fraction.bytes().all(|c| c.is_ascii_digit())
        && zone_ok
}

fn parts_of_digits(text: &str, lengths: &[usize]) -> bool {
    parts_of_digits_by(text, '-', lengths)
}

fn parts_of_digits_by(text: &str, separator: char, lengths: &[usize]) -> bool {
    let parts: Vec<&str> = text.split(separator).collect();
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(p, len)| p.len() == *len && p.bytes().all(|c| c.is_ascii_digit()))
}

/// A Go duration (`1h30m`), or a number with a unit such as `3 days`.
fn duration(text: &str) -> bool {
    const UNITS: [&str; 28] = [
        "ns", "nano", "nanos", "us", "µs", "μs", "micro", "micros", "ms", "milli", "millis", "s",
        "sec", "secs", "m", "min", "mins", "h", "hr", "hrs", "hour", "hours", "d", "day", "days",
        "w", "week", "weeks",
    ];
    const LONG: [&str; 10] = [
        "second",
        "seconds",
        "minute",
        "minutes",
        "nanosecond",
        "nanoseconds",
        "microsecond",
        "microseconds",
        "millisecond",
        "milliseconds",
    ];
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        if digits.is_empty() || digits == "." {
            return false;
        }
        let after = after.trim_start();
        let unit = after
            .find(|c: char| c.is_ascii_digit() || c.is_whitespace() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        if !UNITS.contains(&unit) && !LONG.contains(&unit) {
            return false;
        }
        rest = after.trim_start();
    }
    true
}

/// An address as `net/mail` reads one: `name <local@domain>` or `local@domain`.
fn email(text: &str) -> bool {
    let address = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(at), Some(inner)) => inner.get(at + 1..).unwrap_or_default(),
        _ => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let atom = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| {
                c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
            })
    };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (quoted || local.split('.').all(atom)) && domain.split('.').all(atom)
}

fn hostname(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.trim_end_matches('.').split('.').all(|label| {
            let bytes = label.as_bytes();
            !bytes.is_empty()
                && bytes.len() <= 63
                && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
                && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
                && bytes
                    .iter()
                    .all(|c| c.is_ascii_alphanumeric() || *c == b'-')
        })
}

fn mac(text: &str) -> bool {
    [':', '-'].iter().any(|separator| {
        let parts: Vec<&str> = text.split(*separator).collect();
        matches!(parts.len(), 6 | 8 | 20)
            && parts
                .iter()
                .all(|p| p.len() == 2 && p.bytes().all(|c| c.is_ascii_hexdigit()))
    })
}

/// What Go's `url.ParseRequestURI` takes: an absolute URI or an absolute path.
fn uri(text: &str) -> bool {
    if text.bytes().any(|c| c < 0x20 || c == 0x7f) || text.is_empty() {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'));
    scheme_ok && !rest.split('/').nth(2).unwrap_or_default().contains(' ')
}

fn uuid(text: &str, version: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let dashes = text.matches('-').count();
    let shape = plain.len() == 32
        && plain.bytes().all(|c| c.is_ascii_hexdigit())
        && (dashes == 0
            || [8, 13, 18, 23]
                .iter()
                .all(|i| text.as_bytes().get(*i) == Some(&b'-'))
                && dashes == 4);
    shape && (version.is_empty() || plain.get(12..13) == Some(version))
}

fn isbn(text: &str, name: &str) -> bool {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .map(|c| {
            if matches!(c, 'X' | 'x') {
                10
            } else {
                c.to_digit(10).unwrap_or(99)
            }
        })
        .collect();
    let ten = || {
        digits.len() == 10
            && digits.iter().take(9).all(|d| *d < 10)
            && digits
                .iter()
                .zip((1..=10).rev())
                .map(|(d, w): (&u32, u32)| d * w)
                .sum::<u32>()
                % 11
                == 0
    };
    let thirteen = || {
        digits.len() == 13
            && digits.iter().all(|d| *d < 10)
            && digits
                .iter()
                .zip([1, 3].iter().cycle())
                .map(|(d, w)| d * w)
                .sum::<u32>()
                % 10
                == 0
    };
    match name {
        "isbn10" => ten(),
        "isbn13" => thirteen(),
        _ => ten() || thirteen(),
    }
}

fn credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            if i % 2 == 1 {
                if *d > 4 { d * 2 - 9 } else { d * 2 }
            } else {
                *d
            }
        })
        .sum();
    (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|c| c.is_ascii_hexdigit())
}

fn rgb_color(text: &str) -> bool {
    let inner = text
        .strip_prefix("rgb(")
        .and_then(|t| t.strip_suffix(')'))
        .unwrap_or_default();
    let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
    parts.len() == 3 && parts.iter().all(|p| p.parse::<u8>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_tell_good_from_bad() {
        for (name, good, bad) in [
            ("date-time", "2024-01-01T00:00:00.5+02:00", "yesterday"),
            ("date", "2024-02-29", "2024-13-01"),
            ("duration", "1h30m", "long"),
            ("email", "a.b@example.com", "nobody"),
            ("hostname", "a.example.com", "-x"),
            ("ipv4", "192.0.2.1", "1.2.3"),
            ("ipv6", "2001:db8::1", "192.0.2.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0"),
            ("mac", "01:02:03:04:05:06", "01:02"),
            ("uri", "https://example.com/x", "::"),
            ("uuid", "6d6ee7a4-3f8d-4d0e-9f3f-2b5b1f0f4c11", "x"),
            (
                "uuid4",
                "6d6ee7a4-3f8d-4d0e-9f3f-2b5b1f0f4c11",
                "6d6ee7a4-3f8d-3d0e-9f3f-2b5b1f0f4c11",
            ),
            ("byte", "YQ==", "%"),
            ("isbn", "0-306-40615-2", "0-306-40615-3"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("hexcolor", "#a1b2c3", "#xyz"),
            ("rgbcolor", "rgb(1, 2, 3)", "rgb(1,2)"),
        ] {
            assert!(is_valid(name, good), "{name} {good}");
            assert!(!is_valid(name, bad), "{name} {bad}");
        }
        assert!(is_valid("int-or-string", "whatever"));
    }
}
