use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::*;

/// A folder with `cert.pem` and `key.pem`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.renew();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a fresh self-signed pair for "localhost", which is its own authority.
    fn renew(&self) {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(self.path("cert.pem"), pair.cert.pem()).unwrap();
        fs::write(self.path("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    }

    fn load(&self) -> Result<Arc<CertificateFiles>> {
        CertificateFiles::load(&self.path("cert.pem"), &self.path("key.pem"))
    }
}

/// One handshake over memory; gives the protocol that was agreed on.
async fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> io::Result<Option<Vec<u8>>> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accepting = tokio::spawn(async move { TlsAcceptor::from(server).accept(far).await.map(drop) });
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(client).connect(name, near).await?;
    accepting.await.unwrap()?;
    Ok(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn both_ends_agree_on_a_protocol_under_a_private_authority() {
    install_crypto();
    install_crypto();
    let folder = Folder::new();
    let server = server_config(folder.load().unwrap(), &["h2", "http/1.1"]).unwrap();
    let client = |alpn: &[&str]| client_config(Some(&folder.path("cert.pem")), alpn).unwrap();
    assert_eq!(
        handshake(Arc::clone(&server), client(&["http/1.1"])).await.unwrap().as_deref(),
        Some(b"http/1.1".as_slice())
    );
    assert_eq!(
        handshake(Arc::clone(&server), client(&["h2", "http/1.1"])).await.unwrap().as_deref(),
        Some(b"h2".as_slice())
    );
    assert_eq!(handshake(Arc::clone(&server), client(&[])).await.unwrap(), None);
    assert!(handshake(server, client(&["spdy"])).await.is_err());
}

#[tokio::test]
async fn a_stranger_certificate_is_not_trusted() {
    let (folder, other) = (Folder::new(), Folder::new());
    let server = server_config(folder.load().unwrap(), &[]).unwrap();
    let public_only = client_config(None, &[]).unwrap();
    let other_ca = client_config(Some(&other.path("cert.pem")), &[]).unwrap();
    assert!(handshake(Arc::clone(&server), public_only).await.is_err());
    assert!(handshake(server, other_ca).await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let folder = Folder::new();
    let files = folder.load().unwrap();
    let server = server_config(Arc::<CertificateFiles>::clone(&files), &[]).unwrap();
    let trusts_old = client_config(Some(&folder.path("cert.pem")), &[]).unwrap();
    assert!(matches!(files.reload_if_changed(), Reload::Unchanged));
    folder.renew();
    let trusts_new = client_config(Some(&folder.path("cert.pem")), &[]).unwrap();
    assert!(handshake(Arc::clone(&server), Arc::clone(&trusts_new)).await.is_err());
    assert!(matches!(files.reload_if_changed(), Reload::Changed));
    assert!(handshake(Arc::clone(&server), trusts_new).await.is_ok());
    // Another client configuration, since a resumed session would not look at the certificate.
    assert!(handshake(server, trusts_old).await.is_err());
}

#[tokio::test]
async fn broken_files_keep_the_old_certificate_and_are_reported_once() {
    let folder = Folder::new();
    let files = folder.load().unwrap();
    let server = server_config(Arc::<CertificateFiles>::clone(&files), &[]).unwrap();
    let client = client_config(Some(&folder.path("cert.pem")), &[]).unwrap();
    let good = fs::read(folder.path("cert.pem")).unwrap();
    let other = Folder::new();
    let breaks: [&dyn Fn(); 3] = [
        &|| fs::write(folder.path("cert.pem"), "no PEM at all").unwrap(),
        &|| _ = fs::copy(other.path("cert.pem"), folder.path("cert.pem")).unwrap(),
        &|| fs::remove_file(folder.path("cert.pem")).unwrap(),
    ];
    for (n, break_it) in breaks.iter().enumerate() {
        break_it();
        assert!(matches!(files.reload_if_changed(), Reload::Refused(_)), "case {n}");
        assert!(matches!(files.reload_if_changed(), Reload::Unchanged), "case {n}");
        assert!(handshake(Arc::clone(&server), Arc::clone(&client)).await.is_ok(), "case {n}");
    }
    fs::write(folder.path("cert.pem"), good).unwrap();
    assert!(matches!(files.reload_if_changed(), Reload::Changed));
    assert!(handshake(server, client).await.is_ok());
}

#[tokio::test]
async fn the_watch_takes_over_a_new_certificate_and_ends_when_asked() {
    let folder = Folder::new();
    let files = folder.load().unwrap();
    let server = server_config(Arc::<CertificateFiles>::clone(&files), &[]).unwrap();
    let stop = CancellationToken::new();
    let watch = tokio::spawn(files.watch(Duration::from_millis(5), stop.clone()));
    folder.renew();
    let client = client_config(Some(&folder.path("cert.pem")), &[]).unwrap();
    let took_over = async { while handshake(Arc::clone(&server), Arc::clone(&client)).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), took_over).await.unwrap();
    stop.cancel();
    watch.await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_refused_at_start_without_quoting_them() {
    let (folder, other) = (Folder::new(), Folder::new());
    assert!(folder.load().is_ok());
    fs::copy(other.path("key.pem"), folder.path("key.pem")).unwrap();
    assert!(matches!(folder.load(), Err(Error::Tls { .. })), "a key of another certificate");
    for bad in
        ["", "canary", "-----BEGIN PRIVATE KEY-----\ncanary!\n-----END PRIVATE KEY-----\n", "-----BEGIN canary\n"]
    {
        fs::write(folder.path("key.pem"), bad).unwrap();
        let refused = folder.load().unwrap_err();
        assert!(matches!(refused, Error::Pem { .. }), "{refused}");
        assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
    }
    assert!(matches!(client_config(Some(&folder.path("key.pem")), &[]), Err(Error::Pem { .. })));
    assert!(matches!(client_config(Some(&folder.path("absent.pem")), &[]), Err(Error::File { .. })));
}
