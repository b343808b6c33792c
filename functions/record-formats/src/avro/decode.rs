//! Reads Avro's binary encoding and writes JSON
//! (<https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>).

use crate::avro::logical::append_logical;
use crate::avro::model::{Field, Type, TypeId, Types};
use crate::decode_error::{DecodeError, DecodeErrorKind};
use crate::input::Input;
use crate::limits::Limits;
use crate::map_keys::MapKeys;
use crate::notes::Notes;
use crate::output::{append_base64, append_boolean, append_double, append_float, append_int, append_string};

/// Appends a record as JSON; on an error a part of it may have been written.
pub(crate) fn append_record(
    types: &Types,
    body: &[u8],
    limits: &Limits,
    json: &mut Vec<u8>,
) -> Result<Notes, DecodeError> {
    let start = json.len();
    let mut reader = Reader {
        types,
        limits,
        input: Input::new(body),
        start,
        max_len: start.saturating_add(limits.max_json_bytes.min(u32::MAX as usize)),
        json,
        empty_items_left: limits.max_empty_items,
        keys: MapKeys::default(),
        notes: Notes::default(),
    };
    reader.value(types.root, 0)?;
    match reader.input.len() {
        0 => Ok(reader.notes),
        len => Err(reader.input.error(DecodeErrorKind::TrailingBytes(len))),
    }
}

struct Reader<'r> {
    types: &'r Types,
    limits: &'r Limits,
    input: Input<'r>,
    json: &'r mut Vec<u8>,
    /// Where the record begins in `json`.
    start: usize,
    max_len: usize,
    empty_items_left: u32,
    keys: MapKeys,
    notes: Notes,
}

impl<'r> Reader<'r> {
    fn value(&mut self, id: TypeId, depth: usize) -> Result<(), DecodeError> {
        match self.types.get(id) {
            Type::Null => self.json.extend_from_slice(b"null"),
            Type::Boolean => self.boolean()?,
            Type::Int => append_int(self.json, self.input.int()?.into()),
            Type::Long => append_int(self.json, self.input.zigzag()?),
            Type::Float => self.float()?,
            Type::Double => self.double()?,
            Type::Bytes => append_base64(self.json, self.input.prefixed_bytes()?),
            Type::Fixed(size) => append_base64(self.json, self.input.bytes(*size)?),
            Type::String => self.string()?,
            Type::Enum(symbols) => {
                let symbol = branch(&mut self.input, symbols, "symbols")?;
                self.json.extend_from_slice(symbol);
            }
            Type::Union(branches) => {
                let branch = *branch(&mut self.input, branches, "branches")?;
                // A union's branch is no union: this is one level, and no loop.
                self.value(branch, depth)?;
            }
            Type::Record(fields) => self.record(fields, depth)?,
            Type::Array(items) => self.array(*items, depth)?,
            Type::Map(values) => self.map(*values, depth)?,
            logical => {
                if let Some(result) = append_logical(logical, &mut self.input, self.json) {
                    result?;
                }
            }
        }
        if self.json.len() > self.max_len {
            return Err(self.input.error(DecodeErrorKind::JsonBytes(self.limits.max_json_bytes)));
        }
        Ok(())
    }

    /// The depth within a record, array or map.
    fn deeper(&self, depth: usize) -> Result<usize, DecodeError> {
        if depth >= self.limits.max_depth {
            return Err(self.input.error(DecodeErrorKind::Depth(self.limits.max_depth)));
        }
        Ok(depth + 1)
    }

    fn record(&mut self, fields: &'r [Field], depth: usize) -> Result<(), DecodeError> {
        let depth = self.deeper(depth)?;
        if fields.is_empty() {
            self.json.push(b'{');
        }
        for field in fields {
            self.json.extend_from_slice(&field.opening);
            self.value(field.value, depth).map_err(|error| error.in_field(&field.name))?;
        }
        self.json.push(b'}');
        Ok(())
    }

