//! What AWS would have to allow: the requests that a function signed with its role's credentials. They are kept in
//! `tests/fixtures/requests`, where `infra/tests/test_policies.py` compares them with the policies of the template.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::aws_services::AwsServices;
use crate::http_server::ReceivedRequest;

/// ARN of the secret with [`CA_CERTIFICATE`], for `SEARCH_CA_CERT`.
pub const CA_SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ca-AbCdEf";
/// A certificate authority that signed nothing: its key is kept nowhere.
pub const CA_CERTIFICATE: &str = include_str!("../../fixtures/ca.pem");
/// ARN of the secret with a registry's credentials, for `SCHEMA_REGISTRY_SECRET_ID`.
const REGISTRY_SECRET: &str =
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:function-registry-AbCdEf";
/// ARN of the secret with the cluster's credentials, for `SEARCH_SECRET_ID`.
const SEARCH_SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:search-AbCdEf";
/// Rules whose hashes need [`SALT_SECRETS`], for `PIPELINE_FILE`.
const SALTED_PIPELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/requests/pipeline.yaml");
/// ARNs of the secrets with the salts of [`SALTED_PIPELINE`].
const SALT_SECRETS: [&str; 2] = [
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:salt-AbCdEf",
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tenants/salt-GhIjKl",
];
/// A value in Glue's frame (3, 0 for "not compressed", 16 bytes of the schema version's id) of the schema that
/// [`AwsServices`](crate::aws_services::AwsServices) has: a record whose only field is the string "x".
pub const GLUE_VALUE: &str = "\u{3}\0schema-version-1\u{2}x";

/// The runs whose requests are kept: their names, and the variables that make the function ask AWS for more or sign more.
pub const RUNS: [(&str, &[(&str, &str)]); 7] = [
    ("domain", &[("SEARCH_DOMAIN", "events"), ("SEARCH_AUTH", "sigv4")]),
    ("endpoint", &[("SEARCH_AUTH", "sigv4")]),
    ("secret", &[("SEARCH_AUTH", "basic"), ("SEARCH_SECRET_ID", SEARCH_SECRET)]),
    (
        "secret, CA secret",
        &[("SEARCH_AUTH", "basic"), ("SEARCH_SECRET_ID", SEARCH_SECRET), ("SEARCH_CA_CERT", CA_SECRET)],
    ),
    ("salts", &[("PIPELINE_FILE", SALTED_PIPELINE)]),
    ("Glue", &[("SCHEMA_REGISTRY_AUTH", "glue")]),
    (
        "registry secret, CA secret",
        &[
            ("SCHEMA_REGISTRY_AUTH", "basic"),
            ("SCHEMA_REGISTRY_SECRET_ID", REGISTRY_SECRET),
            ("SCHEMA_REGISTRY_CA_CERT", CA_SECRET),
        ],
    ),
];

/// Services that have what the [`RUNS`] ask for: a domain at `cluster`, and the secrets.
#[must_use]
pub fn services(cluster: &str) -> AwsServices {
    let credentials = json!({"username": "u", "password": "p"}).to_string();
    let mut services = AwsServices::default();
    services.domains.insert("events".into(), cluster.into());
    services.secrets.insert(SEARCH_SECRET.into(), credentials.clone());
    services.secrets.insert(REGISTRY_SECRET.into(), credentials);
    services.secrets.insert(CA_SECRET.into(), CA_CERTIFICATE.into());
    services.secrets.extend(SALT_SECRETS.map(|id| (id.into(), "the salt of a test".into())));
    services
}

/// All variables of a run: its own, and where the cluster, AWS and the registry are.
#[must_use]
pub fn variables<'v>(
    own: &'v [(&'v str, &'v str)],
    cluster: &'v str,
    services: &'v str,
) -> Vec<(&'v str, &'v str)> {
    let has = |wanted: &str| own.iter().any(|(name, _)| *name == wanted);
    let mut all = own.to_vec();
    all.extend([("AWS_ENDPOINT_URL", services), ("BULK_COMPRESSION", "none")]);
    all.extend((!has("SEARCH_DOMAIN")).then_some(("SEARCH_ENDPOINT", cluster)));
    all.extend(has("SCHEMA_REGISTRY_AUTH").then_some(("SCHEMA_REGISTRY_URL", services)));
    all
}

