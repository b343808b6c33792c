//! Scripts of responses, and the result of each operation.

use event_pipeline::address::{ActionLine, Address, append_create};
use event_pipeline::bulk::BulkLimits;
use event_pipeline::item_result::ItemAction;
use serde_json::json;
use testing::bulk;
use testing::script::Script;

use super::*;

/// Stands in for a cluster, with responses that a real one can't be made to give: each request gets the next step of
/// the script, and the bodies are kept.
type ScriptedCluster = Script<String, Step>;

enum Step {
    Response(u16, String),
    Silence,
    NewCredentials,
}

fn statuses(statuses: &[u16]) -> Step {
    let items = statuses.iter().map(|status| match status {
        200..300 => json!(status),
        _ => bulk::failed(*status, &format!("t{status}"), "r"),
    });
    Step::Response(200, bulk::response(items).to_string())
}

fn response(status: u16) -> Step {
    Step::Response(status, "{}".into())
}

impl BulkTransport for ScriptedCluster {
    async fn send_bulk(&self, body: Bytes, timeout: Duration) -> Result<Response, SendError> {
        match self.respond(String::from_utf8(body.to_vec()).unwrap()) {
            Step::Response(status, body) => Ok(Response { status, body: body.into() }),
            Step::Silence => {
                sleep(timeout).await;
                Err(SendError::Timeout(timeout))
            }
            Step::NewCredentials => panic!("credentials were to be renewed"),
        }
    }

    async fn renew_credentials(&self) -> Renewed {
        match self.take_if(|step| matches!(step, Step::NewCredentials)) {
            Some(_) => Renewed::Yes,
            None => Renewed::No,
        }
    }
}

const SECONDS: u64 = 30;

fn policy() -> RetryPolicy {
    RetryPolicy { backoff: Backoff { random: || 1.0, ..Backoff::DEFAULT }, ..BULK_RETRIES }
}

/// An action line for an operation whose lines are not read.
fn any_action() -> ActionLine {
    append_create(&mut Vec::new(), &Address { index: "any".into(), id: None })
}

/// Writes operations `a`, `b`, `c` … against the script; returns the bodies sent, and the result of each record.
async fn run(n_operations: usize, steps: impl Into<VecDeque<Step>>) -> (Vec<String>, Vec<String>, BulkStats) {
    let mut request = BulkRequest::default();
    for record in 0..n_operations {
        let line = [b'a' + record as u8, b'\n'];
        let write = |body: &mut Vec<u8>| {
            body.extend_from_slice(&line);
            Ok::<_, ()>(any_action())
        };
        request.push(record, BulkLimits::default(), write).unwrap();
    }
    play(request, steps).await
}

/// Writes `request` against the script.
async fn play(
    request: BulkRequest,
    steps: impl Into<VecDeque<Step>>,
) -> (Vec<String>, Vec<String>, BulkStats) {
    let script = ScriptedCluster::new(steps.into());
    let deadline = Instant::now() + Duration::from_secs(SECONDS);
    let written = write(&script, request, deadline, &policy()).await;
    assert_eq!(script.n_left(), 0, "every step of the script was used");
    assert!(Instant::now() <= deadline, "the deadline was kept");
    let mut results = written.results;
    results.sort_by_key(|(record, _)| *record);
    let outcomes = results.into_iter().map(|(record, result)| {
        let what = match result {
            ItemResult::Indexed => "indexed".into(),
            ItemResult::Duplicate => "duplicate".into(),
            ItemResult::Deleted => "deleted".into(),
            ItemResult::NotFound => "not found".into(),
            ItemResult::Changed => "changed".into(),
            ItemResult::Rejected(error) => format!("rejected {}", error.kind),
            ItemResult::Failed(error) => format!("failed {}", error.kind),
        };
        format!("{}: {what}", (b'a' + record as u8) as char)
    });
    (script.requests(), outcomes.collect(), written.stats)
}

#[tokio::test(start_paused = true)]
async fn only_retryable_items_are_sent_again() {
    let steps = [statuses(&[201, 429, 400, 503, 409]), statuses(&[409, 201])];
    let (bodies, outcomes, stats) = run(5, steps).await;
    assert_eq!(bodies, ["a\nb\nc\nd\ne\n", "b\nd\n"]);
    assert_eq!(outcomes, ["a: indexed", "b: duplicate", "c: rejected t400", "d: indexed", "e: duplicate"]);
    assert_eq!((stats.requests, stats.retries, stats.bytes), (2, 1, 14));
}

/// Statuses of items, of which a 503 is that of a shard without a primary.
fn items(statuses: &[u16]) -> Step {
    let reason = "[microservices-2026.11.28][1] primary shard is not active Timeout: [1m]";
    let items = statuses.iter().map(|status| match status {
        503 => bulk::failed(503, "unavailable_shards_exception", reason),
        status => json!(status),
    });
    Step::Response(200, bulk::response(items).to_string())
}

