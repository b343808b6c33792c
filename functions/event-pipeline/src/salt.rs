//! Salts, with which values are hashed.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// Least bytes of a salt: with fewer, hashes of few possible values could be found by trying.
const MIN_BYTES: usize = 16;

/// A salt. It is a secret: it has no text.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt(Vec<u8>);

/// The text is too short for a salt.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("it has {0} bytes, and a salt has at least {MIN_BYTES}: `openssl rand -hex 32` makes one")]
pub struct SaltError(pub usize);

impl Salt {
    /// Takes the text of a secret, without white space around it, as a salt.
    ///
    /// # Errors
    /// [`SaltError`]
    pub fn parse(text: &str) -> Result<Self, SaltError> {
        let text = text.trim();
        if text.len() < MIN_BYTES {
            return Err(SaltError(text.len()));
        }
        Ok(Self(text.as_bytes().to_vec()))
    }

    /// The salt's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt")
    }
}

/// Salts by the names of their secrets.
pub type Salts = BTreeMap<String, Salt>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_long_and_shows_nothing() {
        assert_eq!(Salt::parse(" short "), Err(SaltError(5)));
        assert_eq!(format!("{:?}", Salt::parse("0123456789abcdef").unwrap()), "Salt");
    }
}
