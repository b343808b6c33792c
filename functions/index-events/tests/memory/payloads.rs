//! Payloads of 6 MB that are hard on memory.

/// Lambda's limit, <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
pub(crate) const MAX_PAYLOAD: usize = 6 * 1024 * 1024;
/// Bytes of a value whose base64 fills a payload.
const MAX_VALUE: usize = (MAX_PAYLOAD - 1024) / 4 * 3;

/// The event of one record with `value`.
pub(crate) fn one_record(value: &str) -> Vec<u8> {
    let value = base64(value.as_bytes());
    event(&format!(
        r#"{{"topic":"order.events","partition":0,"offset":7,"timestamp":1772360430123,"value":"{value}"}}"#
    ))
}

/// The event of these records, JSON objects with commas between them.
pub(crate) fn event(records: &str) -> Vec<u8> {
    format!(r#"{{"eventSource":"aws:kafka","records":{{"order.events-0":[{records}]}}}}"#).into_bytes()
}

/// The event of as many records as fit into a payload and into `max_records`.
pub(crate) fn batch(max_records: usize, record: impl Fn(usize) -> String) -> Vec<u8> {
    let mut records = record(0);
    for i in 1..max_records {
        let next = record(i);
        if records.len() + next.len() > MAX_PAYLOAD - 100 {
            break;
        }
        records.push(',');
        records.push_str(&next);
    }
    event(&records)
}

/// A value that fills a payload with what `part` makes.
pub(crate) fn filled(start: &str, part: impl Fn(usize) -> String, end: &str) -> String {
    let mut text = start.to_owned();
    for i in 0.. {
        let part = part(i);
        if text.len() + part.len() + end.len() > MAX_VALUE {
            break;
        }
        text.push_str(&part);
    }
    text + end
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

/// Bytes that can't be compressed, the same each time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        // https://en.wikipedia.org/wiki/Xorshift
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// JSON that fills a payload.
pub(crate) mod value {
    use super::{MAX_VALUE, filled};

    /// An object of the members that `member` makes.
    pub(crate) fn object(member: impl Fn(usize) -> String) -> String {
        filled("{", |i| format!("{}{}", if i == 0 { "" } else { "," }, member(i)), "}")
    }

    /// An object with an array of the elements that `element` makes.
    pub(crate) fn array(element: impl Fn(usize) -> String) -> String {
        filled("{\"a\":[", |i| format!("{}{}", if i == 0 { "" } else { "," }, element(i)), "]}")
    }

    /// `open` and `close` as often as fits, around nothing.
    pub(crate) fn nested(start: &str, open: &str, close: &str, end: &str) -> String {
        let n = (MAX_VALUE - start.len() - end.len() - 10) / (open.len() + close.len());
        [start, &open.repeat(n), &close.repeat(n), end].concat()
    }
}
