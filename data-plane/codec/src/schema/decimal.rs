//! Numbers as they are written, exactly: a bound of 9007199254740993 is not the same as one of 9007199254740992.
//! No floats, and no work that grows with an exponent.

use std::cmp::Ordering;

/// Exponents beyond this are all the same to us; far outside of what any number means.
const FAR: i64 = i64::MAX / 4;

/// `±0.d₁d₂… × 10^scale`, with neither leading nor trailing zeros among the digits; zero has none and no sign.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Decimal {
    is_negative: bool,
    scale: i64,
    digits: Vec<u8>,
}

impl Decimal {
    /// Reads a JSON number; none when it is none.
    pub fn read(text: &str) -> Option<Decimal> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let written = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || !written().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let leading = written().take_while(|byte| *byte == b'0').count();
        let mut digits: Vec<u8> = written().skip(leading).map(|byte| byte - b'0').collect();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let exponent = read_exponent(exponent)?;
        if digits.is_empty() {
            return Some(Decimal { is_negative: false, scale: 0, digits });
        }
        let scale = length(whole.len()) - length(leading) + exponent;
        Some(Decimal { is_negative, scale, digits })
    }

    /// Whether it has no fraction.
    pub fn is_whole(&self) -> bool {
        self.digits.is_empty() || length(self.digits.len()) <= self.scale
    }

    pub fn is_positive(&self) -> bool {
        !self.is_negative && !self.digits.is_empty()
    }

    /// Compares the values.
    pub fn against(&self, other: &Decimal) -> Ordering {
        match (self.sign(), other.sign()) {
            (1, 1) => self.size().cmp(&other.size()),
            (-1, -1) => other.size().cmp(&self.size()),
            (one, two) => one.cmp(&two),
        }
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.is_negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        }
    }

    /// How large it is without its sign, in an order that compares right: no leading zeros, and a missing digit is less
    /// than any that is there.
    fn size(&self) -> (i64, &[u8]) {
        (self.scale, &self.digits)
    }

    /// Adds a text to `out` that is the same for equal values only.
    pub fn spell(&self, out: &mut String) {
        if self.is_negative {
            out.push('-');
        }
        out.extend(self.digits.iter().map(|digit| char::from(b'0' + digit)));
        out.push_str(&format!("e{};", self.scale));
    }
}

/// What numbers are to be multiples of.
#[derive(Debug, Clone)]
pub(super) struct Divisor {
    digits: u64,
    /// The power of ten behind the digits.
    power: i64,
}

impl Divisor {
    /// None for numbers of more digits than a division can have here.
    pub fn new(number: &Decimal) -> Option<Divisor> {
        let digits = number.digits.iter().try_fold(0u64, |all, digit| {
            all.checked_mul(10)?.checked_add(u64::from(*digit)).filter(|all| *all < 1 << 63)
        })?;
        (digits > 0).then(|| Divisor { digits, power: number.scale - length(number.digits.len()) })
    }

    /// Whether `number` is a whole multiple.
    pub fn divides(&self, number: &Decimal) -> bool {
        if number.digits.is_empty() {
            return true;
        }
        // Both as whole digits times a power of ten; the number's digits do not end in zero, so a smaller power than the
        // divisor's cannot be made up for.
        let power = number.scale - length(number.digits.len()) - self.power;
        if power < 0 {
            return false;
        }
        let by = u128::from(self.digits);
        let rest = number.digits.iter().fold(0u128, |rest, digit| (rest * 10 + u128::from(*digit)) % by);
        (rest * power_of_ten(power, by)).is_multiple_of(by)
    }
}

/// `10^power mod by`, by squaring.
fn power_of_ten(mut power: i64, by: u128) -> u128 {
    let (mut result, mut base) = (1 % by, 10 % by);
    while power > 0 {
        if power & 1 == 1 {
            result = result * base % by;
        }
        base = base * base % by;
        power >>= 1;
    }
    result
}

fn length(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(FAR).min(FAR)
}

fn read_exponent(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // All digits: only too many of them cannot be read.
    let size = digits.parse::<i64>().unwrap_or(FAR).min(FAR);
    Some(if is_negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::read(text).unwrap()
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let rising = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1",
            "-0.1",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000000000000000001",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740993",
            "1e400",
            "1e99999999999999999999",
        ];
        for (place, one) in rising.iter().enumerate() {
            for (other_place, other) in rising.iter().enumerate() {
                assert_eq!(number(one).against(&number(other)), place.cmp(&other_place), "{one} and {other}");
            }
        }
    }

    #[test]
    fn one_value_has_one_reading_however_it_is_written() {
        for same in [["1", "1.0", "10e-1", "0.1E+1"], ["0", "-0", "0.000", "0e5"], ["120", "1.2e2", "12e1", "120.0"]] {
            for text in same {
                assert_eq!(number(text), number(same[0]), "{text}");
            }
        }
        for bad in ["", "-", "a", "1.x", "1e", "1e+", "--1", ".5"] {
            assert!(Decimal::read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_are_told_from_others() {
        for (text, is_whole) in
            [("1", true), ("1.0", true), ("1.5e1", true), ("1.5", false), ("1e-1", false), ("0", true), ("1e400", true)]
        {
            assert_eq!(number(text).is_whole(), is_whole, "{text}");
        }
    }

    #[test]
    fn multiples_are_found_without_rounding() {
        for (text, of, is_multiple) in [
            ("0.3", "0.1", true),
            ("0.35", "0.1", false),
            ("9007199254740993", "2", false),
            ("1e400", "3", false),
            ("3e400", "3", true),
            ("1e9999999999", "7", false),
            ("7e9999999999", "7", true),
            ("0", "7", true),
            ("-14", "7", true),
            ("5", "2.5", true),
            ("1", "10", false),
            ("100", "1e1", true),
        ] {
            assert_eq!(Divisor::new(&number(of)).unwrap().divides(&number(text)), is_multiple, "{text} of {of}");
        }
        assert!(Divisor::new(&number("0")).is_none());
        assert!(Divisor::new(&number("12345678901234567890123")).is_none());
    }
}
