//! The roles that provisioning makes in the cluster.

use crate::settings::Settings;

/// A role of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of index-events.
    Writer,
    /// Of replay-dead-letters.
    Replayer,
    /// Of people.
    Reader,
}

impl Role {
    /// All roles, in the order in which they are applied.
    pub const ALL: [Self; 3] = [Self::Writer, Self::Replayer, Self::Reader];

    /// Returns the role's name, such as `<prefix>-writer`.
    pub fn name(self, settings: &Settings) -> String {
        let suffix = match self {
            Self::Writer => "writer",
            Self::Replayer => "replayer",
            Self::Reader => "reader",
        };
        format!("{}-{suffix}", settings.index_prefix)
    }
}
