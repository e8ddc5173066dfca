//! Resource quantities: `500m`, `1.5Gi`, `1e3`.
//!
//! The rules are those of
//! [`resource.Quantity`](https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity):
//! what is finer than a nano is rounded away from zero, an amount with a binary suffix is
//! capped at 2⁶³ − 1, and each amount has one canonical form within its format.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
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
/// Two quantities are equal if their amounts are, whatever their formats. `Display` writes
/// the canonical form, as the API server stores it.
///
/// ```
/// use gitops_diff::quantity::Quantity;
///
/// let half: Quantity = "500m".parse()?;
/// assert_eq!(half, "0.5".parse()?);
/// assert!(half < "1Ki".parse()?);
/// assert_eq!("1000m".parse::<Quantity>()?.to_string(), "1");
/// assert_eq!("1.5Gi".parse::<Quantity>()?.to_string(), "1536Mi");
/// assert_eq!("0.0001Ki".parse::<Quantity>()?.to_string(), "102400u");
/// # Ok::<(), gitops_diff::quantity::ParseQuantityError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    /// The amount is `digits` times ten to the `exponent`. `digits` does not end in a
    /// zero, so each amount is held in one way; zero has the exponent zero.
    digits: i128,
    exponent: i32,
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
    /// Its exponent is beyond 32 bits.
    #[error("the exponent of the quantity is too large")]
    TooLarge,
    /// It has more than 38 significant digits.
    #[error("the quantity has more than 38 significant digits")]
    TooPrecise,
}

/// So many decimal digits fit in 128 bits, whichever they are.
const MAX_DIGITS: usize = 38;
/// The finest power of ten that is kept.
const NANO: i64 = -9;
/// What an amount with a binary suffix is capped at.
const CAP: i128 = i64::MAX as i128;

impl Quantity {
    /// The amount in billionths, or `None` where 128 bits don't hold it: beyond about
    /// 1.7·10²⁹.
    #[must_use]
    pub fn nanos(self) -> Option<i128> {
        let power = u32::try_from(i64::from(self.exponent) - NANO).ok()?;
        10_i128.checked_pow(power)?.checked_mul(self.digits)
    }

    /// How it was written. What is less than one is never binary.
    #[must_use]
    pub fn format(self) -> Format {
        self.format
    }

    fn new(digits: i128, exponent: i32, format: Format) -> Self {
        let (mut digits, mut exponent) = (digits, exponent);
        while digits != 0 && digits % 10 == 0 {
            (digits, exponent) = (digits / 10, exponent + 1);
        }
        Self {
            digits,
            exponent: if digits == 0 { 0 } else { exponent },
            format,
        }
    }

    /// The amount, if it is a whole number that 128 bits hold.
    fn whole(self) -> Option<i128> {
        let power = u32::try_from(self.exponent).ok()?;
        10_i128.checked_pow(power)?.checked_mul(self.digits)
    }

    /// How many decimal digits `digits` has.
    fn count(self) -> u32 {
        self.digits.unsigned_abs().checked_ilog10().unwrap_or(0) + 1
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        (self.digits, self.exponent) == (other.digits, other.exponent)
    }
}

impl Eq for Quantity {}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.digits, self.exponent).hash(state);
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.digits.signum();
        if sign != other.digits.signum() || sign == 0 {
            return sign.cmp(&other.digits.signum());
        }
        let height = |q: &Self| i64::from(q.count()) + i64::from(q.exponent);
        // Both with as many digits as fit, so that they can be compared.
        let filled = |q: &Self| {
            let room = (MAX_DIGITS as u32).saturating_sub(q.count());
            q.digits.unsigned_abs() * 10_u128.pow(room)
        };
        let larger = height(self)
            .cmp(&height(other))
            .then_with(|| filled(self).cmp(&filled(other)));
        if sign < 0 { larger.reverse() } else { larger }
    }
}

/// What a suffix stands for: a power of ten or of two.
enum Power {
    Ten(i64),
    Two(u32),
}

fn suffix(text: &str) -> Result<(Power, Format), ParseQuantityError> {
    let ten = |exponent| Ok((Power::Ten(exponent), Format::Decimal));
    let two = |exponent| Ok((Power::Two(exponent), Format::Binary));
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
            let exponent = text
                .strip_prefix(['e', 'E'])
                .ok_or(ParseQuantityError::Malformed)?;
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
                return Err(ParseQuantityError::Malformed);
            }
            let exponent: i32 = exponent.parse().map_err(|_| ParseQuantityError::TooLarge)?;
            Ok((Power::Ten(exponent.into()), Format::Exponent))
        }
    }
}

