//! A CA of our own and a serving certificate per node, for its name and its address.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::error::HollowError;

/// Signs the kubelets' serving certificates. All nodes share one key: they are one process.
pub(crate) struct ServingCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
}

impl ServingCa {
    pub(crate) fn new() -> Result<Self, HollowError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "hollow-kubelet-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().map_err(certificate)?).map_err(certificate)?;
        Ok(Self { issuer, key: KeyPair::generate().map_err(certificate)? })
    }

    /// The CA certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// TLS settings of one node's server: HTTP/2 and HTTP/1.1.
    pub(crate) fn server(&self, name: &str, address: Ipv4Addr) -> Result<Arc<rustls::ServerConfig>, HollowError> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(certificate)?;
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{name}"));
        params.subject_alt_names.push(SanType::IpAddress(address.into()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&self.key, &self.issuer).map_err(certificate)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .map_err(|e| HollowError::Certificate(e.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificate(error: rcgen::Error) -> HollowError {
    HollowError::Certificate(error.to_string())
}
