//! Errors in the caller's own words, with the provider's status and hint, before the stream and inside it.

use serde_json::json;
use tollgate_tests::fake::strict::Family;

use super::{Pair, everywhere, spoil};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_error_is_told_in_the_callers_family() {
    everywhere(async |pair: Pair| {
        for (asked, wanted) in
            [(400, vec![400]), (422, vec![422, 400]), (429, vec![429]), (500, vec![500, 502]), (503, vec![503, 502])]
        {
            let failed = pair.asking(&format!("!error {asked}")).try_hear().await.expect_err("an error was asked for");
            assert!(wanted.contains(&failed.status), "{asked}: {failed:?}");
            assert!(!failed.message.is_empty());
            assert!(failed.header("x-request-id").starts_with("req_"));
            assert_eq!(failed.header("anthropic-organization-id"), "", "the provider's account shows");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_says_when_to_come_back_whoever_tells_it() {
    everywhere(async |pair: Pair| {
        // The first client of a provider hears it from there, the others from the gateway, which asks no more.
        let failed = pair.limited("!error 429 !wait").try_hear().await.expect_err("an error was asked for");
        assert_eq!(failed.status, 429, "{failed:?}");
        let (seconds, ms): (u64, u64) =
            (failed.header("retry-after").parse().unwrap(), failed.header("retry-after-ms").parse().unwrap());
        assert!((1..=7).contains(&seconds) && (1..=7_000).contains(&ms), "{failed:?}");
        assert_eq!(failed.header("anthropic-organization-id"), "", "the provider's account shows");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_html_is_an_error_in_the_callers_family() {
    everywhere(async |pair: Pair| {
        let failed = pair.asking("!html").try_hear().await.expect_err("a page is no answer");
        assert_eq!(failed.status, 502);
        assert!(!failed.message.contains("<html>"), "{failed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_inside_an_answer_is_one_inside_the_callers() {
    everywhere(async |pair: Pair| {
        let failed = pair.asking("a text of some length, to be broken off !inband").try_hear().await;
        let failed = failed.expect_err("an error was asked for");
        assert!(failed.status == 200 && pair.is_stream || failed.status >= 500, "{failed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_never_a_good_one() {
    everywhere(async |pair: Pair| {
        let failed = pair.asking("a text of some length, to be cut off in the middle !cut").try_hear().await;
        let failed = failed.expect_err("the answer was cut");
        assert!(failed.status == 200 && pair.is_stream || failed.status >= 500, "{failed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_that_are_no_json_do_not_break_the_answer() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking(r#"call get_weather({"city":"A"}) !badargs"#);
        speaker.tools(&[super::weather()]);
        let reply = pair.house.client(0, "").send(speaker.ask()).await;
        match pair.to {
            // Google says itself that the call is bad.
            Family::Gemini if !pair.is_same() => {
                assert!(reply.status >= 500 || reply.text().contains("error"), "{}", reply.text())
            }
            _ => assert!(reply.status == 200 || reply.status >= 500, "{}", reply.text()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_family_can_read_is_refused_before_it_goes_out() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("hello");
        spoil(&mut speaker.body, pair.from);
        let failed = speaker.try_hear().await.expect_err("a fault in the request");
        assert_eq!(failed.status, 400, "{failed:?}");
        let seen = pair.house.fake.strict().tagged(&pair.tag);
        assert!(pair.is_same() || seen.is_empty(), "it went out: {seen:?}");
        assert!(!json!(failed.message).to_string().contains("hello"), "a message quotes the prompt");
    })
    .await;
}
