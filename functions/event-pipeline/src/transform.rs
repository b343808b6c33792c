//! What a transform of payloads is to the pipeline. The language that transforms are written in is no matter of this crate.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use thiserror::Error;

use crate::timestamp::Timestamp;

/// Shapes the payloads of records.
///
/// The same record and payload give the same result, whenever and in whatever batch: a record that is delivered again is the
/// same document.
pub trait Transform: fmt::Debug + Send + Sync {
    /// Shapes `payload`, the text of a JSON object without duplicate keys, of the record `about`. Appends the text of the shaped
    /// JSON object to `out`.
    ///
    /// # Errors
    /// [`TransformError`] when the transform can't be carried through; what `out` holds is of no use then.
    fn apply(
        &self,
        about: &RecordContext<'_>,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Transformed, TransformError>;
}

/// What a transform makes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transformed {
    /// The shaped payload.
    Payload,
    /// The shaped payload, in which digits of a number of the payload are lost: the transform's language could not hold the
    /// number, and the transform did more than leave it or move it.
    RoundedPayload,
    /// Nothing: the record is to be dropped.
    Dropped,
}

/// What a transform can read of a record besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordContext<'a> {
    /// Name of the topic.
    pub topic: &'a str,
    /// The topic without the configured suffix.
    pub service_name: &'a str,
    /// Number of the partition.
    pub partition: i64,
    /// Offset in the partition.
    pub offset: i64,
    /// Time of the record; `None` where it has none that can be.
    pub timestamp: Option<Timestamp>,
    /// The key as text; `None` for a null key and one that is not UTF-8.
    pub key: Option<&'a str>,
    /// Names and values of the headers, in the record's order. Values that are not UTF-8 are left out.
    pub headers: &'a [(String, String)],
}

/// Why a transform could not be carried through, in the words of its language.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{reason}")]
pub struct TransformError {
    /// One sentence, without the values of the payload.
    pub reason: String,
}

/// A transform that many settings share. Two are equal if they are the same transform.
#[derive(Debug, Clone)]
pub struct SharedTransform(Arc<dyn Transform>);

impl SharedTransform {
    /// Shares `transform`.
    pub fn new(transform: impl Transform + 'static) -> Self {
        Self(Arc::new(transform))
    }
}

impl Deref for SharedTransform {
    type Target = dyn Transform;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for SharedTransform {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedTransform {}

/// Makes transforms of scripts.
pub trait TransformCompiler {
    /// Compiles `script`.
    ///
    /// # Errors
    /// Every problem of the script.
    fn compile(&self, script: &str) -> Result<SharedTransform, Vec<ScriptProblem>>;
}

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptProblem {
    /// Line in the script, from 1 on.
    pub line: usize,
    /// Column in the line in characters, from 1 on.
    pub column: usize,
    /// What is wrong and how to fix it.
    pub message: String,
}
