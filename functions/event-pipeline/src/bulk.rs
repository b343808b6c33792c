//! A bulk request: its body, and the record and address of each operation in it.

use std::ops::Range;

use crate::address::{ActionLine, Address};
use crate::item_result::ItemAction;

/// Limits of one bulk request, before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkLimits {
    /// Bytes of the body. A document that is larger is sent in a request of its own.
    pub max_bytes: usize,
    /// Operations in the body.
    pub max_operations: usize,
}

impl Default for BulkLimits {
    fn default() -> Self {
        Self { max_bytes: 5 * 1024 * 1024, max_operations: 5000 }
    }
}

/// One operation of a bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Position of the record in the batch.
    pub record: usize,
    /// Range of its lines in the body.
    lines: Range<usize>,
    /// The first of those lines.
    action: ActionLine,
}

impl Operation {
    /// What the operation does.
    pub fn action(&self) -> ItemAction {
        self.action.action()
    }
}

/// Body of a bulk request, with its operations in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkRequest {
    body: Vec<u8>,
    operations: Vec<Operation>,
}

impl BulkRequest {
    /// The NDJSON body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Takes the body out, to pass it on without a copy, until [`BulkRequest::put_back`].
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Puts back what [`BulkRequest::take_body`] took.
    pub fn put_back(&mut self, body: Vec<u8>) {
        self.body = body;
    }

    /// The operations, in the order of the body and of the response's items.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Reads the address of the operation at `position` from its line; `None` while the body is taken out. The same document in another form
    /// goes to this address too.
    pub fn read_address(&self, position: usize) -> Option<Address<'_>> {
        let operation = self.operations.get(position)?;
        operation.action.read_address(self.body.get(operation.lines.clone())?)
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Makes the request empty, keeping its memory.
    pub fn clear(&mut self) {
        self.body.clear();
        self.operations.clear();
    }

    /// Appends one operation, whose lines `write` appends to the body. When `write` fails, or the request would exceed
    /// `limits`, the request stays as it was.
    pub fn push<E>(
        &mut self,
        record: usize,
        limits: BulkLimits,
        write: impl FnOnce(&mut Vec<u8>) -> Result<ActionLine, E>,
    ) -> Result<Pushed, E> {
        if self.operations.len() >= limits.max_operations {
            return Ok(Pushed::Full);
        }
        let start = self.body.len();
        let written = write(&mut self.body);
        let fits = self.body.len() <= limits.max_bytes || self.operations.is_empty();
        match written {
            Ok(action) if fits => {
                self.operations.push(Operation { record, lines: start..self.body.len(), action });
                Ok(Pushed::Added)
            }
            not_added => {
                self.body.truncate(start);
                not_added.map(|_| Pushed::Full)
            }
        }
    }

    /// Keeps only the operations for which `keep` is true, given their position.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut end = 0;
        let mut position = 0;
        let body = &mut self.body;
        self.operations.retain_mut(|operation| {
            let kept = keep(position);
            position += 1;
            if kept {
                let len = operation.lines.len();
                body.copy_within(operation.lines.clone(), end);
                operation.lines = end..end + len;
                end += len;
            }
            kept
        });
        self.body.truncate(end);
    }

    /// Splits off the second half; `None` when there are fewer than two operations.
    pub fn split_half(&mut self) -> Option<Self> {
        let half = self.operations.len() / 2;
        if half == 0 {
            return None;
        }
        let mut operations = self.operations.split_off(half);
        let at = operations.first().map_or(self.body.len(), |operation| operation.lines.start);
        for operation in &mut operations {
            operation.lines = operation.lines.start - at..operation.lines.end - at;
        }
        Some(Self { body: self.body.split_off(at), operations })
    }
}

/// Whether [`BulkRequest::push`] added the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the request.
    Added,
    /// It does not fit into the request. Send the request first.
    Full,
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::address::append_create;

    const LIMITS: BulkLimits = BulkLimits { max_bytes: 10, max_operations: 3 };

    fn push(request: &mut BulkRequest, record: usize, text: &str) -> Pushed {
        let written: Result<_, Infallible> = request.push(record, LIMITS, |body| {
            body.extend_from_slice(text.as_bytes());
            Ok(append_create(&mut Vec::new(), &Address { index: "any".into(), id: None }))
        });
        written.unwrap()
    }

    fn three() -> BulkRequest {
        let mut request = BulkRequest::default();
        for (record, text) in ["a\n", "bb\n", "ccc\n"].into_iter().enumerate() {
            assert_eq!(push(&mut request, record, text), Pushed::Added);
        }
        request
    }

    #[test]
    fn a_request_is_bounded_by_bytes_and_by_count() {
        let mut request = three();
        assert_eq!(push(&mut request, 3, "d\n"), Pushed::Full, "three operations are enough");
        request.retain(|i| i != 0);
        assert_eq!(push(&mut request, 3, "dddd"), Pushed::Full, "11 bytes are too many");
        assert_eq!(push(&mut request, 3, "ddd"), Pushed::Added);
    }

    #[test]
    fn a_document_larger_than_the_limit_gets_a_request_of_its_own() {
        let mut request = BulkRequest::default();
        assert_eq!(push(&mut request, 0, "longer than ten bytes"), Pushed::Added);
        assert_eq!(push(&mut request, 1, "b"), Pushed::Full);
    }

    #[test]
    fn a_failed_write_leaves_the_request_as_it_was() {
        let mut request = three();
        request.retain(|i| i < 2);
        let before = request.clone();
        let failed = request.push(9, LIMITS, |body| {
            body.push(b'x');
            Err("no")
        });
        assert_eq!((failed, request), (Err("no"), before));
    }

    #[test]
    fn retained_operations_keep_their_lines_and_records() {
        let mut request = three();
        request.retain(|i| i != 1);
        assert_eq!(request.body(), b"a\nccc\n");
        assert_eq!(request.operations().iter().map(|o| o.record).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn both_halves_together_are_the_whole_request() {
        let mut first = three();
        let second = first.split_half().unwrap();
        assert_eq!((first.body(), second.body()), (&b"a\n"[..], &b"bb\nccc\n"[..]));
        assert_eq!(second.operations()[1].lines, 3..7);
        assert_eq!(first.split_half(), None);
    }

    #[test]
    fn an_operation_keeps_its_address_wherever_it_is_moved() {
        let mut request = BulkRequest::default();
        let limits = BulkLimits::default();
        for record in 0..4 {
            let address =
                Address { index: format!("i{record}").into(), id: Some(format!("{record}").into()) };
            let written: Result<_, Infallible> = request.push(record, limits, |body| {
                let line = append_create(body, &address);
                body.extend_from_slice(b"{}\n");
                Ok(line)
            });
            assert_eq!(written, Ok(Pushed::Added));
        }
        request.retain(|i| i != 0);
        let second = request.split_half().unwrap();
        for request in [request, second] {
            for (position, operation) in request.operations().iter().enumerate() {
                let record = operation.record.to_string();
                let address = request.read_address(position).unwrap();
                assert_eq!((address.index, address.id), (format!("i{record}").into(), Some(record.into())));
            }
        }
    }
}
