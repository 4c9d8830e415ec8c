//! The command line: data on stdout, everything else on stderr, exit codes that scripts can rely on.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tollgate_tests::house::{House, Setup, program, run};
use tollgate_tests::wait;

use crate::openai::hello;

#[tokio::test]
async fn help_is_there_for_every_command() {
    for (arguments, words) in [
        (&["--help"][..], &["up", "control-plane", "data-plane", "migrate", "config", "admin", "version"][..]),
        (
            &["up", "--help"],
            &[
                "--data",
                "--database",
                "--listen",
                "--admin-listen",
                "--sync-listen",
                "--metrics-listen",
                "--proxies",
                "--apply",
                "--no-demo",
                "--json",
            ],
        ),
        (&["control-plane", "--help"], &["--config"]),
        (&["data-plane", "--help"], &["--config"]),
        (
            &["admin", "--help"],
            &[
                "orgs",
                "keys",
                "tokens",
                "credits",
                "usage",
                "providers",
                "models",
                "fleet",
                "ledger",
                "apply",
                "version",
                "--admin-url",
                "--token",
                "--json",
            ],
        ),
        (
            &["admin", "keys", "create", "--help"],
            &["--org", "--name", "--limit", "--reset", "--rpm", "--tpm", "--expires", "--allow-model"],
        ),
    ] {
        let mut command = program::command();
        command.args(arguments);
        let said = run(command).await;
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{arguments:?}");
        for word in words {
            assert!(said.stdout.contains(word), "no {word} in the help of {arguments:?}:\n{}", said.stdout);
        }
    }
}

#[tokio::test]
async fn each_version_is_told_to_people_and_to_programs() {
    let own = env!("CARGO_PKG_VERSION");
    for (arguments, wanted) in [
        (&["version"][..], format!("tollgate {own}\n")),
        (&["version", "--json"], format!("{{\"version\":\"{own}\"}}\n")),
    ] {
        let mut command = program::command();
        command.args(arguments);
        let said = run(command).await;
        assert_eq!((said.code, said.stdout), (0, wanted), "{arguments:?}: {}", said.stderr);
    }
    let house = House::lab().await;
    assert_eq!(house.admin(&["version"]).await, json!({"client": own, "server": own}));
    let said = house.run(&["admin", "version"]).await;
    assert!(said.stdout.contains("client:") && said.stdout.contains("server:"), "{said:?}");
}

/// Runs a command whose data goes to `out`: its exit code, and what it says beside.
async fn run_into(command: std::process::Command, out: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::from(command);
    let running = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let ended = wait::within("the command", wait::SOON, running.wait_with_output()).await.unwrap();
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

#[tokio::test]
async fn whoever_stops_reading_ends_a_command_quietly() {
    let house = House::lab().await;
    for arguments in [&["admin", "models", "list", "--json"][..], &["version"], &["config", "print"]] {
        // Closed before the command begins: what it writes can only fail.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run_into(house.command(arguments), writer).await, (Some(0), String::new()), "{arguments:?}");
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let (code, errors) = run_into(house.command(&["admin", "models", "list", "--json"]), full).await;
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.starts_with("tollgate: write to stdout: "), "{errors}");
}

#[tokio::test]
async fn wrong_usage_is_two_and_a_refusal_is_one() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    for wrong in [
        &["nonsense"][..],
        &["up", "--nonsense"],
        &["up", "--proxies", "many"],
        &["admin", "nonsense"],
        &["admin", "orgs", "create"],
        &["admin", "keys", "create", "--org", &org.id, "--name", "x", "--nonsense"],
        &["admin", "keys", "create", "--org", &org.id, "--name", "x", "--rpm", "many"],
        &["admin", "keys", "create", "--org", &org.id, "--name", "x", "--reset", "daily"],
        // Not enforced yet, so refused and never stored.
        &["admin", "keys", "create", "--org", &org.id, "--name", "x", "--allow-ip", "10.0.0.0/8"],
        &["admin", "keys", "rotate", &org.key_id, "--overlap", "24h"],
        &["admin", "byok", "list", "--org", &org.id],
    ] {
        let said = house.run(wrong).await;
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{wrong:?}: {said:?}");
        assert!(!said.stderr.is_empty(), "{wrong:?}");
    }
    for refused in [
        &["admin", "keys", "list", "--org", "org_0000000000000000000000000"][..],
        &["admin", "keys", "list", "--org", "nonsense"],
        &["admin", "keys", "revoke", "key_nonsense"],
        &["admin", "credits", "get", "--org", "nonsense"],
        &["admin", "credits", "grant", "--org", &org.id, "--amount", "many"],
        &["admin", "keys", "create", "--org", &org.id, "--name", "x", "--limit=-1"],
        &["admin", "keys", "create", "--org", &org.id, "--name", "x", "--expires", "tomorrow"],
        &["admin", "orgs", "list", "--token", "a-token-that-is-not-the-right-one-at-all"],
        &["admin", "orgs", "list", "--admin-url", "http://127.0.0.1:9"],
        &["admin", "apply", "-f", "/does/not/exist.toml"],
    ] {
        let said = house.run(refused).await;
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{refused:?}: {said:?}");
        assert!(said.stderr.starts_with("tollgate: ") || said.stderr.starts_with("error: "), "{refused:?}: {said:?}");
    }
    assert_eq!(
        house.admin(&["keys", "list", "--org", &org.id]).await.as_array().unwrap().len(),
        1,
        "a refused key was made"
    );
}

