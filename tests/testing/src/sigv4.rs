//! AWS Signature Version 4, computed from a request as a server receives it, to check the client's signature.
//!
//! It follows the documented steps and shares no code with what it checks:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::fmt::Write as _;

use ring::{digest, hmac};
use thiserror::Error;

use crate::http_server::ReceivedRequest;
use crate::percent;

/// A request as it was signed.
#[derive(Clone, Debug)]
pub struct SignedRequest<'r> {
    /// As sent.
    pub method: &'r str,
    /// As sent, with escapes.
    pub path: &'r str,
    /// As sent, without the question mark.
    pub query: &'r str,
    /// Names in lowercase.
    pub headers: Vec<(String, String)>,
    /// As sent, which is after compression.
    pub body: &'r [u8],
}

/// Who may sign, and for which service.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Names the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Such as `es`.
    pub service: String,
}

/// What is wrong with a signature.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// A part of the signature is missing.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// The body is not the one that was signed.
    #[error("x-amz-content-sha256 is not the hash of the body")]
    Hash,
    /// The request is signed with temporary credentials of another session, or with none.
    #[error("the session token is another one")]
    Token,
    /// A header that AWS requires in the signature is not.
    #[error("the header {0} is not signed")]
    Unsigned(String),
    /// The signature is that of another key or request.
    #[error("the signature does not match: {given} was given, {expected} is right")]
    Signature {
        /// The Authorization header of the request.
        given: String,
        /// The right one.
        expected: String,
    },
}

impl Signer {
    /// Checks a request's signature; returns what is wrong with it.
    ///
    /// # Errors
    /// When the signature is missing, incomplete or of another key.
    pub fn check(&self, request: &SignedRequest<'_>) -> Result<(), SignatureError> {
        let given = request.header("authorization").ok_or(SignatureError::Missing("authorization"))?;
        let signed_headers = given
            .split("SignedHeaders=")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .ok_or(SignatureError::Missing("SignedHeaders in authorization"))?;
        let time = request.header("x-amz-date").ok_or(SignatureError::Missing("x-amz-date"))?;
        if let Some(hash) = request.header("x-amz-content-sha256")
            && hash != hash_of(request.body)
        {
            return Err(SignatureError::Hash);
        }
        if request.header("x-amz-security-token") != self.session_token.as_deref() {
            return Err(SignatureError::Token);
        }
        for (name, _) in &request.headers {
            let must_be_signed = name == "host" || name.starts_with("x-amz-");
            if must_be_signed && !signed_headers.split(';').any(|signed| signed == name) {
                return Err(SignatureError::Unsigned(name.clone()));
            }
        }
        let expected = self.authorization(request, time, signed_headers);
        if given == expected {
            Ok(())
        } else {
            Err(SignatureError::Signature { given: given.to_owned(), expected })
        }
    }

    /// The Authorization header of a request signed at `time` (`YYYYMMDDTHHMMSSZ`).
    fn authorization(&self, request: &SignedRequest<'_>, time: &str, signed_headers: &str) -> String {
        let day = time.split('T').next().unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let canonical = canonical(request, signed_headers);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash_of(canonical.as_bytes()));
        let mut key = format!("AWS4{}", self.secret_access_key).into_bytes();
        for part in [day, &self.region, &self.service, "aws4_request", &text] {
            let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
            key = signed.as_ref().to_vec();
        }
        let (id, signature) = (&self.access_key_id, hex(&key));
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"
        )
    }
}

impl<'r> From<&'r ReceivedRequest> for SignedRequest<'r> {
    fn from(request: &'r ReceivedRequest) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = &request.head.headers;
        Self {
            method: request.head.method.as_str(),
            path: request.head.uri.path(),
            query: request.head.uri.query().unwrap_or_default(),
            headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
            body: &request.body,
        }
    }
}

impl SignedRequest<'_> {
    /// The value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn canonical(request: &SignedRequest<'_>, signed_headers: &str) -> String {
    let mut query: Vec<(String, String)> = request
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| {
            (percent::encode(&percent::decode(name), ""), percent::encode(&percent::decode(value), ""))
        })
        .collect();
    query.sort();
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in signed_headers.split(';') {
        let values: Vec<_> = request.headers.iter().filter(|(known, _)| known == name).collect();
        let values: Vec<String> =
            values.iter().map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        // Writing into a text does not fail.
        let _ = writeln!(headers, "{name}:{}", values.join(","));
    }
    format!(
        "{}\n{}\n{}\n{headers}\n{signed_headers}\n{}",
        request.method,
        // Escapes are escaped again, for all services but S3.
        percent::encode(request.path.as_bytes(), "/"),
        query.join("&"),
        hash_of(request.body)
    )
}

fn hash_of(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of AWS's test suite, which all have the same key, date, region and service.
    #[test]
    fn the_signatures_are_those_of_awss_test_suite() {
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
            region: "us-east-1".to_owned(),
            service: "service".to_owned(),
        };
        let form = ("content-type", "application/x-www-form-urlencoded");
        let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let unreserved = format!("{unreserved}={unreserved}");
        type Headers<'h> = &'h [(&'h str, &'h str)];
        let vectors: [(&str, &str, &str, Headers<'_>, &str, &str); 8] = [
            (
                "get-vanilla",
                "GET",
                "",
                &[],
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                "POST",
                "",
                &[],
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "Param2=value2&Param1=value1",
                &[],
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-query-unreserved",
                "GET",
                &unreserved,
                &[],
                "",
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            (
                "get-vanilla-utf8-query",
                "GET",
                "ሴ=bar",
                &[],
                "",
                "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ),
            (
                "get-header-value-trim",
                "GET",
                "",
                &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
                "",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "post-vanilla-query",
                "POST",
                "Param1=value1",
                &[],
                "",
                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                "",
                &[form],
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ];
        for (name, method, query, more, body, expected) in vectors {
            let time = "20150830T123600Z";
            let mut headers = vec![("host", "example.amazonaws.com"), ("x-amz-date", time)];
            headers.extend_from_slice(more);
            headers.sort_unstable();
            let signed_headers: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
            let request = SignedRequest {
                method,
                path: "/",
                query,
                headers: headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                body: body.as_bytes(),
            };
            let authorization = signer.authorization(&request, time, &signed_headers.join(";"));
            assert!(authorization.ends_with(&format!("Signature={expected}")), "{name}: {authorization}");
        }
    }
}
