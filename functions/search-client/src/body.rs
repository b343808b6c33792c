//! Bodies of requests: their content type and compression.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

/// Body of a request.
#[derive(Debug, Clone)]
pub enum RequestBody {
    /// No body.
    None,
    /// `application/json`.
    Json(Bytes),
    /// `application/x-ndjson`, compressed by the client's setting.
    Ndjson(Bytes),
}

/// Whether bulk bodies are compressed on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkCompression {
    /// gzip at its fastest level, which costs less time than it saves.
    Gzip,
    /// No compression.
    None,
}

impl RequestBody {
    /// Sets the body of `request`, and the headers that describe it.
    pub(crate) fn set(self, request: &mut reqwest::Request, compression: BulkCompression) {
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        match self {
            Self::None => {}
            Self::Json(text) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *request.body_mut() = Some(text.into());
            }
            Self::Ndjson(text) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
                let text = match compression {
                    BulkCompression::Gzip => {
                        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                        gzip(&text)
                    }
                    BulkCompression::None => text,
                };
                // Bytes in memory are sent with Content-Length; OpenSearch warns about chunked bulk requests.
                *request.body_mut() = Some(text.into());
            }
        }
    }
}

fn gzip(text: &[u8]) -> Bytes {
    // Events shrink to about an eighth. The buffer grows if they don't.
    let mut gzip = GzEncoder::new(Vec::with_capacity(text.len() / 6), Compression::fast());
    gzip.write_all(text).expect("compressing into memory does not fail");
    gzip.finish().expect("compressing into memory does not fail").into()
}
