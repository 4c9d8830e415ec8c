use super::*;

fn signed(scheme: &str, secret: Option<&str>) -> Result<HeaderMap, SignError> {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static("the client's own"));
    let secret = secret.map(Secret::from).map(Arc::new);
    let signer = Signer::of(&AuthScheme(scheme.into())).ok_or(SignError::Scheme)?;
    signer.sign_blindly(secret.as_ref(), &mut headers).map(|()| headers)
}

#[test]
fn a_new_credential_is_used_at_once_and_one_that_is_gone_no_more() {
    let signer = Signer::of(&AuthScheme("bearer".into())).unwrap();
    let signed = |secret: Option<&Arc<Secret>>| {
        let mut headers = HeaderMap::new();
        signer.sign_blindly(secret, &mut headers).map(|()| headers["authorization"].to_str().unwrap().to_owned())
    };
    let (old, new) = (Arc::new(Secret::from("old")), Arc::new(Secret::from("new")));
    for (secret, expected) in [
        (Some(&old), Ok("Bearer old")),
        (Some(&old), Ok("Bearer old")),
        (Some(&new), Ok("Bearer new")),
        (None, Err(SignError::Missing)),
        (Some(&new), Ok("Bearer new")),
    ] {
        assert_eq!(signed(secret), expected.map(str::to_owned));
    }
    assert_eq!(Arc::strong_count(&new), 1, "a signer does not keep a credential alive");
    // A new credential in the same place would be taken for the old one if its place could be used again.
    for n in 0..100 {
        let secret = Arc::new(Secret::from(format!("{n}")));
        assert_eq!(signed(Some(&secret)), Ok(format!("Bearer {n}")));
    }
}

#[test]
fn each_scheme_puts_the_credential_where_it_belongs_and_hides_it() {
    let bearer = signed("bearer", Some("canary-1")).unwrap();
    assert_eq!(bearer["authorization"], "Bearer canary-1");
    let header = signed("header:x-api-key", Some("canary-2")).unwrap();
    assert_eq!(header.get_all("x-api-key").iter().count(), 1);
    assert_eq!(header["x-api-key"], "canary-2");
    assert_eq!(signed("header:api-key", Some("azure")).unwrap()["api-key"], "azure");
    assert!(!format!("{bearer:?}{header:?}").contains("canary"));
    assert!(signed("none", None).unwrap().get("authorization").is_none());
}

#[test]
fn signing_with_what_is_known_already_allocates_nothing() {
    for scheme in ["bearer", "header:x-api-key"] {
        let signer = Signer::of(&AuthScheme(scheme.into())).unwrap();
        let secret = Arc::new(Secret::from("key"));
        let mut headers = HeaderMap::with_capacity(8);
        signer.sign_blindly(Some(&secret), &mut headers).unwrap();
        let found = allocation_counter::measure(|| {
            assert!(signer.wait(Some(&secret)).is_none());
            signer.sign_blindly(Some(&secret), &mut headers).unwrap();
        });
        assert_eq!(found.count_total, 0, "{scheme}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused_and_leaves_the_headers_alone() {
    assert_eq!(signed("bearer", None).unwrap_err(), SignError::Missing);
    assert_eq!(signed("bearer", Some("")).unwrap_err(), SignError::Missing);
    assert_eq!(signed("bearer", Some("two\nlines")).unwrap_err(), SignError::Malformed);
    assert_eq!(signed("sigv4", Some("x")).unwrap_err(), SignError::Scheme);
    for (scheme, known) in [
        ("bearer", true),
        ("none", true),
        ("header:x-goog-api-key", true),
        ("google-service-account", true),
        ("aws-sigv4:us-east-1/bedrock", true),
        ("header:", false),
        ("bearer:x", false),
        ("header", false),
        ("google-service-account:x", false),
        ("aws-sigv4:us-east-1", false),
        ("magic", false),
    ] {
        assert_eq!(knows(&AuthScheme(scheme.into())), known, "{scheme}");
        let parsed = AuthScheme::parse(scheme).is_ok();
        assert_eq!(parsed, known, "the row's check and this table agree on {scheme}");
    }
}
