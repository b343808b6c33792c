//! The digits of a payload's numbers: VRL has 64-bit integers and doubles, JSON has numbers of any length.
//!
//! A number that is no 64-bit integer becomes a double for the script, and its text is kept beside. A double that comes out
//! is written as the text that it came in as: the text with its value, and where several texts have one value
//! (0.1 and 0.10000000000000001) the text from the same place.

use memchr::memmem;

use crate::path_hash::Place;

/// One number of the payload that is a double for the script.
#[derive(Debug, Clone, Copy)]
struct Number<'a> {
    bits: u64,
    place: u64,
    text: &'a str,
    exact: bool,
}

/// Numbers of one value, and how many of them were written again.
#[derive(Debug)]
struct Same {
    bits: u64,
    first: usize,
    end: usize,
    /// Whether all are written alike.
    uniform: bool,
    /// Whether the double holds all of their digits.
    exact: bool,
    written: usize,
}

/// The numbers of a payload that are doubles for the script.
#[derive(Debug, Default)]
pub(crate) struct Digits<'a> {
    numbers: Vec<Number<'a>>,
    same: Vec<Same>,
    /// How the numbers that a double does not hold look as text of VRL.
    renderings: Vec<String>,
    lost: bool,
}

/// At most so many numbers are looked for in strings, so that it does not take the square of a payload's length.
const MAX_RENDERINGS: usize = 32;

/// Shorter texts are in strings by chance: 0.1 is what VRL makes of 0.10000000000000001, and is in 10.0.0.1.
const MIN_RENDERING: usize = 8;

/// Bytes that [`Digits`] takes for a number.
pub(crate) const BYTES_A_NUMBER: usize = 2 * (size_of::<Number<'_>>() + size_of::<Same>());

impl<'a> Digits<'a> {
    /// Keeps the text of a number that the script sees as `double`.
    pub(crate) fn keep(&mut self, double: f64, text: &'a str, place: &Place<'_>) {
        let exact = holds(double, text);
        if !exact && self.renderings.len() < MAX_RENDERINGS {
            self.renderings.extend([double.to_string(), canonical(double)]);
            self.renderings.retain(|text| text.len() >= MIN_RENDERING);
        }
        self.numbers.push(Number { bits: double.to_bits(), place: place.hash(), text, exact });
    }

    /// Makes the numbers ready for [`Digits::text_of`], once all of `payload` are kept.
    pub(crate) fn sort(&mut self, payload: &[u8]) {
        // A text that the payload has itself says nothing.
        self.renderings.retain(|text| memmem::find(payload, text.as_bytes()).is_none());
        self.numbers.sort_unstable_by_key(|number| (number.bits, number.place));
        let mut first = 0;
        for run in self.numbers.chunk_by(|a, b| a.bits == b.bits) {
            let [head, ..] = run else { continue };
            let end = first + run.len();
            self.same.push(Same {
                bits: head.bits,
                first,
                end,
                uniform: run.iter().all(|number| number.text == head.text),
                exact: run.iter().all(|number| number.exact),
                written: 0,
            });
            first = end;
        }
    }

    /// The payload's own text of a double that is at `place` of the shaped payload.
    pub(crate) fn text_of(&mut self, double: f64, place: &Place<'_>) -> Option<&'a str> {
        let bits = double.to_bits();
        let found = self.same.binary_search_by_key(&bits, |same| same.bits).ok()?;
        let same = self.same.get_mut(found)?;
        let run = self.numbers.get(same.first..same.end)?;
        let number = if same.uniform {
            run.first()
        } else {
            let place = place.hash();
            run.binary_search_by_key(&place, |number| number.place).ok().and_then(|at| run.get(at))
        };
        if number.is_some() {
            same.written += 1;
        } else if !same.exact {
            self.lost = true;
        }
        Some(number?.text)
    }

    /// Looks for numbers that the script made text of.
    pub(crate) fn see_string(&mut self, text: &[u8]) {
        self.lost = self.lost
            || self.renderings.iter().any(|rendering| memmem::find(text, rendering.as_bytes()).is_some());
    }

    /// Whether digits of the payload are lost: a number that a double does not hold is not where it can be written as it
    /// came. Known when all is written.
    pub(crate) fn are_lost(&self) -> bool {
        self.lost || self.same.iter().any(|same| !same.exact && same.written < same.end - same.first)
    }
}

/// The text of a double that the payload does not have.
pub(crate) fn canonical(double: f64) -> String {
    serde_json::Number::from_f64(double).map(|number| number.to_string()).unwrap_or_default()
}

/// Whether `double` is all that `text`, its JSON text, says: the shortest text of `double` is the same decimal number.
fn holds(double: f64, text: &str) -> bool {
    let digits = text.split(['e', 'E']).next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    // 15 digits come back from a double, if it is not at the end of its range.
    let usual = digits <= 15 && (1e-290..1e290).contains(&double.abs());
    usual || decimal(text).is_some_and(|number| Some(number) == decimal(&canonical(double)))
}

/// Sign, digits without zeros at both ends, and power of ten of the last digit; zero is no digits.
fn decimal(text: &str) -> Option<(bool, Vec<u8>, i64)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|b| *b == b'0').collect();
    // A power beyond 64 bits is of no number that a double holds, but zero.
    let mut power = match power.parse::<i64>() {
        Ok(power) => power.checked_sub(fraction.len() as i64)?,
        Err(_) if digits.is_empty() => 0,
        Err(_) => return None,
    };
    while digits.last() == Some(&b'0') {
        digits.pop();
        power = power.checked_add(1)?;
    }
    if digits.is_empty() {
        power = 0;
    }
    Some((negative, digits, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_holds_what_its_shortest_text_says() {
        let cases = [
            ("0.1", true),
            ("1e5", true),
            ("-0", true),
            ("-0.000e7", true),
            ("0e99999999999999999999", true),
            ("1.50", true),
            ("100000000000000000000", true),
            ("0.30000000000000004", true),
            ("1e308", true),
            ("5e-324", true),
            ("18446744073709551615", false),
            ("9007199254740993.0", false),
            ("0.10000000000000001", false),
            ("3.14159265358979323846", false),
            ("1e400", false),
            ("-1e400", false),
            ("1e-400", false),
            ("1e99999999999999999999", false),
            ("4.9e-324", false),
        ];
        for (text, expected) in cases {
            assert_eq!(holds(text.parse().unwrap(), text), expected, "{text}");
        }
    }
}
