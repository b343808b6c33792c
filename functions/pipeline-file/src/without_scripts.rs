//! A compiler for a program that was built without VRL.

use event_pipeline::transform::{ScriptProblem, SharedTransform, TransformCompiler};

/// Refuses every script, so that a program without VRL doesn't start with a file that has one: its events would be indexed
/// without the redaction that the script was written for.
#[derive(Debug, Clone, Copy, Default)]
pub struct WithoutScripts;

impl TransformCompiler for WithoutScripts {
    fn compile(&self, _script: &str) -> Result<SharedTransform, Vec<ScriptProblem>> {
        let message =
            "this program was built without VRL: remove the transform, or build with the feature `vrl`";
        Err(vec![ScriptProblem { line: 1, column: 1, message: message.to_owned() }])
    }
}
