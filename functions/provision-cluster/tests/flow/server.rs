//! An HTTP server that responds by a script.

use serde_json::Value;
use testing::http_server::{HttpServer, ReceivedRequest, json_response, silence};

/// What a script does with a request.
pub(crate) enum ScriptedResponse {
    /// Responds with a status and a JSON body.
    Json(u16, Value),
    /// Never responds.
    Hang,
}

/// Starts a server that responds to each request as `script` returns.
pub(crate) async fn start(
    script: impl Fn(&ReceivedRequest) -> ScriptedResponse + Send + Sync + 'static,
) -> HttpServer {
    let server = HttpServer::start(move |request| {
        let response = script(&request);
        async move {
            match response {
                ScriptedResponse::Hang => silence().await,
                ScriptedResponse::Json(status, body) => json_response(status, &body),
            }
        }
    });
    server.await.unwrap()
}
