//! Reads the bytes of a header's value, which the event writes as an array of numbers.

use crate::json::{JsonError, Scanner};

/// Characters of an array that are searched for commas at once: one for each bit of a word.
const BLOCK: usize = 64;

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

/// Reads the form that event source mappings write: no white space, one to three digits. Anything else is `None` and leaves
/// the scanner where it was. Where a number ends is found for 64 characters at once: a search from one number to the next has
/// to wait for the branch on its digits, which is hard to predict.
fn read_compact(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Option<()> {
    let text = scanner.text;
    let mut start = scanner.pos + 1;
    let end = start + memchr::memchr(b']', text.get(start..)?)?;
    for block in (start..end).step_by(BLOCK) {
        let mut commas = commas_from(text, block)? & u64::MAX >> BLOCK.saturating_sub(end - block);
        let (first, mut numbers, mut n_numbers, mut wrong) = (start, [0; BLOCK], 0, 0);
        while commas != 0 {
            let comma = block + commas.trailing_zeros() as usize;
            let (number, wrong_here) = unsigned_number(text, start, comma)?;
            *numbers.get_mut(n_numbers)? = number;
            wrong |= wrong_here;
            n_numbers += 1;
            start = comma + 1;
            commas &= commas - 1;
        }
        if wrong == 0 {
            out.extend_from_slice(numbers.get(..n_numbers)?);
        } else {
            append_numbers(text.get(first..start - 1)?, out)?;
        }
    }
    append_numbers(text.get(start..end)?, out)?;
    scanner.pos = end + 1;
    Some(())
}

/// Appends numbers from -128 to 255 with commas between them.
fn append_numbers(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for number in text.split(|byte| *byte == b',') {
        let (sign, digits) = match number {
            [b'-', digits @ ..] => (-1, digits),
            digits => (1, digits),
        };
        let number = sign
            * match digits {
                [ones] => value(*ones)?,
                [tens @ b'1'..=b'9', ones] => value(*tens)? * 10 + value(*ones)?,
                [hundreds @ b'1'..=b'9', tens, ones] => {
                    value(*hundreds)? * 100 + value(*tens)? * 10 + value(*ones)?
                }
                _ => return None,
            };
        out.push((-128..=255).contains(&number).then_some(number as u8)?);
    }
    Some(())
}

fn value(digit: u8) -> Option<i16> {
    digit.is_ascii_digit().then(|| i16::from(digit - b'0'))
}

/// One bit for each of the 64 characters from `start` on that is a comma. Those behind the text are none.
#[inline(always)]
fn commas_from(text: &[u8], start: usize) -> Option<u64> {
    let at = start.min(text.len().checked_sub(BLOCK)?);
    let (words, _) = text.get(at..)?.first_chunk::<BLOCK>()?.as_chunks::<8>();
    let commas = words.iter().rev().fold(0, |commas, word| {
        const LOWS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        let other = u64::from_le_bytes(*word) ^ 0x2c2c_2c2c_2c2c_2c2c;
        // The high bit of each byte that is zero, and those bits side by side.
        let zeros = !((other & LOWS).wrapping_add(LOWS) | other | LOWS);
        commas << 8 | (zeros >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    });
    Some(commas >> (start - at))
}

/// The number at `start..end` of `text`, and zero if it is one from 0 to 255 as JSON writes it. Without branches: it computes a
/// number from whatever is there, and compares its text with the one that was read.
#[inline(always)]
fn unsigned_number(text: &[u8], start: usize, end: usize) -> Option<(u8, u32)> {
    let len = (end - start) as u32;
    let chars = u32::from_le_bytes(*text.get(start..)?.first_chunk::<4>()?);
    // Nothing, hundreds, tens, ones. What is not there is zero, and the digit 0 is not.
    let chars = chars << (32_u32.wrapping_sub(8 * len) & 31);
    let number = ((chars & 0x0f0f_0f0f).wrapping_mul(0x64_0a_01) >> 24) as u8;
    let expected = *TEXTS.get(usize::from(number))?;
    Some((number, chars ^ expected | len & !3))
}

/// Each byte as JSON writes it, in the order of the places in memory: nothing, hundreds, tens, ones. A place without a digit is zero.
#[expect(clippy::indexing_slicing, reason = "a constant fails when it is compiled")]
const TEXTS: [u32; 256] = {
    let mut texts = [0; 256];
    let mut number = 0;
    while number < 256 {
        let hundreds = if number < 100 { 0 } else { b'0' + (number / 100) as u8 };
        let tens = if number < 10 { 0 } else { b'0' + (number / 10 % 10) as u8 };
        texts[number] = u32::from_le_bytes([0, hundreds, tens, b'0' + (number % 10) as u8]);
        number += 1;
    }
    texts
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    proptest! {
        #[test]
        fn arrays_of_any_length_are_read_as_serde_json_does(
            numbers in prop::collection::vec(
                prop_oneof![400 => 0..=255_i16, 30 => -128..=-1_i16, 1 => -130..=258_i16],
                0..200,
            ),
            damage in prop::option::weighted(0.3, ("[ 0,.\\]a-]{1,2}", any::<prop::sample::Index>())),
            behind in prop_oneof![Just(0), Just(70)],
        ) {
            let mut text = serde_json::to_string(&numbers).unwrap();
            if let Some((damage, place)) = damage {
                text.insert_str(1 + place.index(text.len() - 1), &damage);
            }
            let len = text.len();
            text.push_str(&" ".repeat(behind));
            let theirs: Option<Vec<&RawValue>> = serde_json::from_str(&text).ok();
            let (mut out, mut scanner) = (vec![1], Scanner::new(text.as_bytes()));
            let ours = read_byte_array(&mut scanner, &mut out);
            match theirs {
                Some(theirs) => {
                    let byte = |value: &&RawValue| {
                        let number: i16 = value.get().parse().ok()?;
                        (-128..=255).contains(&number).then_some(number as u8)
                    };
                    let bytes: Option<Vec<u8>> = theirs.iter().map(byte).collect();
                    prop_assert_eq!(ours, Ok(bytes.is_some()), "{}", text);
                    prop_assert_eq!(scanner.position(), len);
                    prop_assert!(bytes.is_none_or(|bytes| out == [vec![1], bytes].concat()), "{}", text);
                }
                // More may stand behind an array that ends early.
                None => prop_assert!(ours != Ok(true) || scanner.end().is_err(), "{}", text),
            }
        }
    }

    #[test]
    fn what_is_no_number_is_refused_wherever_it_stands_in_a_long_array() {
        let read = |text: &str| {
            let (mut out, mut scanner) = (Vec::new(), Scanner::new(text.as_bytes()));
            read_byte_array(&mut scanner, &mut out).map(|all_bytes| all_bytes.then_some(out))
        };
        for before in [0, 1, 20, 40] {
            let array = |number: &str| format!("[{}{number}{}]", "10,".repeat(before), ",200".repeat(40));
            let expected = |number: u8| [vec![10; before], vec![number], vec![200; 40]].concat();
            for byte in 0..=255_u8 {
                assert_eq!(read(&array(&byte.to_string())), Ok(Some(expected(byte))));
                assert!(read(&array(&format!("0{byte}"))).is_err(), "0{byte} after {before} numbers");
                assert!(read(&array(&format!("00{byte}"))).is_err(), "00{byte} after {before} numbers");
            }
            for byte in i8::MIN..0 {
                assert_eq!(read(&array(&byte.to_string())), Ok(Some(expected(byte as u8))));
            }
            for number in ["256", "999", "1000", "-129", "1.5", "1e1", "null", "\"1\"", "[1]"] {
                assert_eq!(read(&array(number)), Ok(None), "{number} after {before} numbers");
            }
            for text in ["", "-", "1 2", "+1", "0x1", "a", ":", "/", "1:", "\u{e9}"] {
                assert!(read(&array(text)).is_err(), "{text:?} after {before} numbers");
            }
        }
    }

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