#[tokio::test]
async fn organisations_and_keys_are_listed_as_they_were_made() {
    let house = House::lab().await;
    let made = house.admin(&["orgs", "create", "--name", "Ärger & Söhne"]).await;
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("org_") && made["name"] == "Ärger & Söhne", "{made}");
    let orgs = house.admin(&["orgs", "list"]).await;
    assert!(orgs.as_array().unwrap().iter().any(|org| org["id"] == id && org["name"] == "Ärger & Söhne"));
    let key = house
        .admin(&[
            "keys",
            "create",
            "--org",
            id,
            "--name",
            "k",
            "--limit",
            "5.5",
            "--reset",
            "weekly",
            "--rpm",
            "60",
            "--tpm",
            "1000",
            "--allow-model",
            "a/*",
            "--allow-model",
            "b/c",
        ])
        .await;
    assert!(key["id"].as_str().is_some_and(|id| id.starts_with("key_")), "{key}");
    let text = key["key"].as_str().unwrap();
    assert!(text.starts_with("tg_live_"), "{key}");
    let keys = house.admin(&["keys", "list", "--org", id]).await;
    assert_eq!(keys.as_array().unwrap().len(), 1, "{keys}");
    let row = &keys[0];
    assert_eq!((&row["id"], &row["name"]), (&key["id"], &json!("k")), "{row}");
    assert_eq!(
        (&row["limit"], &row["reset"], &row["rpm"], &row["tpm"]),
        (&json!("5.500000000"), &json!("weekly"), &json!(60), &json!(1000)),
        "{row}"
    );
    assert_eq!(row["allow_models"], json!(["a/*", "b/c"]), "{row}");
    assert!(!keys.to_string().contains(text), "the key's text came back");
    let credits = house.admin(&["credits", "get", "--org", id]).await;
    let zero = "0.000000000";
    assert_eq!(
        credits,
        json!({"org": id, "funded": zero, "available": zero, "leased": zero, "quarantined": zero, "settled": zero, "refunded": zero})
    );
    house.admin(&["keys", "revoke", key["id"].as_str().unwrap()]).await;
    assert_eq!(house.admin(&["keys", "list", "--org", id]).await, json!([]));
}

#[tokio::test]
async fn a_usage_record_has_every_field() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for _ in 0..3 {
        client.chat(&hello("lab/plain")).await.expect(200);
    }
    let mut body = hello("plain");
    body["stream"] = json!(true);
    let last = client.stream(&body).await;
    let id = last.header("x-request-id").to_owned();
    last.rest().await;
    house.usage_of(&org.id, &id).await;
    let rows = house.admin(&["usage", "list", "--org", &org.id]).await;
    assert_eq!(rows.as_array().unwrap().len(), 4);
    let row = &rows[0];
    assert_eq!(row["request_id"], id, "newest first");
    for (field, value) in [
        ("attempt", json!(1)),
        ("key", json!(org.key_id)),
        ("requested_model", json!("plain")),
        ("model", json!("lab/plain")),
        ("provider", json!("plain")),
        ("endpoint", json!("lab/plain@plain")),
        ("dialect_in", json!("openai-chat")),
        ("dialect_out", json!("openai-chat")),
        ("prompt_tokens", json!(12)),
        ("completion_tokens", json!(8)),
        ("cached_tokens", json!(0)),
        ("reasoning_tokens", json!(0)),
        ("is_byok", json!(false)),
        ("outcome", json!("finished")),
        ("usage_source", json!("provider_final")),
        ("status", json!(200)),
        ("streamed", json!(true)),
    ] {
        assert_eq!(row[field], value, "{field} in {row:#}");
    }
    assert_eq!(row["cost"], "0.000057481");
    assert!(row["started_at"].as_str().is_some_and(|time| time.starts_with("20") && time.ends_with('Z')), "{row:#}");
    let (latency, first) = (row["latency_ms"].as_u64().unwrap(), row["ttft_ms"].as_u64().unwrap());
    assert!(first <= latency && latency < 60_000, "{row:#}");
    assert_eq!(house.admin(&["usage", "list", "--org", &org.id, "--limit", "2"]).await.as_array().unwrap().len(), 2);
    let since = row["started_at"].as_str().unwrap();
    assert_eq!(house.admin(&["usage", "list", "--org", &org.id, "--since", since]).await.as_array().unwrap().len(), 1);
    assert_eq!(house.admin(&["usage", "list", "--org", &org.id, "--since", "2999-01-01T00:00:00Z"]).await, json!([]));
}

