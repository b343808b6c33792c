//! Reads all headers of a record that are text.

use crate::header_bytes::read_byte_array;
use crate::json::{JsonError, Scanner};

/// The names and values of the headers `[{"name": [bytes]}, …]`, in their order, without those that are not UTF-8. What is no
/// list of headers has none: reading the record finds that out.
pub(crate) fn header_texts(headers: Option<&[u8]>) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let _: Result<(), JsonError> = Scanner::new(headers.unwrap_or(b"[]")).array(|scanner| {
        if scanner.peek()? != b'{' {
            return scanner.value().map(drop);
        }
        scanner.object(|scanner, name| {
            let mut value = Vec::new();
            let is_bytes = read_byte_array(scanner, &mut value)?;
            let name = String::from_utf8(name.unescape().into_owned());
            if let (true, Ok(name), Ok(value)) = (is_bytes, name, String::from_utf8(value)) {
                texts.push((name, value));
            }
            Ok(())
        })
    });
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_text_are_read_in_their_order() {
        let headers = br#"[{"b":[49]},3,{"a":[195,169],"\u0063":[-61,-87]},{"x":[255]},{"y":null},{"z":[300]},{"b":[]}]"#;
        let texts = header_texts(Some(headers));
        let texts: Vec<_> = texts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(texts, [("b", "1"), ("a", "é"), ("c", "é"), ("b", "")]);
        assert_eq!(header_texts(None), []);
    }
}
