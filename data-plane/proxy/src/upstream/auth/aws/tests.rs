use bytes::Bytes;
use http::Method;

use super::super::{Account, Outgoing, Signer, Tokens};
use super::*;
use crate::config::UpstreamSettings;
use crate::upstream::{Shared, Target, Upstream};
use domain::providers::AuthScheme;
use std::sync::Arc;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: &str = "20150830T123600Z";
const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
const LETTERS: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn key(service: &str) -> Key {
    let credential = format!(r#"{{"accessKeyId":"{ID}","secretAccessKey":"{SECRET}"}}"#);
    Key::read(&Secret::from(credential), "us-east-1", service).ok().unwrap()
}

/// Name, method, path and query, headers beside host and date, signature.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

/// The signature suite that AWS publishes.
#[test]
fn the_published_signatures_come_out() {
    let letters = format!("/{LETTERS}");
    let letters_query = format!("/?{LETTERS}={LETTERS}");
    let cases: &[Case<'_>] = &[
        ("get-vanilla", "GET", "/", &[], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            "get-vanilla-with-session-token",
            "GET",
            "/",
            &[("x-amz-security-token", TOKEN)],
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        ),
        (
            "get-vanilla-empty-query-key",
            "GET",
            "/?Param1=value1",
            &[],
            "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
        ),
        (
            "get-vanilla-query-order-encoded",
            "GET",
            "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            &[],
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        ),
        (
            "get-vanilla-query-order-key-case",
            "GET",
            "/?Param2=value2&Param1=value1",
            &[],
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-vanilla-query-unreserved",
            "GET",
            &letters_query,
            &[],
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
        (
            "get-vanilla-utf8-query",
            "GET",
            "/?ሴ=bar",
            &[],
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        ),
        ("get-unreserved", "GET", &letters, &[], "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("get-utf8", "GET", "/ሴ", &[], "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        (
            "get-space-unnormalized",
            "GET",
            "/example space/",
            &[],
            "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
        ),
        (
            "get-relative-normalized",
            "GET",
            "/example/..",
            &[],
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "get-relative-relative-normalized",
            "GET",
            "/example1/example2/../..",
            &[],
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        ("get-slash-normalized", "GET", "//", &[], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            "get-slash-dot-slash-normalized",
            "GET",
            "/./",
            &[],
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "get-slash-pointless-dot-normalized",
            "GET",
            "/./example",
            &[],
            "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
        ),
        (
            "get-slashes-normalized",
            "GET",
            "//example//",
            &[],
            "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
        ),
        (
            "get-header-key-duplicate",
            "GET",
            "/",
            &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            "get-header-value-order",
            "GET",
            "/",
            &[("my-header1", "value4"), ("my-header1", "value1"), ("my-header1", "value3"), ("my-header1", "value2")],
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
        (
            "get-header-value-trim",
            "GET",
            "/",
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        ("post-vanilla", "POST", "/", &[], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "post-vanilla-query",
            "POST",
            "/?Param1=value1",
            &[],
            "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
        ),
        (
            "post-header-key-sort",
            "POST",
            "/",
            &[("my-header1", "value1")],
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            "post-header-value-case",
            "POST",
            "/",
            &[("my-header1", "VALUE1")],
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
    ];
    let key = key("service");
    for (name, method, line, more, expected) in cases {
        let (path, query) = line.split_once('?').unwrap_or((line, ""));
        let mut headers: Vec<(&str, &[u8])> = vec![("x-amz-date", NOW.as_bytes()), ("host", b"example.amazonaws.com")];
        headers.extend(more.iter().map(|(name, value)| (*name, value.as_bytes())));
        let said = key.authorization(Request { method, path, query, headers, payload: EMPTY }, NOW);
        let (_, signature) = said.split_once("Signature=").unwrap();
        assert_eq!(signature, *expected, "{name}");
    }
}

#[test]
fn a_body_is_signed_by_its_hash() {
    let hash = hex(digest::digest(&digest::SHA256, b"Param1=value1").as_ref());
    let headers: Vec<(&str, &[u8])> = vec![
        ("host", b"example.amazonaws.com"),
        ("content-type", b"application/x-www-form-urlencoded"),
        ("content-length", b"13"),
        ("x-amz-date", NOW.as_bytes()),
        ("x-amz-content-sha256", hash.as_bytes()),
    ];
    let request = Request { method: "POST", path: "/", query: "", headers, payload: &hash };
    assert_eq!(
        key("service").authorization(request, NOW),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=content-length;content-type;host;x-amz-content-sha256;x-amz-date, \
         Signature=d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"
    );
}

#[test]
fn what_is_encoded_already_is_encoded_once_more() {
    for (line, expected) in [
        ("/test/@connections/JBDvjfGEIAMCERw%3D", "/test/%40connections/JBDvjfGEIAMCERw%253D"),
        ("/functions/arn%3Aaws%3Alambda/invocations", "/functions/arn%253Aaws%253Alambda/invocations"),
    ] {
        let request = Request { method: "POST", path: line, query: "a=%3a&A=+", headers: Vec::new(), payload: EMPTY };
        assert_eq!(request.canonical().0.lines().take(3).collect::<Vec<_>>(), ["POST", expected, "A=%2B&a=%3A"]);
    }
}

fn on_a_worker(test: impl FnOnce(&Upstream)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        test(&Upstream::new(Shared::new(&UpstreamSettings::default()).unwrap()));
    });
}

fn signed(
    signer: &Signer,
    secret: &Arc<Secret>,
    (target, route, now): (&Target, &str, &str),
    body: &[&'static str],
) -> Result<HeaderMap, SignError> {
    let route = target.route("/model/{model}/converse", route).unwrap();
    let parts: Vec<Bytes> = body.iter().map(|part| Bytes::from_static(part.as_bytes())).collect();
    let body = parts.into();
    let outgoing = Outgoing { method: &Method::POST, target, route: &route, body: &body, now: now.parse().unwrap() };
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("user-agent", "not signed".parse().unwrap());
    headers.insert("authorization", "the client's own".parse().unwrap());
    headers.insert("x-amz-date", "the client's own".parse().unwrap());
    headers.insert("x-amz-security-token", "the client's own".parse().unwrap());
    signer.sign(Some(secret), &outgoing, &mut headers)?;
    Ok(headers)
}

fn credential(more: &str) -> Arc<Secret> {
    Arc::new(Secret::from(format!(r#" {{"accessKeyId":"{ID}","secretAccessKey":"{SECRET}"{more}}}"#)))
}

const BEDROCK: &str = "https://bedrock-runtime.us-east-1.amazonaws.com";
const NOON: &str = "2026-11-21T12:00:00.999999Z";

/// The signatures are what AWS' own library for Python says of these requests.
#[test]
fn requests_to_bedrock_are_signed_as_aws_does_it() {
    on_a_worker(|upstream| {
        let target = upstream.target(BEDROCK).unwrap();
        let signer = upstream.signer(&AuthScheme("aws-sigv4:us-east-1/bedrock".into()), &target).unwrap();
        let secret = credential(r#","sessionToken":"a-session-token","region":"us-east-1""#);
        let model = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0";
        let headers = signed(&signer, &secret, (&target, model, NOON), &["{\"messages\"", "", ":[]}"]).unwrap();
        assert_eq!(
            headers["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/us-east-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
             Signature=861113def9aa9fc59b7b5f1c5aa54c1256ce774c234a4705802f057164242942"
        );
        assert_eq!(
            (&headers["x-amz-date"], &headers["x-amz-security-token"]),
            (&HeaderValue::from_static("20261121T120000Z"), &HeaderValue::from_static("a-session-token"))
        );
        assert_eq!(headers.get_all("authorization").iter().count(), 1);
        let shown = format!("{headers:?}");
        assert!(!shown.contains("861113de") && !shown.contains("a-session-token"), "{shown}");
    });
}

#[test]
fn a_key_is_derived_anew_when_the_day_changes() {
    on_a_worker(|upstream| {
        let target = upstream.target(BEDROCK).unwrap();
        let secret = credential("");
        let of = |signer: &Signer, now: &str| {
            let headers = signed(signer, &secret, (&target, "m", now), &["{}"]).unwrap();
            assert!(!headers.contains_key("x-amz-security-token"));
            headers["authorization"].to_str().unwrap().to_owned()
        };
        let made = || upstream.signer(&AuthScheme("aws-sigv4:us-east-1/bedrock".into()), &target).unwrap();
        let kept = made();
        for now in [NOON, "2026-11-21T23:59:59Z", "2026-11-22T00:00:00Z", NOON] {
            assert_eq!(of(&kept, now), of(&made(), now));
        }
    });
}

#[test]
fn a_bedrock_api_key_goes_as_a_bearer_token() {
    on_a_worker(|upstream| {
        let target = upstream.target(BEDROCK).unwrap();
        let signer = upstream.signer(&AuthScheme("aws-sigv4:us-east-1/bedrock".into()), &target).unwrap();
        let secret = Arc::new(Secret::from("bedrock-api-key-canary"));
        let headers = signed(&signer, &secret, (&target, "m", NOON), &["{}"]).unwrap();
        assert_eq!(headers["authorization"], "Bearer bedrock-api-key-canary");
        assert!(!format!("{headers:?}").contains("canary"));
    });
}

#[test]
fn credentials_that_cannot_sign_are_refused_and_leave_the_headers_alone() {
    let tokens = Tokens::default();
    for (text, expected) in [
        ("", SignError::Missing),
        ("{", SignError::Malformed),
        (r#"{"accessKeyId":"A"}"#, SignError::Malformed),
        (r#"{"accessKeyId":"","secretAccessKey":"s"}"#, SignError::Malformed),
        (r#"{"accessKeyId":"A/B","secretAccessKey":"s"}"#, SignError::Malformed),
        (r#"{"accessKeyId":"A","secretAccessKey":""}"#, SignError::Malformed),
        (r#"{"accessKeyId":"A","secretAccessKey":"s","sessionToken":"a\nb"}"#, SignError::Malformed),
        (r#"{"accessKeyId":"A","secretAccessKey":"s","region":"eu-west-1"}"#, SignError::Region),
        ("two\nlines", SignError::Malformed),
    ] {
        let secret = Arc::new(Secret::from(text));
        let account =
            Account { argument: Some("us-east-1/bedrock"), secret: Some(&secret), tokens: &tokens, is_local: false };
        assert_eq!(Aws.prepare(&account).err(), Some(expected), "{text:?}");
    }
    let snake = r#"{"aws_access_key_id":"A","aws_secret_access_key":"s","aws_session_token":""}"#;
    assert!(Key::read(&Secret::from(snake), "us-east-1", "bedrock").is_ok_and(|key| key.session_token.is_none()));
    let signer = Signer::of(&AuthScheme("aws-sigv4:us-east-1/bedrock".into())).unwrap();
    let mut headers = HeaderMap::new();
    assert_eq!(signer.sign_blindly(Some(&credential("")), &mut headers), Err(SignError::NeedsRequest));
    assert!(headers.is_empty());
}
