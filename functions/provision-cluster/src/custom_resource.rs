//! CloudFormation's custom resource: the request, and the response that it waits for,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>.

use std::collections::HashMap;

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceRequest, CloudFormationCustomResourceResponse,
    CloudFormationCustomResourceResponseStatus as Status,
};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::text::truncated;

/// Longest body that CloudFormation accepts.
pub const MAX_RESPONSE_BYTES: usize = 4_096;

/// How ids of the resource start.
const ID_PREFIX: &str = "kafka-to-search/";
/// Id that a failed create returns. Deleting it does nothing: what exists may belong to another stack.
const NOT_CREATED: &str = "kafka-to-search/not created";

/// What CloudFormation requests.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestType {
    /// To create the resource.
    Create,
    /// To change it. Holds its old properties.
    Update(Map<String, Value>),
    /// To delete it.
    Delete,
}

/// A request of CloudFormation.
#[derive(Clone, PartialEq)]
pub struct ResourceRequest {
    /// What is requested.
    pub request_type: RequestType,
    /// The resource's properties.
    pub properties: Map<String, Value>,
    /// Where the response goes.
    pub target: ResponseTarget,
}

/// Where a response goes, and what it repeats of the request. Has no `Debug`: whoever has the URL can respond.
#[derive(Clone, Default, PartialEq)]
pub struct ResponseTarget {
    /// A presigned URL.
    pub response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    /// Id of the resource. A create has none.
    pub physical_resource_id: Option<String>,
}

/// What is wrong with a payload.
#[derive(Debug, Error)]
pub enum RequestError {
    /// It is not JSON, or lacks a member.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// CloudFormation has a new type of request.
    #[error("its RequestType is unknown")]
    NewRequestType,
    /// It does not say where the response goes.
    #[error("its ResponseURL is not a string")]
    NoResponseUrl,
}

/// Why a payload is not a request. CloudFormation waits for a response even so, if the payload says where it goes.
#[derive(Error)]
#[error("not a request of a CloudFormation custom resource: {source}")]
pub struct NotARequest {
    source: RequestError,
    /// Where the response goes.
    pub target: Option<Box<ResponseTarget>>,
}

