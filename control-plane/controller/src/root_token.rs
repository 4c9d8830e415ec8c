//! The root admin token: the operator's own at a first start, else a made one, kept in the data folder for the operator.
//! Never logged. What it lets its bearer do is decided in `access`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use domain::keys::{KeyKind, generate};
use runtime::Secret;
use runtime::files::create_once;

use crate::error::{Error, Result};

/// The file in the data folder.
const FILE: &str = "admin-token";
/// The variable, as refusals call it.
const VARIABLE: &str = "TOLLGATE_ADMIN_TOKEN";
/// The shortest token that is accepted, in characters.
const SHORTEST: usize = 32;

/// The token of a start, perhaps not yet in its file.
pub struct RootToken {
    text: Secret,
    path: PathBuf,
}

/// Refuses a token that could not be used, where it would count: there is none in the folder yet.
pub fn check(folder: &Path, given: Option<&OsStr>) -> Result<()> {
    if folder.join(FILE).exists() { Ok(()) } else { chosen(given).map(drop) }
}

impl RootToken {
    /// The file's when there is one, else the given one, else a new one.
    pub fn find(folder: &Path, given: Option<&OsStr>) -> Result<RootToken> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Secret::from(text.trim()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = || generate(KeyKind::Admin, rand::random);
                Secret::from(chosen(given)?.map_or_else(made, str::to_owned))
            }
            Err(source) => return Err(Error::Start(format!("read {}: {source}", path.display()))),
        };
        Ok(RootToken { text, path })
    }

    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// Writes the file where there is none yet, and gives the token.
    pub fn keep(self) -> Result<Secret> {
        let line = format!("{}\n", self.text.expose_text().unwrap_or_default());
        create_once(&self.path, line.as_bytes(), 0o600)?;
        Ok(self.text)
    }
}

/// The operator's own token, fit to stand in a header.
fn chosen(given: Option<&OsStr>) -> Result<Option<&str>> {
    let refused = |why: &str| Err(Error::Start(format!("{VARIABLE} {why}")));
    let Some(given) = given.filter(|text| !text.is_empty()) else { return Ok(None) };
    let Some(text) = given.to_str().map(str::trim).filter(|text| text.bytes().all(|byte| (0x20..0x7f).contains(&byte)))
    else {
        return refused("must be printable ASCII: it has to stand in a header of every call");
    };
    if text.len() < SHORTEST {
        return refused(&format!("must have at least {SHORTEST} characters"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    const OWN: &str = "a-root-token-of-the-operators-own choosing";

    #[test]
    fn a_token_counts_until_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let found = |given: &str| RootToken::find(folder.path(), Some(OsStr::new(given))).unwrap();
        assert!(found("").text().expose_text().is_some_and(|text| text.starts_with("tg_adm_")));
        let own = found(&format!(" {OWN}\n"));
        assert!(!folder.path().join(FILE).exists(), "written before it was kept");
        own.keep().unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), format!("{OWN}\n"));
        assert_eq!(found("another-token-that-comes-too-late-to-count").text().expose_text(), Some(OWN));
        check(folder.path(), Some(OsStr::new("short"))).unwrap();
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tab = OWN.replace(' ', "\t");
        let umlaut = OWN.replace('a', "ä");
        let line = OWN.replace(' ', "\n");
        let no_text = [OWN.as_bytes(), b"\xff"].concat();
        for bad in [tab.as_bytes(), umlaut.as_bytes(), line.as_bytes(), &no_text] {
            let error = check(folder.path(), Some(OsStr::from_bytes(bad))).unwrap_err().to_string();
            assert!(error.starts_with(VARIABLE) && error.contains("printable ASCII"), "{error}");
            assert!(!error.contains("operator"), "the token is in the refusal: {error}");
        }
        let error = check(folder.path(), Some(OsStr::new("short"))).unwrap_err().to_string();
        assert!(error.contains("32 characters"), "{error}");
    }
}
