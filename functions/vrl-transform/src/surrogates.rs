//! Unpaired surrogates in strings: JSON can escape them, UTF-8 can't hold them, VRL's strings of bytes can.
//!
//! The scanner keeps `"\ud83d"` as the three bytes that UTF-8's rule would give, ED A0 BD (WTF-8, <https://simonsapin.github.io/wtf-8/>),
//! and it is written as an escape again.

/// The surrogate that the bytes begin with, if any.
pub(crate) fn first(bytes: &[u8]) -> Option<u16> {
    let &[0xED, middle @ 0xA0..=0xBF, last @ 0x80..=0xBF, ..] = bytes else { return None };
    Some(0xD000 | u16::from(middle & 0x3F) << 6 | u16::from(last & 0x3F))
}

#[cfg(test)]
mod tests {
    use event_pipeline::json::Scanner;

    use super::*;

    #[test]
    fn every_surrogate_is_kept() {
        for surrogate in 0xD800..=0xDFFF {
            let text = format!("\"\\u{surrogate:04x}\"");
            let bytes = Scanner::new(text.as_bytes()).string().unwrap().unescape();
            assert_eq!(first(&bytes), Some(surrogate), "{bytes:x?}");
        }
    }

    #[test]
    fn characters_beside_the_surrogates_are_none() {
        for text in ["\u{d7ff}", "\u{e000}", "\u{fffd}", "a", ""] {
            assert_eq!(first(text.as_bytes()), None, "{text}");
        }
    }
}
