//! Confluent's API: schemas by id and by GUID, and those that they refer to by subject and version,
//! <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.

use std::collections::HashSet;

use record_formats::frame::SchemaId;
use record_formats::schema::{Reference, SchemaSource, SchemaType};
use reqwest::Method;
use search_client::client::{RequestBody, Response};
use search_client::percent::encode;
use serde::Deserialize;
use tokio::time::Instant;

use crate::client::{Client, MAX_RESPONSE, Received, shown};
use crate::fetch_error::{FetchError, RegistryError};

/// Most schemas that one schema refers to, directly or not.
const MAX_REFERENCES: usize = 200;
/// Most bytes of a schema with all that it refers to.
const MAX_TEXT: usize = 2 * MAX_RESPONSE;

#[derive(Deserialize)]
struct SchemaResponse {
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    references: Option<Vec<ReferenceResponse>>,
}

#[derive(Deserialize)]
struct ReferenceResponse {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct ErrorResponse {
    error_code: i64,
    message: Option<String>,
}

/// Fetches a schema with everything that it refers to.
pub(crate) async fn fetch(
    client: &Client,
    id: SchemaId,
    deadline: Instant,
) -> Result<SchemaSource, FetchError> {
    let path = match id {
        // An id is a Java int: a larger one is in no registry, and is not asked for.
        SchemaId::Confluent(id) if id > i32::MAX as u32 => {
            return Err(FetchError::Schema(format!("no schema can have the id {id}")));
        }
        SchemaId::Confluent(id) => format!("schemas/ids/{id}"),
        SchemaId::ConfluentGuid(_) => format!("schemas/guids/{id}"),
        SchemaId::Glue(_) => {
            return Err(FetchError::Schema(format!(
                "the schema {id} is one of Glue, and the registry that is configured is not"
            )));
        }
    };
    let what = format!("schema {id}");
    let root = get(client, &path, &what, deadline).await?;
    let schema_type = SchemaType::from_registry(root.schema_type.as_deref()).ok_or_else(|| {
        let name = root.schema_type.as_deref().unwrap_or_default();
        FetchError::Schema(format!(
            "the {what} is of the type `{}`, which is not known",
            shown(name.as_bytes())
        ))
    })?;
    let mut n_bytes = root.schema.len();
    let mut references: Vec<Reference> = Vec::new();
    let mut seen: HashSet<(String, i64)> = HashSet::new();
    let mut names: HashSet<String> = HashSet::new();
    // A JSON Schema is not needed to read its records.
    let mut wanted =
        if schema_type == SchemaType::Json { Vec::new() } else { root.references.unwrap_or_default() };
    while let Some(reference) = wanted.pop() {
        let is_new = seen.insert((reference.subject.clone(), reference.version));
        // The same schema may be referred to by two names; its own references are followed once.
        if !names.insert(reference.name.clone()) {
            continue;
        }
        if references.len() == MAX_REFERENCES {
            return Err(FetchError::Schema(format!(
                "the {what} refers to more than {MAX_REFERENCES} schemas"
            )));
        }
        let ReferenceResponse { name, subject, version } = reference;
        let path = format!("subjects/{}/versions/{version}", encode(&subject));
        let what_it_names = format!("schema `{subject}` version {version}, which {what} refers to,");
        let found = get(client, &path, &what_it_names, deadline).await?;
        n_bytes += found.schema.len();
        if n_bytes > MAX_TEXT {
            return Err(FetchError::Schema(format!(
                "the {what} has more than {MAX_TEXT} bytes with what it refers to"
            )));
        }
        references.push(Reference { name, text: found.schema });
        if is_new {
            wanted.extend(found.references.unwrap_or_default());
        }
    }
    Ok(SchemaSource { schema_type, text: root.schema, references })
}

async fn get(
    client: &Client,
    path: &str,
    what: &str,
    deadline: Instant,
) -> Result<SchemaResponse, FetchError> {
    let send =
        |timeout| client.http.request_at_most(Method::GET, path, RequestBody::None, timeout, MAX_RESPONSE);
    let response = client.request(deadline, &[404], send).await?;
    match response {
        Received::Found(body) => serde_json::from_slice(&body)
            .map_err(|error| RegistryError::Response(format!("{error} in `{}`", shown(&body))).into()),
        Received::TooLarge => {
            Err(FetchError::Schema(format!("the {what} is longer than {MAX_RESPONSE} bytes")))
        }
        Received::Refused(response) => Err(not_found(client, &response, what, deadline).await),
    }
}

/// What a 404 means. The API's own names its code; any other may come from a wrong URL, unless the API is there.
async fn not_found(client: &Client, response: &Response, what: &str, deadline: Instant) -> FetchError {
    if let Ok(error) = serde_json::from_slice::<ErrorResponse>(&response.body)
        && error.error_code / 100 == 404
    {
        let message = error.message.unwrap_or_default();
        return FetchError::Schema(format!("the registry has no {what} ({})", shown(message.as_bytes())));
    }
    let send = |timeout| {
        client.http.request_at_most(Method::GET, "subjects?limit=1", RequestBody::None, timeout, MAX_RESPONSE)
    };
    let is_api = match client.request(deadline, &[], send).await {
        Ok(Received::Found(body)) => serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(&body).is_ok(),
        // Only the beginning of a list was read, by a registry that knows no `limit`.
        Ok(Received::TooLarge) => true,
        Ok(Received::Refused(_)) | Err(RegistryError::Status { .. } | RegistryError::Response(_)) => false,
        Err(error) => return error.into(),
    };
    if is_api {
        return FetchError::Schema(format!("the registry has no {what}"));
    }
    RegistryError::Status { status: response.status, reason: shown(&response.body) }.into()
}
