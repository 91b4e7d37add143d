//! How kubelets' certificates are checked.

use std::{fs, io, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use thiserror::Error;

/// TLS sessions that are kept for resumption, for clusters in which connections idle out between polls.
const SESSIONS: usize = 256;

/// Whom to believe.
#[derive(Debug, Clone)]
pub enum KubeletTrust {
    /// Certificates for the node's name issued by one of these CAs (DER).
    Authorities(Vec<CertificateDer<'static>>),
    /// Everybody (`--kubelet-insecure-tls`).
    Anybody,
}

/// Why kubelets cannot be read at all.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("--kubelet-certificate-authority: cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("--kubelet-certificate-authority: {path} has no usable PEM certificate: {message}")]
    NoCertificate {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl KubeletTrust {
    /// From the flags: `insecure`, else the CAs of `file`, else those of the cluster as the client configuration has
    /// them. A configuration without a CA trusts nobody, and each node then says so in its condition.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub fn from_flags(insecure: bool, file: Option<&PathBuf>, cluster: &kube::Config) -> Result<Self, TlsError> {
        if insecure {
            return Ok(Self::Anybody);
        }
        if let Some(path) = file.or(cluster.root_cert_file.as_ref().filter(|_| cluster.root_cert.is_none())) {
            let pem = fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source })?;
            return Self::from_pem(&pem).map_err(|message| TlsError::NoCertificate { path: path.clone(), message });
        }
        let der = cluster.root_cert.iter().flatten().map(|der| CertificateDer::from(der.clone()));
        Ok(Self::Authorities(der.collect()))
    }

    /// The CAs of a PEM text.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let certificates =
            CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        if certificates.is_empty() {
            return Err("nothing found".into());
        }
        Ok(Self::Authorities(certificates))
    }

    /// The client side of TLS.
    ///
    /// # Errors
    /// When no CA of the list is a certificate.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let mut config = match self {
            Self::Authorities(certificates) => {
                let mut roots = RootCertStore::empty();
                // Bundles hold odd certificates; one usable CA is enough.
                roots.add_parsable_certificates(certificates.iter().cloned());
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
                .with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}

/// Accepts any certificate, but still demands that the peer holds its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
