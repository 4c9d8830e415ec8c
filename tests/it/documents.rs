//! What the documents tell people to type works: every command in a block of shell is run, in order, in an empty folder,
//! with the keys and ids that came before put in. A block that cannot be run says why in a comment above it; its commands,
//! and those in the middle of a sentence, are still put before the program's own parser.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::house::{Process, Said, new_folder, program, run, take_port};
use tollgate_tests::wait;

/// Why a block is not run stands behind this, in a comment above it.
const NOT_RUN: &str = "<!-- not run by the tests: ";
/// A file that the commands use is shown under this.
const FILE: &str = "<!-- file: ";
/// How the first start is built and run from the sources.
const FROM_SOURCE: &str = "cargo run --release -p tollgate -- ";
/// Commands that serve until they are ended, and on which of the usual addresses they say that they are ready.
const SERVERS: [(&str, &str); 3] =
    [("up", "127.0.0.1:8080"), ("control-plane", "127.0.0.1:9081"), ("data-plane", "127.0.0.1:8080")];
/// The addresses that documents use; every document gets free ones in their place.
const ADDRESSES: [&str; 5] = ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:9081", "127.0.0.1:9464"];
/// Placeholders, and how what is put in for them begins and how long it is.
const PLACEHOLDERS: [(&str, &str, usize); 3] =
    [("org_…", "org_", 30), ("key_…", "key_", 30), ("tg_live_…", "tg_live_", 56)];

/// A fenced block.
struct Block {
    line: usize,
    language: String,
    /// The comment above it, if there is one.
    comment: String,
    text: String,
}

impl Block {
    /// Its commands: lines that end in a backslash go on, comments and empty lines are none.
    fn commands(&self) -> Vec<String> {
        let joined = self.text.replace("\\\n", " ");
        joined
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    }

    fn file(&self) -> Option<&str> {
        self.comment.strip_prefix(FILE)?.strip_suffix(" -->")
    }

