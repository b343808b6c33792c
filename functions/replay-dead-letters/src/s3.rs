//! The three S3 calls that a replay makes. The SDK's crate for S3 would add minutes to the build and megabytes to the
//! function; this file signs with the key type that the search client has anyway.

use std::time::Duration;

use bytes::Bytes;
use lambda_support::partition::service_url;
use lambda_support::variables::Variables;
use reqwest::{Method, StatusCode, Url};
use search_client::client::SendError;
use search_client::percent::encode;
use search_client::sigv4::SigningKey;
use serde::Deserialize;
use thiserror::Error;

/// Where on-failure records are stored: S3, or a map in tests.
pub trait ObjectStore: Send + Sync {
    /// Lists the next keys behind `after` that start with `prefix`, in order. No keys means that there are no more.
    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Vec<String>, S3Error>> + Send;

    /// Gets an object's content.
    fn get(&self, bucket: &str, key: &str) -> impl Future<Output = Result<Bytes, S3Error>> + Send;

    /// Deletes an object. It is no error if the object does not exist.
    fn delete(&self, bucket: &str, key: &str) -> impl Future<Output = Result<(), S3Error>> + Send;
}

/// Why a call to S3 failed.
#[derive(Debug, Error)]
pub enum S3Error {
    /// The function has no region or no credentials.
    #[error("{0} is not set: objects are read with the credentials and region that Lambda gives a function")]
    NotSet(&'static str),
    /// The endpoint is not a URL.
    #[error("AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is `{0}`, which is not a URL")]
    Endpoint(String),
    /// The HTTP client can't be built.
    #[error("the HTTP client for S3 can't be built: {0}")]
    Build(#[source] reqwest::Error),
    /// There was no response.
    #[error("S3 did not respond for {what}: {source}; a function in a VPC needs a gateway endpoint for S3")]
    Unreachable {
        /// The object or prefix.
        what: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The request could not be signed.
    #[error(transparent)]
    Signing(#[from] SendError),
    /// S3 refused the call.
    #[error("S3 refused {what} with status {status} {code}: {message}{}", hint(*.status))]
    Refused {
        /// The object or prefix.
        what: String,
        /// HTTP status.
        status: StatusCode,
        /// S3's error code.
        code: String,
        /// S3's message.
        message: String,
    },
    /// The list does not have the form that S3 documents.
    #[error("S3's list of {what} can't be read: {source}")]
    List {
        /// The object or prefix.
        what: String,
        /// What is wrong.
        source: quick_xml::DeError,
    },
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "; deploy with ReplayBucketArn, so that the function may read the bucket",
        StatusCode::NOT_FOUND => "; check bucket and key",
        StatusCode::MOVED_PERMANENTLY => "; the bucket is in another region than the function",
        _ => "",
    }
}

/// Endpoint and credentials of S3. A missing value is an error only when it is needed.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Config {
    endpoint: Option<String>,
    region: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    session_token: Option<String>,
}

impl S3Config {
    /// Reads the variables that Lambda sets, and those that name a LocalStack.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let variables = Variables::new(lookup);
        Self {
            endpoint: variables.text("AWS_ENDPOINT_URL_S3").or_else(|| variables.text("AWS_ENDPOINT_URL")),
            region: variables.text("AWS_REGION"),
            access_key_id: variables.text("AWS_ACCESS_KEY_ID"),
            secret_access_key: variables.text("AWS_SECRET_ACCESS_KEY"),
            session_token: variables.text("AWS_SESSION_TOKEN"),
        }
    }

    /// Builds the client, without opening a connection.
    ///
    /// # Errors
    /// [`S3Error`] when the HTTP client can't be built.
    pub fn connect(self) -> Result<S3, S3Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("kafka-to-search/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .pool_idle_timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(S3Error::Build)?;
        Ok(S3 { http, config: self })
    }

    fn base(&self) -> Result<Url, S3Error> {
        let text = match (&self.endpoint, &self.region) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(region)) => service_url("s3", region),
            (None, None) => return Err(S3Error::NotSet("AWS_REGION")),
        };
        Url::parse(&text).ok().filter(|url| !url.cannot_be_a_base()).ok_or(S3Error::Endpoint(text))
    }

    fn signing_key(&self) -> Result<SigningKey, S3Error> {
        let (Some(id), Some(secret), Some(region)) =
            (&self.access_key_id, &self.secret_access_key, &self.region)
        else {
            return Err(S3Error::NotSet("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_REGION"));
        };
        Ok(SigningKey::new(id, secret, self.session_token.as_deref(), region, "s3"))
    }
}

