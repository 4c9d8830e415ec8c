//! The official OpenAI SDKs as black-box clients: what their users see, errors with the SDKs' own classes among it.
//! `tests/run` installs them; `TOLLGATE_PYTHON` and `TOLLGATE_NODE_MODULES` say where they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use proto::admin::Limits;
use serde_json::json;
use tollgate_tests::house::House;
use tollgate_tests::wait;

const MODEL: &str = "lab/plain";

/// The keys that the scripts ask for, by what is special about each.
async fn keys(house: &House) -> String {
    let operator = house.operator().await;
    let rich = operator.org("100.00").await;
    let empty = operator.org("").await;
    // A request with 50 tokens of answer at most holds about 0.0004 USD and costs 0.00006: it lasts for some, not for 200.
    let budget = Limits { limit: Some("0.002".to_owned()), ..Limits::default() };
    let rate = Limits { rpm: Some(5), ..Limits::default() };
    let mut keys = json!({"good": rich.key, "empty": empty.key});
    for (name, limits) in [("budget", &budget), ("budgetNode", &budget), ("rate", &rate), ("rateNode", &rate)] {
        keys[name] = json!(operator.key(&rich.id, limits.clone()).await.text);
    }
    keys.to_string()
}

/// Runs a script of `clients/` against the house and shows what it says.
async fn promises_are_kept(mut command: Command, script: &str) {
    let house = House::lab().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    command
        .arg(script)
        .env("TOLLGATE_BASE_URL", &house.doors()[0])
        .env("TOLLGATE_MODEL", MODEL)
        .env("TOLLGATE_KEYS", keys(&house).await);
    let output = wait::within(
        "the SDK's promises",
        wait::SOON * 9,
        tokio::process::Command::from(command).kill_on_drop(true).output(),
    );
    let output = output.await.expect("the script runs");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}\n{errors}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with(" passed, 0 failed") && !last.starts_with("0 "), "{said}\n{errors}");
}

fn given(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: {variable} is not set; tests/run installs the SDK and sets it");
    }
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_python_sdk_is_served() {
    if let Some(python) = given("TOLLGATE_PYTHON") {
        promises_are_kept(Command::new(python), "python/openai_sdk.py").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_node_sdk_is_served() {
    if let Some(modules) = given("TOLLGATE_NODE_MODULES") {
        let mut command = Command::new("node");
        command.env("TOLLGATE_NODE_MODULES", modules);
        promises_are_kept(command, "node/openai_sdk.mjs").await;
    }
}
