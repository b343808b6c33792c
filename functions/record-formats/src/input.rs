//! Reads numbers and runs of bytes from the front of a record, and knows where it is.

use crate::decode_error::{DecodeError, DecodeErrorKind};

/// What is left of a record's bytes, or of a part of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, from the start of the body.
    end: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len() }
    }

    /// What is left of `body` from `offset` on.
    pub(crate) fn at(body: &'a [u8], offset: usize) -> Self {
        Self { rest: body.get(offset..).unwrap_or_default(), end: body.len() }
    }

    /// How many bytes are left.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Where the next byte is, from the start of the body.
    #[inline(always)]
    pub(crate) fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    #[cold]
    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.offset())
    }

    #[inline(always)]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let Some((byte, rest)) = self.rest.split_first() else {
            return Err(self.error(DecodeErrorKind::Truncated));
        };
        self.rest = rest;
        Ok(*byte)
    }

    #[inline(always)]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((array, rest)) = self.rest.split_first_chunk() else {
            return Err(self.error(DecodeErrorKind::Truncated));
        };
        self.rest = rest;
        Ok(*array)
    }

    /// The next `len` bytes.
    #[inline(always)]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.error(DecodeErrorKind::Length(i64::try_from(len).unwrap_or(i64::MAX))));
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// All bytes that are left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `len` bytes, which know where they are.
    #[inline(always)]
    pub(crate) fn part(&mut self, len: usize) -> Result<Input<'a>, DecodeError> {
        let bytes = self.bytes(len)?;
        Ok(Self { rest: bytes, end: self.offset() })
    }

    /// A base-128 number, the lowest seven bits first: 1–10 bytes.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte has room for one bit.
            if i == 9 && *byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.rest = self.rest.get(i + 1..).unwrap_or_default();
                return Ok(number);
            }
        }
        let is_cut = self.rest.len() < 10 && self.rest.iter().all(|byte| *byte >= 0x80);
        Err(self.error(if is_cut { DecodeErrorKind::Truncated } else { DecodeErrorKind::LongNumber }))
    }

    /// A zigzag number of Avro: 0, −1, 1, −2 … as 0, 1, 2, 3 …
    #[inline(always)]
    pub(crate) fn zigzag(&mut self) -> Result<i64, DecodeError> {
        Ok(unzigzag(self.varint()?))
    }

    /// An int of Avro: a zigzag number of 32 bits.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, DecodeError> {
        let start = *self;
        let number = self.zigzag()?;
        i32::try_from(number).map_err(|_| start.error(DecodeErrorKind::NotInt(number)))
    }

    /// A length in bytes of Avro: a zigzag number that is not negative.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<usize, DecodeError> {
        let start = *self;
        let number = self.zigzag()?;
        usize::try_from(number).map_err(|_| start.error(DecodeErrorKind::Length(number)))
    }

    /// Bytes of Avro: their length, and as many bytes.
    #[inline]
    pub(crate) fn prefixed_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.length()?;
        self.bytes(len)
    }
}

/// The number that a zigzag number stands for.
#[inline(always)]
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8]) -> Result<u64, DecodeErrorKind> {
        Input::new(bytes).varint().map_err(|error| error.kind().clone())
    }

    #[test]
    fn numbers_of_up_to_64_bits_are_read() {
        assert_eq!(varint(&[0x96, 0x01]), Ok(150));
        assert_eq!(varint(&[0x80, 0x00]), Ok(0));
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(varint(&most), Ok(u64::MAX));
        assert_eq!(unzigzag(u64::MAX), i64::MIN);
    }

    #[test]
    fn longer_and_unfinished_numbers_are_errors() {
        assert_eq!(varint(&[]), Err(DecodeErrorKind::Truncated));
        assert_eq!(varint(&[0x80, 0x80]), Err(DecodeErrorKind::Truncated));
        assert_eq!(
            varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            Err(DecodeErrorKind::LongNumber)
        );
        assert_eq!(varint(&[0x80; 11]), Err(DecodeErrorKind::LongNumber));
    }
}
