//! One command, no other service: it answers within seconds, keeps what it has, and says clearly why it cannot start.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tollgate_tests::clients::Client;
use tollgate_tests::house::{Database, Process, Said, new_folder, program, ready_line, run, up_command};

/// From process start to the ready line.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// From process start to the end of one that cannot start.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
const STOP_LIMIT: Duration = Duration::from_secs(60);

const HELLO: &str = r#"{"model":"tollgate/echo","messages":[{"role":"user","content":"Hello"}]}"#;

/// Starts on the database that the environment asks for.
fn up(data: &Path, database: &Database) -> Command {
    let mut command = up_command(data);
    if let Some(url) = database.url() {
        command.args(["--database", &url]);
    }
    command
}

fn text<'a>(ready: &'a Value, field: &str) -> &'a str {
    ready[field].as_str().unwrap_or_else(|| panic!("no {field} in {ready}"))
}

#[tokio::test]
async fn one_command_answers_within_five_seconds() {
    let (folder, database) = (new_folder(), Database::of_environment());
    let mut process = Process::start("up", &up(&folder.path().join("data"), &database), folder.path());
    let ready = ready_line(&mut process).await;
    let took = process.started.elapsed();
    assert!(took < READY_WITHIN, "ready after {took:?}");

    for (field, start) in [
        ("org", "org_"),
        ("api_key", "tg_live_"),
        ("admin_url", "http://127.0.0.1:"),
        ("console_url", "http://127.0.0.1:"),
    ] {
        assert!(text(&ready, field).starts_with(start), "{field} in {ready}");
    }
    assert!(text(&ready, "admin_token").len() >= 32);
    let url = ready["inference_urls"][0].as_str().unwrap();
    let client = Client::new(url, text(&ready, "api_key"));
    let answer = client.chat(&serde_json::from_str(HELLO).unwrap()).await.expect(200).json();
    assert!(answer["choices"][0]["message"]["content"].as_str().is_some_and(|text| text.contains("Hello")), "{answer}");
    let token = fs::read_to_string(folder.path().join("data/admin-token")).unwrap();
    assert_eq!(token.trim(), text(&ready, "admin_token"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(folder.path().join("data/admin-token")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_line_on_the_screen_works_as_it_stands() {
    let (folder, database) = (new_folder(), Database::of_environment());
    let mut command = up(&folder.path().join("data"), &database);
    let arguments: Vec<_> =
        command.get_args().filter(|argument| *argument != "--json").map(ToOwned::to_owned).collect();
    command = {
        let mut without = program::command();
        without.args(arguments);
        without
    };
    let mut process = Process::start("up", &command, folder.path());
    let mut curl = process.line(STOP_LIMIT).await;
    while !curl.trim_start().starts_with("curl ") {
        curl = process.line(STOP_LIMIT).await;
    }
    while curl.trim_end().ends_with('\\') {
        curl = format!("{}{}", curl.trim_end().trim_end_matches('\\'), process.line(STOP_LIMIT).await);
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", curl.trim()]);
    let said = run(shell).await;
    let answer: Value =
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?} from {curl}"));
    assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_second_start_keeps_everything_and_shows_the_same_key() {
    let (folder, database) = (new_folder(), Database::of_environment());
    let data = folder.path().join("data");
    let mut first = Process::start("first", &up(&data, &database), folder.path());
    let before = ready_line(&mut first).await;
    let client = Client::new(before["inference_urls"][0].as_str().unwrap(), text(&before, "api_key"));
    client.chat(&serde_json::from_str(HELLO).unwrap()).await.expect(200);
    first.terminate();
    assert_eq!(first.code(STOP_LIMIT).await, 0, "{}", first.log());

    let mut second = Process::start("second", &up(&data, &database), folder.path());
    let after = ready_line(&mut second).await;
    assert!(second.started.elapsed() < READY_WITHIN, "ready after {:?}", second.started.elapsed());
    for field in ["org", "api_key", "admin_token"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    let client = Client::new(after["inference_urls"][0].as_str().unwrap(), text(&after, "api_key"));
    client.chat(&serde_json::from_str(HELLO).unwrap()).await.expect(200);
    let mut usage = program::command();
    usage.args(["admin", "usage", "list", "--json", "--org", text(&after, "org")]);
    usage.env("TOLLGATE_ADMIN_URL", text(&after, "admin_url")).env("TOLLGATE_ADMIN_TOKEN", text(&after, "admin_token"));
    let records = tollgate_tests::wait::until("both records", tollgate_tests::wait::SOON, async || {
        let mut again = program::command();
        again.args(usage.get_args());
        usage.get_envs().for_each(|(name, value)| {
            if let Some(value) = value {
                again.env(name, value);
            }
        });
        let records: Vec<Value> = serde_json::from_str(&run(again).await.stdout).unwrap();
        (records.len() >= 2).then_some(records)
    })
    .await;
    assert_eq!(records.len(), 2);
}

#[tokio::test]
async fn both_ways_to_ask_it_to_stop_end_with_zero() {
    for signal in [Signal::TERM, Signal::INT] {
        let (folder, database) = (new_folder(), Database::of_environment());
        let mut process = Process::start("up", &up(&folder.path().join("data"), &database), folder.path());
        ready_line(&mut process).await;
        process.signal(signal);
        assert_eq!(process.code(STOP_LIMIT).await, 0, "{signal:?}: {}", process.log());
        assert!(!process.log().contains("panicked"), "{}", process.log());
    }
}

#[tokio::test]
async fn without_the_demo_there_is_neither_organisation_nor_echo() {
    let (folder, database) = (new_folder(), Database::of_environment());
    let mut command = up(&folder.path().join("data"), &database);
    command.arg("--no-demo");
    let token = "a-root-token-of-the-operators-own-choosing";
    command.env("TOLLGATE_ADMIN_TOKEN", token);
    let mut process = Process::start("up", &command, folder.path());
    let ready = ready_line(&mut process).await;
    assert_eq!((&ready["org"], &ready["api_key"]), (&Value::Null, &Value::Null), "{ready}");
    assert_eq!(ready["admin_token"], token);
    let mut orgs = program::command();
    orgs.args(["admin", "orgs", "list", "--json", "--token", token, "--admin-url", text(&ready, "admin_url")]);
    assert_eq!(run(orgs).await.stdout.trim(), "[]");
    let mut models = program::command();
    models.args(["admin", "models", "list", "--json", "--token", token, "--admin-url", text(&ready, "admin_url")]);
    let models: Value = serde_json::from_str(&run(models).await.stdout).unwrap();
    let ids: Vec<&str> = models.as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert!(!ids.contains(&"tollgate/echo"));
    assert!(ids.len() >= 40, "the seed catalogue has {} models", ids.len());
}

#[tokio::test]
async fn several_proxies_are_several_addresses() {
    let (folder, database) = (new_folder(), Database::of_environment());
    let mut command = up(&folder.path().join("data"), &database);
    command.args(["--proxies", "2"]);
    let mut process = Process::start("up", &command, folder.path());
    let ready = ready_line(&mut process).await;
    let urls = ready["inference_urls"].as_array().unwrap();
    assert_eq!(urls.len(), 2);
    assert_ne!(urls[0], urls[1]);
    for url in urls {
        let client = Client::new(url.as_str().unwrap(), text(&ready, "api_key"));
        client.chat(&serde_json::from_str(HELLO).unwrap()).await.expect(200);
    }
}

/// It must end soon, with one clear line that has all of `words`, and without having begun anything.
async fn is_refused(command: Command, words: &[&str]) -> Said {
    let started = Instant::now();
    let said = run(command).await;
    assert!(started.elapsed() < REFUSED_WITHIN, "{:?}: {}", started.elapsed(), said.stderr);
    assert!(said.code > 0, "{said:?}");
    assert_eq!(said.stdout, "", "{said:?}");
    assert_eq!(said.stderr.trim().lines().count(), 1, "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "no `{word}` in {}", said.stderr);
    }
    said
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    for flag in ["--listen", "--admin-listen", "--sync-listen", "--metrics-listen"] {
        let folder = new_folder();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let mut command = program::command();
        command.args(["up", "--json", "--data"]).arg(folder.path().join("data"));
        for each in ["--listen", "--admin-listen", "--sync-listen", "--metrics-listen"] {
            command.args([each, if each == flag { address.as_str() } else { "127.0.0.1:0" }]);
        }
        is_refused(command, &[&address]).await;
    }
}

#[tokio::test]
async fn a_broken_apply_file_is_one_clear_line_with_its_place() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let file = folder.path().join("broken.toml");
    for (text, place) in [
        ("[[providers]]\nid = \"x\"\nnonsense = 1\n", ":3:1"),
        ("[[orgs]]\nslug = ", ":2:"),
        ("[[models]]\nid = \"a/b\"\n", ":1:"),
    ] {
        fs::write(&file, text).unwrap();
        let mut command = up_command(&data);
        command.arg("--apply").arg(&file);
        is_refused(command, &["broken.toml", place]).await;
        assert!(!data.join("tollgate.db").exists(), "a refused start left a database behind");
    }
    let mut command = up_command(&data);
    command.arg("--apply").arg(folder.path().join("missing.toml"));
    is_refused(command, &["missing.toml"]).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_one_clear_line() {
    let folder = new_folder();
    let file = folder.path().join("in-the-way");
    fs::write(&file, "not a folder").unwrap();
    is_refused(up_command(&file.join("data")), &["in-the-way"]).await;
    is_refused(up_command(&file), &["in-the-way"]).await;
}

#[tokio::test]
async fn a_folder_in_use_is_one_clear_line() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let mut first = Process::start("first", &up_command(&data), folder.path());
    let ready = ready_line(&mut first).await;
    is_refused(up_command(&data), &["data"]).await;
    let client = Client::new(ready["inference_urls"][0].as_str().unwrap(), text(&ready, "api_key"));
    client
        .chat(&json!({"model": "tollgate/echo", "messages": [{"role": "user", "content": "Still there?"}]}))
        .await
        .expect(200);
}

#[tokio::test]
async fn settings_that_nobody_knows_are_refused_by_name() {
    let folder = new_folder();
    for (noun, variable) in [("data-plane", "TOLLGATE_PROXY_LISTNE"), ("control-plane", "TOLLGATE_CONTROLLER_LISTNE")] {
        let mut command = program::command();
        command.args([noun, "--config"]).arg(folder.path().join("none.toml"));
        is_refused(command, &["none.toml"]).await;
        let file = folder.path().join("odd.toml");
        fs::write(&file, "listne = 1\n").unwrap();
        let mut command = program::command();
        command.args([noun, "--config"]).arg(&file);
        is_refused(command, &["odd.toml", "listne"]).await;
        let mut command = program::command();
        command.arg(noun).env(variable, "127.0.0.1:1").current_dir(folder.path());
        is_refused(command, &[variable]).await;
    }
}
