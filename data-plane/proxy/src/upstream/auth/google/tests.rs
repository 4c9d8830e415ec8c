use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::providers::AuthScheme;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use runtime::Secret;
use runtime::clock::ManualClock;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::super::Signer;
use super::exchange::{Account as Key, NoToken};
use super::*;
use crate::config::UpstreamSettings;
use crate::upstream::{Shared, Upstream};

const LIMIT: Duration = Duration::from_secs(20);
/// Made for these tests; opens nothing.
const PEM: &str = include_str!("key.pem");
const EMAIL: &str = "tests@example.iam.gserviceaccount.com";

fn key(token_uri: &str) -> String {
    json!({
        "type": "service_account",
        "client_email": EMAIL,
        "private_key_id": "key-1",
        "private_key": PEM,
        "token_uri": token_uri,
    })
    .to_string()
}

fn secret(text: impl Into<String>) -> Arc<Secret> {
    Arc::new(Secret::from(text.into()))
}

/// A token endpoint that says one thing after another, and tells what it was asked.
struct Endpoint {
    uri: String,
    asked: mpsc::UnboundedReceiver<String>,
    says: Arc<Mutex<VecDeque<(u16, Value)>>>,
}

impl Endpoint {
    async fn open() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/token", listener.local_addr().unwrap());
        let (ask, asked) = mpsc::unbounded_channel();
        let says: Arc<Mutex<VecDeque<(u16, Value)>>> = Arc::default();
        let script = says.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = String::new();
                while !is_whole(&request) {
                    let mut part = [0; 4096];
                    let count = stream.read(&mut part).await.unwrap();
                    request.push_str(std::str::from_utf8(&part[..count]).unwrap());
                }
                let (status, body) = script.lock().unwrap().pop_front().unwrap_or((500, json!({"error": "no_more"})));
                let body = body.to_string();
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                ask.send(request).unwrap();
            }
        });
        Endpoint { uri, asked, says }
    }

    fn will_say(&self, status: u16, body: Value) {
        self.says.lock().unwrap().push_back((status, body));
    }

    fn will_give(&self, token: &str, seconds: u64) {
        self.will_say(200, json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}));
    }

    async fn was_asked(&mut self) -> String {
        self.asked.recv().await.unwrap()
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    body.len() >= length.parse::<usize>().unwrap()
}

/// A proxy's upstream whose tokens are kept by this clock.
fn upstream_at(clock: &Arc<ManualClock>) -> Upstream {
    let shared = Shared::new(&UpstreamSettings::default()).unwrap();
    tokio::spawn(shared.clone().keep_tokens(clock.clone(), CancellationToken::new()));
    Upstream::new(shared)
}

fn upstream() -> Upstream {
    upstream_at(&clock())
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(1_795_262_400_000_000))
}

fn signer_for(upstream: &Upstream, base_url: &str) -> Signer {
    let target = upstream.target(base_url).unwrap();
    upstream.signer(&AuthScheme("google-service-account".into()), &target).unwrap()
}

/// A signer of a provider on this machine.
fn signer(upstream: &Upstream) -> Signer {
    signer_for(upstream, "http://127.0.0.1:9/v1")
}

fn sign(signer: &Signer, secret: &Arc<Secret>) -> Result<String, SignError> {
    let mut headers = HeaderMap::new();
    signer.sign_blindly(Some(secret), &mut headers)?;
    assert!(headers["authorization"].is_sensitive());
    Ok(headers["authorization"].to_str().unwrap().to_owned())
}

/// As the pipeline does it.
async fn wait_and_sign(signer: &Signer, secret: &Arc<Secret>) -> Result<String, SignError> {
    if let Some(wait) = signer.wait(Some(secret)) {
        wait.over().await?;
    }
    sign(signer, secret)
}

/// Asks again and again until it is so; what is waited for is done by tasks beside.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same while time goes by, as it must between tries.
async fn in_time(clock: &ManualClock, what: impl Fn() -> bool) {
    until(|| {
        clock.advance(Duration::from_millis(100));
        what()
    })
    .await;
}

