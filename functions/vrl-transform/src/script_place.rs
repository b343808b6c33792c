//! Where in a script something is.

/// Line and column of a byte of a script, both from 1 on; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScriptPlace {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl ScriptPlace {
    /// The place of the byte at `offset`; the end for one behind the end.
    pub(crate) fn of(script: &str, offset: usize) -> Self {
        let before = script.get(..script.floor_char_boundary(offset)).unwrap_or(script);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let script = "é = 1\n.ü = é";
        let place = |offset| {
            let ScriptPlace { line, column } = ScriptPlace::of(script, offset);
            (line, column)
        };
        assert_eq!([0, 2, 7, 8, 10].map(place), [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]);
        assert_eq!(place(1), (1, 1), "inside a character");
        assert_eq!(place(99), (2, 7), "behind the end");
    }
}
