//! Resource quantities: `500m`, `1.5Gi`, `1e3`.
//!
//! The rules are those of
//! [`resource.Quantity`](https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity):
//! what is finer than a nano is rounded away from zero, and each amount has one canonical
//! form within its format. Amounts beyond what 128 bits of nanos hold (about 1.7·10²⁹) are
//! refused; Kubernetes itself promises no more than 2⁶³ − 1.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Powers of ten with a suffix: `1500m`, `2k`.
    Decimal,
    /// Powers of 1024 with a suffix: `64Mi`.
    Binary,
    /// Powers of ten with an exponent: `12e6`.
    Exponent,
}

/// A resource quantity, exactly.
///
/// Two quantities are equal if their amounts are, whatever their formats.
///
/// ```
/// use gitops_diff::quantity::Quantity;
///
/// let half: Quantity = "500m".parse()?;
/// assert_eq!(half, "0.5".parse()?);
/// assert_eq!("1000m".parse::<Quantity>()?.to_string(), "1");
/// assert_eq!("1.5Gi".parse::<Quantity>()?.to_string(), "1536Mi");
/// assert_eq!("0.0005Ki".parse::<Quantity>()?.to_string(), "512m");
/// # Ok::<(), gitops_diff::quantity::ParseQuantityError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity. The text itself isn't repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseQuantityError {
    /// It isn't a number with a known suffix.
    #[error(
        "a quantity is a number and one of the suffixes n u m k M G T P E Ki Mi Gi Ti Pi Ei or an exponent, such as 500m, 1.5Gi or 1e3"
    )]
    Malformed,
    /// The amount is too large to be held.
    #[error("the quantity is too large")]
    TooLarge,
    /// It has more than nineteen digits after the point and a binary suffix.
    #[error("the quantity has too many digits after the point")]
    TooPrecise,
}

const NANOS: i128 = 1_000_000_000;

impl Quantity {
    /// The amount in billionths.
    #[must_use]
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// How it was written.
    #[must_use]
    pub fn format(self) -> Format {
        self.format
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// What a suffix stands for: a power of ten or of two.
enum Power {
    Ten(i64),
    Two(u32),
}

fn suffix(text: &str) -> Option<(Power, Format)> {
    let ten = |exponent| Some((Power::Ten(exponent), Format::Decimal));
    let two = |exponent| Some((Power::Two(exponent), Format::Binary));
    match text {
        "n" => ten(-9),
        "u" => ten(-6),
        "m" => ten(-3),
        "" => ten(0),
        "k" => ten(3),
        "M" => ten(6),
        "G" => ten(9),
        "T" => ten(12),
        "P" => ten(15),
        "E" => ten(18),
        "Ki" => two(10),
        "Mi" => two(20),
        "Gi" => two(30),
        "Ti" => two(40),
        "Pi" => two(50),
        "Ei" => two(60),
        _ => {
            let exponent = text.strip_prefix(['e', 'E'])?;
            let exponent: i64 = exponent.parse().ok()?;
            Some((Power::Ten(exponent), Format::Exponent))
        }
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use ParseQuantityError::{Malformed, TooLarge, TooPrecise};
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, tail) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(Malformed);
        }
        let (power, mut format) = suffix(tail).ok_or(Malformed)?;
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');

        // digits / 10^places, times the power, in nanos.
        let digits = || whole.bytes().chain(fraction.bytes());
        let places = i64::try_from(fraction.len()).map_err(|_| TooLarge)?;
        if digits().all(|digit| digit == b'0') {
            return Ok(Self { nanos: 0, format });
        }
        let mut nanos: i128 = 0;
        let mut rest = false;
        match power {
            Power::Ten(exponent) => {
                // The power of ten of the last digit, then of the first.
                let last = exponent
                    .checked_sub(places)
                    .and_then(|power| power.checked_add(9))
                    .ok_or(TooLarge)?;
                let count = i64::try_from(whole.len()).map_err(|_| TooLarge)? + places;
                let first = last.saturating_add(count - 1);
                for (digit, place) in digits().zip((last..=first).rev()) {
                    let digit = i128::from(digit - b'0');
                    if place < 0 {
                        rest |= digit != 0;
                        continue;
                    }
                    if digit != 0 {
                        let place = u32::try_from(place).map_err(|_| TooLarge)?;
                        nanos = 10_i128
                            .checked_pow(place)
                            .and_then(|unit| unit.checked_mul(digit))
                            .and_then(|amount| nanos.checked_add(amount))
                            .ok_or(TooLarge)?;
                    }
                }
            }
            Power::Two(exponent) => {
                let scale = 1_i128 << exponent;
                let mut amount: i128 = 0;
                for digit in whole.bytes() {
                    amount = amount
                        .checked_mul(10)
                        .and_then(|amount| amount.checked_add(i128::from(digit - b'0')))
                        .ok_or(TooLarge)?;
                }
                nanos = amount
                    .checked_mul(scale)
                    .and_then(|amount| amount.checked_mul(NANOS))
                    .ok_or(TooLarge)?;
                // Nineteen digits times 2^60 still fit.
                if fraction.len() > 19 {
                    return Err(TooPrecise);
                }
                let part = fraction
                    .bytes()
                    .fold(0, |part: i128, digit| part * 10 + i128::from(digit - b'0'))
                    * scale;
                let part = match u32::try_from(places - 9) {
                    Ok(surplus) => {
                        let unit = 10_i128.pow(surplus);
                        rest = part % unit != 0;
                        part / unit
                    }
                    Err(_) => part * 10_i128.pow(9 - fraction.len() as u32),
                };
                nanos = nanos.checked_add(part).ok_or(TooLarge)?;
            }
        }
        if rest {
            nanos = nanos.checked_add(1).ok_or(TooLarge)?;
        }
        // A fraction of one can't be written with a binary suffix.
        if format == Format::Binary && nanos < NANOS {
            format = Format::Decimal;
        }
        Ok(Self {
            nanos: if negative { -nanos } else { nanos },
            format,
        })
    }
}

