//! The other forms of a document that the cluster rejects, so that the event is indexed and searchable.

use crate::conflict::{blamed_member, depth};
use crate::write_error::WriteError;

/// Tag of a document in another form than the usual one.
pub const TAG: &str = "_mappingconflict";
/// Members that are moved one by one before the whole payload is.
const MAX_MEMBERS: usize = 3;
/// Longest name of a member that is moved by itself: it is repeated in `conflict_field` and the log.
const MAX_NAME: usize = 8000;
/// Deepest member that `conflict` gets. OpenSearch reads a `flat_object` by recursion: 700 levels overflow the stack of 3.6.0,
/// which ends the node. Elasticsearch's `flattened` has a `depth_limit`, which the index template sets to 100.
const MAX_CONFLICT_DEPTH: usize = 90;

/// A way to write a rejected document again, under its own address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescue {
    /// Where the payload goes.
    pub form: RescueForm,
    /// The cluster's reason for the last rejection.
    pub reason: String,
}

/// Where the payload of a rejected document goes. Each form is tried when the one before is rejected too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RescueForm {
    /// These top-level members move to `conflict`; the others stay.
    Members(Vec<String>),
    /// The whole payload moves to `conflict`.
    Payload,
    /// The payload is kept as text in `message`.
    Text,
}

impl RescueForm {
    /// Depth of what moves to `conflict`.
    fn depth(&self, payload: &[u8]) -> usize {
        match self {
            Self::Members(moved) => depth(payload, |name| moved.iter().any(|member| member == name)),
            Self::Payload => depth(payload, |_| true),
            Self::Text => 0,
        }
    }
}

impl Rescue {
    /// The next way to write the object `payload`, after `previous` (`None` after the document itself) was rejected with
    /// `error`; `None` when there is none left.
    pub fn after(previous: Option<Self>, error: &WriteError, payload: &[u8]) -> Option<Self> {
        let form = match previous.map(|rescue| rescue.form) {
            None => Self::with_blamed(Vec::new(), error, payload),
            Some(RescueForm::Members(members)) => Self::with_blamed(members, error, payload),
            Some(RescueForm::Payload) => RescueForm::Text,
            Some(RescueForm::Text) => return None,
        };
        let form = if form.depth(payload) > MAX_CONFLICT_DEPTH { RescueForm::Text } else { form };
        Some(Self { form, reason: error.reason.clone() })
    }

    /// The only way for an object that no cluster reads.
    pub(crate) fn of_deep_object() -> Self {
        Self { form: RescueForm::Text, reason: "the payload is nested deeper than 250 levels".into() }
    }

    /// Adds the member that the cluster blames to `members`; the whole payload where that is not possible.
    fn with_blamed(mut members: Vec<String>, error: &WriteError, payload: &[u8]) -> RescueForm {
        match blamed_member(&error.reason, payload) {
            Some(member)
                if members.len() < MAX_MEMBERS && member.len() <= MAX_NAME && !members.contains(&member) =>
            {
                members.push(member);
                RescueForm::Members(members)
            }
            _ => RescueForm::Payload,
        }
    }

    /// The members that move, for the field `conflict_field` and the log; `*` for the whole payload.
    pub fn fields(&self) -> Vec<&str> {
        match &self.form {
            RescueForm::Members(members) => members.iter().map(String::as_str).collect(),
            RescueForm::Payload | RescueForm::Text => vec!["*"],
        }
    }

    /// Whether the member of that name moves.
    pub(crate) fn moves(&self, name: &str) -> bool {
        matches!(&self.form, RescueForm::Members(members) if members.iter().any(|member| member == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_error::ErrorKind;

    fn error(reason: &str) -> WriteError {
        WriteError {
            kind: ErrorKind::cluster("mapper_parsing_exception"),
            status: Some(400),
            reason: reason.into(),
        }
    }

    #[test]
    fn the_blamed_member_moves_first_then_the_payload_then_all_is_text() {
        let payload = br#"{"a":1,"b":{"c":2}}"#;
        let blames_b = error("failed to parse field [b.c] of type [long]");
        let first = Rescue::after(None, &blames_b, payload).unwrap();
        assert_eq!(first.form, RescueForm::Members(vec!["b".into()]));
        assert_eq!(first.fields(), ["b"]);
        let second = Rescue::after(Some(first), &error("failed to parse field [a]"), payload).unwrap();
        assert_eq!(second.form, RescueForm::Members(vec!["b".into(), "a".into()]));
        let third = Rescue::after(Some(second), &blames_b, payload).unwrap();
        assert_eq!((&third.form, third.fields()), (&RescueForm::Payload, vec!["*"]));
        let fourth = Rescue::after(Some(third), &blames_b, payload).unwrap();
        assert_eq!(fourth.form, RescueForm::Text);
        assert_eq!(Rescue::after(Some(fourth), &blames_b, payload), None);
    }

    #[test]
    fn what_is_too_deep_for_a_flat_object_is_text_at_once() {
        let payload = |depth| format!("{{\"a\":1,\"b\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        let form =
            |depth, reason| Rescue::after(None, &error(reason), payload(depth).as_bytes()).unwrap().form;
        let (blames_a, blames_b, full) =
            ("failed to parse field [a]", "failed to parse field [b]", "Limit of total fields");
        assert_eq!(form(90, blames_b), RescueForm::Members(vec!["b".into()]));
        assert_eq!(form(91, blames_b), RescueForm::Text);
        assert_eq!(form(91, blames_a), RescueForm::Members(vec!["a".into()]));
        assert_eq!((form(90, full), form(91, full)), (RescueForm::Payload, RescueForm::Text));
    }

    #[test]
    fn the_payload_moves_where_the_name_to_blame_is_immense() {
        let form = |len| {
            let payload = format!(r#"{{"a":1,"{}":2}}"#, "n".repeat(len));
            Rescue::after(None, &error("failed to parse field [nn"), payload.as_bytes()).unwrap().form
        };
        assert_eq!(form(8000), RescueForm::Members(vec!["n".repeat(8000)]));
        assert_eq!(form(8001), RescueForm::Payload);
    }

    #[test]
    fn the_payload_moves_where_no_member_is_to_blame() {
        let full = error("Limit of total fields [1000] has been exceeded");
        assert_eq!(Rescue::after(None, &full, br#"{"a":1}"#).unwrap().form, RescueForm::Payload);
    }
}
