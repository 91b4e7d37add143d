//! The serving certificate.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::ServingError;
use crate::client::install_crypto;

/// Reads the certificate and its key, or makes a self-signed pair in memory.
pub(super) fn server_config(files: Option<&(PathBuf, PathBuf)>) -> Result<Arc<ServerConfig>, ServingError> {
    install_crypto();
    let (chain, key) = match files {
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|e| ServingError::Certificate(format!("{}: {e}", certificate.display())))?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|e| ServingError::Certificate(format!("{}: {e}", key.display())))?;
            (chain, key)
        }
        None => self_signed()?,
    };
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| ServingError::Certificate(e.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn self_signed() -> Result<Pair, ServingError> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .map_err(|e| ServingError::Certificate(e.to_string()))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|e| ServingError::Certificate(e.to_owned()))?;
    Ok((vec![made.cert.der().clone()], key))
}