/// Multiplies a number, given by its decimal digits from high to low.
fn multiply(digits: &mut Vec<u8>, factor: u64) {
    let mut carry = 0_u128;
    for digit in digits.iter_mut().rev() {
        carry += u128::from(*digit) * u128::from(factor);
        *digit = (carry % 10) as u8;
        carry /= 10;
    }
    let mut high = Vec::new();
    while carry > 0 {
        high.push((carry % 10) as u8);
        carry /= 10;
    }
    digits.splice(0..0, high.into_iter().rev());
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    /// Reads what the API server reads, which is more than it documents: a number without
    /// digits (`.`, `m`) is zero.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use ParseQuantityError::{Malformed, TooLarge, TooPrecise};
        if text.is_empty() {
            return Err(Malformed);
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, tail) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') {
            return Err(Malformed);
        }
        let (power, mut format) = suffix(tail)?;

        let (whole, fraction) = (
            whole.trim_start_matches('0'),
            fraction.trim_end_matches('0'),
        );
        let mut digits: Vec<u8> = whole
            .bytes()
            .chain(fraction.bytes())
            .map(|digit| digit - b'0')
            .collect();
        // The power of ten of the last digit.
        let mut last = -i64::try_from(fraction.len()).map_err(|_| TooPrecise)?;
        match power {
            Power::Ten(exponent) => last += exponent,
            Power::Two(exponent) => multiply(&mut digits, 1 << exponent),
        }
        // What is finer than a nano is cut off, and rounds away from zero.
        let cut = usize::try_from(NANO - last).unwrap_or(0);
        let kept = digits.len().saturating_sub(cut);
        let rest = digits.get(kept..).unwrap_or_default();
        let round_up = rest.iter().any(|digit| *digit != 0);
        digits.truncate(kept);
        last = last.max(NANO);
        while digits.last() == Some(&0) {
            digits.pop();
            last += 1;
        }
        let significant: Vec<u8> = digits.into_iter().skip_while(|digit| *digit == 0).collect();
        let capped = format == Format::Binary
            && significant.len() as i64 + last > i64::from(CAP.ilog10()) + 1;
        if !capped && significant.len() > MAX_DIGITS {
            return Err(TooPrecise);
        }
        let mut amount = if capped {
            last = 0;
            CAP
        } else {
            significant
                .iter()
                .fold(0, |amount: i128, digit| amount * 10 + i128::from(*digit))
        };
        if round_up {
            // The zeros at the end that were taken off above.
            let zeros = u32::try_from(last - NANO).map_err(|_| TooLarge)?;
            amount = 10_i128
                .checked_pow(zeros)
                .and_then(|unit| amount.checked_mul(unit))
                .and_then(|amount| amount.checked_add(1))
                .ok_or(TooPrecise)?;
            last = NANO;
        }
        let last = i32::try_from(last).map_err(|_| TooLarge)?;
        let mut found = Self::new(amount, last, Format::Decimal);
        if found.count() as usize > MAX_DIGITS {
            return Err(TooPrecise);
        }
        if format == Format::Binary {
            let cap = Self::new(CAP, 0, format);
            if found > cap {
                found = cap;
            }
            // A fraction of one can't be written with a binary suffix.
            if found < Self::new(1, 0, format) {
                format = Format::Decimal;
            }
        }
        Ok(Self {
            digits: if negative {
                -found.digits
            } else {
                found.digits
            },
            format,
            ..found
        })
    }
}

