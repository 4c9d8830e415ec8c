//! TLS on the inference and the admin port, from files that are read again when they change.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::fake::{Answer, Gate};
use tollgate_tests::house::{House, Setup, new_folder};
use tollgate_tests::wait;

use crate::openai::{hello, streamed};

/// Writes a new self-signed pair for 127.0.0.1 and returns the certificate.
fn new_pair(folder: &Path, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    // The key first, and each in one step: whoever looks in between finds a pair that does not fit and keeps the old one.
    for (suffix, text) in [("key", made.signing_key.serialize_pem()), ("pem", made.cert.pem())] {
        let next = folder.join(format!("{name}.{suffix}.next"));
        fs::write(&next, text).unwrap();
        fs::rename(next, folder.join(format!("{name}.{suffix}"))).unwrap();
    }
    made.cert.der().clone()
}

/// Takes any certificate and remembers it.
#[derive(Debug)]
struct Curious {
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Curious {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap() = Some(certificate.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    Arc::new(builder().with_root_certificates(roots).with_no_client_auth())
}

/// The certificate that a port shows right now.
async fn shown(address: &str) -> Option<CertificateDer<'static>> {
    let curious = Arc::new(Curious { seen: Mutex::new(None) });
    let config = builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&curious) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let socket = tokio::net::TcpStream::connect(address).await.ok()?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let _connection = connector.connect(ServerName::try_from("127.0.0.1").unwrap(), socket).await.ok()?;
    curious.seen.lock().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ports_speak_tls_and_take_new_certificates_while_they_run() {
    let folder = new_folder();
    let (inference, admin) = (new_pair(folder.path(), "inference"), new_pair(folder.path(), "admin"));
    let path = |name: &str| folder.path().join(name).display().to_string();
    let house = House::planes(Setup {
        control: format!("[admin_tls]\ncertificate = {:?}\nkey = {:?}\n", path("admin.pem"), path("admin.key")),
        proxy: format!(
            "[tls]\ncert = {:?}\nkey = {:?}\nreload = \"100ms\"\n",
            path("inference.pem"),
            path("inference.key")
        ),
        ca: Some(folder.path().join("admin.pem")),
        is_tls: true,
        ..Setup::default()
    })
    .await;
    // The command line has spoken TLS already, to apply the lab's catalogue.
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key).with_tls(trusting(&inference));
    client.chat(&hello("lab/plain")).await.expect(200);
    let gate = Gate::default();
    gate.let_through(1);
    let mut stream = client.stream(&streamed("lab/plain", &house.fake.script(Answer::of(12, 4).gated(&gate)))).await;
    stream.next_content().await;

    // In clear there is nothing to be had.
    let plain = Client::new(&format!("http://{}", client.authority()), &org.key);
    assert!(plain.try_send(Ask::get("/v1/models")).await.map_or(true, |reply| reply.status == 400));

    let (next_inference, next_admin) = (new_pair(folder.path(), "inference"), new_pair(folder.path(), "admin"));
    assert_ne!(next_inference, inference);
    let door = client.authority().to_owned();
    wait::until_true("the new certificate on the inference port", wait::SOON, async || {
        shown(&door).await == Some(next_inference.clone())
    })
    .await;
    let admin_address = house.admin_url().trim_start_matches("https://").to_owned();
    wait::until_true("the new certificate on the admin port", wait::SOON, async || {
        shown(&admin_address).await == Some(next_admin.clone())
    })
    .await;
    assert_ne!(next_admin, admin);
    client.with_tls(trusting(&next_inference)).chat(&hello("lab/plain")).await.expect(200);
    house.admin(&["orgs", "list"]).await;

    // What was open stays open.
    gate.open();
    assert!(stream.rest().await.is_done());

    // A broken file is passed over: the last good pair stays.
    fs::write(folder.path().join("inference.pem"), "no certificate").unwrap();
    wait::until_true("a word in the log", wait::SOON, async || house.logs().contains("inference.pem")).await;
    client.with_tls(trusting(&next_inference)).chat(&hello("lab/plain")).await.expect(200);
}
