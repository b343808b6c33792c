//! The token by which a Kafka client logs in to an MSK cluster with IAM: a URL with a signature, as AWS's own signers make it,
//! <https://github.com/aws/aws-msk-iam-sasl-signer-python>.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use search_client::client::SendError;
use search_client::sigv4::SigningKey;

/// How long a token is valid. A broker takes none that is valid for longer.
const VALID_FOR: Duration = Duration::from_secs(900);

/// Makes tokens with a role's credentials.
#[derive(Debug, Clone)]
pub struct MskIam {
    key: SigningKey,
    region: String,
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// Until when it is valid, in milliseconds since the epoch.
    pub expires_ms: i64,
}

impl MskIam {
    /// Takes the credentials as Lambda sets them in the environment, and the region of the cluster.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        region: &str,
    ) -> Self {
        let key = SigningKey::new(access_key_id, secret_access_key, session_token, region, "kafka-cluster");
        Self { key, region: region.to_owned() }
    }

    /// Makes a token that is valid from `now` on.
    ///
    /// # Errors
    /// [`SendError::Signing`]
    pub fn token(&self, now: SystemTime) -> Result<Token, SendError> {
        let url = format!("https://kafka.{}.amazonaws.com/?Action=kafka-cluster%3AConnect", self.region);
        let signed = self.key.presign(&url, now, VALID_FOR)?;
        let text =
            base64_simd::URL_SAFE_NO_PAD.encode_to_string(format!("{signed}&User-Agent=kafka-to-search"));
        let expires = now.duration_since(UNIX_EPOCH).unwrap_or_default() + VALID_FOR;
        Ok(Token { text, expires_ms: i64::try_from(expires.as_millis()).unwrap_or(i64::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What AWS's signer for Python makes of the same credentials at 2026-11-29T01:02:03Z, with botocore 1.x's `SigV4QueryAuth`. The order
    /// of the parameters has no meaning: the signature is one of them, and covers the others.
    #[test]
    fn a_token_is_the_one_that_the_signer_of_aws_makes() {
        let common = "X-Amz-Credential=AKIDEXAMPLE%2F20261129%2Feu-central-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=20261129T010203Z\
            &X-Amz-Expires=900&X-Amz-SignedHeaders=host";
        for (session, signed) in [
            (None, "X-Amz-Signature=19f2b4bc9bec6163b124f20d3333250b0b6c84f684a7def0a5ea2bcbf72976af"),
            (
                Some("session/token+1="),
                "X-Amz-Security-Token=session%2Ftoken%2B1%3D\
                &X-Amz-Signature=45ba72f4a27e25ac53c5ef59ae138e2d2f0d8ee059b4a22dacf5203add6f11f9",
            ),
        ] {
            let iam = MskIam::new(
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                session,
                "eu-central-1",
            );
            let token = iam.token(UNIX_EPOCH + Duration::from_secs(1_795_914_123)).unwrap();
            assert_eq!(token.expires_ms, 1_795_915_023_000);
            let url = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token.text).unwrap();
            let url = String::from_utf8(url).unwrap();
            let (address, query) = url.split_once('?').unwrap();
            assert_eq!(address, "https://kafka.eu-central-1.amazonaws.com/");
            let expected = format!(
                "Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256&{common}&{signed}&User-Agent=kafka-to-search"
            );
            let parameters = |text: &str| text.split('&').map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(parameters(query), parameters(&expected));
        }
    }
}
