//! Makes choices from the bytes of an input: few bytes are a small schema and a small value.

pub(crate) struct Choices<'a> {
    bytes: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// 0 when the bytes are used up.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *byte
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u8) -> u8 {
        self.byte() % n
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// Small numbers, the ends of the types' ranges, and any.
    pub(crate) fn long(&mut self) -> i64 {
        match self.below(8) {
            0 => 0,
            1 => -1,
            2 => i64::MAX,
            3 => i64::MIN,
            4 | 5 => self.byte().into(),
            6 => i64::from(i32::from_le_bytes(self.bytes(4).try_into().unwrap())),
            _ => i64::from_le_bytes(self.bytes(8).try_into().unwrap()),
        }
    }

    pub(crate) fn int(&mut self) -> i32 {
        self.long() as i32
    }

    pub(crate) fn text(&mut self) -> String {
        const PARTS: [&str; 12] =
            ["a", "order", "\"", "\\", "\n", "é", "😀", "\u{0}", " ", "0123456789", "\u{7f}", "/"];
        (0..self.below(6)).map(|_| PARTS[usize::from(self.below(PARTS.len() as u8))]).collect()
    }

    /// What is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }
}
