//! The schemas of AWS Glue, by its JSON API,
//! <https://docs.aws.amazon.com/glue/latest/webapi/API_GetSchemaVersion.html>.

use bytes::Bytes;
use record_formats::frame::SchemaId;
use record_formats::schema::{SchemaSource, SchemaType};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use search_client::client::Response;
use serde::Deserialize;
use tokio::time::Instant;

use crate::client::{Client, MAX_RESPONSE, Received, shown};
use crate::fetch_error::{FetchError, RegistryError};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionResponse {
    schema_definition: String,
    data_format: String,
}

#[derive(Deserialize)]
struct ErrorResponse {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// Fetches a schema version. Glue's schemas refer to no others.
pub(crate) async fn fetch(
    client: &Client,
    id: SchemaId,
    deadline: Instant,
) -> Result<SchemaSource, FetchError> {
    let SchemaId::Glue(_) = id else {
        return Err(FetchError::Schema(format!(
            "the schema {id} is one of a registry with Confluent's API, and the registry that is configured is Glue"
        )));
    };
    let body = Bytes::from(format!(r#"{{"SchemaVersionId":"{id}"}}"#));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    headers.insert(
        HeaderName::from_static("x-amz-target"),
        HeaderValue::from_static("AWSGlue.GetSchemaVersion"),
    );
    let send = async |timeout| {
        let sent = client.http.request_with(Method::POST, "", headers.clone(), body.clone(), timeout).await?;
        Ok(Some(sent).filter(|response| response.body.len() <= MAX_RESPONSE))
    };
    match client.request(deadline, &[400], send).await? {
        Received::Found(body) => {
            let version: VersionResponse = serde_json::from_slice(&body)
                .map_err(|error| RegistryError::Response(format!("{error} in `{}`", shown(&body))))?;
            let schema_type = SchemaType::from_registry(Some(&version.data_format)).ok_or_else(|| {
                let name = shown(version.data_format.as_bytes());
                FetchError::Schema(format!("the schema {id} is of the type `{name}`, which is not known"))
            })?;
            Ok(SchemaSource { schema_type, text: version.schema_definition, references: Vec::new() })
        }
        Received::TooLarge => {
            Err(FetchError::Schema(format!("the schema {id} is longer than {MAX_RESPONSE} bytes")))
        }
        Received::Refused(response) => Err(refusal(&response, id)),
    }
}

/// Glue says with 400 both that there is no such schema and that the caller may not see it.
fn refusal(response: &Response, id: SchemaId) -> FetchError {
    let Ok(error) = serde_json::from_slice::<ErrorResponse>(&response.body) else {
        return RegistryError::Status { status: 400, reason: shown(&response.body) }.into();
    };
    let message = shown(error.message.unwrap_or_default().as_bytes());
    match error.kind.rsplit('#').next().unwrap_or_default() {
        "EntityNotFoundException" => FetchError::Schema(format!("Glue has no schema {id} ({message})")),
        kind @ ("AccessDeniedException" | "UnrecognizedClientException" | "ExpiredTokenException") => {
            RegistryError::Unauthorized { status: 400, reason: format!("{kind}: {message}") }.into()
        }
        kind => RegistryError::Status { status: 400, reason: format!("{kind}: {message}") }.into(),
    }
}