fn worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { tokio::time::timeout(LIMIT, test).await.expect("in time") });
}

#[test]
fn a_statement_verifies_and_says_what_google_asks_for() {
    let old_form = pkcs1(PEM);
    for pem in [PEM, &old_form] {
        let text = json!({"client_email": EMAIL, "private_key_id": "key-1", "private_key": pem}).to_string();
        let key: Key = serde_json::from_str(&text).unwrap();
        let statement = key.state("https://oauth2.googleapis.com/token", 1_795_262_400, &SystemRandom::new()).unwrap();
        let statement = statement.expose_text().unwrap();
        let (signed, signature) = statement.rsplit_once('.').unwrap();
        let public =
            RsaKeyPair::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(PEM.as_bytes()).unwrap().secret_pkcs8_der())
                .unwrap()
                .public_key()
                .as_ref()
                .to_vec();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        public.verify(signed.as_bytes(), &signature).unwrap();
        assert!(public.verify(format!("{signed}x").as_bytes(), &signature).is_err());
        let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        assert_eq!(read(header), json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
        assert_eq!(
            read(claims),
            json!({
                "iss": EMAIL,
                "scope": "https://www.googleapis.com/auth/cloud-platform",
                "aud": "https://oauth2.googleapis.com/token",
                "iat": 1_795_262_400,
                "exp": 1_795_266_000,
            })
        );
    }
}

/// The same key in the older form: what the newer one wraps, behind its 26 bytes of wrapping.
fn pkcs1(pem: &str) -> String {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let inner = base64::engine::general_purpose::STANDARD.encode(&der.secret_pkcs8_der()[26..]);
    format!("-----BEGIN RSA PRIVATE KEY-----\n{inner}\n-----END RSA PRIVATE KEY-----\n")
}

#[test]
fn a_token_is_fetched_once_for_all_who_sign_for_an_account() {
    worker(async {
        let mut endpoint = Endpoint::open().await;
        endpoint.will_give("ya29.first", 3600);
        let (upstream, secret) = (upstream(), secret(key(&endpoint.uri)));
        let signers: Vec<Signer> = (0..4).map(|_| signer(&upstream)).collect();
        for signer in &signers {
            assert!(signer.wait(Some(&secret)).is_some());
            assert_eq!(sign(signer, &secret), Err(SignError::Unready));
        }
        for signer in &signers {
            assert_eq!(wait_and_sign(signer, &secret).await.as_deref(), Ok("Bearer ya29.first"));
            assert!(signer.wait(Some(&secret)).is_none());
        }
        let asked = endpoint.was_asked().await;
        assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("content-type: application/x-www-form-urlencoded\r\n"));
        let (_, body) = asked.split_once("\r\n\r\n").unwrap();
        let statement =
            body.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=").unwrap();
        assert_eq!(statement.split('.').count(), 3);
        assert!(endpoint.asked.try_recv().is_err(), "asked once");
        let mut headers = HeaderMap::with_capacity(8);
        signers[0].sign_blindly(Some(&secret), &mut headers).unwrap();
        let found = allocation_counter::measure(|| {
            assert!(signers[0].wait(Some(&secret)).is_none());
            signers[0].sign_blindly(Some(&secret), &mut headers).unwrap();
        });
        assert_eq!(found.count_total, 0);
    });
}

#[test]
fn a_token_is_fetched_anew_before_it_ends_and_nobody_waits() {
    worker(async {
        let mut endpoint = Endpoint::open().await;
        endpoint.will_give("first", 3600);
        let (clock, secret) = (clock(), secret(key(&endpoint.uri)));
        let signer = signer(&upstream_at(&clock));
        assert_eq!(wait_and_sign(&signer, &secret).await.as_deref(), Ok("Bearer first"));
        endpoint.was_asked().await;
        endpoint.will_give("second", 3600);
        clock.advance(Duration::from_secs(3301));
        until(|| {
            assert!(signer.wait(Some(&secret)).is_none(), "there is a token all the time");
            sign(&signer, &secret).unwrap() == "Bearer second"
        })
        .await;
        endpoint.was_asked().await;
        assert!(endpoint.asked.try_recv().is_err());
    });
}

