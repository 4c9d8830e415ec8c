//! Apply files: a mistake has a place inside the file, and no credential is ever in its words.

use controller::catalog::file::ApplyFile;
use tollgate_tests::fake::Fake;
use tollgate_tests::house;

use crate::driver::{Corpus, drive};

const SECRET: &str = "sk-fuzz-canary-4821";

const WORDS: &[&str] = &[
    "[[providers]]\n",
    "[[models]]\n",
    "[[models.endpoints]]\n",
    "[[orgs]]\n",
    "id = \"x\"\n",
    "slug = \"x\"\n",
    "credits = \"1.00\"\n",
    "credits = 5\n",
    "prices = { prompt = \"1\" }\n",
    "credential = { value = \"sk-fuzz-canary-4821\" }\n",
    "credential = { env = \"X\", file = \"y\" }\n",
    "[[orgs.x]]\n",
    "base_url = \"http://127.0.0.1/v1\"\n",
    "base_url = \"ftp://x\"\n",
    "dialects = [\"openai-chat\"]\n",
    "auth = \"header:x\"\n",
    "\"\"\"",
    "'''",
    "\u{1F642}",
    "99999999999999999999",
    "-1",
    "nan",
    "1979-05-27",
    "\\u0000",
    "\r\n",
    "# ",
    "= ",
    ".",
    "context_length = -5\n",
    "max_output_tokens = 1e5\n",
];

fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match ApplyFile::parse("fuzz.toml", text) {
        Ok(file) => {
            let resolved =
                file.resolve(|_| Some("from the environment".to_owned()), |_| Err(std::io::ErrorKind::NotFound.into()));
            assert!(
                resolved.request.providers.len() + resolved.request.models.len() + resolved.request.orgs.len()
                    <= text.len()
            );
            assert!(resolved.warnings.iter().all(|warning| !warning.contains(SECRET)));
        }
        Err(mistake) => {
            let shown = mistake.to_string();
            assert!(shown.starts_with("fuzz.toml"), "{shown}");
            assert!(
                mistake.line <= text.split('\n').count() + 1,
                "{shown}: the file has {} lines",
                text.lines().count()
            );
            assert!(mistake.line == 0 || mistake.column >= 1, "{shown}");
            assert!(!mistake.what.is_empty(), "{shown}");
        }
    }
}

#[test]
fn any_apply_file_is_read_or_refused_at_a_place() {
    let fake = Fake::start();
    let lab = house::lab(&fake);
    let small: String = lab.text().split_inclusive("\n\n").take(12).collect();
    let mut inputs = vec![small.into_bytes()];
    inputs.push(
        format!(
            "[[providers]]\nid = \"p\"\nname = \"P\"\nbase_url = \"https://p.example.com/v1\"\ndialects = [\"openai-chat\", \"anthropic\"]\n\
             auth = \"header:x-api-key\"\ncredential = {{ value = \"{SECRET}\" }}\nregions = [\"eu\"]\n\
             data_policy = {{ training = false, retention_days = 30, zdr = true }}\ninsecure = false\n"
        )
        .into_bytes(),
    );
    inputs.push(b"[[orgs]]\nslug = \"acme\"\nname = \"Acme\"\ncredits = \"25.00\"\n".to_vec());
    inputs.push(b"[[models]]\nid = \"a/b\"\ncontext_length = 1\n[[models.endpoints]]\nprovider = \"p\"\nupstream_model = \"m\"\nprices = { image = \"0.1\" }\n".to_vec());
    drive("apply file", &Corpus { inputs, words: WORDS }, target);
}
