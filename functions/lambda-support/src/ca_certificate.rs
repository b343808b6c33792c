//! The CA certificate of the cluster: in the variable, in a file such as one of a layer, or in a secret.

use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use crate::secrets::{SecretStore, StoreError};

/// Where a CA certificate is. The variables of a function have 4 KB together, which a chain of certificates soon fills:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaCertificate {
    /// The PEM text itself.
    Pem(String),
    /// Path of a PEM file. Layers are under `/opt`.
    File(String),
    /// ARN of a secret that holds PEM text, or `{"certificate": "PEM text"}`, the form in which Kafka event source mappings
    /// take a `SERVER_ROOT_CA_CERTIFICATE`.
    Secret(String),
}

/// Why a CA certificate can't be read.
#[derive(Debug, Error)]
pub enum CaCertificateError {
    /// The file can't be read.
    #[error("the file `{path}` can't be read: {source}")]
    File {
        /// The file's path.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The secret can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret does not exist, or has no value yet.
    #[error("the secret `{0}` can't be read: it does not exist or has no value")]
    NoValue(String),
    /// The file or the secret holds something else.
    #[error("`{0}` holds no PEM text: a certificate begins with `-----BEGIN CERTIFICATE-----`")]
    NoPem(String),
}

impl CaCertificate {
    /// Reads where the certificate is. Anything that is neither PEM text nor the ARN of a secret is a path.
    pub fn parse(text: &str) -> Self {
        if is_pem(text) {
            return Self::Pem(text.to_owned());
        }
        match text.split(':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "secretsmanager", ..] => Self::Secret(text.to_owned()),
            _ => Self::File(text.to_owned()),
        }
    }

    /// Returns the PEM text.
    ///
    /// # Errors
    /// [`CaCertificateError`]
    pub async fn read(&self, secrets: &Arc<dyn SecretStore>) -> Result<String, CaCertificateError> {
        let (place, text) = match self {
            Self::Pem(text) => return Ok(text.clone()),
            Self::File(path) => {
                let read = std::fs::read_to_string(path);
                (path, read.map_err(|source| CaCertificateError::File { path: path.clone(), source })?)
            }
            Self::Secret(id) => {
                let secret = secrets.read(id).await?;
                let secret = secret.ok_or_else(|| CaCertificateError::NoValue(id.clone()))?;
                (id, pem_of_secret(secret.expose()))
            }
        };
        if is_pem(&text) { Ok(text) } else { Err(CaCertificateError::NoPem(place.clone())) }
    }
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN")
}

/// Returns the text of the member `certificate`, or the whole text if it is not such an object.
fn pem_of_secret(text: &str) -> String {
    let certificate = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|secret| Some(secret.get("certificate")?.as_str()?.to_owned()));
    certificate.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use search_client::auth::Secret;

    use super::*;
    use crate::secrets::StoreFuture;

    const ARN: &str = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:ca-AbCdEf";
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    struct OneSecret(Option<String>);

    impl SecretStore for OneSecret {
        fn read<'s>(&'s self, id: &'s str) -> StoreFuture<'s, Option<Secret>> {
            Box::pin(async move { Ok(self.0.as_ref().filter(|_| id == ARN).map(Secret::new)) })
        }

        fn write<'s>(&'s self, _id: &'s str, _text: &'s Secret) -> StoreFuture<'s, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    async fn read(certificate: &str, secret: Option<&str>) -> Result<String, CaCertificateError> {
        let secrets: Arc<dyn SecretStore> = Arc::new(OneSecret(secret.map(str::to_owned)));
        CaCertificate::parse(certificate).read(&secrets).await
    }

    #[tokio::test]
    async fn a_certificate_is_read_from_the_variable_a_file_or_a_secret() {
        let directory = std::env::temp_dir().join(format!("ca-certificate-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("ca.pem");
        std::fs::write(&file, PEM).unwrap();
        let as_json = serde_json::json!({"certificate": PEM}).to_string();
        for (certificate, secret) in
            [(PEM, None), (file.to_str().unwrap(), None), (ARN, Some(PEM)), (ARN, Some(&as_json))]
        {
            assert_eq!(read(certificate, secret).await.unwrap(), PEM, "{certificate}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test]
    async fn a_place_without_a_certificate_is_named_without_its_text() {
        let error = async |certificate, secret| read(certificate, secret).await.unwrap_err().to_string();
        let no_file = error("/no/such.pem", None).await;
        assert!(no_file.contains("the file `/no/such.pem` can't be read"), "{no_file}");
        let missing = error(ARN, None).await;
        assert!(missing.contains(ARN) && missing.contains("does not exist or has no value"), "{missing}");
        for text in ["hunter2", r#"{"username":"a","password":"hunter2"}"#, r#"{"certificate":5}"#] {
            let error = error(ARN, Some(text)).await;
            assert!(error.contains("holds no PEM text") && !error.contains("hunter2"), "{error}");
        }
    }
}