fn names<'a>(applied: &'a Value, part: &str) -> Vec<&'a str> {
    applied[part]
        .as_array()
        .unwrap_or_else(|| panic!("no {part} in {applied}"))
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

#[tokio::test]
async fn an_apply_file_says_what_it_did_and_does_it_once() {
    let house = House::lab().await;
    let file = house.folder().join("shop.toml");
    let path = file.to_str().unwrap();
    let text = "[[providers]]\nid = \"shop\"\nname = \"Shop\"\nbase_url = \"https://shop.example.com/v1\"\ndialects = [\"openai-chat\"]\n\n\
                [[models]]\nid = \"shop/one\"\ncontext_length = 1000\n\n[[models.endpoints]]\nprovider = \"shop\"\nupstream_model = \"one\"\n\
                prices = { prompt = \"1\", completion = \"2\" }\n\n[[orgs]]\nslug = \"shopkeeper\"\nname = \"Shopkeeper\"\ncredits = \"25.00\"\n";
    fs::write(&file, text).unwrap();
    let dry = house.admin(&["apply", "-f", path, "--dry-run"]).await;
    assert!(names(&dry, "created").len() >= 4, "{dry}");
    assert!(!house.admin(&["orgs", "list"]).await.to_string().contains("shopkeeper"), "a dry run made something");
    let first = house.admin(&["apply", "-f", path]).await;
    assert_eq!(names(&first, "created"), names(&dry, "created"));
    let second = house.admin(&["apply", "-f", path]).await;
    assert_eq!((names(&second, "created"), names(&second, "changed")), (vec![], vec![]), "{second}");
    assert_eq!(names(&second, "unchanged").len(), names(&first, "created").len(), "{second}");
    let orgs = house.admin(&["orgs", "list"]).await;
    let org =
        orgs.as_array().unwrap().iter().find(|org| org["slug"] == "shopkeeper").expect("the organisation").clone();
    assert_eq!(
        house.admin(&["credits", "get", "--org", org["id"].as_str().unwrap()]).await["funded"],
        "25.000000000",
        "granted once"
    );

    fs::write(&file, text.replace("completion = \"2\"", "completion = \"3\"").replace("25.00", "99.00")).unwrap();
    let changed = house.admin(&["apply", "-f", path]).await;
    assert_eq!(names(&changed, "created"), Vec::<&str>::new(), "{changed}");
    assert!(names(&changed, "changed").iter().any(|name| name.contains("shop/one")), "{changed}");
    assert_eq!(
        house.admin(&["credits", "get", "--org", org["id"].as_str().unwrap()]).await["funded"],
        "25.000000000",
        "granted twice"
    );
    assert!(house.admin(&["models", "list"]).await.to_string().contains("lab/plain"), "omission deleted something");

    for (broken, place) in [
        ("[[providers]]\nid = \"shop\"\nnmae = \"x\"\n", ":3:1"),
        ("[[models]]\nid = \"no slash\"\ncontext_length = 1\n", ":2:"),
    ] {
        fs::write(&file, broken).unwrap();
        let said = house.run(&["admin", "apply", "-f", path, "--json"]).await;
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{said:?}");
        assert!(said.stderr.contains("shop.toml") && said.stderr.contains(place), "{said:?}");
    }
    fs::write(&file, text.replace("https://shop.example.com", "http://shop.example.com")).unwrap();
    let said = house.run(&["admin", "apply", "-f", path]).await;
    assert_eq!(said.code, 1, "an http:// provider beyond loopback was accepted: {said:?}");
}

