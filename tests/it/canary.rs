//! The canary: texts that must stay in memory are sent through every door, and then looked for everywhere they could
//! have been left: logs, spool, snapshot cache, database, metrics, the admin API.

use std::fs;
use std::path::Path;

use serde_json::json;
use tollgate_tests::clients::Ask;
use tollgate_tests::fake::{Answer, Ending, Reply};
use tollgate_tests::house::{House, Setup};
use tollgate_tests::wait;

const PROMPT: &str = "canaryprompt5e1f0c";
const ANSWER: &str = "canaryanswer77ab12";
const CREDENTIAL: &str = "sk-canarycredential-90d2c4";
const WRONG_KEY: &str = "tg_live_canarywrongkey3b6e";
const CLIENT_ID: &str = "canaryclientid18aa";

/// Makes every part talk as much as it ever does.
pub const LOG: &str = "[telemetry]\nlog = \"trace,h2=info,hyper=info,tower=info,tonic=info,mio=info,want=info\"\n";

fn apply(house_url: &str) -> String {
    format!(
        "[[providers]]\nid = \"canary\"\nbase_url = \"{house_url}\"\ndialects = [\"openai-chat\"]\nauth = \"bearer\"\n\
         credential = {{ value = \"{CREDENTIAL}\" }}\n\n[[models]]\nid = \"canary/model\"\ncontext_length = 100000\n\n\
         [[models.endpoints]]\nprovider = \"canary\"\nupstream_model = \"m\"\nprices = {{ prompt = \"1\", completion = \"1\" }}\n"
    )
}

/// Sends the secrets through every door, on good days and bad ones.
async fn sing(house: &House, key: &str) {
    let client = house.client(0, key);
    let failures =
        [Reply::error(400, &format!("you said {PROMPT}")), Reply::error(500, PROMPT), Reply::html_502(), Reply::Reset];
    let answers = [Ending::Good, Ending::Reset, Ending::Error]
        .map(|ending| Reply::from(Answer::of(9, 4).text(ANSWER).ending(ending)));
    for reply in failures.into_iter().chain(answers) {
        for is_stream in [false, true] {
            let tag = house.fake.script(reply.clone());
            let body = json!({
                "model": "canary/model", "messages": [{"role": "user", "content": format!("{PROMPT} {tag}")}], "user": PROMPT,
                "metadata": {"note": PROMPT}, "stop": [PROMPT], "stream": is_stream, "fake": tag, "trace": {"id": PROMPT},
            });
            let ask = Ask::json("/api/v1/chat/completions", &body)
                .header("x-request-id", CLIENT_ID)
                .header("x-title", PROMPT);
            let _ = client.try_send(ask).await;
        }
    }
    for body in
        [format!("{{\"model\":\"{PROMPT}"), format!("{{\"model\":7,\"messages\":\"{PROMPT}\"}}"), PROMPT.to_owned()]
    {
        client.send(Ask::post("/v1/chat/completions", body)).await.expect(400);
    }
    client.get(&format!("/v1/models/{PROMPT}/{PROMPT}")).await.expect(404);
    client.get(&format!("/v1/generation?id={PROMPT}")).await.expect(404);
    let stranger = house.client(0, "");
    for name in ["authorization", "x-api-key", "api-key", "x-goog-api-key"] {
        let value = if name == "authorization" { format!("Bearer {WRONG_KEY}") } else { WRONG_KEY.to_owned() };
        stranger.send(Ask::get("/v1/models").header(name, &value)).await.expect(401);
    }
    stranger.get(&format!("/v1/models?key={WRONG_KEY}")).await.expect(401);
    stranger.get(&format!("/v1/models?key={key}")).await.expect(200);
    stranger.get(&format!("/nowhere?key={key}")).await.expect(404);
    let said = house.run(&["admin", "orgs", "list", "--token", WRONG_KEY]).await;
    assert_eq!(said.code, 1, "{said:?}");
}

/// Every file under a folder with its bytes.
pub fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test]
async fn prompts_answers_and_keys_are_left_nowhere() {
    let mut house = House::planes(Setup { control: LOG.to_owned(), proxy: LOG.to_owned(), ..Setup::default() }).await;
    let file = house.folder().join("canary.toml");
    fs::write(&file, apply(&house.fake.url("canary"))).unwrap();
    let applied = house.admin(&["apply", "-f", file.to_str().unwrap()]).await;
    fs::remove_file(&file).unwrap();
    let org = house.org("10.00").await;
    let token = house.operator().await.token(&org.id, "viewer").await;
    wait::until_true("the canary sings", wait::SOON, async || {
        let body = json!({"model": "canary/model", "messages": [{"role": "user", "content": PROMPT}]});
        house.client(0, &org.key).chat(&body).await.status == 200
    })
    .await;
    sing(&house, &org.key).await;
    // The provider did get the credential and the prompt; else there would be nothing to find.
    assert!(house.fake.served().iter().any(|served| served.header("authorization").contains(CREDENTIAL)));
    assert!(house.fake.served().iter().any(|served| String::from_utf8_lossy(&served.body).contains(PROMPT)));

    let mut places = vec![
        ("metrics".to_owned(), house.metrics_text().await.into_bytes()),
        ("apply".to_owned(), applied.to_string().into_bytes()),
    ];
    for call in [
        &["usage", "list", "--org", org.id.as_str()][..],
        &["keys", "list", "--org", &org.id, "--all"],
        &["tokens", "list", "--org", &org.id],
        &["providers", "list"],
        &["audit", "list"],
        &["credits", "ledger", "--org", &org.id],
    ] {
        places.push((call.join(" "), house.admin(call).await.to_string().into_bytes()));
    }
    // While it runs, and again when everything that is flushed at the end is on disk.
    files(house.folder(), &mut places);
    assert_eq!(house.stop_proxy(0).await, 0);
    assert_eq!(house.stop_controller().await, 0);
    files(house.folder(), &mut places);
    places.extend(house.database().dump().map(|dump| ("the database".to_owned(), dump)));
    let logs = house.logs();
    assert!(logs.len() > 1_000, "the logs are empty: nothing was looked at");
    assert!(
        places.iter().any(|(place, _)| place.contains("/spool/"))
            && places.iter().any(|(place, _)| place.contains("/snapshot")),
        "{:?}",
        names(&places)
    );

    let root = house.token().to_owned();
    for (name, secret) in [
        ("the prompt", PROMPT),
        ("the answer", ANSWER),
        ("a provider's credential", CREDENTIAL),
        ("a wrong key", WRONG_KEY),
        ("the key", &org.key),
        ("the key's secret part", &org.key[18..50]),
        ("an admin token", &token),
        ("the root token", &root),
    ] {
        for (place, bytes) in &places {
            // The operator's own copy is there on purpose.
            let is_meant = place.ends_with("/admin-token") && name == "the root token";
            let is_found = memchr::memmem::find(bytes, secret.as_bytes()).is_some();
            assert!(!is_found || is_meant, "{name} is in {place}");
        }
    }
}

fn names(places: &[(String, Vec<u8>)]) -> Vec<&String> {
    places.iter().map(|(place, _)| place).collect()
}