#[tokio::test(start_paused = true)]
async fn items_of_a_shard_without_a_primary_wait_and_the_others_are_written_at_once() {
    let steps = [items(&[201, 503, 201, 503]), items(&[503, 503]), items(&[503, 201]), items(&[201])];
    let started = Instant::now();
    let (bodies, outcomes, stats) = run(4, steps).await;
    assert_eq!(bodies, ["a\nb\nc\nd\n", "b\nd\n", "b\nd\n", "b\n"], "the others are sent once");
    assert_eq!(outcomes, ["a: indexed", "b: indexed", "c: indexed", "d: indexed"]);
    assert_eq!((stats.requests, stats.retries), (4, 3));
    assert_eq!(started.elapsed(), Duration::from_millis(200 + 400 + 800));
}

#[tokio::test(start_paused = true)]
async fn items_whose_shard_does_not_come_back_have_failed_and_blame_no_document() {
    let steps: Vec<_> = std::iter::once(items(&[201, 503])).chain((0..8).map(|_| items(&[503]))).collect();
    let (bodies, outcomes, _) = run(2, steps).await;
    assert_eq!(outcomes, ["a: indexed", "b: failed unavailable_shards_exception"]);
    assert!(bodies.iter().skip(1).all(|body| body == "b\n"), "{bodies:?}");
}

#[tokio::test(start_paused = true)]
async fn an_item_with_a_server_error_is_retried_briefly() {
    let (bodies, outcomes, _) = run(2, [statuses(&[500, 201]), statuses(&[500]), statuses(&[500])]).await;
    assert_eq!(bodies, ["a\nb\n", "a\n", "a\n"]);
    assert_eq!(outcomes, ["a: failed t500", "b: indexed"]);
    assert_eq!(run(1, [statuses(&[500]), statuses(&[201])]).await.1, ["a: indexed"]);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_read_is_sent_again_alone() {
    let odd =
        r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":201,"error":"text"}}]}"#;
    let (bodies, outcomes, _) = run(2, [Step::Response(200, odd.into()), statuses(&[409])]).await;
    assert_eq!(bodies, ["a\nb\n", "b\n"]);
    assert_eq!(outcomes, ["a: indexed", "b: duplicate"]);
}

#[tokio::test(start_paused = true)]
async fn whole_requests_are_sent_again_until_one_gets_a_sound_response() {
    let bad = |text: &str| Step::Response(200, text.into());
    let steps = [
        response(503),
        response(429),
        Step::Silence,
        bad("<html>"),
        bad(r#"{"errors":false,"items":[{"create":{"status":201}}]}"#),
        statuses(&[201, 201]),
    ];
    let (bodies, outcomes, _) = run(2, steps).await;
    assert_eq!((bodies.len(), outcomes), (6, vec!["a: indexed".to_owned(), "b: indexed".into()]));
}

#[tokio::test(start_paused = true)]
async fn operations_that_outlast_the_deadline_have_failed() {
    let steps: VecDeque<_> = (0..9).map(|_| statuses(&[429])).collect();
    let (bodies, outcomes, _) = run(1, steps).await;
    assert_eq!((bodies.len(), outcomes), (9, vec!["a: failed t429".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_deadline() {
    let script = ScriptedCluster::new([]);
    let mut request = BulkRequest::default();
    let write_a = |body: &mut Vec<u8>| {
        body.extend_from_slice(b"a\n");
        Ok::<_, ()>(any_action())
    };
    request.push(0, BulkLimits::default(), write_a).unwrap();
    let written = write(&script, request, Instant::now(), &policy()).await;
    assert_eq!(written.results, [(0, ItemResult::Failed(out_of_time()))]);
    assert_eq!(written.stats, BulkStats::default());
}

#[tokio::test(start_paused = true)]
async fn a_request_too_large_is_halved_until_a_single_document_is_at_fault() {
    let steps = [response(413), statuses(&[201]), response(413), response(413), statuses(&[201])];
    let (bodies, outcomes, stats) = run(3, steps).await;
    assert_eq!(bodies, ["a\nb\nc\n", "a\n", "b\nc\n", "b\n", "c\n"]);
    assert_eq!(outcomes, ["a: indexed", "b: rejected document_too_large", "c: indexed"]);
    assert_eq!(stats.retries, 0);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_renewed_once() {
    let steps = [response(401), Step::NewCredentials, statuses(&[201])];
    assert_eq!(run(1, steps).await.1, ["a: indexed"]);
    let steps = [response(403), Step::NewCredentials, response(403)];
    assert_eq!(run(1, steps).await.1, ["a: failed unauthorized"]);
    assert_eq!(run(1, [response(401)]).await.1, ["a: failed unauthorized"]);
}

#[tokio::test(start_paused = true)]
async fn a_setup_fault_fails_at_once_without_a_dead_letter() {
    assert_eq!(run(2, [response(404)]).await.1, ["a: failed refused", "b: failed refused"]);
    assert_eq!(run(2, [statuses(&[403, 201])]).await.1, ["a: failed t403", "b: indexed"]);
}

#[test]
fn items_and_whole_requests_are_retried_for_the_same_statuses() {
    for status in 100..600 {
        let item = ItemResult::of(ItemAction::Create, status, "", "");
        let is_retried = item.remedy() == Some(Remedy::Retry);
        assert_eq!(BULK_RETRIES.retries_status(status), is_retried, "{status}");
    }
}
