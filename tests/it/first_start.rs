//! One command, no other service: it answers within seconds, keeps what it has, and says clearly why it cannot start.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tollgate_tests::clients::Client;
use tollgate_tests::house::{Database, Process, Said, new_folder, program, ready_line, run, take_port, up_command};

/// From process start to the ready line.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// From a signal to the end of a process that serves nothing yet.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
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

#[tokio::test]
async fn proxies_go_around_the_ports_of_the_control_plane() {
    let (folder, database) = (new_folder(), Database::of_environment());
    let row = ports_in_a_row();
    let mut command = program::command();
    command.args(["up", "--json", "--proxies", "2", "--metrics-listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path().join("data"));
    for (flag, address) in ["--listen", "--admin-listen", "--sync-listen"].into_iter().zip(&row) {
        command.args([flag, &address.to_string()]);
    }
    if let Some(url) = database.url() {
        command.args(["--database", &url]);
    }
    let mut process = Process::start("up", &command, folder.path());
    let ready = ready_line(&mut process).await;
    assert_eq!(ready["inference_urls"], json!([format!("http://{}", row[0]), format!("http://{}", row[3])]), "{ready}");
    for url in ready["inference_urls"].as_array().unwrap() {
        let client = Client::new(url.as_str().unwrap(), text(&ready, "api_key"));
        client.chat(&serde_json::from_str(HELLO).unwrap()).await.expect(200);
    }
}

/// Four free ports, one after the other.
fn ports_in_a_row() -> [SocketAddr; 4] {
    loop {
        let row = [take_port(), take_port(), take_port(), take_port()];
        if row.windows(2).all(|pair| pair[1].port() == pair[0].port() + 1) {
            return row;
        }
    }
}

fn endpoint(model: &str, provider: &str, price: &str) -> String {
    format!(
        "[[models]]\nid = \"{model}\"\ncontext_length = 1000\n\n[[models.endpoints]]\nprovider = \"{provider}\"\n\
         upstream_model = \"m\"\nprices = {{ prompt = \"{price}\", completion = \"{price}\" }}\n"
    )
}

/// Runs `tollgate admin … --json` at a process that said that it is ready.
async fn admin(ready: &Value, arguments: &[&str]) -> Said {
    let mut command = program::command();
    command.arg("admin").args(arguments).arg("--json");
    command.args(["--admin-url", text(ready, "admin_url"), "--token", text(ready, "admin_token")]);
    run(command).await
}

async fn prompt_price(ready: &Value, model: &str, provider: &str) -> String {
    let models: Value = serde_json::from_str(&admin(ready, &["models", "list"]).await.stdout).unwrap();
    let row = models.as_array().unwrap().iter().find(|row| row["id"] == model).unwrap_or_else(|| panic!("no {model}"));
    let endpoints = row["endpoints"].as_array().unwrap();
    let endpoint = endpoints.iter().find(|endpoint| endpoint["provider"] == provider).expect("the endpoint");
    endpoint["prices"]["prompt"].as_str().expect("a price").to_owned()
}

#[tokio::test]
async fn the_operators_own_prices_take_the_place_of_the_seeds_at_once_and_stay() {
    let (folder, database) = (new_folder(), Database::of_environment());
    let (data, file) = (folder.path().join("data"), folder.path().join("own.toml"));
    // Both more than ten times the seed's.
    let own = |price: &str| endpoint("openai/gpt-4o-mini", "openai", price) + &endpoint("tollgate/echo", "echo", price);
    fs::write(&file, own("9.00")).unwrap();
    let mut command = up(&data, &database);
    command.arg("--apply").arg(&file);
    let mut first = Process::start("first", &command, folder.path());
    let ready = ready_line(&mut first).await;
    for (model, provider) in [("openai/gpt-4o-mini", "openai"), ("tollgate/echo", "echo")] {
        let price = prompt_price(&ready, model, provider).await;
        assert_eq!(price, "9", "{model}");
    }
    // From here on the prices are the operator's, and a slip of the pen is held up.
    fs::write(&file, own("900.00")).unwrap();
    let said = admin(&ready, &["apply", "-f", file.to_str().unwrap()]).await;
    assert!(said.code == 1 && said.stderr.contains("--force"), "{said:?}");
    first.terminate();
    assert_eq!(first.code(STOP_LIMIT).await, 0, "{}", first.log());

    let mut second = Process::start("second", &up(&data, &database), folder.path());
    let ready = ready_line(&mut second).await;
    assert_eq!(prompt_price(&ready, "tollgate/echo", "echo").await, "9");
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
        assert!(!folder.path().join("data").exists(), "{flag}: something was made before the ports were looked at");
    }
    // The second proxy's port is looked at as early as the first one's.
    let folder = new_folder();
    let row = ports_in_a_row();
    let _taken = TcpListener::bind(row[1]).unwrap();
    let mut command = program::command();
    command.args(["up", "--json", "--proxies", "2", "--listen", &row[0].to_string(), "--data"]);
    command.arg(folder.path().join("data"));
    for flag in ["--admin-listen", "--sync-listen", "--metrics-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    is_refused(command, &[&row[1].to_string()]).await;
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn a_plane_looks_at_its_ports_before_it_makes_anything() {
    for setting in ["ADMIN_LISTEN", "SYNC_LISTEN", "METRICS_LISTEN"] {
        let folder = new_folder();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let mut command = program::command();
        command.arg("control-plane").env("TOLLGATE_CONTROLLER_DATA_DIR", folder.path().join("data"));
        for each in ["ADMIN_LISTEN", "SYNC_LISTEN", "METRICS_LISTEN"] {
            let address = if each == setting { address.as_str() } else { "127.0.0.1:0" };
            command.env(format!("TOLLGATE_CONTROLLER_{each}"), address);
        }
        is_refused(command, &[&address]).await;
        assert!(!folder.path().join("data").exists(), "{setting}");
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
        assert!(!data.exists(), "a refused start left something behind");
    }
    let mut command = up_command(&data);
    command.arg("--apply").arg(folder.path().join("missing.toml"));
    is_refused(command, &["missing.toml"]).await;
}

#[tokio::test]
async fn what_an_apply_file_misses_is_known_before_anything_is_made() {
    let folder = new_folder();
    let data = folder.path().join("data");
    let (good, bad) = (folder.path().join("good.toml"), folder.path().join("bad.toml"));
    fs::write(&good, endpoint("shop/one", "openai", "1")).unwrap();
    let start = |no_demo: bool| {
        let mut command = up_command(&data);
        command.arg("--apply").arg(&good).arg("--apply").arg(&bad);
        if no_demo {
            command.arg("--no-demo");
        }
        command
    };
    fs::write(&bad, endpoint("shop/two", "nobody", "1")).unwrap();
    is_refused(start(false), &["bad.toml", "shop/two", "nobody"]).await;
    // The built-in provider is there only with the demo.
    fs::write(&bad, endpoint("shop/two", "echo", "1")).unwrap();
    is_refused(start(true), &["bad.toml", "shop/two", "echo"]).await;
    fs::write(&bad, endpoint("shop/two", "openai", "1").replace("= 1000", "= 0")).unwrap();
    is_refused(start(false), &["bad.toml", "context_length"]).await;
    assert!(!data.exists(), "a refused start left something behind");
    // What one file names another may have, in whatever order.
    let provider =
        "[[providers]]\nid = \"later\"\nbase_url = \"https://later.example/v1\"\ndialects = [\"openai-chat\"]\n";
    fs::write(&good, endpoint("shop/one", "later", "1") + &endpoint("shop/echo", "echo", "1")).unwrap();
    fs::write(&bad, provider).unwrap();
    let mut process = Process::start("up", &start(false), folder.path());
    let ready = ready_line(&mut process).await;
    let models = admin(&ready, &["models", "list"]).await.stdout;
    assert!(models.contains("shop/one") && models.contains("shop/echo"), "{models}");
}

#[tokio::test]
async fn apply_files_are_one_edit_and_a_refused_start_leaves_no_token() {
    let (folder, database) = (new_folder(), Database::of_environment());
    let data = folder.path().join("data");
    let mut first = Process::start("first", &up(&data, &database), folder.path());
    ready_line(&mut first).await;
    first.terminate();
    assert_eq!(first.code(STOP_LIMIT).await, 0, "{}", first.log());
    // There is a database, so that what is in it has to be looked at; and no token, as before a first start's end.
    fs::remove_file(data.join("admin-token")).unwrap();

    let (good, bad) = (folder.path().join("good.toml"), folder.path().join("bad.toml"));
    fs::write(&good, endpoint("shop/one", "openai", "1")).unwrap();
    fs::write(&bad, endpoint("shop/two", "nobody", "1")).unwrap();
    let mut command = up(&data, &database);
    command.arg("--apply").arg(&good).arg("--apply").arg(&bad);
    let said = run(command).await;
    assert!(said.code == 1 && said.stdout.is_empty(), "{said:?}");
    let last = said.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("bad.toml") && last.contains("nobody"), "{said:?}");
    assert!(!data.join("admin-token").exists(), "a refused start left a token behind");

    let mut second = Process::start("second", &up(&data, &database), folder.path());
    let ready = ready_line(&mut second).await;
    let models = admin(&ready, &["models", "list"]).await.stdout;
    assert!(!models.contains("shop/one"), "half of a refused apply was done");
}

#[tokio::test]
async fn a_root_token_that_cannot_be_used_is_one_clear_line() {
    for (token, word) in [
        ("short", "32 characters"),
        ("ein-schlüssel-der-in-keiner-kopfzeile-stehen-kann", "printable ASCII"),
        ("two-lines-of-a-token-that-looks\nlong-enough-for-it", "printable ASCII"),
    ] {
        let folder = new_folder();
        let data = folder.path().join("data");
        let mut command = up_command(&data);
        command.env("TOLLGATE_ADMIN_TOKEN", token);
        let said = is_refused(command, &["TOLLGATE_ADMIN_TOKEN", word]).await;
        assert!(!said.stderr.contains(token) && !data.exists(), "{said:?}");
    }
}

#[tokio::test]
async fn a_start_that_takes_its_time_can_be_ended() {
    for signal in [Signal::TERM, Signal::INT] {
        // While it reads a file that nobody finishes.
        let folder = new_folder();
        let pipe = folder.path().join("slow.toml");
        let mut mkfifo = Command::new("mkfifo");
        mkfifo.arg(&pipe);
        assert_eq!(run(mkfifo).await.code, 0);
        let mut command = up_command(&folder.path().join("data"));
        command.arg("--apply").arg(&pipe);
        let mut process = Process::start("reading", &command, folder.path());
        // Opening waits for the reader.
        let open = tokio::task::spawn_blocking(move || fs::File::options().write(true).open(pipe).unwrap());
        let _writer = tollgate_tests::wait::within("the reader", STOP_LIMIT, open).await.unwrap();
        process.signal(signal);
        assert_eq!(process.code(ENDED_WITHIN).await, 0, "{signal:?}: {}", process.log());

        // While it waits for a database that says nothing.
        let folder = new_folder();
        for (name, mut command) in
            [("up", up_command(&folder.path().join("up"))), ("control-plane", program::command())]
        {
            let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("postgres://nobody@{}/nothing", silent.local_addr().unwrap());
            if name == "up" {
                command.args(["--database", &url]);
            } else {
                command.arg(name).env("TOLLGATE_CONTROLLER_DATABASE", &url);
                command.env("TOLLGATE_CONTROLLER_DATA_DIR", folder.path().join(name));
                for setting in ["ADMIN_LISTEN", "SYNC_LISTEN", "METRICS_LISTEN"] {
                    command.env(format!("TOLLGATE_CONTROLLER_{setting}"), "127.0.0.1:0");
                }
            }
            let mut process = Process::start(name, &command, folder.path());
            let asked = tollgate_tests::wait::within("the question", STOP_LIMIT, silent.accept()).await;
            process.signal(signal);
            assert_eq!(process.code(ENDED_WITHIN).await, 0, "{name}, {signal:?}: {}", process.log());
            drop(asked);
        }

        // While its proxies become ready.
        let (folder, database) = (new_folder(), Database::of_environment());
        let data = folder.path().join("data");
        let mut command = up(&data, &database);
        command.args(["--proxies", "4"]);
        let mut process = Process::start("proxies", &command, folder.path());
        tollgate_tests::wait::until_true("the first proxy", STOP_LIMIT, async || {
            process.check();
            data.join("proxy-1").exists()
        })
        .await;
        process.signal(signal);
        assert_eq!(process.code(STOP_LIMIT).await, 0, "{signal:?}: {}", process.log());
        assert!(!process.log().contains("panicked"), "{}", process.log());
    }
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
    let no_file = folder.path().join("none.toml");
    let mut command = Command::new(program::tollgate().with_file_name("tollgate-controller"));
    program::clean(&mut command);
    command.arg("--config").arg(&no_file);
    is_refused(command, &["none.toml", "No such file"]).await;
}

#[tokio::test]
async fn a_setting_that_is_named_without_its_plane_is_refused_and_the_right_name_said() {
    let folder = new_folder();
    let data = folder.path().join("data");
    for (mut command, variable, meant) in [
        (program::command(), "TOLLGATE_LISTEN", "TOLLGATE_PROXY_LISTEN"),
        (program::command(), "TOLLGATE_DATABASE", "TOLLGATE_CONTROLLER_DATABASE"),
        (up_command(&data), "TOLLGATE_LISTEN", "TOLLGATE_PROXY_LISTEN"),
        (up_command(&data), "TOLLGATE_ADMIN_LISTEN", "TOLLGATE_CONTROLLER_ADMIN_LISTEN"),
    ] {
        if command.get_args().next().is_none() {
            command.arg(if meant.contains("PROXY") { "data-plane" } else { "control-plane" });
        }
        command.env(variable, "127.0.0.1:1").current_dir(folder.path());
        // Names of ours that are no settings are nobody's mistake.
        command.env("TOLLGATE_KEY", "x").env("TOLLGATE_ADMIN_URL", "http://127.0.0.1:1");
        let said = is_refused(command, &[&format!("{variable} (did you mean {meant}?)")]).await;
        assert!(!said.stderr.contains("TOLLGATE_KEY") && !said.stderr.contains("TOLLGATE_ADMIN_URL"), "{said:?}");
    }
    assert!(!data.exists());
}