/// A client of S3 that puts buckets in the path.
pub struct S3 {
    http: reqwest::Client,
    config: S3Config,
}

/// Most keys in one list.
const MAX_KEYS: &str = "1000";

#[derive(Deserialize)]
struct List {
    #[serde(rename = "Contents", default)]
    contents: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "Key")]
    key: String,
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "Code", default)]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

impl S3 {
    fn url(&self, bucket: &str, key: &str) -> Result<Url, S3Error> {
        let base = self.config.base()?;
        let text = format!("{}/{}/{}", base.as_str().trim_end_matches('/'), escaped(bucket), escaped(key));
        Url::parse(&text).map_err(|_| S3Error::Endpoint(text))
    }

    async fn call(&self, method: Method, url: Url, what: &str) -> Result<Bytes, S3Error> {
        let mut request = reqwest::Request::new(method, url);
        self.config.signing_key()?.sign(&mut request)?;
        let unreachable = |source| S3Error::Unreachable { what: what.to_owned(), source };
        let response = self.http.execute(request).await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        // A response without the documented body still has its status.
        let ErrorBody { code, message } = quick_xml::de::from_reader(body.as_ref()).unwrap_or_default();
        Err(S3Error::Refused { what: what.to_owned(), status, code, message })
    }
}

impl ObjectStore for S3 {
    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Vec<String>, S3Error> {
        let what = format!("s3://{bucket}/{prefix}");
        let mut url = self.url(bucket, "")?;
        // A signature covers the parameters in the order of their names, each value escaped in the same way.
        let mut query = format!("list-type=2&max-keys={MAX_KEYS}&prefix={}", encode(prefix));
        if let Some(after) = after {
            query.push_str(&format!("&start-after={}", encode(after)));
        }
        url.set_query(Some(&query));
        let body = self.call(Method::GET, url, &what).await?;
        let list: List =
            quick_xml::de::from_reader(body.as_ref()).map_err(|source| S3Error::List { what, source })?;
        Ok(list.contents.into_iter().map(|content| content.key).collect())
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes, S3Error> {
        self.call(Method::GET, self.url(bucket, key)?, &format!("s3://{bucket}/{key}")).await
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), S3Error> {
        self.call(Method::DELETE, self.url(bucket, key)?, &format!("s3://{bucket}/{key}")).await.map(drop)
    }
}

/// Escapes a key for a path, and keeps its slashes.
fn escaped(key: &str) -> String {
    key.split('/').map(encode).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use search_client::client::install_tls;
    use testing::environment::lookup;

    use super::*;

    fn s3(pairs: &[(&str, &str)]) -> S3 {
        let lookup = lookup(pairs.iter().copied());
        install_tls();
        S3Config::read(&lookup).connect().unwrap()
    }

    #[test]
    fn keys_are_escaped_in_the_path() {
        let url = s3(&[("AWS_REGION", "eu-west-1")]).url("b", "aws/lambda/x-0/a b+c:é").unwrap();
        assert_eq!(url.as_str(), "https://s3.eu-west-1.amazonaws.com/b/aws/lambda/x-0/a%20b%2Bc%3A%C3%A9");
        let local = s3(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"), ("AWS_REGION", "us-east-1")]);
        assert_eq!(local.url("b", "k").unwrap().as_str(), "http://127.0.0.1:4566/b/k");
    }

    #[test]
    fn a_missing_or_bad_variable_is_named() {
        assert!(s3(&[]).url("b", "k").unwrap_err().to_string().contains("AWS_REGION"));
        let error = s3(&[("AWS_ENDPOINT_URL", "nowhere")]).url("b", "k").unwrap_err();
        assert!(error.to_string().contains("`nowhere`"));
    }

    #[test]
    fn a_list_is_parsed_as_s3_documents_it() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><KeyCount>2</KeyCount>
            <Contents><Key>a&amp;b</Key><Size>5</Size></Contents><Contents><Key>c</Key><Size>6</Size></Contents>
            </ListBucketResult>"#;
        let list: List = quick_xml::de::from_str(xml).unwrap();
        let keys: Vec<_> = list.contents.into_iter().map(|content| content.key).collect();
        assert_eq!(keys, ["a&b", "c"]);
        let none: List =
            quick_xml::de::from_str("<ListBucketResult><Name>b</Name></ListBucketResult>").unwrap();
        assert!(none.contents.is_empty());
    }
}
