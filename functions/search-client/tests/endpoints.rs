//! A client with several endpoints, some of which fail: where its requests go.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use search_client::auth::Auth;
use search_client::backoff::Backoff;
use search_client::client::{BulkCompression, ClientOptions, RequestBody, Response, SearchClient};
use search_client::endpoints::Endpoints;
use search_client::retry::{Attempt, AttemptTimeout, Attempted, LastWait, RetryPolicy, SendErrors, Statuses};
use serde_json::Value;
use testing::http_server::{HttpServer, json_response, silence};
use tokio::net::TcpListener;
use tokio::time::Instant;

const RETRIES: RetryPolicy = RetryPolicy {
    statuses: Statuses::UNAVAILABLE,
    send_errors: SendErrors::All,
    max_attempts: u32::MAX,
    max_total: Duration::MAX,
    attempt_timeout: AttemptTimeout { divisor: 2, min: Duration::ZERO, max: Duration::MAX },
    backoff: Backoff { base: Duration::from_millis(10), ..Backoff::DEFAULT },
    last_wait: LastWait::GiveUp,
};

/// A node that responds with a status that can change.
async fn node() -> (HttpServer, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let shown = Arc::clone(&status);
    let respond = move |_| {
        let status = shown.load(Ordering::Relaxed);
        async move { json_response(status, &Value::Null) }
    };
    (HttpServer::start(respond).await.unwrap(), status)
}

fn client(endpoints: &[&str]) -> SearchClient {
    SearchClient::new(ClientOptions {
        endpoints: Endpoints::parse(&endpoints.join(",")).unwrap(),
        auth: Auth::None,
        credentials: None,
        ca_certificate: None,
        compression: BulkCompression::None,
    })
    .unwrap()
}

/// Sends a bulk request until it succeeds, within a time. Returns the number of attempts, or the last status, 0 for none.
async fn send(client: &SearchClient, time: Duration) -> Result<u32, u16> {
    let attempt = async |attempt: Attempt| {
        let body = RequestBody::Ndjson(Bytes::from_static(b"{}\n"));
        match client.request(Method::POST, "_bulk", body, attempt.timeout).await {
            Ok(Response { status: 200, .. }) => Attempted::Done(attempt.number),
            Ok(Response { status, .. }) if RETRIES.retries_status(status) => Attempted::Retry(status),
            Ok(Response { status, .. }) => Attempted::GiveUp(status),
            Err(error) if RETRIES.retries_send_error(&error) => Attempted::Retry(0),
            Err(_) => Attempted::GiveUp(0),
        }
    };
    RETRIES.run(Instant::now() + time, attempt, |_, _| {}).await
}

/// How many requests of each kind a node got since the last call.
fn lines(node: &HttpServer) -> (usize, usize) {
    let lines: Vec<_> =
        node.take_requests().iter().map(testing::http_server::ReceivedRequest::line).collect();
    let n = |line: &str| lines.iter().filter(|it| *it == line).count();
    (n("POST _bulk"), n("GET "))
}

/// The address of a node that is not there.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn requests_are_spread_over_all_endpoints() {
    let nodes = [node().await.0, node().await.0, node().await.0];
    let client = client(&nodes.each_ref().map(HttpServer::endpoint));
    for _ in 0..9 {
        assert_eq!(send(&client, LONG).await, Ok(1));
    }
    assert_eq!(nodes.each_ref().map(lines), [(3, 0); 3]);
}

#[tokio::test]
async fn a_dead_endpoint_costs_one_attempt_and_is_left() {
    let (alive, _) = node().await;
    let client = client(&[&nowhere().await, alive.endpoint(), &nowhere().await]);
    let mut n_attempts = 0;
    for _ in 0..12 {
        n_attempts += send(&client, LONG).await.unwrap();
    }
    assert_eq!(n_attempts, 12 + 2);
    assert_eq!(lines(&alive), (12, 0));
}

#[tokio::test]
async fn an_endpoint_that_turns_requests_away_is_left_and_used_again_once_a_check_succeeds() {
    for status in [502, 503, 504] {
        let ((first, first_status), (second, _)) = (node().await, node().await);
        let client = client(&[first.endpoint(), second.endpoint()]);
        first_status.store(status, Ordering::Relaxed);
        for _ in 0..4 {
            send(&client, LONG).await.unwrap();
        }
        assert_eq!((lines(&first), lines(&second)), ((1, 0), (4, 0)), "{status}");
        // A check that fails costs no attempt.
        let until_check = async || {
            loop {
                assert_eq!(send(&client, LONG).await, Ok(1));
                let (n_bulk, n_checks) = lines(&first);
                if n_checks > 0 {
                    return n_bulk;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(until_check().await, 0, "{status}");
        first_status.store(200, Ordering::Relaxed);
        assert_eq!(until_check().await, 1, "{status}");
        lines(&second);
        for _ in 0..4 {
            assert_eq!(send(&client, LONG).await, Ok(1));
        }
        assert_eq!((lines(&first), lines(&second)), ((2, 0), (2, 0)), "{status}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_silent_costs_one_timeout() {
    let (alive, _) = node().await;
    let silent = HttpServer::start(|_| silence()).await.unwrap();
    let client = client(&[silent.endpoint(), alive.endpoint()]);
    for _ in 0..4 {
        send(&client, Duration::from_secs(4)).await.unwrap();
    }
    assert_eq!((lines(&silent), lines(&alive)), ((1, 0), (4, 0)));
}

#[tokio::test]
async fn a_busy_or_refusing_endpoint_is_not_left() {
    let ((first, first_status), (second, second_status)) = (node().await, node().await);
    let client = client(&[first.endpoint(), second.endpoint()]);
    for status in [429, 400, 401, 404, 413, 500] {
        first_status.store(status, Ordering::Relaxed);
        second_status.store(status, Ordering::Relaxed);
        for _ in 0..4 {
            let request = client.request(Method::POST, "_bulk", RequestBody::None, LONG);
            assert_eq!(request.await.unwrap().status, status);
        }
        assert_eq!((lines(&first), lines(&second)), ((2, 0), (2, 0)), "{status}");
    }
}

#[tokio::test]
async fn requests_still_try_endpoints_that_have_all_failed() {
    let ((first, first_status), (second, second_status)) = (node().await, node().await);
    let client = client(&[first.endpoint(), second.endpoint()]);
    first_status.store(503, Ordering::Relaxed);
    second_status.store(503, Ordering::Relaxed);
    assert_eq!(send(&client, Duration::from_millis(100)).await, Err(503));
    let ((first_bulk, _), (second_bulk, _)) = (lines(&first), lines(&second));
    assert!(first_bulk > 0 && second_bulk > 0, "{first_bulk} {second_bulk}");
    first_status.store(200, Ordering::Relaxed);
    assert!(send(&client, LONG).await.is_ok());
    assert_eq!(send(&client, LONG).await, Ok(1));
}

#[tokio::test]
async fn the_only_endpoint_is_never_checked_or_left() {
    let (only, status) = node().await;
    let client = client(&[only.endpoint()]);
    status.store(503, Ordering::Relaxed);
    for _ in 0..5 {
        client.request(Method::POST, "_bulk", RequestBody::None, LONG).await.unwrap();
    }
    assert_eq!(lines(&only), (5, 0));
}
