//! Reads the bytes of a header's value, which the event writes as an array of numbers.

use crate::json::{JsonError, Scanner};

/// Reads an array of bytes, written 0 to 255 or -128 to 127, and appends them to `out`. Returns `false` for any other
/// value, which is read too and may leave bytes behind in `out`.
pub(crate) fn read_byte_array(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<bool, JsonError> {
    let is_array = scanner.peek()? == b'[';
    let (start, len) = (scanner.pos, out.len());
    if is_array && read_compact(scanner, out).is_some() {
        return Ok(true);
    }
    scanner.pos = start;
    out.truncate(len);
    if !is_array {
        return scanner.value().map(|_| false);
    }
    let mut all_bytes = true;
    scanner.array(|scanner| {
        let range = scanner.value()?;
        let number = std::str::from_utf8(scanner.slice(range)).ok().and_then(|text| text.parse::<i16>().ok());
        match number {
            Some(number @ -128..=255) => out.push(number as u8),
            _ => all_bytes = false,
        }
        Ok::<_, JsonError>(())
    })?;
    Ok(all_bytes)
}

/// Reads the form that event source mappings write: no white space, one to three digits. Anything else is `None` and
/// leaves the scanner where it was. Reads eight characters at a time, which are two numbers or more: branches on the number of
/// digits are hard to predict, and where the next number begins is known only when this one was read.
fn read_compact(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
    let text = scanner.text;
    let mut pos = scanner.pos + 1;
    loop {
        let rest = text.get(pos..)?;
        let len = match rest.first_chunk::<8>().and_then(|chars| two_numbers(*chars)) {
            Some((numbers, len)) => {
                out.extend_from_slice(&numbers);
                len
            }
            None => {
                let (number, len) = one_number(rest)?;
                out.push(number);
                len
            }
        };
        pos += len + 1;
        match text.get(pos - 1) {
            Some(b',') => {}
            Some(b']') => break,
            _ => return None,
        }
    }
    scanner.pos = pos;
    Some(())
}

/// The two numbers from 0 to 255 that `chars` begin with, a comma between them, and their length in characters.
#[inline(always)]
fn two_numbers(chars: [u8; 8]) -> Option<([u8; 2], usize)> {
    let digits = u64::from_le_bytes(chars) ^ 0x3030_3030_3030_3030;
    // The high bit of each byte that is not a digit. Only a byte beyond ASCII has a carry, into the bytes behind it, and that
    // byte is neither a comma nor a bracket.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let first = others.trailing_zeros() / 8;
    let second = (others & others.wrapping_sub(1)).trailing_zeros() / 8;
    if first > 3 || chars.get(first as usize) != Some(&b',') {
        return None;
    }
    let one = number(digits as u32, first, 255)?;
    let other = number((digits >> (8 * (first + 1))) as u32, second - first - 1, 255)?;
    Some(([one as u8, other as u8], second as usize))
}

/// The number from -128 to 255 that `text` begins with, and its length in characters.
fn one_number(text: &[u8]) -> Option<(u8, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let sign_len = usize::from(is_negative);
    let digits = u32::from_le_bytes(*text.get(sign_len..)?.first_chunk::<4>()?) ^ 0x3030_3030;
    let others = (digits.wrapping_add(0x7676_7676) | digits) & 0x8080_8080;
    let len = others.trailing_zeros() / 8;
    let number = number(digits, len, if is_negative { 128 } else { 255 })?;
    Some((if is_negative { -number } else { number } as u8, sign_len + len as usize))
}

/// The number of up to three digits that are the values of the first `len` bytes of `digits`, if it is at most `most`.
#[inline(always)]
fn number(digits: u32, len: u32, most: i16) -> Option<i16> {
    let least = match len {
        1 => 0,
        2 => 10,
        3 => 100,
        _ => return None,
    };
    let [_, hundreds, tens, ones] = (digits << (32 - 8 * len)).to_le_bytes();
    let number = i16::from(hundreds) * 100 + i16::from(tens) * 10 + i16::from(ones);
    // Less than its digits can say has a zero before them, which JSON does not allow.
    ((number - least) as u16 <= (most - least) as u16).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_arrays_are_read_in_every_form() {
        for (text, expected) in [
            ("[0,255,-1,-128]", Some(&[0, 255, 255, 128][..])),
            ("[104,101,7,12,0,255,99,1,2,3,45,200]", Some(&[104, 101, 7, 12, 0, 255, 99, 1, 2, 3, 45, 200])),
            ("[1,-2,3,44,-55,66]", Some(&[1, 254, 3, 44, 201, 66])),
            ("[12,256,1,2,3,4]", None),
            ("[256,1,2,3,4,5]", None),
            ("[]", Some(&[])),
            ("[ 1 ,\n2]", Some(&[1, 2])),
            ("[256]", None),
            ("[-129]", None),
            ("[1.0]", None),
            ("null", None),
            ("[\"a\"]", None),
        ] {
            let (mut out, mut scanner) = (Vec::new(), Scanner::new(text.as_bytes()));
            assert_eq!(
                read_byte_array(&mut scanner, &mut out).unwrap().then_some(&out[..]),
                expected,
                "{text}"
            );
            assert!(scanner.end().is_ok(), "{text} is read whole");
        }
        for text in
            ["[1,,2]", "[01]", "[1,-00]", "[1,007,2]", "[1,2,00,3,4]", "[12,\u{e9}4,5,6,7]", "[1,2 3,4,5]"]
        {
            assert!(read_byte_array(&mut Scanner::new(text.as_bytes()), &mut Vec::new()).is_err(), "{text}");
        }
        assert!(
            read_byte_array(&mut Scanner::new(b"[1000000000000]"), &mut Vec::new())
                .is_ok_and(|all_bytes| !all_bytes)
        );
        assert!(read_byte_array(&mut Scanner::new(b"[1"), &mut Vec::new()).is_err());
    }
}
