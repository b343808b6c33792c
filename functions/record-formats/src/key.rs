//! Keys and values of Kafka's own serializers, as JSON.

use base64_simd::STANDARD;

use crate::output::append_string;

/// What Kafka's serializers write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    /// `LongSerializer`: eight bytes, big endian. JSON: a number.
    Long,
    /// `IntegerSerializer`: four bytes, big endian. JSON: a number.
    Int,
    /// `UUIDSerializer`: a UUID's text in UTF-8. Its sixteen bytes are read as well. JSON: the UUID's text, in lower case.
    Uuid,
    /// `StringSerializer`: UTF-8. JSON: a string.
    Text,
    /// Any bytes. JSON: a string of base64.
    Base64,
}

/// The bytes are not what the serializer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrimitiveError {
    /// A number has another length.
    #[error("{len} bytes where a number has {expected}")]
    Length {
        /// How many there are.
        len: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The bytes are no UUID.
    #[error("no UUID")]
    NotUuid,
    /// The text is not UTF-8.
    #[error("text that is not UTF-8")]
    NotUtf8,
}

/// Appends what the bytes are as JSON; on an error `json` is as it was.
pub fn append_json(primitive: Primitive, bytes: &[u8], json: &mut Vec<u8>) -> Result<(), PrimitiveError> {
    match primitive {
        Primitive::Long => append_number(json, i64::from_be_bytes(number(bytes)?)),
        Primitive::Int => append_number(json, i32::from_be_bytes(number(bytes)?).into()),
        Primitive::Uuid => append_uuid(bytes, json)?,
        Primitive::Text => append_string(json, bytes).map_err(|_| PrimitiveError::NotUtf8)?,
        Primitive::Base64 => {
            json.push(b'"');
            STANDARD.encode_append(bytes, json);
            json.push(b'"');
        }
    }
    Ok(())
}

fn number<const N: usize>(bytes: &[u8]) -> Result<[u8; N], PrimitiveError> {
    bytes.try_into().map_err(|_| PrimitiveError::Length { len: bytes.len(), expected: N })
}

fn append_number(json: &mut Vec<u8>, number: i64) {
    json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn append_uuid(bytes: &[u8], json: &mut Vec<u8>) -> Result<(), PrimitiveError> {
    if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
        crate::output::append_uuid(json, &bytes);
        return Ok(());
    }
    let is_uuid = bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if !is_uuid {
        return Err(PrimitiveError::NotUuid);
    }
    json.push(b'"');
    json.extend(bytes.iter().map(u8::to_ascii_lowercase));
    json.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(primitive: Primitive, bytes: &[u8]) -> Result<String, PrimitiveError> {
        let mut json = b"before".to_vec();
        let result = append_json(primitive, bytes, &mut json);
        let text = String::from_utf8(json).unwrap();
        let added = text.strip_prefix("before").unwrap().to_owned();
        assert!(result.is_ok() || added.is_empty(), "nothing is written on an error");
        result.map(|()| added)
    }

    #[test]
    fn numbers_are_big_endian_of_exactly_their_length() {
        assert_eq!(json(Primitive::Long, &(-2_i64).to_be_bytes()), Ok("-2".to_owned()));
        assert_eq!(json(Primitive::Long, &i64::MAX.to_be_bytes()), Ok("9223372036854775807".to_owned()));
        assert_eq!(json(Primitive::Int, &[0, 0, 1, 0]), Ok("256".to_owned()));
        assert_eq!(json(Primitive::Long, b"1234567"), Err(PrimitiveError::Length { len: 7, expected: 8 }));
        assert_eq!(json(Primitive::Int, b""), Err(PrimitiveError::Length { len: 0, expected: 4 }));
    }

    #[test]
    fn a_uuid_is_text_or_sixteen_bytes() {
        let text = "8a7f0211-2233-4455-6677-8899aabbccdd";
        assert_eq!(json(Primitive::Uuid, text.to_uppercase().as_bytes()), Ok(format!("\"{text}\"")));
        let bytes = b"\x8a\x7f\x02\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd";
        assert_eq!(json(Primitive::Uuid, bytes), Ok(format!("\"{text}\"")));
        for wrong in ["", "8a7f0211-2233-4455-6677-8899aabbccd", "8a7f0211_2233-4455-6677-8899aabbccdd", "x"]
        {
            assert_eq!(json(Primitive::Uuid, wrong.as_bytes()), Err(PrimitiveError::NotUuid));
        }
    }

    #[test]
    fn text_is_escaped_and_other_bytes_are_base64() {
        assert_eq!(json(Primitive::Text, "a\"é\n".as_bytes()), Ok(r#""a\"é\n""#.to_owned()));
        assert_eq!(json(Primitive::Text, b"\xff"), Err(PrimitiveError::NotUtf8));
        assert_eq!(json(Primitive::Base64, b"\xff\x00"), Ok("\"/wA=\"".to_owned()));
    }
}
