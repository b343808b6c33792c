//! Detects that a topic was deleted and created again: its offsets start over, and those of the old topic mean nothing.
//!
//! A topic has an id of its own ([KIP-516](https://cwiki.apache.org/confluence/display/KAFKA/KIP-516%3A+Topic+Identifiers)).
//! librdkafka knows it but goes on in the new topic at the old offset, past the records before it. rdkafka 0.39 has no
//! safe call that returns the id (no DescribeTopics, none in its metadata), so the id is read from librdkafka's debug log
//! (`rdkafka_topic.c`, 2.12). [`TopicId::is_known`] is for noticing that the wording changed.

/// The debug context of librdkafka whose log lines [`in_log_line`] reads.
pub const DEBUG: &str = "metadata";

/// The ids of one topic name.
#[derive(Debug, Default)]
pub struct TopicId {
    /// The topic that the brokers have now.
    current: Option<String>,
    /// The topic that the offsets read and committed belong to.
    followed: Option<String>,
}

/// Finds the new id of `topic` in a line of librdkafka's log.
#[must_use]
pub fn in_log_line<'l>(topic: &str, line: &'l str) -> Option<&'l str> {
    let (before, ids) = line.split_once(" changed id from ")?;
    let (_, id) = ids.split_once(" to ")?;
    before.strip_suffix(topic).is_some_and(|before| before.ends_with("Topic ")).then_some(id)
}

impl TopicId {
    /// Records the id that the brokers report.
    pub fn seen(&mut self, id: String) {
        self.followed.get_or_insert_with(|| id.clone());
        self.current = Some(id);
    }

    /// Whether the brokers' id was seen.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.current.is_some()
    }

    /// Records the id in the committed offsets that reading starts from, if they have one. Offsets of several topics
    /// have an empty id, which is that of no topic.
    pub fn begin(&mut self, id: Option<String>) {
        let Some(id) = id else { return };
        let followed = self.followed.get_or_insert_with(|| id.clone());
        if *followed != id {
            followed.clear();
        }
    }

    /// The id of the topic that the offsets belong to, if it is known.
    #[must_use]
    pub fn followed(&self) -> Option<&str> {
        self.followed.as_deref()
    }

    /// Whether the topic was created again since its offsets were last started.
    #[must_use]
    pub fn is_another(&self) -> bool {
        self.current.is_some() && self.current != self.followed
    }

    /// Records that from now on offsets belong to the current topic.
    pub fn follow(&mut self) {
        self.followed.clone_from(&self.current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(id: &mut TopicId, line: &str) {
        id.seen(in_log_line("order.events", line).unwrap().to_owned());
    }

    #[test]
    fn a_recreated_topic_is_another_until_it_is_followed() {
        let mut id = TopicId::default();
        assert!(!id.is_known());
        see(&mut id, "[thrd:main]: Topic order.events changed id from AAAAAAAAAAAAAAAAAAAAAA to one_-A");
        assert_eq!((id.followed(), id.is_another(), id.is_known()), (Some("one_-A"), false, true));
        see(&mut id, "[thrd:main]: Topic order.events changed id from one_-A to two");
        assert_eq!((id.followed(), id.is_another()), (Some("one_-A"), true));
        id.follow();
        assert_eq!((id.followed(), id.is_another()), (Some("two"), false));
    }

    #[test]
    fn other_lines_and_topics_have_no_id() {
        for line in [
            "[thrd:main]: Topic my-order.events changed id from a to b",
            "[thrd:main]: Topic order.events.v2 changed id from a to b",
            "[thrd:main]: Topic order.events [0] Leader 1 Epoch 0",
            "",
        ] {
            assert_eq!(in_log_line("order.events", line), None, "{line}");
        }
    }

    #[test]
    fn reading_does_not_continue_at_offsets_of_another_topic() {
        let mut id = TopicId::default();
        id.begin(Some("one".to_owned()));
        assert!(!id.is_another(), "the current topic is not known yet");
        see(&mut id, "Topic order.events changed id from AAAAAAAAAAAAAAAAAAAAAA to two");
        assert!(id.is_another());
        id.follow();
        id.begin(None);
        assert!(!id.is_another());
        id.begin(Some("one".to_owned()));
        assert!(id.is_another(), "a partition comes whose offset is still of the old topic");
    }
}
