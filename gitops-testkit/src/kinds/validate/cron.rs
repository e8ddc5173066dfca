//! Schedules of CronJobs, with the errors of `robfig/cron` v3.

/// Checks a schedule: five fields, or a descriptor such as `@hourly`.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let mut spec = schedule;
    for prefix in ["TZ=", "CRON_TZ="] {
        if let Some(rest) = spec.strip_prefix(prefix) {
            let (zone, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            if !is_zone(zone) {
                return Err(format!(
                    "provided bad location {zone}: unknown time zone {zone}"
                ));
            }
            spec = rest.trim();
            break;
        }
    }
    if let Some(descriptor) = spec.strip_prefix('@') {
        return match descriptor {
            "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly" => {
                Ok(())
            }
            _ => match descriptor.strip_prefix("every ") {
                Some(duration) if duration_ok(duration) => Ok(()),
                Some(duration) => Err(format!(
                    "failed to parse duration @every {duration}: time: invalid duration {}",
                    crate::kinds::error::quote(duration)
                )),
                None => Err(format!("unrecognized descriptor: @{descriptor}")),
            },
        };
    }
    let fields: Vec<&str> = spec.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        ));
    }
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let bounds: [(u64, u64, &[&str]); 5] = [
        (0, 59, &[]),
        (0, 23, &[]),
        (1, 31, &[]),
        (1, 12, &MONTHS),
        (0, 6, &DAYS),
    ];
    for (field, (min, max, names)) in fields.into_iter().zip(bounds) {
        for range in field.split(',').filter(|r| !r.is_empty()) {
            check_range(range, min, max, names)?;
        }
    }
    Ok(())
}

fn duration_ok(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|c| c.is_ascii_digit() || matches!(c, b'h' | b'm' | b's' | b'.' | b'n' | b'u'))
        && text.bytes().next().is_some_and(|c| c.is_ascii_digit())
        && text.bytes().last().is_some_and(|c| c.is_ascii_alphabetic())
}

fn check_range(expr: &str, min: u64, max: u64, names: &[&str]) -> Result<(), String> {
    let parts: Vec<&str> = expr.split('/').collect();
    let base = parts.first().copied().unwrap_or_default();
    let ends: Vec<&str> = base.split('-').collect();
    let single = ends.len() == 1;
    let (start, mut end);
    if matches!(base, "*" | "?") {
        (start, end) = (min, max);
    } else {
        start = number(ends.first().copied().unwrap_or_default(), min, names)?;
        end = match ends.as_slice() {
            [_] => start,
            [_, end] => number(end, min, names)?,
            _ => return Err(format!("too many hyphens: {expr}")),
        };
    }
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step, 0, &[])?;
            // "N/step" means "N-max/step".
            if single {
                end = max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {expr}")),
    };
    if start < min {
        return Err(format!(
            "beginning of range ({start}) below minimum ({min}): {expr}"
        ));
    }
    if end > max {
        return Err(format!(
            "end of range ({end}) above maximum ({max}): {expr}"
        ));
    }
    if start > end {
        return Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {expr}"
        ));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {expr}"));
    }
    Ok(())
}

fn number(text: &str, min: u64, names: &[&str]) -> Result<u64, String> {
    let lower = text.to_lowercase();
    if let Some(position) = names.iter().position(|n| *n == lower) {
        return Ok(position as u64 + min);
    }
    let negative = text
        .strip_prefix('-')
        .is_some_and(|t| !t.is_empty() && t.bytes().all(|c| c.is_ascii_digit()));
    if negative {
        return Err(format!("negative number ({text}) not allowed: {text}"));
    }
    text.strip_prefix('+').unwrap_or(text).parse().map_err(|_| {
        format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            crate::kinds::error::quote(text)
        )
    })
}

/// Whether a time zone of this name is likely to exist.
///
/// The names are those of the IANA database's areas; a place within one is taken on trust
/// unless this machine has the database.
pub(super) fn is_zone(name: &str) -> bool {
    if matches!(
        name,
        "UTC"
            | "GMT"
            | "EST"
            | "MST"
            | "HST"
            | "EST5EDT"
            | "CST6CDT"
            | "MST7MDT"
            | "PST8PDT"
            | "CET"
            | "EET"
            | "MET"
            | "WET"
            | "UCT"
            | "Zulu"
            | "Universal"
            | "Greenwich"
            | "Japan"
            | "Singapore"
            | "Israel"
            | "Turkey"
            | "Egypt"
            | "Iran"
            | "Cuba"
            | "Jamaica"
            | "Poland"
            | "Portugal"
            | "Eire"
            | "GB"
            | "NZ"
            | "PRC"
            | "ROC"
            | "ROK"
            | "Hongkong"
            | "Iceland"
            | "Libya"
            | "Navajo"
            | "Kwajalein"
            | "W-SU"
    ) {
        return true;
    }
    let plain = name
        .bytes()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'/' | b'_' | b'-' | b'+'));
    let database = std::path::Path::new("/usr/share/zoneinfo");
    if plain && database.join("UTC").is_file() {
        return database.join(name).is_file();
    }
    const AREAS: [&str; 13] = [
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Brazil",
        "Canada",
        "Chile",
        "Etc",
        "Europe",
        "Indian",
    ];
    const MORE: [&str; 3] = ["Mexico", "Pacific", "US"];
    plain
        && name.split_once('/').is_some_and(|(area, place)| {
            (AREAS.contains(&area) || MORE.contains(&area))
                && place.starts_with(|c: char| c.is_ascii_uppercase())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_as_cron_reads_them() {
        for good in [
            "* * * * *",
            "*/5 0-3 1,15 jan-mar MON",
            "@hourly",
            "@every 1h30m",
            "TZ=UTC * * * * *",
            "0/15 * * * ?",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            (
                "not a schedule",
                "expected exactly 5 fields, found 3: [not a schedule]",
            ),
            ("61 * * * *", "end of range (61) above maximum (59): 61"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            (
                "*/0 * * * *",
                "step of range should be a positive number: */0",
            ),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            (
                "x * * * *",
                "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            ("@never", "unrecognized descriptor: @never"),
        ] {
            assert_eq!(check(bad), Err(error.to_owned()), "{bad}");
        }
    }

    #[test]
    fn zones_outside_the_world_are_unknown() {
        assert!(is_zone("Europe/Berlin") && is_zone("UTC") && is_zone("America/New_York"));
        assert!(!is_zone("Mars/Phobos") && !is_zone("../../etc/passwd"));
    }
}
