//! CloudFormation's custom resource: the request, and the answer that it waits for,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>.

use std::collections::HashMap;

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceRequest, CloudFormationCustomResourceResponse,
    CloudFormationCustomResourceResponseStatus as Status,
};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::refusal::shortened;

/// An answer has at most so many bytes.
pub const MAX_ANSWER: usize = 4_096;

/// What ids of the resource begin with.
const ID_PREFIX: &str = "kafka-to-search/";
/// Id that a create answers with when it failed. Deleting it does nothing: what is there may be another stack's.
const NOT_CREATED: &str = "kafka-to-search/not created";

/// What CloudFormation asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// To make the resource.
    Create,
    /// To change it; its properties before.
    Update(Map<String, Value>),
    /// To delete it.
    Delete,
}

/// A request of CloudFormation.
#[derive(Clone, PartialEq)]
pub struct ResourceRequest {
    /// What is asked for.
    pub kind: Kind,
    /// The resource's properties.
    pub properties: Map<String, Value>,
    /// Where the answer goes, and what it repeats.
    pub sender: Sender,
}

/// Who waits for an answer. It is not shown: whoever has the URL can answer.
#[derive(Clone, Default, PartialEq)]
pub struct Sender {
    /// A presigned URL.
    pub response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    /// Id of the resource; a create has none.
    pub physical_resource_id: Option<String>,
}

/// Says why a payload is no request. Where it says where an answer goes all the same, there is someone to be told.
#[derive(Error)]
#[error("not a request of a CloudFormation custom resource: {reason}")]
pub struct NotARequest {
    /// What is wrong with it.
    pub reason: String,
    /// Who waits for an answer.
    pub sender: Option<Box<Sender>>,
}

impl std::fmt::Debug for NotARequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl ResourceRequest {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`NotARequest`]
    pub fn parse(payload: &[u8]) -> Result<Self, NotARequest> {
        let value: Value = serde_json::from_slice(payload)
            .map_err(|error| NotARequest { reason: error.to_string(), sender: None })?;
        let sender = Sender::look_for(&value);
        let unsound = |reason: String| NotARequest { reason, sender: sender.clone().map(Box::new) };
        let request = serde_json::from_value::<CloudFormationCustomResourceRequest>(value);
        let (kind, properties) = match request.map_err(|error| unsound(error.to_string()))? {
            CloudFormationCustomResourceRequest::Create(create) => (Kind::Create, create.resource_properties),
            CloudFormationCustomResourceRequest::Update(update) => {
                (Kind::Update(members(update.old_resource_properties)), update.resource_properties)
            }
            CloudFormationCustomResourceRequest::Delete(delete) => (Kind::Delete, delete.resource_properties),
            _ => return Err(unsound("its RequestType is a new one".into())),
        };
        let Some(sender) = sender else { return Err(unsound("its ResponseURL is not a text".into())) };
        Ok(Self { kind, properties: members(properties), sender })
    }
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

impl Sender {
    fn look_for(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            response_url: text("ResponseURL")?,
            stack_id: text("StackId").unwrap_or_default(),
            request_id: text("RequestId").unwrap_or_default(),
            logical_resource_id: text("LogicalResourceId").unwrap_or_default(),
            physical_resource_id: text("PhysicalResourceId"),
        })
    }
}

/// Id of the resource that keeps the indices of a prefix. With another prefix it is another resource, so that
/// CloudFormation deletes the one before.
pub fn id_of(index_prefix: &str) -> String {
    format!("{ID_PREFIX}{index_prefix}")
}