    fn array(&mut self, items: TypeId, depth: usize) -> Result<(), DecodeError> {
        let depth = self.deeper(depth)?;
        self.json.push(b'[');
        let mut index = 0;
        loop {
            let n = self.block()?;
            if n == 0 {
                break;
            }
            for _ in 0..n {
                if index > 0 {
                    self.json.push(b',');
                }
                let n_left = self.input.len();
                self.value(items, depth).map_err(|error| error.in_item(index))?;
                if self.input.len() == n_left {
                    self.empty_item()?;
                }
                index += 1;
            }
        }
        self.json.push(b']');
        Ok(())
    }

    fn map(&mut self, values: TypeId, depth: usize) -> Result<(), DecodeError> {
        let depth = self.deeper(depth)?;
        self.json.push(b'{');
        let open = self.keys.open();
        let mut is_first = true;
        loop {
            let n = self.block()?;
            if n == 0 {
                break;
            }
            for _ in 0..n {
                if !is_first {
                    self.json.push(b',');
                }
                is_first = false;
                let start = self.json.len() - self.start;
                let key = self.input.prefixed_bytes()?;
                self.append_string(key)?;
                self.keys.add(start, self.json.len() - self.start);
                self.json.push(b':');
                self.value(values, depth).map_err(|error| error.in_field(&String::from_utf8_lossy(key)))?;
            }
        }
        self.notes.n_duplicate_keys += self.keys.close(open, self.json, self.start);
        self.json.push(b'}');
        Ok(())
    }

    /// How many items the next block has; 0 ends an array or a map. A negative count is followed by the block's size in bytes.
    fn block(&mut self) -> Result<u64, DecodeError> {
        let start = self.input;
        let n = self.input.zigzag()?;
        if n >= 0 {
            return Ok(n.unsigned_abs());
        }
        let size = self.input.length()?;
        if size > self.input.len() || n == i64::MIN {
            return Err(start.error(DecodeErrorKind::BlockCount(n)));
        }
        Ok(n.unsigned_abs())
    }

    fn empty_item(&mut self) -> Result<(), DecodeError> {
        let Some(left) = self.empty_items_left.checked_sub(1) else {
            return Err(self.input.error(DecodeErrorKind::EmptyItems(self.limits.max_empty_items)));
        };
        self.empty_items_left = left;
        Ok(())
    }

    fn boolean(&mut self) -> Result<(), DecodeError> {
        let start = self.input;
        match self.input.byte()? {
            byte @ (0 | 1) => append_boolean(self.json, byte == 1),
            byte => return Err(start.error(DecodeErrorKind::NotBoolean(byte))),
        }
        Ok(())
    }

    fn float(&mut self) -> Result<(), DecodeError> {
        let number = f32::from_le_bytes(self.input.array()?);
        self.notes.n_non_finite += u32::from(!number.is_finite());
        append_float(self.json, number);
        Ok(())
    }

    fn double(&mut self) -> Result<(), DecodeError> {
        let number = f64::from_le_bytes(self.input.array()?);
        self.notes.n_non_finite += u32::from(!number.is_finite());
        append_double(self.json, number);
        Ok(())
    }

    fn string(&mut self) -> Result<(), DecodeError> {
        let text = self.input.prefixed_bytes()?;
        self.append_string(text)
    }

    #[inline]
    fn append_string(&mut self, text: &[u8]) -> Result<(), DecodeError> {
        append_string(self.json, text).map_err(|_| self.input.error(DecodeErrorKind::NotUtf8))
    }
}

/// What the next int is the index of.
fn branch<'b, T>(input: &mut Input<'_>, all: &'b [T], of: &'static str) -> Result<&'b T, DecodeError> {
    let start = *input;
    let index = input.zigzag()?;
    let branch = usize::try_from(index).ok().and_then(|index| all.get(index));
    branch.ok_or_else(|| start.error(DecodeErrorKind::Index { index, n: all.len(), of }))
}