/// Returns the signed requests, each once and in the order of text: the service that the signature names, and
///
/// - for an API that is called by its name, the operation and its resource, or `-` if it names none: `secretsmanager GetSecretValue arn:…`
/// - else method and path, with the query for S3: `es POST /_bulk`, `s3 GET /bucket/?list-type=2&prefix=aws/`.
#[must_use]
pub fn signed<'r>(requests: impl IntoIterator<Item = &'r ReceivedRequest>) -> BTreeSet<String> {
    requests.into_iter().filter_map(line).collect()
}

fn line(request: &ReceivedRequest) -> Option<String> {
    let service = signing_service(request.header("authorization")?)?;
    if let Some(target) = request.header("x-amz-target") {
        let operation = target.rsplit('.').next().unwrap_or_default();
        let body = request.json();
        let resource = body.get("SecretId").and_then(Value::as_str).unwrap_or("-");
        return Some(format!("{service} {operation} {resource}"));
    }
    let path = if service == "s3" { request.path_and_query() } else { request.path() };
    Some(format!("{service} {} /{path}", request.head.method))
}

/// Returns the service of a signature: `AWS4-HMAC-SHA256 Credential=key/date/region/SERVICE/aws4_request, …`.
fn signing_service(authorization: &str) -> Option<&str> {
    let scope = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?.split("Credential=").nth(1)?;
    scope.split(',').next()?.split('/').nth(3)
}

/// Asserts that a function's requests, by the name of the run that made them, are those that its file keeps.
/// `UPDATE_REQUESTS=1` writes the file again: read the difference before you commit it, and run `make test-policies`.
///
/// # Errors
/// When the file can't be read or written.
///
/// # Panics
/// When they differ.
#[track_caller]
pub fn assert_kept(function: &str, runs: &BTreeMap<&str, BTreeSet<String>>) -> std::io::Result<()> {
    let path = file(function);
    let mut now = serde_json::to_string_pretty(&json!(runs))?;
    now.push('\n');
    if std::env::var_os("UPDATE_REQUESTS").is_some() {
        std::fs::write(&path, &now)?;
    }
    let kept = std::fs::read_to_string(&path)?;
    assert_eq!(now, kept, "write them again with UPDATE_REQUESTS=1, and run `make test-policies`");
    Ok(())
}

fn file(function: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/requests").join(format!("{function}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> ReceivedRequest {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        ReceivedRequest { head, body: body.to_owned().into() }
    }

    #[test]
    fn signed_requests_are_kept_once_by_the_service_of_their_signature() {
        let signature = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=A/20260101/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
            )
        };
        let (es, s3, secrets) = (signature("es"), signature("s3"), signature("secretsmanager"));
        let requests = [
            request("POST", "/_bulk?filter_path=a", &[("authorization", &es)], ""),
            request("POST", "/_bulk", &[("authorization", &es)], ""),
            request("POST", "/_search", &[("authorization", "Basic YTpi")], ""),
            request("GET", "/b/?list-type=2&prefix=aws%2F", &[("authorization", &s3)], ""),
            request(
                "POST",
                "/",
                &[("authorization", &secrets), ("x-amz-target", "secretsmanager.GetSecretValue")],
                r#"{"SecretId":"arn:x"}"#,
            ),
        ];
        let lines: Vec<_> = signed(&requests).into_iter().collect();
        assert_eq!(
            lines,
            ["es POST /_bulk", "s3 GET /b/?list-type=2&prefix=aws%2F", "secretsmanager GetSecretValue arn:x"]
        );
    }
}
