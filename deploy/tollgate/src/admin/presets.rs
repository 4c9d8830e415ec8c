//! `admin presets`.

use std::path::PathBuf;

use clap::Subcommand;
use proto::admin::{GetNamesRequest, Preset, RemovePresetRequest, SetPresetRequest};
use serde_json::{Value, json};

use super::session::Session;
use super::{Error, Said, note, routing};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new version of a preset; requests name it @preset/SLUG, or @preset/SLUG@VERSION.
    Set {
        slug: String,
        #[arg(long)]
        org: String,
        /// A file of JSON with `models` and the fields of rules; `-` is standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Every version of an organisation's presets.
    List {
        #[arg(long)]
        org: String,
    },
    /// What a preset says, in its newest version or another: what `set` takes.
    Show {
        #[arg(value_name = "SLUG[@VERSION]")]
        preset: String,
        #[arg(long)]
        org: String,
    },
    /// Take a preset away, or one version of it. Its numbers are not given again.
    Remove {
        #[arg(value_name = "SLUG[@VERSION]")]
        preset: String,
        #[arg(long)]
        org: String,
    },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let mut names = session.names();
    match command {
        Command::Set { slug, org, file } => {
            let request = SetPresetRequest { org: org.clone(), slug: slug.clone(), content: routing::read(file)? };
            let written = names.set_preset(request).await?.into_inner();
            note(&written.note);
            Ok(Said::data(json!({ "slug": written.name, "version": written.version })))
        }
        Command::List { org } => {
            let rows = listed(session, org).await?.iter().map(row).collect();
            Ok(Said::data(Value::Array(rows)))
        }
        Command::Show { preset, org } => {
            let (slug, version) = split(preset)?;
            let is_meant = |preset: &&Preset| {
                preset.slug == slug && version.map_or(preset.newest, |version| preset.version == version)
            };
            let presets = listed(session, org).await?;
            let found = presets.iter().find(is_meant);
            let found = found.ok_or_else(|| Error::Refused("there is no such preset".to_owned()))?;
            Ok(routing::said(&found.content))
        }
        Command::Remove { preset, org } => {
            let (slug, version) = split(preset)?;
            let request = RemovePresetRequest { org: org.clone(), slug: slug.to_owned(), version };
            let written = names.remove_preset(request).await?.into_inner();
            note(&written.note);
            Ok(Said::data(json!({ "slug": written.name, "revision": written.revision })))
        }
    }
}

/// The slug, and the version where one is named.
fn split(preset: &str) -> Result<(&str, Option<u32>), Error> {
    let Some((slug, version)) = preset.split_once('@') else { return Ok((preset, None)) };
    let number =
        version.parse().map_err(|_| Error::Usage(format!("`{version}` is no version: a number, as in mail@3")))?;
    Ok((slug, Some(number)))
}

async fn listed(session: &mut Session, org: &str) -> Result<Vec<Preset>, Error> {
    Ok(session.names().get_names(GetNamesRequest { org: org.to_owned() }).await?.into_inner().presets)
}

fn row(preset: &Preset) -> Value {
    json!({
        "slug": preset.slug, "version": preset.version, "newest": preset.newest,
        "content": routing::shown(&preset.content),
    })
}