impl std::fmt::Debug for NotARequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl ResourceRequest {
    /// Parses a payload.
    ///
    /// # Errors
    /// [`NotARequest`]
    pub fn parse(payload: &[u8]) -> Result<Self, NotARequest> {
        let value: Value = serde_json::from_slice(payload)
            .map_err(|error| NotARequest { source: error.into(), target: None })?;
        let target = ResponseTarget::find(&value);
        let invalid = |source: RequestError| NotARequest { source, target: target.clone().map(Box::new) };
        let request = serde_json::from_value::<CloudFormationCustomResourceRequest>(value);
        let (request_type, properties) = match request.map_err(|error| invalid(error.into()))? {
            CloudFormationCustomResourceRequest::Create(create) => {
                (RequestType::Create, create.resource_properties)
            }
            CloudFormationCustomResourceRequest::Update(update) => {
                let old = members(update.old_resource_properties);
                (RequestType::Update(old), update.resource_properties)
            }
            CloudFormationCustomResourceRequest::Delete(delete) => {
                (RequestType::Delete, delete.resource_properties)
            }
            _ => return Err(invalid(RequestError::NewRequestType)),
        };
        let Some(target) = target else { return Err(invalid(RequestError::NoResponseUrl)) };
        Ok(Self { request_type, properties: members(properties), target })
    }
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

impl ResponseTarget {
    fn find(value: &Value) -> Option<Self> {
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

/// Returns the id of the resource for an index prefix. Another prefix is another resource, so CloudFormation deletes the
/// previous one.
pub fn physical_id(index_prefix: &str) -> String {
    format!("{ID_PREFIX}{index_prefix}")
}

/// Whether an id can come from a successful create.
pub fn was_created(id: Option<&str>) -> bool {
    id.is_some_and(|id| id.starts_with(ID_PREFIX) && id != NOT_CREATED)
}

/// The response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceResponse {
    /// The request succeeded.
    Success {
        /// Id of the resource.
        id: String,
        /// What was done, or why nothing was done.
        reason: String,
        /// Attributes for `GetAtt`.
        data: Vec<(&'static str, String)>,
    },
    /// The request failed.
    Failure {
        /// What failed, where, and the fix.
        reason: String,
    },
}

impl ResourceResponse {
    /// Returns the body for CloudFormation, truncated to [`MAX_RESPONSE_BYTES`].
    pub fn body(&self, request_type: &RequestType, target: &ResponseTarget) -> String {
        let (status, id, reason, data) = match self {
            Self::Success { id, reason, data } => (Status::Success, id.clone(), reason, data.as_slice()),
            // A failed update or delete keeps the id of the resource.
            Self::Failure { reason } => {
                let kept =
                    target.physical_resource_id.clone().filter(|_| *request_type != RequestType::Create);
                (Status::Failed, kept.unwrap_or_else(|| NOT_CREATED.into()), reason, &[][..])
            }
        };
        let mut max_text = MAX_RESPONSE_BYTES;
        loop {
            let mut body = CloudFormationCustomResourceResponse::default();
            body.status = status.clone();
            body.reason = Some(truncated(reason, max_text));
            body.physical_resource_id = id.clone();
            body.stack_id = target.stack_id.clone();
            body.request_id = target.request_id.clone();
            body.logical_resource_id = target.logical_resource_id.clone();
            body.no_echo = false;
            body.data = data
                .iter()
                .map(|(name, text)| ((*name).to_owned(), truncated(text, max_text)))
                .collect::<HashMap<_, _>>();
            let text = serde_json::to_string(&body).expect("a response is JSON");
            if text.len() <= MAX_RESPONSE_BYTES || max_text < 16 {
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

    fn request(request_type: &str) -> Value {
        json!({
            "RequestType": request_type, "ServiceToken": "arn:aws:lambda:eu-west-1:1:function:f", "RequestId": "r",
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
    fn requests_are_parsed_as_cloudformation_sends_them() {
        let mut create = request("Create");
        for more in ["PhysicalResourceId", "OldResourceProperties"] {
            create.as_object_mut().unwrap().remove(more);
        }
        let create = parse(&create);
        assert_eq!(create.request_type, RequestType::Create);
        assert_eq!(create.properties["IndexPrefix"], "shop");
        assert_eq!(create.target.physical_resource_id, None);
        let update = parse(&request("Update"));
        assert!(matches!(&update.request_type, RequestType::Update(old) if old["CredentialRevision"] == "1"));
        assert_eq!(parse(&request("Delete")).request_type, RequestType::Delete);
    }

    #[test]
    fn an_invalid_request_still_says_where_its_response_goes() {
        let mut odd = request("Replace");
        let invalid = |payload: &[u8]| ResourceRequest::parse(payload).err().unwrap();
        let error = invalid(odd.to_string().as_bytes());
        assert!(error.to_string().contains("Replace"), "{error}");
        assert!(!format!("{error:?}").contains("signature"), "{error:?}");
        assert_eq!(error.target.unwrap().response_url, "https://s3.example.com/x?signature=secret");
        odd.as_object_mut().unwrap().remove("ResponseURL");
        assert!(invalid(odd.to_string().as_bytes()).target.is_none());
        assert!(invalid(b"not json").target.is_none());
    }

    #[test]
    fn a_response_repeats_the_ids_of_its_request() {
        let update = parse(&request("Update"));
        let failure = ResourceResponse::Failure { reason: "no".into() };
        let body: Value = serde_json::from_str(&failure.body(&update.request_type, &update.target)).unwrap();
        assert_eq!(
            body,
            json!({"Status": "FAILED", "Reason": "no", "PhysicalResourceId": "kafka-to-search/shop", "StackId": "s",
                "RequestId": "r", "LogicalResourceId": "Cluster", "NoEcho": false, "Data": {}})
        );
        let success = ResourceResponse::Success {
            id: physical_id("new"),
            reason: "done".into(),
            data: vec![("Engine", "OpenSearch".into())],
        };
        let body: Value = serde_json::from_str(&success.body(&update.request_type, &update.target)).unwrap();
        assert_eq!(body["Status"], "SUCCESS");
        assert_eq!(body["PhysicalResourceId"], "kafka-to-search/new");
        assert_eq!(body["Data"], json!({"Engine": "OpenSearch"}));
    }

    #[test]
    fn the_id_of_a_failed_create_deletes_nothing() {
        let create = parse(&request("Create"));
        let failure = ResourceResponse::Failure { reason: "no".into() };
        let body: Value = serde_json::from_str(&failure.body(&RequestType::Create, &create.target)).unwrap();
        let id = body["PhysicalResourceId"].as_str();
        assert!(!was_created(id), "{id:?}");
        assert!(was_created(Some(&physical_id("shop"))));
        // CloudFormation's own id, for a create that it never got a response to.
        assert!(!was_created(Some("stack-Cluster-1ABCDEF")) && !was_created(None));
    }

    #[test]
    fn a_response_is_never_larger_than_cloudformation_accepts() {
        let update = parse(&request("Update"));
        for letter in ["a", "é", "\"", "\n", "\u{1}"] {
            let reason = letter.repeat(5_000);
            let failure = ResourceResponse::Failure { reason: reason.clone() };
            let body = failure.body(&update.request_type, &update.target);
            assert!(
                body.len() <= MAX_RESPONSE_BYTES && body.len() > MAX_RESPONSE_BYTES / 2,
                "{}",
                body.len()
            );
            let data = vec![("NotApplied", reason.clone()), ("Applied", "5".into())];
            let success = ResourceResponse::Success { id: physical_id("shop"), reason, data };
            let body = success.body(&update.request_type, &update.target);
            assert!(body.len() <= MAX_RESPONSE_BYTES, "{}", body.len());
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["Data"]["Applied"], "5");
        }
    }
}