impl fmt::Display for Quantity {
    /// Writes the canonical form, as the API server does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.format == Format::Binary
            && self.nanos % NANOS == 0
            && self.nanos.abs() >= 1024 * NANOS
        {
            let (mut amount, mut power) = (self.nanos / NANOS, 0);
            while amount % 1024 == 0 && power < 6 {
                (amount, power) = (amount / 1024, power + 1);
            }
            let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(power);
            return write!(f, "{amount}{}", suffix.unwrap_or(&""));
        }
        let (mut amount, mut power) = (self.nanos, -9_i32);
        while amount % 1000 == 0 && (power < 18 || self.format == Format::Exponent) {
            (amount, power) = (amount / 1000, power + 3);
        }
        match (self.format, power) {
            (_, 0) => write!(f, "{amount}"),
            (Format::Exponent, power) => write!(f, "{amount}e{power}"),
            (_, power) => {
                let place = usize::try_from((power + 9) / 3).unwrap_or_default();
                let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].get(place);
                write!(f, "{amount}{}", suffix.unwrap_or(&""))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms_are_those_of_the_api_server() {
        for (text, canonical) in [
            ("0", "0"),
            ("0m", "0"),
            ("-0", "0"),
            ("0Ki", "0"),
            ("1000m", "1"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("+1.50", "1500m"),
            ("-1.5", "-1500m"),
            ("1500", "1500"),
            ("2000", "2k"),
            ("100000", "100k"),
            ("0.1k", "100"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("1.5Gi", "1536Mi"),
            ("0.1Ki", "102400m"),
            ("1.1Ki", "1126400m"),
            ("1Ei", "1Ei"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e6", "12e6"),
            ("1e-3", "1e-3"),
            ("1e4", "10e3"),
            ("1e0", "1"),
            ("1E", "1E"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("0.0000000001", "1n"),
            ("1.0000000001", "1000000001n"),
            ("100m", "100m"),
            ("1u", "1u"),
            ("128974848", "128974848"),
            ("129e6", "129e6"),
            ("123Mi", "123Mi"),
            ("00001", "1"),
        ] {
            let quantity: Quantity = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(quantity.to_string(), canonical, "{text}");
            // The canonical form is a fixed point, and the same amount.
            let again: Quantity = canonical.parse().unwrap();
            assert_eq!(again, quantity, "{text}");
            assert_eq!(again.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn amounts_compare_exactly() {
        let q = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(q("1Gi"), q("1073741824"));
        assert_eq!(q("1e3"), q("1k"));
        assert!(q("1000000001n") > q("1"));
        assert!(q("-1") < q("0"));
        assert!(q("1.0000000000000000001Ki") > q("1Ki"));
    }

    #[test]
    fn what_is_no_quantity_is_refused_without_work() {
        for text in [
            "", ".", "-", "1 ", " 1", "1.2.3", "1K", "1ki", "1e", "1e1.5", "m", "--1", "1mm",
            "1Zi", "0x10", "1_0", "\u{661}",
        ] {
            assert_eq!(
                text.parse::<Quantity>().unwrap_err(),
                ParseQuantityError::Malformed,
                "{text}"
            );
        }
        for text in [
            "1e1000000000",
            "1e9223372036854775807",
            "99999999999999999999999999999999",
            "99999999999999999999Ei",
        ] {
            assert_eq!(
                text.parse::<Quantity>().unwrap_err(),
                ParseQuantityError::TooLarge,
                "{text}"
            );
        }
        assert_eq!(
            "1e-1000000000".parse::<Quantity>().unwrap().to_string(),
            "1e-9"
        );
        let long = format!("0.{}1Ki", "0".repeat(100_000));
        assert_eq!(
            long.parse::<Quantity>().unwrap_err(),
            ParseQuantityError::TooPrecise
        );
        let long = format!("0.{}1", "0".repeat(100_000));
        assert_eq!(long.parse::<Quantity>().unwrap().to_string(), "1n");
    }
}
