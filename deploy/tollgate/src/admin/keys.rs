//! `admin keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use proto::admin::{
    CreateKeyRequest, CreateKeyResponse, GetKeyRequest, Key, Limits, ListKeysRequest, RevokeKeyRequest,
    RotateKeyRequest, UpdateKeyRequest,
};
use serde_json::{Value, json};

use super::output::or_null;
use super::routing::{self, Deed};
use super::session::Session;
use super::{Error, Said, fleet, note};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key. Its text is shown this once.
    Create {
        #[arg(long)]
        org: String,
        #[arg(long)]
        name: String,
        #[command(flatten)]
        limits: LimitFlags,
        /// When it stops working, such as 2027-01-01T00:00:00Z.
        #[arg(long, value_name = "RFC3339")]
        expires: Option<String>,
        /// A file with rules of where its requests may go; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        routing: Option<PathBuf>,
    },
    /// An organisation's keys.
    List {
        #[arg(long)]
        org: String,
        /// Revoked ones too.
        #[arg(long)]
        all: bool,
    },
    /// Change a key. Limits that are given replace all limits it has.
    Update {
        id: String,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        limits: LimitFlags,
        /// Take all limits away.
        #[arg(long, conflicts_with_all = ["limit", "rpm", "tpm", "allow_models"])]
        no_limits: bool,
        /// A new time, or `never`.
        #[arg(long, value_name = "RFC3339")]
        expires: Option<String>,
        /// Let a disabled key work again.
        #[arg(long)]
        enable: bool,
    },
    /// Make a key stop working; `update --enable` undoes it.
    Disable { id: String },
    /// Make a key stop working for good.
    Revoke {
        id: String,
        /// Return only once every connected proxy refuses it.
        #[arg(long)]
        wait: bool,
    },
    /// Give a key a new text; the old one stops working at once.
    Rotate { id: String },
    /// Rules of where its requests may go, beside what the organisation's rules say.
    #[command(subcommand)]
    Routing(routing::Command),
}

#[derive(Debug, Args)]
pub struct LimitFlags {
    /// What it may spend, in USD.
    #[arg(long, value_name = "USD")]
    limit: Option<String>,
    /// How often the spending limit starts anew.
    #[arg(long, value_enum, requires = "limit")]
    reset: Option<Reset>,
    /// Requests per minute.
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Tokens per minute.
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// A model it may use, with * for any run of characters; repeat for more.
    #[arg(long = "allow-model", value_name = "GLOB")]
    allow_models: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Reset {
    Daily,
    Weekly,
    Monthly,
}

impl LimitFlags {
    fn given(&self) -> bool {
        self.limit.is_some() || self.rpm.is_some() || self.tpm.is_some() || !self.allow_models.is_empty()
    }

    fn message(&self) -> Limits {
        let reset = self
            .reset
            .and_then(|reset| reset.to_possible_value())
            .map_or_else(String::new, |value| value.get_name().to_owned());
        Limits {
            limit: self.limit.clone(),
            reset,
            rpm: self.rpm,
            tpm: self.tpm,
            allow_models: self.allow_models.clone(),
        }
    }
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let mut keys = session.keys();
    match command {
        Command::Create { org, name, limits, expires, routing } => {
            let request = CreateKeyRequest {
                org: org.clone(),
                name: name.clone(),
                limits: Some(limits.message()),
                expires_at: expires.clone().unwrap_or_default(),
                routing: routing.as_deref().map(routing::read).transpose()?.unwrap_or_default(),
            };
            Ok(created(keys.create_key(request).await?.into_inner()))
        }
        Command::List { org, all } => list(session, org, *all).await,
        Command::Update { id, name, limits, no_limits, expires, enable } => {
            let request = UpdateKeyRequest {
                id: id.clone(),
                name: name.clone(),
                disabled: enable.then_some(false),
                limits: (limits.given() || *no_limits).then(|| limits.message()),
                expires_at: expires.as_ref().map(|text| if text == "never" { String::new() } else { text.clone() }),
                routing: None,
            };
            updated(keys.update_key(request).await?.into_inner())
        }
        Command::Disable { id } => {
            let request = UpdateKeyRequest { id: id.clone(), disabled: Some(true), ..UpdateKeyRequest::default() };
            updated(keys.update_key(request).await?.into_inner())
        }
        Command::Revoke { id, wait } => {
            let revoked = keys.revoke_key(RevokeKeyRequest { id: id.clone() }).await?.into_inner();
            if *wait {
                fleet::wait(session, revoked.revision).await?;
            } else {
                note(&revoked.note);
            }
            Ok(Said::data(json!({ "id": revoked.id, "revision": revoked.revision })))
        }
        Command::Routing(command) => {
            let (id, deed) = command.deed()?;
            let id = id.to_owned();
            let key = match deed {
                Deed::Show => keys.get_key(GetKeyRequest { id }).await?.into_inner(),
                Deed::Write(text) => {
                    let request = UpdateKeyRequest { id, routing: Some(text), ..UpdateKeyRequest::default() };
                    keys.update_key(request).await?.into_inner()
                }
            };
            note(&key.note);
            Ok(routing::said(&key.routing))
        }
        Command::Rotate { id } => Ok(created(keys.rotate_key(RotateKeyRequest { id: id.clone() }).await?.into_inner())),
    }
}

async fn list(session: &mut Session, org: &str, all: bool) -> Result<Said, Error> {
    let mut keys = session.keys();
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        let request = ListKeysRequest { org: org.to_owned(), include_revoked: all, limit: 1000, after };
        let page = keys.list_keys(request).await?.into_inner().keys;
        let full = page.len() == 1000;
        after = page.last().map_or_else(String::new, |key| key.id.clone());
        rows.extend(page.iter().map(row));
        if !full {
            return Ok(Said::data(Value::Array(rows)));
        }
    }
}

fn created(response: CreateKeyResponse) -> Said {
    let key = response.key.unwrap_or_default();
    note(&key.note);
    Said::data(json!({ "id": key.id, "name": key.name, "key": response.text }))
}

fn updated(key: Key) -> Result<Said, Error> {
    note(&key.note);
    Ok(Said::data(row(&key)))
}

fn row(key: &Key) -> Value {
    let limits = key.limits.clone().unwrap_or_default();
    json!({
        "id": key.id, "name": key.name, "hint": key.hint, "limit": limits.limit, "reset": or_null(&limits.reset),
        "rpm": limits.rpm, "tpm": limits.tpm, "allow_models": limits.allow_models, "expires_at": or_null(&key.expires_at),
        "disabled": key.disabled, "revoked_at": or_null(&key.revoked_at), "created_at": key.created_at,
        "routing": routing::shown(&key.routing),
    })
}
