//! Decimals of any size as number text, exactly.

use std::iter;

/// The most bytes of an unscaled value: 2,466 digits. The time to write it grows with the square.
const MAX_BYTES: usize = 1024;

/// The most zeros that are written between the point and the digits, or behind them; with more, an exponent is.
const MAX_ZEROS: i64 = 100;

/// The largest power of ten in 64 bits, and its digits.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 19;

/// An unscaled value of more than `MAX_BYTES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Appends `unscaled` (two's complement, big endian) times ten to the power of −`scale` as a JSON number. It has exactly `scale`
/// digits behind the point: `12.30` stays `12.30`. No bytes are a zero.
pub(crate) fn append_decimal(json: &mut Vec<u8>, unscaled: &[u8], scale: i64) -> Result<(), TooLong> {
    let is_negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let sign = if is_negative { 0xff } else { 0 };
    let n_sign_bytes = unscaled.iter().take_while(|byte| **byte == sign).count();
    let significant = unscaled.get(n_sign_bytes..).unwrap_or_default();
    if significant.len() > MAX_BYTES {
        return Err(TooLong);
    }
    if is_negative {
        json.push(b'-');
    }
    match short_magnitude(significant, is_negative) {
        Some(magnitude) => {
            let mut buffer = itoa::Buffer::new();
            append_scaled(json, buffer.format(magnitude).as_bytes(), scale);
        }
        None => append_scaled(json, &long_digits(significant, is_negative), scale),
    }
    Ok(())
}

/// The magnitude of up to 15 bytes without their sign bytes.
fn short_magnitude(significant: &[u8], is_negative: bool) -> Option<u128> {
    if significant.len() > 15 {
        return None;
    }
    let start = if is_negative { -1_i128 } else { 0 };
    let number = significant.iter().fold(start, |number, byte| number << 8 | i128::from(*byte));
    Some(number.unsigned_abs())
}

/// The decimal digits of the magnitude.
fn long_digits(significant: &[u8], is_negative: bool) -> Vec<u8> {
    let mut limbs = magnitude(significant, is_negative);
    let mut chunks = Vec::new();
    while limbs.iter().any(|limb| *limb != 0) {
        let mut remainder = 0_u64;
        for limb in limbs.iter_mut().rev() {
            let dividend = u128::from(remainder) << 64 | u128::from(*limb);
            *limb = (dividend / u128::from(CHUNK)) as u64;
            remainder = (dividend % u128::from(CHUNK)) as u64;
        }
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        chunks.push(remainder);
    }
    let mut digits = Vec::with_capacity(chunks.len() * CHUNK_DIGITS);
    for chunk in chunks.iter().rev() {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(*chunk).as_bytes();
        if !digits.is_empty() {
            digits.extend(iter::repeat_n(b'0', CHUNK_DIGITS - text.len()));
        }
        digits.extend_from_slice(text);
    }
    digits
}

/// The magnitude in 64-bit limbs, the lowest first.
fn magnitude(significant: &[u8], is_negative: bool) -> Vec<u64> {
    let sign = if is_negative { u64::MAX } else { 0 };
    let limb = |bytes: &[u8]| bytes.iter().fold(sign, |limb, byte| limb << 8 | u64::from(*byte));
    let mut limbs: Vec<u64> = significant.rchunks(8).map(limb).collect();
    if is_negative {
        let mut carry = true;
        for limb in &mut limbs {
            (*limb, carry) = (!*limb).overflowing_add(carry.into());
        }
        // Only the lowest number of its length has a carry left: its magnitude has one bit more.
        if carry {
            limbs.push(1);
        }
    }
    limbs
}

fn append_scaled(json: &mut Vec<u8>, digits: &[u8], scale: i64) {
    let len = digits.len() as i64;
    if scale == 0 {
        json.extend_from_slice(digits);
    } else if (1..len).contains(&scale) {
        let (whole, fraction) = digits.split_at_checked((len - scale) as usize).unwrap_or((digits, &[]));
        json.extend_from_slice(whole);
        json.push(b'.');
        json.extend_from_slice(fraction);
    } else if scale > 0 && scale - len <= MAX_ZEROS {
        json.extend_from_slice(b"0.");
        json.extend(iter::repeat_n(b'0', (scale - len) as usize));
        json.extend_from_slice(digits);
    } else if (-MAX_ZEROS..0).contains(&scale) && digits != b"0" {
        json.extend_from_slice(digits);
        json.extend(iter::repeat_n(b'0', -scale as usize));
    } else {
        json.extend_from_slice(digits);
        json.push(b'e');
        json.extend_from_slice(itoa::Buffer::new().format(-i128::from(scale)).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unscaled: &[u8], scale: i64) -> String {
        let mut json = Vec::new();
        append_decimal(&mut json, unscaled, scale).unwrap();
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn the_point_is_where_the_scale_says() {
        assert_eq!(text(&1230_i32.to_be_bytes(), 2), "12.30");
        assert_eq!(text(&(-5_i32).to_be_bytes(), 2), "-0.05");
        assert_eq!(text(&[100], 3), "0.100");
        assert_eq!(text(&[], 2), "0.00");
        assert_eq!(text(&[0xff, 0x7f], 0), "-129");
        assert_eq!(text(&[7], -2), "700");
        assert_eq!(text(&[0], -2), "0e2");
        assert_eq!(text(&[7], 2_000_000_000), "7e-2000000000");
    }

    #[test]
    fn decimals_of_any_length_are_exact() {
        assert_eq!(text(&i128::MIN.to_be_bytes(), 0), i128::MIN.to_string());
        assert_eq!(text(&i128::MAX.to_be_bytes(), 0), i128::MAX.to_string());
        assert_eq!(text(&[&[0][..], &u128::MAX.to_be_bytes()].concat(), 0), u128::MAX.to_string());
        let ten_to_40 = b"\x1d\x63\x29\xf1\xc3\x5c\xa4\xbf\xab\xb9\xf5\x61\0\0\0\0\0";
        assert_eq!(text(ten_to_40, 0), format!("1{}", "0".repeat(40)));
        // −2^192: the lowest number of 24 bytes and a sign.
        let lowest = [&[0xff][..], &[0; 24]].concat();
        assert_eq!(text(&lowest, 0), "-6277101735386680763835789423207666416102355444464034512896");
    }

    #[test]
    fn sign_bytes_in_front_change_nothing_and_too_many_others_are_refused() {
        assert_eq!(text(&[vec![0xff; 5000], vec![0xfe]].concat(), 0), "-2");
        assert_eq!(text(&[vec![0; 5000], vec![2]].concat(), 0), "2");
        assert_eq!(text(&vec![0xff; 5000], 1), "-0.1");
        assert_eq!(append_decimal(&mut Vec::new(), &[1; MAX_BYTES + 1], 0), Err(TooLong));
        assert_eq!(text(&[1; MAX_BYTES], 0).len(), 2464);
    }
}
