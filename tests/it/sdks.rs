//! Real clients as black boxes: what their users see, errors with the clients' own classes among it, with models behind
//! every dialect. `tests/run` installs them; `TOLLGATE_CLIENTS` says where they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use proto::admin::Limits;
use serde_json::json;
use tollgate_tests::house::House;
use tollgate_tests::wait;

/// The model that shows what the gateway itself promises.
const PLAIN: &str = "lab/plain";
/// One behind each dialect.
const MODELS: [&str; 4] = ["strict/openai-chat", "strict/openai-responses", "strict/anthropic", "strict/gemini"];
/// A script keeps some hundred promises at most; terminal programs take seconds to start for each.
const LIMIT: Duration = Duration::from_secs(420);

/// Where the clients are, if anybody said so.
struct Clients(PathBuf);

impl Clients {
    fn given() -> Option<Clients> {
        let folder = std::env::var_os("TOLLGATE_CLIENTS").map(|folder| Clients(PathBuf::from(folder)));
        if folder.is_none() {
            eprintln!("skipped: TOLLGATE_CLIENTS is not set; tests/run installs the clients and sets it");
        }
        folder
    }

    /// Python with the packages of `packages/<environment>.txt`.
    fn python(&self, environment: &str) -> Command {
        let mut command = Command::new(self.0.join(environment).join("bin/python"));
        command.env("PYTHONPYCACHEPREFIX", self.0.join("pycache"));
        command
    }
}

/// The keys that the scripts ask for, by what is special about each.
async fn keys(house: &House) -> String {
    let operator = house.operator().await;
    let rich = operator.org("100.00").await;
    let empty = operator.org("").await;
    // A request with 50 tokens of answer at most holds about 0.0004 USD and costs 0.00006: it lasts for some, not for 200.
    let budget = Limits { limit: Some("0.002".to_owned()), ..Limits::default() };
    let rate = Limits { rpm: Some(5), ..Limits::default() };
    let mut keys = json!({"good": rich.key, "empty": empty.key});
    for (name, limits) in [("budget", budget), ("rate", rate)] {
        keys[name] = json!(operator.key(&rich.id, limits).await.text);
    }
    keys.to_string()
}

/// Runs a script of `clients/` against the house and shows what it says.
async fn promises_are_kept(mut command: Command, clients: &Clients, script: &str) {
    let house = House::strict().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    command
        .arg(script)
        .env("TOLLGATE_CLIENTS", &clients.0)
        .env("TOLLGATE_BASE_URL", &house.doors()[0])
        .env("TOLLGATE_MODEL", PLAIN)
        .env("TOLLGATE_MODELS", json!(MODELS).to_string())
        .env("TOLLGATE_KEYS", keys(&house).await)
        // Whatever a client would fetch from elsewhere it does not get.
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("NO_PROXY", "127.0.0.1,localhost");
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = wait::within("the client's promises", LIMIT, output).await.expect("the script runs");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}\n{errors}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with(" passed, 0 failed") && !last.starts_with("0 "), "{said}\n{errors}");
}

async fn python_is_served(environment: &str, script: &str) {
    if let Some(clients) = Clients::given() {
        promises_are_kept(clients.python(environment), &clients, &format!("python/{script}")).await;
    }
}

async fn node_is_served(script: &str) {
    if let Some(clients) = Clients::given() {
        promises_are_kept(Command::new("node"), &clients, &format!("node/{script}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_openai_sdk_for_python_is_served() {
    python_is_served("sdks", "openai_sdk.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_openai_sdk_for_node_is_served() {
    node_is_served("openai_sdk.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_anthropic_sdk_for_python_is_served() {
    python_is_served("sdks", "anthropic_sdk.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_anthropic_sdk_for_node_is_served() {
    node_is_served("anthropic_sdk.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_google_sdk_for_python_is_served() {
    python_is_served("sdks", "google_sdk.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_google_sdk_for_node_is_served() {
    node_is_served("google_sdk.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_ai_sdk_is_served() {
    node_is_served("ai_sdk.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_langchain_is_served() {
    python_is_served("langchain", "langchain_sdk.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_pydantic_ai_is_served() {
    python_is_served("pydantic-ai", "pydantic_ai_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_instructor_is_served() {
    python_is_served("instructor", "instructor_sdk.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_program_llm_is_served() {
    python_is_served("llm", "llm_program.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_the_program_aider_is_served() {
    python_is_served("aider", "aider_program.py").await;
}
