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
/// leaves the scanner where it was. Reads four characters at a time, because branches on the number of digits are
/// hard to predict.
fn read_compact(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
    let text = scanner.text;
    let four = |pos: usize| Some(u32::from_le_bytes(*text.get(pos..)?.first_chunk::<4>()?));
    let mut pos = scanner.pos + 1;
    loop {
        let mut word = four(pos)?;
        let negative = word as u8 == b'-';
        if negative {
            pos += 1;
            word = four(pos)?;
        }
        let digits = word ^ 0x3030_3030;
        // The high bit of each byte that is not a digit. Carries can spoil the bits above the lowest one, which
        // is all that is used.
        let others = (digits.wrapping_add(0x7676_7676) | digits) & 0x8080_8080;
        let len = others.trailing_zeros() / 8;
        let least = match len {
            1 => 0,
            2 => 10,
            3 => 100,
            _ => return None,
        };
        let [_, hundreds, tens, ones] = (digits << (32 - 8 * len)).to_le_bytes();
        let number = i16::from(hundreds) * 100 + i16::from(tens) * 10 + i16::from(ones);
        // Less than its digits can say has a zero before them, which JSON does not allow.
        let most = if negative { 128 } else { 255 };
        if (number - least) as u16 > (most - least) as u16 {
            return None;
        }
        out.push(if negative { -number } else { number } as u8);
        pos += len as usize + 1;
        match text.get(pos - 1) {
            Some(b',') => {}
            Some(b']') => break,
            _ => return None,
        }
    }
    scanner.pos = pos;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_arrays_are_read_in_every_form() {
        for (text, expected) in [
            ("[0,255,-1,-128]", Some(&[0, 255, 255, 128][..])),
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
        for text in ["[1,,2]", "[01]", "[1,-00]", "[1,007,2]"] {
            assert!(read_byte_array(&mut Scanner::new(text.as_bytes()), &mut Vec::new()).is_err(), "{text}");
        }
        assert!(
            read_byte_array(&mut Scanner::new(b"[1000000000000]"), &mut Vec::new())
                .is_ok_and(|all_bytes| !all_bytes)
        );
        assert!(read_byte_array(&mut Scanner::new(b"[1"), &mut Vec::new()).is_err());
    }
}