impl fmt::Display for Quantity {
    /// Writes the canonical form, as the API server does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits == 0 {
            return f.write_str("0");
        }
        let whole = self.whole().filter(|whole| whole.abs() >= 1024);
        if let (Format::Binary, Some(whole)) = (self.format, whole) {
            let (mut amount, mut power) = (whole, 0);
            while amount % 1024 == 0 && power < 6 {
                (amount, power) = (amount / 1024, power + 1);
            }
            let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(power);
            return write!(f, "{amount}{}", suffix.unwrap_or(&""));
        }
        // The largest power of a thousand.
        let zeros = self.exponent.rem_euclid(3);
        write!(f, "{}", self.digits)?;
        for _ in 0..zeros {
            f.write_str("0")?;
        }
        let power = self.exponent - zeros;
        let suffix = usize::try_from(power / 3 + 3)
            .ok()
            .and_then(|place| ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].get(place));
        match (self.format, suffix) {
            (_, _) if power == 0 => Ok(()),
            (Format::Decimal | Format::Binary, Some(suffix)) => f.write_str(suffix),
            // There is no suffix beyond E.
            _ => write!(f, "e{power}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            // Beyond E there is no suffix.
            ("1000E", "1e21"),
            ("1000000e18", "1e24"),
            ("1e400", "10e399"),
            ("1500E", "1500E"),
            ("1.5E", "1500P"),
            ("1.5e3", "1500"),
            ("1e+3", "1e3"),
            ("1e-10", "1e-9"),
            ("-0.1e-9", "-1e-9"),
            ("0.0009765625Ki", "1"),
            ("0.0001Ki", "102400u"),
            ("-0.5Ki", "-512"),
            ("-1024Ki", "-1Mi"),
            ("1.00000000000000000001Gi", "1073741824000000001n"),
            // What has a binary suffix is capped.
            ("7Ei", "7Ei"),
            ("8Ei", "9223372036854775807"),
            ("-8Ei", "-9223372036854775807"),
            ("9007199254740992Ki", "9223372036854775807"),
            ("9223372036854775807Ki", "9223372036854775807"),
            (
                "99999999999999999999999999999999999999999999Ei",
                "9223372036854775807",
            ),
            ("9223372036854775808", "9223372036854775808"),
            // A number without digits is zero.
            (".", "0"),
            ("-", "0"),
            ("m", "0"),
            ("Ki", "0"),
            ("e3", "0"),
            ("-.5", "-500m"),
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
        use ParseQuantityError::{Malformed, TooLarge, TooPrecise};
        for text in [
            "", "1 ", " 1", "1.2.3", "1K", "1ki", "1e", "1e+", "1e1.5", "--1", "+-1", "1mm", "1Zi",
            "0x10", "1_0", "\u{661}",
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(Malformed), "{text}");
        }
        for text in ["1e2147483648", "1e9223372036854775808", "-1e-99999999999"] {
            assert_eq!(text.parse::<Quantity>(), Err(TooLarge), "{text}");
        }
        let digits = "123456789".repeat(5);
        assert_eq!(digits.parse::<Quantity>(), Err(TooPrecise));
        let zeros = "0".repeat(100_000);
        for (text, canonical) in [
            ("1e-1000000000".to_owned(), "1e-9"),
            (format!("0.{zeros}1"), "1n"),
            (format!("0.{zeros}1Ki"), "1n"),
            (format!("{zeros}1.{zeros}"), "1"),
            (format!("1{zeros}Ki"), "9223372036854775807"),
            (format!("1{zeros}"), "10e99999"),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(quantity.to_string(), canonical);
        }
    }

    #[test]
    fn nanos_are_there_as_long_as_they_fit() {
        let nanos = |text: &str| text.parse::<Quantity>().unwrap().nanos();
        assert_eq!(nanos("1.5"), Some(1_500_000_000));
        assert_eq!(nanos("-1n"), Some(-1));
        assert_eq!(nanos("100000000000E"), Some(10_i128.pow(38)));
        assert_eq!(nanos("1000000000000E"), None);
        assert_eq!(nanos("1e2147483647"), None);
    }

    /// Everything that the grammar allows, weighted to what is hard.
    fn text() -> impl Strategy<Value = String> {
        let digits = prop_oneof![
            3 => "[0-9]{0,3}",
            1 => "[0-9]{0,20}",
            1 => "(0|1|9|1000|1024|999)?0{0,9}",
        ];
        let suffix = prop_oneof![
            "[numkMGTPE]?",
            "[KMGTPE]i",
            "[eE][-+]?[0-9]{1,2}",
            "e-?[0-9]{3}",
        ];
        ("[-+]?", digits.clone(), prop::option::of(digits), suffix).prop_map(
            |(sign, whole, fraction, suffix)| match fraction {
                Some(fraction) => format!("{sign}{whole}.{fraction}{suffix}"),
                None if sign.is_empty() && whole.is_empty() => format!("0{suffix}"),
                None => format!("{sign}{whole}{suffix}"),
            },
        )
    }

    fn read(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn what_is_printed_reads_as_the_same(text in text()) {
            let quantity = read(&text);
            let printed = quantity.to_string();
            let again = read(&printed);
            prop_assert_eq!(again, quantity);
            prop_assert_eq!(again.to_string(), printed);
        }

        #[test]
        fn the_order_is_total_and_that_of_the_amounts(a in text(), b in text(), c in text()) {
            let (a, b, c) = (read(&a), read(&b), read(&c));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a == b, a.cmp(&b).is_eq());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            if let (Some(x), Some(y)) = (a.nanos(), b.nanos()) {
                prop_assert_eq!(a.cmp(&b), x.cmp(&y));
            }
        }

        #[test]
        fn a_suffix_is_a_factor(n in -999_999_i64..999_999, at in 0_usize..5) {
            let ten = ["k", "M", "G", "T", "P"][at];
            let two = ["Ki", "Mi", "Gi", "Ti", "Pi"][at];
            let power = u32::try_from(at).unwrap() + 1;
            let by = |base: i128| i128::from(n) * base.pow(power);
            prop_assert_eq!(read(&format!("{n}{ten}")), read(&by(1000).to_string()));
            let capped = by(1024).clamp(-CAP, CAP);
            prop_assert_eq!(read(&format!("{n}{two}")), read(&capped.to_string()));
            prop_assert_eq!(read(&format!("{n}e{}", power * 3)), read(&format!("{n}{ten}")));
            prop_assert_eq!(read(&format!("{n}000m")), read(&n.to_string()));
        }
    }
}