#[tokio::test]
async fn the_fleet_shows_each_proxy_and_what_it_runs() {
    let house = House::up(Setup { proxies: 2, ..Setup::default() }).await;
    let fleet = house.admin(&["fleet", "list"]).await;
    let rows = fleet.as_array().unwrap();
    assert_eq!(rows.len(), 2, "{fleet}");
    for row in rows {
        assert!(row["proxy"].as_str().is_some_and(|proxy| !proxy.is_empty()), "{row}");
        assert!(row["connected_since"].as_str().is_some_and(|time| time.starts_with("20")), "{row}");
        assert!(
            row["revision"].as_u64() <= row["head_revision"].as_u64() && row["revision"].as_u64() > Some(0),
            "{row}"
        );
        assert_eq!(row["refused"], json!([]), "{row}");
    }
}

#[tokio::test]
async fn people_get_a_table_and_programs_json() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let said = house.run(&["admin", "keys", "list", "--org", &org.id]).await;
    assert_eq!(said.code, 0);
    assert!(
        said.stdout.lines().next().is_some_and(|line| line.contains("ID") && line.contains("NAME")),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains(&org.key_id));
    let verified = house.run(&["admin", "ledger", "verify", "--json"]).await;
    assert_eq!(verified.stdout.trim().lines().count(), 1, "JSON on one line");
}

#[tokio::test]
async fn the_settings_in_force_are_shown_without_secrets() {
    let folder = tollgate_tests::house::new_folder();
    let file = folder.path().join("data-plane.toml");
    fs::write(&file, "listen = \"127.0.0.1:18999\"\n").unwrap();
    let mut command = program::command();
    command.args(["config", "print", "data-plane", "--config"]).arg(&file).env("TOLLGATE_PROXY_REGION", "eu-north");
    let said = run(command).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("127.0.0.1:18999") && said.stdout.contains("eu-north"), "{}", said.stdout);
    let mut command = program::command();
    command
        .args(["config", "print", "control-plane"])
        .env("TOLLGATE_CONTROLLER_DATABASE", "postgres://me:hunter2secret@127.0.0.1/x");
    let said = run(command).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.stdout.contains("hunter2secret"), "{}", said.stdout);
}

#[tokio::test]
async fn settings_are_shown_for_the_plane_that_a_file_is_for_and_for_both_without_one() {
    let folder = tollgate_tests::house::new_folder();
    let print = async |text: Option<&str>| {
        let mut command = program::command();
        command.args(["config", "print"]).env("TOLLGATE_PROXY_REGION", "eu-north");
        if let Some(text) = text {
            let file = folder.path().join("plane.toml");
            fs::write(&file, text).unwrap();
            command.arg("--config").arg(file);
        }
        run(command).await
    };
    let parsed = |said: &tollgate_tests::house::Said| -> toml::Table {
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
        said.stdout.parse().unwrap_or_else(|error| panic!("{error} in {}", said.stdout))
    };
    let said = print(None).await;
    let both = parsed(&said);
    assert_eq!(both["control-plane"]["admin_listen"].as_str(), Some("127.0.0.1:8081"), "{}", said.stdout);
    assert_eq!(both["data-plane"]["listen"].as_str(), Some("127.0.0.1:8080"), "{}", said.stdout);
    assert_eq!(both["data-plane"]["region"].as_str(), Some("eu-north"), "{}", said.stdout);
    for head in ["# settings of the control plane", "# settings of the data plane"] {
        assert!(said.stdout.lines().any(|line| line.starts_with(head)), "{}", said.stdout);
    }

    let said = print(Some("admin_listen = \"127.0.0.1:18998\"\n")).await;
    let control = parsed(&said);
    assert_eq!(control["admin_listen"].as_str(), Some("127.0.0.1:18998"));
    assert!(!control.contains_key("listen"), "{}", said.stdout);
    let said = print(Some("workers = 3\n")).await;
    let data = parsed(&said);
    assert_eq!((data["workers"].as_integer(), data["region"].as_str()), (Some(3), Some("eu-north")));
    let either = parsed(&print(Some("data_dir = \"/srv/tollgate\"\n")).await);
    for plane in ["control-plane", "data-plane"] {
        assert_eq!(either[plane]["data_dir"].as_str(), Some("/srv/tollgate"));
    }

    let said = print(Some("wokers = 3\n")).await;
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{said:?}");
    assert!(said.stderr.contains("plane.toml:1:1: wokers") && said.stderr.lines().count() == 1, "{said:?}");
    fs::remove_file(folder.path().join("plane.toml")).unwrap();
    let mut command = program::command();
    command.args(["config", "print", "--config"]).arg(folder.path().join("plane.toml"));
    let said = run(command).await;
    assert_eq!(said.stderr.matches("plane.toml").count(), 1, "{said:?}");
}
