//! AWS Signature Version 4 for OpenSearch Service (`es`), OpenSearch Serverless (`aoss`), S3 (`s3`) and the control planes of AWS.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use reqwest::header::{HeaderName, HeaderValue};

use crate::percent::encode;
use crate::send_error::SendError;

/// Credentials, region and service that requests are signed with.
#[derive(Clone)]
pub struct SigningKey {
    identity: Identity,
    region: String,
    service: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("region", &self.region).field("service", &self.service).finish()
    }
}

impl SigningKey {
    /// Takes a role's credentials, as Lambda sets them in the environment, and the service: `es`, `aoss` or `s3`.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        region: &str,
        service: &str,
    ) -> Self {
        let credentials = Credentials::new(
            access_key_id,
            secret_access_key,
            session_token.map(str::to_owned),
            None,
            "environment",
        );
        Self { identity: credentials.into(), region: region.to_owned(), service: service.to_owned() }
    }

    /// Signs a request and its body with the current time.
    ///
    /// # Errors
    /// [`SendError::Signing`] when a header can't be signed.
    pub fn sign(&self, request: &mut reqwest::Request) -> Result<(), SendError> {
        self.sign_at(request, SystemTime::now())
    }

    /// Returns `url`, which has a query, with a signature for a GET request in it. It is valid from `time` on, for `valid_for`.
    ///
    /// # Errors
    /// [`SendError::Signing`] when the URL can't be signed.
    pub fn presign(&self, url: &str, time: SystemTime, valid_for: Duration) -> Result<String, SendError> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(valid_for);
        let params = self.params(time, settings)?;
        let signable = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[]))
            .map_err(SendError::signing)?;
        let (instructions, _signature) = sign(signable, &params).map_err(SendError::signing)?.into_parts();
        let mut signed = url.to_owned();
        for (name, value) in instructions.params() {
            signed.push_str(&format!("&{name}={}", encode(value)));
        }
        Ok(signed)
    }

    fn params(&self, time: SystemTime, settings: SigningSettings) -> Result<SigningParams<'_>, SendError> {
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(&self.service)
            .time(time)
            .settings(settings)
            .build();
        Ok(params.map_err(SendError::signing)?.into())
    }

    fn sign_at(&self, request: &mut reqwest::Request, time: SystemTime) -> Result<(), SendError> {
        let mut settings = SigningSettings::default();
        // OpenSearch Serverless refuses requests without a header that holds the hash of their body.
        settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
        if self.service == "s3" {
            // S3 takes paths as they are: the key `a//b` is not `a/b`, and an escape is signed as it is sent.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let params = self.params(time, settings)?;
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.url().as_str(),
            headers,
            SignableBody::Bytes(body),
        )
        .map_err(SendError::signing)?;
        let (instructions, _signature) = sign(signable, &params).map_err(SendError::signing)?.into_parts();
        let signed: Vec<_> =
            instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in signed {
            let name = HeaderName::try_from(name).map_err(SendError::signing)?;
            let value = HeaderValue::try_from(value).map_err(SendError::signing)?;
            request.headers_mut().insert(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `post-vanilla` of the test suite that AWS publishes, with the header of the body's hash that this client always
    /// sends. The expected values follow from the steps of
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>.
    #[test]
    fn a_request_is_signed_with_its_body_and_session() {
        let key = SigningKey::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            Some("token"),
            "us-east-1",
            "es",
        );
        let url = "https://example.amazonaws.com/_bulk?filter_path=errors".parse().unwrap();
        let mut request = reqwest::Request::new(reqwest::Method::POST, url);
        *request.body_mut() = Some("{}\n".into());
        key.sign_at(&mut request, SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160)).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert_eq!(header("x-amz-security-token"), "token");
        let authorization = header("authorization");
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/es/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature="
            ),
            "{authorization}"
        );
        // SHA-256 of "{}\n".
        assert_eq!(
            header("x-amz-content-sha256"),
            "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"
        );
    }

    /// The examples that AWS publishes for requests with `x-amz-content-sha256`, which this client always sends:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
    #[test]
    fn signatures_match_the_examples_of_aws() {
        let key = SigningKey::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
            "us-east-1",
            "s3",
        );
        type Headers<'h> = &'h [(&'static str, &'h str)];
        let examples: [(&str, &str, Headers<'_>, &str, &str); 4] = [
            (
                "GET",
                "test.txt",
                &[("range", "bytes=0-9")],
                "",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT",
                "test%24file.text",
                &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
                "Welcome to Amazon S3.",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET",
                "?lifecycle",
                &[],
                "",
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "?max-keys=2&prefix=J",
                &[],
                "",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (method, path, headers, body, signature) in examples {
            let url = format!("https://examplebucket.s3.amazonaws.com/{path}").parse().unwrap();
            let mut request = reqwest::Request::new(method.parse().unwrap(), url);
            for (name, value) in headers {
                request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
            }
            if !body.is_empty() {
                *request.body_mut() = Some(body.to_owned().into());
            }
            key.sign_at(&mut request, SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600)).unwrap();
            let authorization = request.headers()["authorization"].to_str().unwrap();
            assert!(
                authorization.ends_with(&format!(", Signature={signature}")),
                "{method} {path}: {authorization}"
            );
        }
    }
}
