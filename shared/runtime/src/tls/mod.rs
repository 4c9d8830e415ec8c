//! rustls settings for both ends: a server whose certificate is read again when its files change, and a client that
//! trusts the public authorities and, if given, a private one. One function names the crypto provider.
//! Never opens a socket and never switches verification off.

mod reload;
#[cfg(test)]
mod tests;

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ResolvesServerCert,
};
use zeroize::Zeroizing;

pub use reload::{CertificateFiles, Reload};

use crate::{Error, Result};

/// The only place that names the provider; another one (FIPS, post-quantum) would be a feature of this function.
fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Installs the provider for crates that ask for the process's default. To be called first thing in every main;
/// calling it again changes nothing.
pub fn install_crypto() {
    // An error means that one is installed already, which is what we want.
    let _ = provider().install_default();
}

/// Settings for accepting TLS 1.2 and 1.3. `alpn` lists the protocols in order of preference, such as `h2`, `http/1.1`.
///
/// # Errors
/// When the provider knows none of our TLS versions.
pub fn server_config(certificates: Arc<dyn ResolvesServerCert>, alpn: &[&str]) -> Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused("choose TLS versions"))?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols(alpn);
    Ok(Arc::new(config))
}

/// Settings for connecting: the public authorities, and those in `private_ca` (PEM) when given.
///
/// # Errors
/// When the file cannot be read or holds no usable certificate.
pub fn client_config(private_ca: Option<&Path>, alpn: &[&str]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = private_ca {
        for certificate in certificates(path, &read(path)?)? {
            roots.add(certificate).map_err(refused(format!("trust the authorities in {}", path.display())))?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused("choose TLS versions"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols(alpn);
    Ok(Arc::new(config))
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn refused(doing: impl Into<String>) -> impl FnOnce(rustls::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Tls { doing, source }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    fs::read(path).map(Zeroizing::new).map_err(Error::file("read", path))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap_or_default();
    if found.is_empty() { Err(not_pem(path, "certificate")) } else { Ok(found) }
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| not_pem(path, "private key"))
}

/// The parser's own words are left out: they quote the file, which may hold a key.
fn not_pem(path: &Path, wanted: &'static str) -> Error {
    Error::Pem { path: path.to_owned(), wanted }
}