#[test]
fn a_failing_endpoint_is_asked_again_and_a_good_token_outlives_the_failure() {
    worker(async {
        let mut endpoint = Endpoint::open().await;
        endpoint.will_say(503, json!({"error": "internal_failure"}));
        let (clock, secret) = (clock(), secret(key(&endpoint.uri)));
        let signer = signer(&upstream_at(&clock));
        assert_eq!(wait_and_sign(&signer, &secret).await, Err(SignError::Token), "told at once");
        endpoint.was_asked().await;
        assert!(signer.wait(Some(&secret)).is_none(), "nobody waits for an endpoint that fails");
        endpoint.will_give("first", 3600);
        in_time(&clock, || sign(&signer, &secret).as_deref() == Ok("Bearer first")).await;
        endpoint.was_asked().await;
        // From here on it fails until the token has ended, and longer.
        clock.advance(Duration::from_secs(3301));
        endpoint.was_asked().await;
        in_time(&clock, || {
            assert_eq!(sign(&signer, &secret).as_deref(), Ok("Bearer first"));
            !endpoint.asked.is_empty()
        })
        .await;
        clock.advance(Duration::from_secs(280));
        until(|| sign(&signer, &secret) == Err(SignError::Token)).await;
        assert!(signer.wait(Some(&secret)).is_none());
        endpoint.will_give("second", 3600);
        in_time(&clock, || sign(&signer, &secret).as_deref() == Ok("Bearer second")).await;
    });
}

#[test]
fn a_statement_goes_to_google_or_to_a_test_and_nowhere_else() {
    worker(async {
        let mut endpoint = Endpoint::open().await;
        let (upstream, mine) = (upstream(), secret(key(&endpoint.uri)));
        // The provider is not here, so its credential may not name an endpoint that is.
        let far = signer_for(&upstream, "https://aiplatform.googleapis.com/v1");
        assert_eq!(wait_and_sign(&far, &mine).await, Err(SignError::Malformed));
        let port = endpoint.uri.trim_start_matches("http://127.0.0.1:").trim_end_matches("/token").to_owned();
        for uri in [
            "https://oauth2.googleapis.com.evil.example/token".to_owned(),
            "https://evil.example/token".to_owned(),
            "https://oauth2.googleapis.com@127.0.0.1/token".to_owned(),
            "https://oauth2.googleapis.com:444/token".to_owned(),
            "http://oauth2.googleapis.com/token".to_owned(),
            "http://10.0.0.1/token".to_owned(),
            format!("http://localhost:{port}/token"),
            format!("https://127.0.0.1:{port}/token"),
            "/token".to_owned(),
            String::new(),
        ] {
            let secret = secret(key(&uri));
            assert_eq!(wait_and_sign(&signer(&upstream), &secret).await, Err(SignError::Malformed), "{uri}");
        }
        assert!(endpoint.asked.try_recv().is_err());
        // The same credential for a provider that is here is another matter.
        endpoint.will_give("local", 3600);
        assert_eq!(wait_and_sign(&signer(&upstream), &mine).await.as_deref(), Ok("Bearer local"));
        endpoint.was_asked().await;
    });
}

#[test]
fn what_is_no_service_account_is_refused_without_asking_anybody() {
    worker(async {
        let mut endpoint = Endpoint::open().await;
        let (upstream, uri) = (upstream(), endpoint.uri.clone());
        let with_key = |pem: &str| json!({"client_email": EMAIL, "private_key": pem, "token_uri": uri}).to_string();
        for text in [
            "an api key".to_owned(),
            "{}".to_owned(),
            with_key(""),
            with_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            with_key(&PEM.replace("MIIE", "MIIF")),
        ] {
            assert_eq!(wait_and_sign(&signer(&upstream), &secret(text)).await, Err(SignError::Malformed));
        }
        assert_eq!(sign(&signer(&upstream), &secret("")), Err(SignError::Missing));
        assert!(endpoint.asked.try_recv().is_err());
    });
}

