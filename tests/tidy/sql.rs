//! The portable subset of SQL: one text for both databases. What only one of them knows stands under a `// postgres`
//! mark, or in the folder of that engine.

use crate::repository::{files_like, text_of};

/// Words that only one of the databases knows, or that make results depend on its clock.
const NOT_PORTABLE: &[&str] = &[
    "now()",
    "current_timestamp",
    "for update",
    "for share",
    "skip locked",
    "->>",
    "jsonb",
    "json_extract",
    "json_",
    "ilike",
    "any($",
    "unnest(",
    "::bigint",
    "::text",
    "::int",
    "pg_",
    "random()",
    "strftime",
    "julianday",
    "datetime(",
    "interval '",
    "insert or ",
    "replace into",
    "serial primary",
    "autoincrement",
    "on duplicate",
];
/// How far above a text its mark may stand.
const MARK_LINES: usize = 4;

/// A string in Rust source, with the line it begins on, from 0.
struct Literal {
    line: usize,
    text: String,
}

/// The string literals of a source file. Knows comments, escapes, raw strings and characters; nothing else matters here.
fn literals(source: &str) -> Vec<Literal> {
    let letters: Vec<char> = source.chars().collect();
    let (mut at, mut line, mut found) = (0, 0, Vec::new());
    while at < letters.len() {
        let rest = &letters[at..];
        match rest {
            ['\n', ..] => line += 1,
            ['/', '/', ..] => {
                at += rest.iter().take_while(|letter| **letter != '\n').count();
                continue;
            }
            ['\'', '\\', ..] => at += 2,
            ['\'', _, '\'', ..] => at += 2,
            ['r', '#' | '"', ..] if at == 0 || !letters[at - 1].is_alphanumeric() => {
                if let Some((text, length)) = raw(rest) {
                    found.push(Literal { line, text: text.clone() });
                    line += text.matches('\n').count();
                    at += length;
                    continue;
                }
            }
            ['"', ..] => {
                let (text, length) = quoted(rest);
                let begun = line;
                line += text.matches('\n').count();
                found.push(Literal { line: begun, text });
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn raw(rest: &[char]) -> Option<(String, usize)> {
    let hashes = rest[1..].iter().take_while(|letter| **letter == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let start = hashes + 2;
    let length = rest[start..].windows(end.len()).position(|window| window == end)?;
    Some((rest[start..start + length].iter().collect(), start + length + end.len()))
}

fn quoted(rest: &[char]) -> (String, usize) {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (rest[1..at.min(rest.len())].iter().collect(), at + 1)
}

fn is_sql(text: &str) -> bool {
    let text = text.trim_start().to_lowercase();
    let starts =
        ["select ", "insert ", "update ", "delete ", "with ", "create ", "alter ", " for ", "order by ", "on conflict"];
    starts.iter().any(|start| text.starts_with(start) || text.starts_with(&format!("\\n{start}")))
}

fn odd_word(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    NOT_PORTABLE.iter().copied().find(|word| text.contains(word))
}

#[test]
fn queries_are_written_in_the_portable_subset() {
    let mut queries = 0;
    for file in files_like(".rs").iter().filter(|file| file.starts_with("control-plane/store/src/")) {
        // Every difference between the engines is listed there.
        if file.starts_with("control-plane/store/src/engine/") {
            continue;
        }
        let source = text_of(file);
        let lines: Vec<&str> = source.lines().collect();
        for literal in literals(&source).iter().filter(|literal| is_sql(&literal.text)) {
            queries += 1;
            let Some(word) = odd_word(&literal.text) else { continue };
            let from = literal.line.saturating_sub(MARK_LINES);
            let is_marked = lines[from..=literal.line]
                .iter()
                .any(|line| line.trim_start().starts_with("// postgres") || line.trim_start().starts_with("// sqlite"));
            assert!(is_marked, "{file}:{}: `{word}` without a mark: {}", literal.line + 1, literal.text);
        }
    }
    assert!(queries >= 40, "only {queries} queries were found: is this looking in the right place?");
}

#[test]
fn migrations_are_written_in_the_portable_subset() {
    let mut seen = 0;
    for file in files_like(".sql").iter().filter(|file| file.starts_with("control-plane/store/migrations/")) {
        if file.contains("/postgres/") || file.contains("/sqlite/") {
            continue;
        }
        seen += 1;
        let text: String =
            text_of(file).lines().map(|line| line.split("--").next().unwrap_or_default().to_owned() + "\n").collect();
        if let Some(word) = odd_word(&text) {
            panic!("{file}: `{word}`");
        }
    }
    assert!(seen >= 8, "only {seen} migrations were found");
}

#[test]
fn sql_is_nowhere_else() {
    for file in
        files_like(".rs").iter().filter(|file| !file.starts_with("control-plane/store/") && !file.starts_with("tests/"))
    {
        for literal in literals(&text_of(file)) {
            let text = literal.text.to_lowercase();
            let is_query = ["select ", "insert into ", "delete from "].iter().any(|start| text.starts_with(start));
            assert!(
                !is_query || !(text.contains(" from ") || text.contains(" into ")),
                "{file}:{}: {}",
                literal.line + 1,
                literal.text
            );
        }
    }
}

#[test]
fn the_check_sees_what_it_looks_for() {
    let source = "// \"select now()\"\nconst A: &str = \"select a from b where c = '\\\"'\";\nlet d = '\"';\nlet e = r#\"update \"x\" for update\"#;\n";
    let found = literals(source);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].line, found[1].line), (1, 3));
    assert_eq!(odd_word(&found[0].text), None);
    assert_eq!(odd_word(&found[1].text), Some("for update"));
}