    fn is_run(&self) -> bool {
        !self.comment.starts_with(NOT_RUN)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The documents for people who use or change Tollgate, with their texts.
fn documents() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "tests/bench/README.md".to_owned()];
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    names.extend(docs.map(|name| format!("docs/{}", name.into_string().unwrap())).filter(|name| name.ends_with(".md")));
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(root().join(name)).unwrap())).collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut open, mut before): (Option<Block>, &str) = (None, "");
    for (at, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(language), None) => {
                let (language, comment) = (language.to_owned(), before.to_owned());
                open = Some(Block { line: at + 1, language, comment, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => before = line,
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// One person with one document, a folder and a program on the path.
struct Reader {
    folder: TempDir,
    addresses: BTreeMap<&'static str, SocketAddr>,
    /// What `export` has set.
    variables: BTreeMap<String, String>,
    /// What was last seen of each kind that documents have a placeholder for.
    seen: BTreeMap<&'static str, String>,
    servers: Vec<Process>,
}

impl Reader {
    fn new(files: &[(String, String)]) -> Reader {
        let folder = new_folder();
        fs::create_dir(folder.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(program::tollgate(), folder.path().join("bin/tollgate")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let addresses = ADDRESSES.into_iter().map(|usual| (usual, take_port())).collect();
        Reader { folder, addresses, variables: BTreeMap::new(), seen: BTreeMap::new(), servers: Vec::new() }
    }

    /// A line with this reader's addresses, keys and ids.
    fn own(&self, line: &str) -> String {
        let addressed =
            self.addresses.iter().fold(line.to_owned(), |line, (usual, own)| line.replace(usual, &own.to_string()));
        self.seen.iter().fold(addressed, |line, (placeholder, value)| line.replace(placeholder, value))
    }

    fn shell(&self, line: &str) -> Command {
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.folder.path());
        program::clean(&mut command);
        // The usual address is what the program would take by itself.
        command.env("PATH", path).env("TOLLGATE_ADMIN_URL", format!("http://{}", self.addresses["127.0.0.1:8081"]));
        command.envs(&self.variables);
        command
    }

    /// Notes keys and ids that were printed.
    fn read(&mut self, printed: &str) {
        for (placeholder, prefix, length) in PLACEHOLDERS {
            let mut words = printed.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if let Some(word) = words.rfind(|word| word.starts_with(prefix) && word.len() == length) {
                self.seen.insert(placeholder, word.to_owned());
            }
        }
    }

    async fn follow(&mut self, place: &str, command: &str) {
        let line = command.strip_prefix(FROM_SOURCE).map_or(command.to_owned(), |rest| format!("tollgate {rest}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(server) = SERVERS.iter().find(|(name, _)| words.starts_with(&["tollgate", name])) {
            return self.serve(server, &line).await;
        }
        if !matches!(words[..], ["tollgate", "config" | "migrate", ..]) && self.servers.is_empty() {
            // This document does not say how to start it: that is in another one.
            Box::pin(self.follow(place, "tollgate up")).await;
        }
        let line = self.own(&line);
        assert!(!line.contains('…'), "{place}: nothing was printed that could be put into `{line}`");
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')) {
            let value = value.split_whitespace().next().unwrap_or_default();
            self.variables.insert(name.to_owned(), value.to_owned());
            return;
        }
        assert!(
            matches!(words[0], "tollgate" | "curl"),
            "{place}: `{command}` cannot be run, so a comment must say why"
        );
        let said = run(self.shell(&line)).await;
        assert_eq!(said.code, 0, "{place}: `{line}`: {}", said.stderr);
        self.read(&said.stdout);
        check_answer(place, words[0], &line, &said);
    }

    async fn serve(&mut self, (name, usual): &(&str, &str), line: &str) {
        // Settings files that were made on the way have the usual addresses too.
        for file in fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|suffix| suffix == "toml") {
                fs::write(&file, self.own(&fs::read_to_string(&file).unwrap())).unwrap();
            }
        }
        let own = |usual: &str| self.addresses[usual];
        let line = match *name {
            "up" => format!(
                "{line} --listen {} --admin-listen {} --sync-listen {}",
                own("127.0.0.1:8080"),
                own("127.0.0.1:8081"),
                own("127.0.0.1:8082")
            ),
            _ => line.to_owned(),
        };
        // In place of the shell, so that what is ended is the program.
        let mut process = Process::start(name, &self.shell(&format!("exec {line}")), self.folder.path());
        let door = Client::new(&format!("http://{}", own(usual)), "");
        wait::until_true(&format!("`{line}` is ready"), wait::SOON * 3, async || {
            process.check();
            door.try_send(Ask::get("/readyz")).await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
        if *name == "up" {
            let mut screen = process.line(wait::SOON).await;
            while !screen.contains("Ctrl-C") {
                self.read(&screen);
                screen = process.line(wait::SOON).await;
            }
        }
        self.servers.push(process);
    }
}

/// Curl is content with any answer; people are not.
fn check_answer(place: &str, program: &str, line: &str, said: &Said) {
    if program == "curl" {
        let is_good = said.stdout.contains("data: [DONE]")
            || serde_json::from_str::<serde_json::Value>(&said.stdout).is_ok_and(|json| json.get("error").is_none());
        assert!(is_good, "{place}: `{line}`: {}", said.stdout);
    }
}

/// Whether the program knows these words as a command: asked for help, it refuses what it does not know.
async fn is_known(program: &Path, words: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(words.split_whitespace()).arg("--help");
    let said = run(command).await;
    if said.code == 0 { Ok(()) } else { Err(said.stderr) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_of_commands_works_as_it_stands() {
    let documents = documents();
    let all = |(_, text): &(String, String)| blocks(text);
    let files = documents.iter().flat_map(all).filter_map(|block| Some((block.file()?.to_owned(), block.text.clone())));
    let files: Vec<_> = files.collect();
    let mut count = 0;
    for (name, text) in &documents {
        let mut reader = Reader::new(&files);
        for block in blocks(text).iter().filter(|block| block.is_run()) {
            let place = format!("{name}:{}", block.line);
            match block.language.as_str() {
                "sh" => {
                    for command in block.commands() {
                        reader.follow(&place, &command).await;
                        count += 1;
                    }
                }
                "python" => python(&reader, &place, &block.text).await,
                "toml" | "json" => assert!(block.file().is_some(), "{place}: a comment must name the file"),
                other => panic!("{place}: what is a block of `{other}`?"),
            }
        }
    }
    assert!(count >= 20, "only {count} commands were found");
}

/// Runs a script with the SDK, where the tests were told where it is.
async fn python(reader: &Reader, place: &str, text: &str) {
    let Some(python) = std::env::var_os("TOLLGATE_PYTHON") else {
        eprintln!("skipped: the script of {place}, for TOLLGATE_PYTHON is not set; tests/run sets it");
        return;
    };
    let mut command = Command::new(python);
    command.args(["-c", &reader.own(text)]);
    let said = run(command).await;
    assert!(said.code == 0 && said.stdout.contains("Hello"), "{place}: {said:?}");
}

#[tokio::test]
async fn commands_that_are_only_told_of_are_known() {
    let bench = PathBuf::from(env!("CARGO_BIN_EXE_bench"));
    let parts = fs::read_to_string(root().join("tests/run")).unwrap();
    let mut count = 0;
    for (name, text) in documents() {
        let told = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned);
        let not_run = blocks(&text).into_iter().filter(|block| !block.is_run()).flat_map(|block| block.commands());
        for command in told.chain(not_run) {
            let command = command.split(" #").next().unwrap_or_default().trim();
            let known = match command.split_once(' ') {
                Some(("tollgate", words)) => is_known(program::tollgate(), words).await,
                Some(("bench" | "target/release/bench", words)) if !words.contains('|') => {
                    is_known(&bench, words).await
                }
                Some(("tests/run", words)) => {
                    let unknown =
                        words.split_whitespace().find(|word| !word.starts_with("--") && !parts.contains(word));
                    unknown.map_or(Ok(()), |word| Err(format!("there is no part {word}")))
                }
                _ => continue,
            };
            count += 1;
            assert!(known.is_ok(), "{name}: `{command}`: {}", known.unwrap_err());
        }
    }
    assert!(count >= 10, "only {count} commands were found");
}