#[test]
fn an_answer_without_a_usable_token_is_a_failure() {
    worker(async {
        for (status, body) in [
            (200, json!({})),
            (200, json!({"access_token": "", "expires_in": 3600})),
            (200, json!({"access_token": "two\nlines", "expires_in": 3600})),
            (200, json!({"access_token": "ended", "expires_in": 0})),
            (200, json!({"access_token": "x".repeat(70_000), "expires_in": 3600})),
            (302, json!({"access_token": "moved", "expires_in": 3600})),
        ] {
            let endpoint = Endpoint::open().await;
            endpoint.will_say(status, body);
            let secret = secret(key(&endpoint.uri));
            assert_eq!(wait_and_sign(&signer(&upstream()), &secret).await, Err(SignError::Token));
        }
    });
}

#[test]
fn a_credential_that_is_gone_takes_its_token_with_it() {
    worker(async {
        let mut endpoint = Endpoint::open().await;
        endpoint.will_give("first", 3600);
        let (tokens, secret) = (Tokens::default(), secret(key(&endpoint.uri)));
        let shared = Shared::new(&UpstreamSettings::default()).unwrap();
        let exchange = Exchange::over(shared.connector(), clock());
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(tokens.clone().keep(exchange, stop.clone()));
        let slot = tokens.slot(&secret, true).unwrap();
        slot.wait().unwrap().over().await.unwrap();
        endpoint.was_asked().await;
        let token = Arc::downgrade(slot.token().as_ref().unwrap());
        drop(secret);
        until(|| slot.token().is_none() && token.strong_count() == 0).await;
        until(|| tokens.is_empty()).await;
        stop.cancel();
        keeping.await.unwrap();
    });
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[test]
fn no_log_line_tells_a_key_a_statement_or_a_token() {
    let log = Log::default();
    let all = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(all);
    worker(async {
        let mut endpoint = Endpoint::open().await;
        // An endpoint may quote what it was sent.
        let quoted = json!({"error": "canary-quoted ", "error_description": "canary-quoted"});
        endpoint.will_say(400, quoted);
        endpoint.will_say(401, json!({"error": "invalid_grant", "error_description": "canary-quoted"}));
        endpoint.will_say(200, json!({"access_token": "canary-token\n", "expires_in": 3600}));
        endpoint.will_give("canary-token", 3600);
        let (clock, secret) = (clock(), secret(key(&endpoint.uri)));
        let upstream = upstream_at(&clock);
        let signer = signer(&upstream);
        assert_eq!(wait_and_sign(&signer, &secret).await, Err(SignError::Token));
        let mut statements = Vec::new();
        for _ in 0..4 {
            in_time(&clock, || !endpoint.asked.is_empty()).await;
            let asked = endpoint.was_asked().await;
            statements.push(asked.split_once("assertion=").unwrap().1.to_owned());
        }
        until(|| sign(&signer, &secret).is_ok()).await;
        let broken = Arc::new(Secret::from(format!("{{\"private_key\":\"canary-key\",{PEM}")));
        assert_eq!(wait_and_sign(&signer, &broken).await, Err(SignError::Malformed));
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("refuses with status 400, code `none`"), "{log}");
        assert!(log.contains("refuses with status 401, code `invalid_grant`"), "{log}");
        assert!(log.contains("holds no token") && log.contains("not the JSON key"), "{log}");
        assert!(!log.contains("canary"), "{log}");
        for line in PEM.lines().filter(|line| !line.starts_with('-')) {
            assert!(!log.contains(line), "{log}");
        }
        for statement in statements {
            assert!(statement.split('.').all(|part| !log.contains(part)), "{log}");
        }
    });
}

#[test]
fn errors_of_an_exchange_say_what_is_wrong() {
    assert!(NoToken::Credential.is_final() && NoToken::Endpoint.is_final());
    assert!(!NoToken::Slow.is_final() && !NoToken::Answer.is_final());
    assert_eq!(NoToken::Endpoint.to_string(), "the credential's token_uri is not at oauth2.googleapis.com");
}
