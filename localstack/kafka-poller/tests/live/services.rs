//! Calls to the LocalStack that AWS_ENDPOINT_URL names.

use bytes::Bytes;
use http::Method;
use kafka_poller::aws::{Aws, Call, Response, use_ring};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::wait;

/// Calls to LocalStack.
pub(crate) struct Services {
    runtime: Runtime,
    aws: Aws,
}

impl Services {
    pub(crate) fn new() -> Self {
        use_ring();
        let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("AWS_ENDPOINT_URL names a LocalStack");
        let aws = Aws::new(Some(&endpoint), "us-east-1", |_| Some("test".to_owned())).unwrap();
        Self { runtime: Runtime::new().unwrap(), aws }
    }

    pub(crate) fn call(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Response {
        let call = Call { service, region: None, method, path, headers, body: Bytes::from(body) };
        self.runtime.block_on(self.aws.call(call)).unwrap()
    }

    pub(crate) fn sqs(&self, action: &str, body: &Value) -> Value {
        let target = format!("AmazonSQS.{action}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
        serde_json::from_slice(&self.call("sqs", Method::POST, "/", &headers, body.to_string()).body).unwrap()
    }

    /// Creates a queue. Returns its URL.
    pub(crate) fn make_queue(&self, name: &str) -> String {
        self.sqs("CreateQueue", &json!({"QueueName": name}))["QueueUrl"].as_str().unwrap().to_owned()
    }

    /// Waits for a message in a queue.
    pub(crate) fn receive(&self, queue_url: &str) -> Value {
        let mut body = None;
        wait::until("the queue has a message", || {
            let received = self.sqs("ReceiveMessage", &json!({"QueueUrl": queue_url}));
            body = received["Messages"][0]["Body"].as_str().map(str::to_owned);
            body.is_some()
        });
        serde_json::from_str(&body.unwrap()).unwrap()
    }

    /// Calls SNS. Returns its XML.
    pub(crate) fn sns(&self, form: String) -> String {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        String::from_utf8(self.call("sns", Method::POST, "/", &headers, form).body.to_vec()).unwrap()
    }

    /// Calls CloudWatch. Returns its XML.
    pub(crate) fn cloudwatch(&self, form: String) -> String {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let response = self.call("monitoring", Method::POST, "/", &headers, form);
        String::from_utf8(response.body.to_vec()).unwrap()
    }
}
