//! Pages call the gateway too.

use http::Method;
use tollgate_tests::clients::Ask;
use tollgate_tests::house::House;

use super::{PREFIXES, hello};

const WANTED: &str = "authorization,content-type,x-stainless-arch,x-title";

fn preflight(path: &str) -> Ask {
    Ask { method: Method::OPTIONS, ..Ask::get(path) }
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", WANTED)
}

#[tokio::test]
async fn a_preflight_needs_no_key_on_any_route() {
    let house = House::lab().await;
    let stranger = house.client(0, "");
    for prefix in PREFIXES {
        for route in ["chat/completions", "models", "models/lab/plain", "credits", "generation"] {
            let reply = stranger.send(preflight(&format!("{prefix}/{route}"))).await;
            assert!(matches!(reply.status, 200 | 204), "{prefix}/{route}: {}", reply.status);
            assert!(
                ["*", "https://app.example.com"].contains(&reply.header("access-control-allow-origin")),
                "{reply:?}"
            );
            let allowed = reply.header("access-control-allow-headers").to_ascii_lowercase();
            for name in WANTED.split(',') {
                assert!(allowed.contains(name), "{name} is not in {allowed}");
            }
            let methods = reply.header("access-control-allow-methods");
            assert!(methods.contains("POST") && methods.contains("GET"), "{methods}");
        }
    }
}

#[tokio::test]
async fn answers_and_errors_are_open_to_pages_and_their_ids_readable() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let chat =
        |model: &str| Ask::json("/v1/chat/completions", &hello(model)).header("origin", "https://app.example.com");
    for (key, ask, status) in [
        (org.key.as_str(), chat("lab/plain"), 200),
        (org.key.as_str(), chat("nobody/nothing"), 404),
        ("wrong", chat("lab/plain"), 401),
        ("", Ask::get("/nowhere").header("origin", "https://app.example.com"), 404),
    ] {
        let reply = house.client(0, key).send(ask).await.expect(status);
        assert!(
            ["*", "https://app.example.com"].contains(&reply.header("access-control-allow-origin")),
            "{status}: {reply:?}"
        );
        let exposed = reply.header("access-control-expose-headers").to_ascii_lowercase();
        for name in ["x-request-id", "retry-after", "x-ratelimit-remaining-requests"] {
            assert!(exposed.contains(name), "{name} is not in {exposed}");
        }
        assert_eq!(reply.header("access-control-allow-credentials"), "");
    }
}
