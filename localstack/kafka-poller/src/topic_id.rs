//! Tells when a topic was deleted and made again: its offsets begin anew then, and those of the old one mean nothing.
//!
//! A topic has an id of its own ([KIP-516](https://cwiki.apache.org/confluence/display/KAFKA/KIP-516%3A+Topic+Identifiers)).
//! The Kafka client knows it, but has no call for it, and goes on in the new topic where it was in the old one, past the
//! records before that place. It tells the id in its debug log, which is read here.

/// What the client's debug log has to have for [`TopicId::hear`].
pub const DEBUG: &str = "metadata";

/// The ids of one topic name.
#[derive(Debug, Default)]
pub struct TopicId {
    /// The topic of now.
    current: Option<String>,
    /// The topic that offsets read and committed are of.
    followed: Option<String>,
}

impl TopicId {
    /// Reads a line of the client's log.
    pub fn hear(&mut self, topic: &str, line: &str) {
        let Some((before, ids)) = line.split_once(" changed id from ") else { return };
        let is_ours = before.strip_suffix(topic).is_some_and(|before| before.ends_with("Topic "));
        let Some((_, id)) = ids.split_once(" to ").filter(|_| is_ours) else { return };
        self.followed.get_or_insert_with(|| id.to_owned());
        self.current = Some(id.to_owned());
    }

    /// Notes which topic the committed offsets that are begun with are of, where they tell. Offsets of several topics are
    /// of none.
    pub fn begin(&mut self, id: Option<String>) {
        let Some(id) = id else { return };
        let followed = self.followed.get_or_insert_with(|| id.clone());
        if *followed != id {
            followed.clear();
        }
    }

    /// The id of the topic that offsets are of, if it is known.
    #[must_use]
    pub fn followed(&self) -> Option<&str> {
        self.followed.as_deref()
    }

    /// Whether the topic was made again since its offsets were last begun.
    #[must_use]
    pub fn is_another(&self) -> bool {
        self.current.is_some() && self.current != self.followed
    }

    /// Notes that from now on offsets are of the topic of now.
    pub fn follow(&mut self) {
        self.followed.clone_from(&self.current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_made_again_is_another_until_it_is_followed() {
        let mut id = TopicId::default();
        id.hear(
            "order.events",
            "[thrd:main]: Topic order.events changed id from AAAAAAAAAAAAAAAAAAAAAA to one_-A",
        );
        assert_eq!((id.followed(), id.is_another()), (Some("one_-A"), false));
        id.hear("order.events", "[thrd:main]: Topic order.events changed id from one_-A to two");
        assert_eq!((id.followed(), id.is_another()), (Some("one_-A"), true));
        id.follow();
        assert_eq!((id.followed(), id.is_another()), (Some("two"), false));
    }

    #[test]
    fn other_lines_and_topics_tell_nothing() {
        let mut id = TopicId::default();
        for line in [
            "[thrd:main]: Topic my-order.events changed id from a to b",
            "[thrd:main]: Topic order.events.v2 changed id from a to b",
            "[thrd:main]: Topic order.events [0] Leader 1 Epoch 0",
            "",
        ] {
            id.hear("order.events", line);
            assert_eq!(id.followed(), None, "{line}");
        }
    }

    #[test]
    fn offsets_that_are_of_another_topic_are_not_gone_on_with() {
        let mut id = TopicId::default();
        id.begin(Some("one".to_owned()));
        assert!(!id.is_another(), "the topic of now is not known yet");
        id.hear("order.events", "Topic order.events changed id from AAAAAAAAAAAAAAAAAAAAAA to two");
        assert!(id.is_another());
        id.follow();
        id.begin(None);
        assert!(!id.is_another());
        id.begin(Some("one".to_owned()));
        assert!(id.is_another(), "a partition comes whose offset is still of the old topic");
    }
}
