//! Fetches schemas from a registry with Confluent's API, as Lambda's poller does.
//!
//! The functions have a client of their own (`schema-registry`). It is another program's, with other rules: the poller waits for its
//! registry without limit, where a function has a deadline and returns its records; it fetches what JSON Schemas refer to, because it
//! validates by them; it takes a client certificate; and it rejects a record only for the registry's own codes, as Lambda does.
//!
//! The API: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>. The access configurations are those of
//! <https://docs.aws.amazon.com/lambda/latest/api/API_KafkaSchemaRegistryAccessConfig.html>.

use std::collections::VecDeque;
use std::time::Duration;

use record_formats::schema::{Reference, SchemaSource, SchemaType};
use reqwest::{Certificate, Client, Identity, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::aws::Aws;
use crate::causes::with_causes;
use crate::percent::encode;
use crate::registry_config::RegistryConfig;
use crate::secret::{Access, Login, Secret, SecretError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest response that is read.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// The most schemas that one may refer to, with theirs.
const MAX_REFERENCES: usize = 500;
/// The registry's codes for "there is no such subject, version or schema".
const NOT_FOUND_CODES: [i64; 3] = [40401, 40402, 40403];

/// A registry, and how to log in to it.
pub struct Registry {
    http: Client,
    url: String,
    login: Option<Login>,
}

/// Why a registry can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The kind of access is not supported.
    #[error("access `{kind}` to the schema registry is not supported by this poller")]
    Kind {
        /// As the mapping names it.
        kind: String,
    },
    /// A secret can't be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The key of the client's certificate has a password.
    #[error(
        "the private key in secret {secret_id} has a password, which this poller can't use: keep it there without one"
    )]
    EncryptedKey {
        /// The secret.
        secret_id: String,
    },
    /// A certificate can't be used.
    #[error("the certificate or key in secret {secret_id} can't be used")]
    Certificate {
        /// The secret.
        secret_id: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The HTTP client could not be made.
    #[error("the client of the schema registry could not be made")]
    Client(#[source] reqwest::Error),
}

/// Why a schema was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The registry does not have it, or something that it refers to.
    #[error("{0}")]
    NotFound(String),
    /// It is no schema that records can be read by.
    #[error("{0}")]
    Unusable(String),
    /// The registry did not respond as one: it is asked again.
    #[error("{0}")]
    Unavailable(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisteredSchema {
    schema: String,
    schema_type: Option<String>,
    references: Option<Vec<RegisteredReference>>,
}

#[derive(Deserialize)]
struct RegisteredReference {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct ErrorBody {
    error_code: i64,
    #[serde(default)]
    message: String,
}

impl Registry {
    /// Makes a client with the secrets that the mapping names.
    ///
    /// # Errors
    /// When a kind of access is not supported, or its secret can't be used.
    pub async fn connect(aws: &Aws, config: &RegistryConfig) -> Result<Self, RegistryError> {
        let mut http = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT);
        let mut login = None;
        for Access { kind, uri } in &config.access {
            let unusable = |source| RegistryError::Certificate { secret_id: uri.clone(), source };
            match kind.as_str() {
                "BASIC_AUTH" => login = Some(Secret::read(aws, uri).await?.login()?),
                "SERVER_ROOT_CA_CERTIFICATE" => {
                    let pem = Secret::read(aws, uri).await?.certificate()?.certificate;
                    let authorities = Certificate::from_pem_bundle(pem.as_bytes()).map_err(unusable)?;
                    http = http.tls_certs_only(authorities);
                }
                "CLIENT_CERTIFICATE_TLS_AUTH" => {
                    let client = Secret::read(aws, uri).await?.client_certificate()?;
                    if client.private_key_password.is_some() {
                        return Err(RegistryError::EncryptedKey { secret_id: uri.clone() });
                    }
                    let pem = format!("{}\n{}", client.private_key, client.certificate);
                    http = http.identity(Identity::from_pem(pem.as_bytes()).map_err(unusable)?);
                }
                _ => return Err(RegistryError::Kind { kind: kind.clone() }),
            }
        }
        let http = http.build().map_err(RegistryError::Client)?;
        Ok(Self { http, url: config.url.trim_end_matches('/').to_owned(), login })
    }

    /// Fetches a schema with everything that it refers to.
    ///
    /// # Errors
    /// [`FetchError`] says whether to ask again.
    pub async fn fetch(&self, id: u32) -> Result<SchemaSource, FetchError> {
        if i32::try_from(id).is_err() {
            // Registries have Java's integers, and some respond to a larger one as to a wrong path.
            return Err(FetchError::NotFound(format!("no schema has an id above {}", i32::MAX)));
        }
        let schema: RegisteredSchema = self.get(&format!("/schemas/ids/{id}")).await?;
        let schema_type = SchemaType::from_registry(schema.schema_type.as_deref()).ok_or_else(|| {
            let name = schema.schema_type.unwrap_or_default();
            FetchError::Unusable(format!("a schema of the type {name} is none of AVRO, PROTOBUF and JSON"))
        })?;
        let references = self.references(schema.references.unwrap_or_default()).await?;
        Ok(SchemaSource { schema_type, text: schema.schema, references })
    }

    async fn references(&self, wanted: Vec<RegisteredReference>) -> Result<Vec<Reference>, FetchError> {
        let mut wanted = VecDeque::from(wanted);
        let mut fetched: Vec<Reference> = Vec::new();
        while let Some(RegisteredReference { name, subject, version }) = wanted.pop_front() {
            if fetched.iter().any(|reference| reference.name == name) {
                continue;
            }
            if fetched.len() == MAX_REFERENCES {
                return Err(FetchError::Unusable(format!(
                    "the schema refers to more than {MAX_REFERENCES} others"
                )));
            }
            let path = format!("/subjects/{}/versions/{version}", encode(&subject));
            let schema: RegisteredSchema = self.get(&path).await?;
            fetched.push(Reference { name, text: schema.schema });
            wanted.extend(schema.references.unwrap_or_default());
        }
        Ok(fetched)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, FetchError> {
        let unavailable = |error: &reqwest::Error| FetchError::Unavailable(with_causes(error));
        let mut request = self.http.get(format!("{}{path}", self.url)).header("accept", "application/json");
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.username, Some(&login.password));
        }
        let response = request.send().await.map_err(|error| unavailable(&error))?;
        let status = response.status();
        let body = body(response).await.map_err(|error| unavailable(&error))?;
        let body = body
            .ok_or_else(|| FetchError::Unusable(format!("GET {path} returned more than {MAX_BODY} bytes")))?;
        if status.is_success() {
            let not_json = |error| FetchError::Unavailable(format!("GET {path} returned no schema: {error}"));
            return serde_json::from_slice(&body).map_err(not_json);
        }
        Err(refused(path, status, &body))
    }
}

/// What an error response means. A 404 without one of the registry's own codes is not about a schema: the URL may be wrong.
fn refused(path: &str, status: StatusCode, body: &[u8]) -> FetchError {
    let error: Option<ErrorBody> = serde_json::from_slice(body).ok();
    match error {
        Some(ErrorBody { error_code, message })
            if status == StatusCode::NOT_FOUND && NOT_FOUND_CODES.contains(&error_code) =>
        {
            FetchError::NotFound(format!("GET {path} returned {error_code}: {message}"))
        }
        Some(ErrorBody { error_code, message }) => {
            FetchError::Unavailable(format!("GET {path} returned {status}, {error_code}: {message}"))
        }
        None => FetchError::Unavailable(format!("GET {path} returned {status}")),
    }
}

/// Reads a response; `None` if it is too large.
async fn body(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BODY {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, body: &str) -> (char, String) {
        let error = refused("/schemas/ids/7", StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let kind = match error {
            FetchError::NotFound(_) => 'n',
            FetchError::Unusable(_) => 'u',
            FetchError::Unavailable(_) => 'a',
        };
        (kind, error.to_string())
    }

    #[test]
    fn only_the_registrys_own_code_says_that_a_schema_does_not_exist() {
        let (kind, error) = meaning(404, r#"{"error_code":40403,"message":"Schema 7 not found"}"#);
        assert_eq!((kind, error.as_str()), ('n', "GET /schemas/ids/7 returned 40403: Schema 7 not found"));
        assert_eq!(meaning(404, r#"{"error_code":40401,"message":"Subject"}"#).0, 'n');
        for (status, body) in [
            (404, "<html>"),
            (404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#),
            (401, r#"{"error_code":401,"message":"Unauthorized"}"#),
            (403, ""),
            (429, ""),
            (500, r#"{"error_code":50001,"message":"Error in the backend"}"#),
            (502, "bad gateway"),
        ] {
            assert_eq!(meaning(status, body).0, 'a', "{status} {body}");
        }
    }
}
