//! Resource quantities as `resource.Quantity` of apimachinery reads and writes them.

use std::cmp::Ordering;

/// The text of `ErrFormatWrong`.
pub(crate) const FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const SUFFIX: &str = "unable to parse quantity's suffix";

/// Longest quantity that is looked at; longer ones are refused as malformed.
const MAX_LEN: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

/// A quantity in units of 10^-9, the smallest there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    nano: i128,
    format: Format,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.nano.cmp(&other.nano))
    }
}

const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];
/// The largest value: 2^63-1, in nano units.
const MAX: i128 = (i64::MAX as i128) * NANO;

impl Quantity {
    /// Reads a quantity. Digits below 10^-9 are rounded up, values beyond 2^63-1 capped.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(FORMAT);
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or_default()),
            Some(b'+') => (false, text.get(1..).unwrap_or_default()),
            _ => (false, text),
        };
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(FORMAT);
        }
        let (exponent, shift, format) = read_suffix(suffix)?;
        // value = digits * 10^(exponent - fraction digits) * 2^shift, counted in nano units
        let mut digits: i128 = 0;
        let mut scale = exponent + 9;
        let mut lost = false;
        for (i, c) in whole.bytes().chain(fraction.bytes()).enumerate() {
            let after_point = i >= whole.len();
            match digits
                .checked_mul(10)
                .and_then(|d| d.checked_add(i128::from(c - b'0')))
            {
                Some(more) if more < (1_i128 << 90) => {
                    digits = more;
                    scale -= i32::from(after_point);
                }
                _ => {
                    lost |= c != b'0';
                    scale += i32::from(!after_point);
                }
            }
        }
        let mut nano = shifted(digits, shift);
        while scale > 0 && nano != 0 && nano < MAX {
            nano = nano.saturating_mul(10);
            scale -= 1;
        }
        while scale < 0 && nano != 0 {
            lost |= nano % 10 != 0;
            nano /= 10;
            scale += 1;
        }
        if lost {
            nano = nano.saturating_add(1);
        }
        let nano = nano.min(MAX);
        Ok(Self {
            nano: if negative { -nano } else { nano },
            format,
        })
    }

    /// Rounded up to a multiple of 10^-3, as resource lists of containers are.
    #[must_use]
    pub(crate) fn rounded_to_milli(self) -> Self {
        let unit = NANO / 1000;
        let rest = self.nano.rem_euclid(unit);
        if rest == 0 {
            return self;
        }
        // Away from zero: Go rounds the digits of the absolute value up.
        let nano = if self.nano < 0 {
            self.nano - rest
        } else {
            self.nano - rest + unit
        };
        Self { nano, ..self }
    }

    pub(crate) fn is_negative(self) -> bool {
        self.nano < 0
    }

    pub(crate) fn is_zero(self) -> bool {
        self.nano == 0
    }

    pub(crate) fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// The canonical text: no fraction digits, the largest suffix that fits.
    #[must_use]
    pub(crate) fn canonical(self) -> String {
        if self.nano == 0 {
            return "0".to_owned();
        }
        // Below 1024, or with a fraction, a binary quantity is written as a decimal one.
        if self.format == Format::Binary && self.nano % NANO == 0 && self.nano.abs() >= 1024 * NANO
        {
            let whole = self.nano / NANO;
            for (suffix, bits) in BINARY.iter().rev() {
                if whole % (1_i128 << bits) == 0 {
                    return format!("{}{suffix}", whole >> bits);
                }
            }
            return whole.to_string();
        }
        let mut value = self.nano;
        let mut exponent = -9;
        while value % 1000 == 0 && exponent < 18 {
            value /= 1000;
            exponent += 3;
        }
        if self.format == Format::Exponent {
            return if exponent == 0 {
                value.to_string()
            } else {
                format!("{value}e{exponent}")
            };
        }
        let suffix = DECIMAL
            .iter()
            .find(|(_, e)| *e == exponent)
            .map_or("", |(s, _)| *s);
        format!("{value}{suffix}")
    }
}

fn shifted(digits: i128, bits: u32) -> i128 {
    if bits == 0 || digits == 0 {
        digits
    } else if digits.leading_zeros() > bits + 1 {
        digits << bits
    } else {
        i128::MAX
    }
}

fn read_suffix(suffix: &str) -> Result<(i32, u32, Format), &'static str> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok((*exponent, 0, Format::Decimal));
    }
    if let Some((_, bits)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok((0, *bits, Format::Binary));
    }
    let known = |c: char| "eEinumkKMGTP".contains(c);
    let letters = suffix.trim_start_matches(known);
    let sign = letters.strip_prefix(['+', '-']).unwrap_or(letters);
    if !sign.bytes().all(|c| c.is_ascii_digit()) {
        return Err(FORMAT);
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(SUFFIX)?;
    let exponent: i32 = exponent
        .strip_prefix('+')
        .unwrap_or(exponent)
        .parse()
        .map_err(|_| SUFFIX)?;
    Ok((exponent.clamp(-1000, 1000), 0, Format::Exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_canonically() {
        for (given, canonical) in [
            ("1000m", "1"),
            ("100m", "100m"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("1000Mi", "1000Mi"),
            ("0.5Mi", "512Ki"),
            ("1000k", "1M"),
            ("1e3", "1e3"),
            ("1E6", "1e6"),
            ("12e5", "1200e3"),
            ("1", "1"),
            ("0", "0"),
            ("0Gi", "0"),
            ("-1.5", "-1500m"),
            ("+2", "2"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.1Ki", "102400m"),
            ("0.5Ki", "512"),
            ("0.0000000001", "1n"),
            ("128974848", "128974848"),
            ("9223372036854775807", "9223372036854775807"),
            ("99999999999999999999", "9223372036854775807"),
            ("9999E", "9223372036854775807"),
        ] {
            assert_eq!(
                Quantity::parse(given).map(Quantity::canonical).as_deref(),
                Ok(canonical),
                "{given}"
            );
        }
    }

    #[test]
    fn malformed_quantities_are_refused() {
        for (given, error) in [
            ("", FORMAT),
            ("lots", FORMAT),
            ("1 Gi", FORMAT),
            ("1.2.3", FORMAT),
            ("1gi", FORMAT),
            ("1GI", FORMAT),
            ("1mm", SUFFIX),
            ("1e", SUFFIX),
        ] {
            assert_eq!(
                Quantity::parse(given).map(Quantity::canonical),
                Err(error),
                "{given}"
            );
        }
        assert!(Quantity::parse(&"9".repeat(10_000)).is_err());
    }

    #[test]
    fn containers_round_up_to_a_thousandth() {
        let q = Quantity::parse("100u").unwrap().rounded_to_milli();
        assert_eq!(q.canonical(), "1m");
        assert!(Quantity::parse("1").unwrap() > Quantity::parse("999m").unwrap());
    }
}
