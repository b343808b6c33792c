//! A compiler for who runs no scripts.

use event_pipeline::transform::{
    RecordContext, ScriptProblem, SharedTransform, Transform, TransformCompiler, TransformError, Transformed,
};

/// Takes every script as it is. Records that reach one of its transforms fail: it is for who reads a file for its names alone,
/// such as `provision-cluster`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoScripts;

#[derive(Debug)]
struct NotCompiled;

impl TransformCompiler for NoScripts {
    fn compile(&self, _script: &str) -> Result<SharedTransform, Vec<ScriptProblem>> {
        Ok(SharedTransform::new(NotCompiled))
    }
}

impl Transform for NotCompiled {
    fn apply(
        &self,
        _about: &RecordContext<'_>,
        _payload: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Transformed, TransformError> {
        Err(TransformError { reason: "this program runs no scripts".into() })
    }
}
