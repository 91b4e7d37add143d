//! The certificates and keys of one control plane: made anew for each, valid for a few days, never shared.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::error::{HarnessError, Result};

use super::identity::Identity;

/// Validity before now: clocks of containers and hosts differ a little.
const BACKDATED: Duration = Duration::from_hours(1);

/// Validity after now; a demo may be left running for a while.
const VALID: Duration = Duration::from_hours(24 * 30);

/// Names under which the API server is reached: itself, and the `kubernetes` service (first address of the range).
const SERVER_NAMES: [&str; 7] =
    ["127.0.0.1", "::1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1"];

/// Paths of a certificate and its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertPair {
    /// The certificate.
    pub cert: PathBuf,
    /// The private key (PKCS#8).
    pub key: PathBuf,
}

/// The cluster's certificate authority and what it signed.
pub struct Pki {
    dir: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Pki {
    /// Makes everything that a control plane needs in the directory `dir`, which must exist.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let ca = authority(dir, "ca", "headroom-e2e-ca")?;
        let front = authority(dir, "front-proxy-ca", "headroom-e2e-front-proxy-ca")?;
        let pki = Self { dir: dir.to_path_buf(), ca };
        let names: Vec<String> = SERVER_NAMES.iter().map(|&name| name.to_owned()).collect();
        pki.server("apiserver", &names)?;
        pki.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", &["system:masters".to_owned()])?;
        let proxy = params("front-proxy-client", &[], &[], ExtendedKeyUsagePurpose::ClientAuth)?;
        issue(dir, "front-proxy-client", &proxy, &front)?;
        let key = KeyPair::generate().map_err(|source| failed("service accounts", source))?;
        write(dir, "sa.key", &key.serialize_pem())?;
        write(dir, "sa.pub", &key.public_key_pem())?;
        Ok(pki)
    }

    /// A file of the directory, for example `ca.crt`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The cluster's CA certificate.
    #[must_use]
    pub fn ca_cert(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// The CA with its key, for processes that sign certificates of their own (simulated kubelets).
    #[must_use]
    pub fn ca_pair(&self) -> CertPair {
        self.pair("ca")
    }

    /// The serving certificate for 127.0.0.1 and localhost.
    #[must_use]
    pub fn serving(&self) -> CertPair {
        self.pair("apiserver")
    }

    /// Makes a serving certificate for host names and IP addresses; `stem` names its files.
    ///
    /// # Errors
    /// [`HarnessError::Certificate`] (a name that is not valid) or [`HarnessError::Io`].
    pub fn server(&self, stem: &str, names: &[String]) -> Result<CertPair> {
        let params = params(stem, &[], names, ExtendedKeyUsagePurpose::ServerAuth)?;
        issue(&self.dir, stem, &params, &self.ca)
    }

    /// The client certificate of an identity; made at the first call.
    ///
    /// # Errors
    /// [`HarnessError::Certificate`] or [`HarnessError::Io`].
    pub fn identity(&self, identity: &Identity) -> Result<CertPair> {
        let stem = format!("client-{}", identity.stem());
        let pair = self.pair(&stem);
        if pair.cert.is_file() && pair.key.is_file() {
            return Ok(pair);
        }
        self.client(&stem, &identity.user(), &identity.groups())
    }

    fn client(&self, stem: &str, user: &str, groups: &[String]) -> Result<CertPair> {
        let params = params(user, groups, &[], ExtendedKeyUsagePurpose::ClientAuth)?;
        issue(&self.dir, stem, &params, &self.ca)
    }

    fn pair(&self, stem: &str) -> CertPair {
        CertPair { cert: self.dir.join(format!("{stem}.crt")), key: self.dir.join(format!("{stem}.key")) }
    }
}

fn authority(dir: &Path, stem: &str, name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = params(name, &[], &[], ExtendedKeyUsagePurpose::Any)?;
    params.extended_key_usages.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(|source| failed(name, source))?;
    write(dir, &format!("{stem}.key"), &key.serialize_pem())?;
    let issuer = CertifiedIssuer::self_signed(params, key).map_err(|source| failed(name, source))?;
    write(dir, &format!("{stem}.crt"), &issuer.pem())?;
    Ok(issuer)
}

fn params(
    name: &str,
    groups: &[String],
    hosts: &[String],
    usage: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(|source| failed(name, source))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.use_authority_key_identifier_extension = true;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now.saturating_add(VALID);
    groups.iter().for_each(|group| params.distinguished_name.push(DnType::OrganizationName, group.as_str()));
    Ok(params)
}

fn issue(
    dir: &Path,
    stem: &str,
    params: &CertificateParams,
    issuer: &CertifiedIssuer<'static, KeyPair>,
) -> Result<CertPair> {
    let key = KeyPair::generate().map_err(|source| failed(stem, source))?;
    let cert = params.signed_by(&key, issuer).map_err(|source| failed(stem, source))?;
    Ok(CertPair {
        key: write(dir, &format!("{stem}.key"), &key.serialize_pem())?,
        cert: write(dir, &format!("{stem}.crt"), &cert.pem())?,
    })
}

/// Writes under a temporary name and renames: two tests may ask for one identity at the same time.
fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(HarnessError::io("create a file in", dir))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(HarnessError::io("write", &path))?;
    file.persist(&path).map_err(|error| HarnessError::Io {
        action: "write",
        path: path.clone(),
        source: error.error,
    })?;
    Ok(path)
}

fn failed(subject: &str, source: rcgen::Error) -> HarnessError {
    HarnessError::Certificate { subject: subject.to_owned(), source }
}
