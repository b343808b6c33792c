//! Environment variables as a table.

use std::collections::BTreeMap;

/// Looks variables up in a table, as configuration is parsed from the environment. The last of several values counts, so that
/// a test can put its own behind those of all tests.
pub fn lookup<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> impl Fn(&str) -> Option<String> + Clone
where
    N: Into<String>,
    V: Into<String>,
{
    let table: BTreeMap<String, String> =
        variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    move |name| table.get(name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let lookup = lookup([("A", "1"), ("B", "2"), ("A", "3")]);
        assert_eq!((lookup("A"), lookup("B"), lookup("C")), (Some("3".into()), Some("2".into()), None));
    }
}
