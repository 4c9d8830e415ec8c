//! `admin apply`.

use std::path::PathBuf;

use clap::Args;
use controller::catalog::file::ApplyFile;
use proto::admin::ApplyRequest;
use serde_json::json;

use super::session::Session;
use super::{Error, Said, note};

#[derive(Debug, Args)]
pub struct Command {
    /// The apply file; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Remove catalogue rows that the file does not name.
    #[arg(long)]
    prune: bool,
    /// Let a price change by more than ten times.
    #[arg(long)]
    force: bool,
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let request =
        ApplyRequest { dry_run: command.dry_run, prune: command.prune, force: command.force, ..read(&command.file)? };
    let applied = session.catalog().apply(request).await?.into_inner();
    note(&applied.note);
    let mut data = json!({ "created": applied.created, "changed": applied.changed, "unchanged": applied.unchanged });
    if !applied.removed.is_empty()
        && let Some(fields) = data.as_object_mut()
    {
        fields.insert("removed".to_owned(), json!(applied.removed));
    }
    Ok(Said::data(data))
}

/// Reads an apply file and finds the credentials it names, saying on stderr which are missing.
pub fn read(path: &PathBuf) -> Result<ApplyRequest, Error> {
    let name = path.display().to_string();
    let unreadable = |source| Error::File { path: name.clone(), source };
    let text = if name == "-" {
        std::io::read_to_string(std::io::stdin()).map_err(unreadable)?
    } else {
        std::fs::read_to_string(path).map_err(unreadable)?
    };
    let resolved =
        ApplyFile::parse(&name, &text)?.resolve(|name| std::env::var(name).ok(), |path| std::fs::read_to_string(path));
    resolved.warnings.iter().for_each(|warning| note(warning));
    Ok(resolved.request)
}