/// Whether a create that ended well can have given this id.
pub fn was_created(id: Option<&str>) -> bool {
    id.is_some_and(|id| id.starts_with(ID_PREFIX) && id != NOT_CREATED)
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// As asked.
    Success {
        /// Id of the resource.
        id: String,
        /// What was done, or why nothing was.
        reason: String,
        /// Attributes that a template can get.
        data: Vec<(&'static str, String)>,
    },
    /// Not as asked.
    Failure {
        /// What, where and the mend.
        reason: String,
    },
}

impl Answer {
    /// The body for CloudFormation, cut to the size that it takes.
    pub fn body(&self, kind: &Kind, sender: &Sender) -> String {
        let (status, id, reason, data) = match self {
            Self::Success { id, reason, data } => (Status::Success, id.clone(), reason, data.as_slice()),
            // An update or delete that failed leaves the resource what it was.
            Self::Failure { reason } => {
                let kept = sender.physical_resource_id.clone().filter(|_| *kind != Kind::Create);
                (Status::Failed, kept.unwrap_or_else(|| NOT_CREATED.into()), reason, &[][..])
            }
        };
        let mut max_text = MAX_ANSWER;
        loop {
            let mut body = CloudFormationCustomResourceResponse::default();
            body.status = status.clone();
            body.reason = Some(shortened(reason, max_text));
            body.physical_resource_id = id.clone();
            body.stack_id = sender.stack_id.clone();
            body.request_id = sender.request_id.clone();
            body.logical_resource_id = sender.logical_resource_id.clone();
            body.no_echo = false;
            body.data = data
                .iter()
                .map(|(name, text)| ((*name).to_owned(), shortened(text, max_text)))
                .collect::<HashMap<_, _>>();
            let text = serde_json::to_string(&body).expect("an answer has a text");
            if text.len() <= MAX_ANSWER || max_text < 16 {
                return text;
            }
            max_text = max_text * 9 / 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(kind: &str) -> Value {
        json!({
            "RequestType": kind, "ServiceToken": "arn:aws:lambda:eu-west-1:1:function:f", "RequestId": "r",
            "ResponseURL": "https://s3.example.com/x?signature=secret", "StackId": "s", "LogicalResourceId": "Cluster",
            "ResourceType": "Custom::SearchCluster", "PhysicalResourceId": "kafka-to-search/shop",
            "ResourceProperties": {"ServiceToken": "t", "IndexPrefix": "shop"},
            "OldResourceProperties": {"IndexPrefix": "shop", "CredentialRevision": "1"},
        })
    }

    fn parse(value: &Value) -> ResourceRequest {
        ResourceRequest::parse(value.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn requests_are_read_as_cloudformation_sends_them() {
        let mut create = request("Create");
        for more in ["PhysicalResourceId", "OldResourceProperties"] {
            create.as_object_mut().unwrap().remove(more);
        }
        let create = parse(&create);
        assert_eq!(create.kind, Kind::Create);
        assert_eq!(create.properties["IndexPrefix"], "shop");
        assert_eq!(create.sender.physical_resource_id, None);
        let update = parse(&request("Update"));
        assert!(matches!(&update.kind, Kind::Update(old) if old["CredentialRevision"] == "1"));
        assert_eq!(parse(&request("Delete")).kind, Kind::Delete);
    }

    #[test]
    fn whoever_waits_is_known_even_if_the_request_is_not_sound() {
        let mut odd = request("Replace");
        let unsound = |payload: &[u8]| ResourceRequest::parse(payload).err().unwrap();
        let error = unsound(odd.to_string().as_bytes());
        assert!(error.to_string().contains("Replace"), "{error}");
        assert!(!format!("{error:?}").contains("signature"), "{error:?}");
        assert_eq!(error.sender.unwrap().response_url, "https://s3.example.com/x?signature=secret");
        odd.as_object_mut().unwrap().remove("ResponseURL");
        assert!(unsound(odd.to_string().as_bytes()).sender.is_none());
        assert!(unsound(b"not json").sender.is_none());
    }

    #[test]
    fn an_answer_repeats_what_it_must_and_keeps_the_id() {
        let update = parse(&request("Update"));
        let failure = Answer::Failure { reason: "no".into() };
        let body: Value = serde_json::from_str(&failure.body(&update.kind, &update.sender)).unwrap();
        assert_eq!(
            body,
            json!({"Status": "FAILED", "Reason": "no", "PhysicalResourceId": "kafka-to-search/shop", "StackId": "s",
                "RequestId": "r", "LogicalResourceId": "Cluster", "NoEcho": false, "Data": {}})
        );
        let success = Answer::Success {
            id: id_of("new"),
            reason: "done".into(),
            data: vec![("Engine", "OpenSearch".into())],
        };
        let body: Value = serde_json::from_str(&success.body(&update.kind, &update.sender)).unwrap();
        assert_eq!(body["Status"], "SUCCESS");
        assert_eq!(body["PhysicalResourceId"], "kafka-to-search/new");
        assert_eq!(body["Data"], json!({"Engine": "OpenSearch"}));
    }

    #[test]
    fn a_create_that_failed_gives_an_id_that_deletes_nothing() {
        let create = parse(&request("Create"));
        let failure = Answer::Failure { reason: "no".into() };
        let body: Value = serde_json::from_str(&failure.body(&Kind::Create, &create.sender)).unwrap();
        let id = body["PhysicalResourceId"].as_str();
        assert!(!was_created(id), "{id:?}");
        assert!(was_created(Some(&id_of("shop"))));
        // CloudFormation's own, when it never got an answer.
        assert!(!was_created(Some("stack-Cluster-1ABCDEF")) && !was_created(None));
    }

    #[test]
    fn an_answer_is_never_larger_than_cloudformation_takes() {
        let update = parse(&request("Update"));
        for letter in ["a", "é", "\"", "\n", "\u{1}"] {
            let reason = letter.repeat(5_000);
            let failure = Answer::Failure { reason: reason.clone() };
            let body = failure.body(&update.kind, &update.sender);
            assert!(body.len() <= MAX_ANSWER && body.len() > MAX_ANSWER / 2, "{}", body.len());
            let data = vec![("NotApplied", reason.clone()), ("Applied", "5".into())];
            let success = Answer::Success { id: id_of("shop"), reason, data };
            let body = success.body(&update.kind, &update.sender);
            assert!(body.len() <= MAX_ANSWER, "{}", body.len());
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["Data"]["Applied"], "5");
        }
    }
}
