//! The AWS services that a function calls, as a stand-in that only serves to record the calls: Secrets Manager, the search for a
//! domain of OpenSearch Service, schemas of Glue, S3, and what Lambda and MSK say of mappings and brokers. The real calls are made to
//! LocalStack by the live tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use crate::http_server::{HttpServer, ReceivedRequest, json_response};
use crate::percent::decode;

/// What the services hold.
#[derive(Debug, Default)]
pub struct AwsServices {
    /// Texts of secrets, by id.
    pub secrets: BTreeMap<String, String>,
    /// URLs of domains, by name.
    pub domains: BTreeMap<String, String>,
    /// Responses in JSON to GET requests, by path, as of Lambda and MSK.
    pub json: BTreeMap<String, Value>,
    /// Objects of all buckets, by bucket and key as in a path: `bucket/key`.
    pub objects: BTreeMap<String, String>,
}

impl AwsServices {
    /// Starts a server with all of them, for `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(self) -> std::io::Result<HttpServer> {
        let services = Arc::new(Mutex::new(self));
        HttpServer::start(move |request| {
            let response = services.lock().unwrap_or_else(PoisonError::into_inner).respond(&request);
            async move { response }
        })
        .await
    }

    fn respond(&mut self, request: &ReceivedRequest) -> Response<Bytes> {
        if let Some(target) = request.header("x-amz-target") {
            let operation = target.rsplit('.').next().unwrap_or_default();
            if target.starts_with("AWSGlue.") {
                return glue(operation);
            }
            return self.secrets_manager(operation, &request.json());
        }
        if let Some(response) = self.json.get(request.path()) {
            return json_response(200, response);
        }
        match request.path().strip_prefix("2021-01-01/opensearch/domain/") {
            Some(name) => match self.domains.get(name) {
                Some(endpoint) => json_response(
                    200,
                    &json!({"DomainStatus": {
                    "DomainId": format!("123456789012/{name}"), "DomainName": name, "Endpoint": endpoint,
                    "ARN": format!("arn:aws:es:eu-central-1:123456789012:domain/{name}"), "ClusterConfig": {}}}),
                ),
                None => json_response(409, &json!({"message": "no such domain"})),
            },
            None => self.s3(request),
        }
    }

    fn secrets_manager(&mut self, operation: &str, body: &Value) -> Response<Bytes> {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = text("SecretId");
        match operation {
            "GetSecretValue" => match self.secrets.get(&id) {
                Some(text) => json_response(200, &json!({"ARN": id, "SecretString": text})),
                None => json_response(400, &json!({"__type": "ResourceNotFoundException"})),
            },
            "PutSecretValue" => {
                self.secrets.insert(id.clone(), text("SecretString"));
                json_response(200, &json!({"ARN": id}))
            }
            _ => json_response(400, &json!({"__type": "UnknownOperationException"})),
        }
    }

    fn s3(&mut self, request: &ReceivedRequest) -> Response<Bytes> {
        let path = request.path();
        let query = request.head.uri.query().unwrap_or_default();
        let text = match (request.head.method.as_str(), query.contains("list-type=2")) {
            ("GET", true) => {
                let start =
                    |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)).map(text_of);
                let (prefix, after) =
                    (start("prefix=").unwrap_or_default(), start("start-after=").unwrap_or_default());
                let keys = self.objects.keys().filter_map(|object| object.strip_prefix(path));
                let keys = keys.map(|key| key.trim_start_matches('/'));
                let keys = keys.filter(|key| key.starts_with(&prefix) && **key > *after);
                let keys: String = keys.map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
                Some(format!("<ListBucketResult>{keys}</ListBucketResult>"))
            }
            ("GET", false) => self.objects.get(path).cloned(),
            _ => self.objects.remove(path).map(|_| String::new()),
        };
        let mut response = Response::new(Bytes::from(text.clone().unwrap_or_default()));
        if text.is_none() {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        }
        response
    }
}

fn glue(operation: &str) -> Response<Bytes> {
    match operation {
        "GetSchemaVersion" => {
            let schema =
                json!({"type": "record", "name": "R", "fields": [{"name": "text", "type": "string"}]});
            json_response(200, &json!({"SchemaDefinition": schema.to_string(), "DataFormat": "AVRO"}))
        }
        _ => json_response(400, &json!({"__type": "UnknownOperationException"})),
    }
}

fn text_of(escaped: &str) -> String {
    String::from_utf8_lossy(&decode(escaped)).into_owned()
}
