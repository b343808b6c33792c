//! A test's own certificate authority.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// An authority that no client trusts by default.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Creates one with a new key.
    ///
    /// # Errors
    /// When no key can be generated.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        // Clients confuse two authorities of the same name.
        params.distinguished_name.push(DnType::CommonName, format!("authority {:016x}", fastrand::u64(..)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its certificate as PEM text, for clients that should trust what it has signed.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Signs a certificate for servers on this machine.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        let key = KeyPair::generate()?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(config))
    }
}
