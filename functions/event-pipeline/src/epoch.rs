//! Reads epochs: numbers of seconds, milliseconds, microseconds or nanoseconds since 1970.

use serde_json::value::RawValue;

/// Milliseconds since the epoch of an epoch, `Some(None)` of one that no number of milliseconds can hold; `None` if the text is no
/// JSON number.
pub(crate) fn read_epoch(text: &str) -> Option<Option<i64>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit())
        || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return None;
    }
    let Some(decimal) = Decimal::parse(text) else {
        // The grammar of numbers that are no plain decimals is serde_json's.
        return serde_json::from_str::<&RawValue>(text).is_ok().then_some(None);
    };
    Some(decimal.millis())
}

/// A decimal number with its digits kept: a float would be off by a millisecond.
struct Decimal {
    negative: bool,
    /// The digits without the point.
    digits: u128,
    /// Digits behind the point.
    scale: u32,
}

impl Decimal {
    /// Reads a JSON number; `None` if it is none, or one that is too large to be a time.
    fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) || mantissa.ends_with('.') {
            return None;
        }
        // Nanoseconds of a float's seconds are the finest that anything writes.
        let fraction = fraction.get(..fraction.len().min(18)).unwrap_or_default();
        let whole = whole.trim_start_matches('0');
        if whole.len() > 20 || exponent > 20 {
            return None;
        }
        let mut digits: u128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits = digits.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
        }
        let scale = fraction.len() as i32 - exponent;
        let (digits, scale) = match u32::try_from(scale) {
            Ok(scale) => (digits, scale),
            Err(_) => (digits.checked_mul(10u128.checked_pow(scale.unsigned_abs())?)?, 0),
        };
        Some(Self { negative, digits, scale })
    }

    /// Milliseconds since the epoch of seconds, milliseconds, microseconds or nanoseconds, distinguished by size: below 10^11
    /// seconds (the year 5138), below 10^14 milliseconds, below 10^17 microseconds. Parts of a millisecond are cut off.
    fn millis(&self) -> Option<i64> {
        let one = 10u128.checked_pow(self.scale)?;
        let whole = self.digits / one;
        let millis = match whole {
            0..100_000_000_000 => self.digits.checked_mul(1000)? / one,
            100_000_000_000..100_000_000_000_000 => whole,
            100_000_000_000_000..100_000_000_000_000_000 => whole / 1000,
            _ => whole / 1_000_000,
        };
        let millis = i64::try_from(millis).ok()?;
        Some(if self.negative { -millis } else { millis })
    }
}
