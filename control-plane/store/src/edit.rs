//! An open write to settings: rows, audit lines, the change log and the revision move in one transaction, or not at all.
//!
//! One edit is open at a time in the whole installation, so what is loaded inside it may be acted on, and revisions
//! appear in the order of commits. Never moves money: that is `posting/`.

use std::collections::BTreeMap;
use std::fmt::Display;

use domain::audit::Actor;
use domain::ids::{OrgId, Revision};
use domain::snapshot::Kind;
use domain::time::Timestamp;

use crate::engine::{Arg, Bulk, Tx, args};
use crate::error::{Error, Result};
use crate::nudges::{Local, Nudge, announce, attach};
use crate::store::Store;

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Created,
    Changed,
    /// The row was already so; nothing was written.
    Unchanged,
}

/// An open write to settings. Dropping it undoes everything, which is how a dry run is made.
pub struct Edit {
    tx: Tx,
    local: Local,
    actor: String,
    now: Timestamp,
    revision: Revision,
    changes: BTreeMap<(Kind, String), Touch>,
    lines: Vec<Line>,
}

/// What an edit did to one resource.
#[derive(Clone, Copy, Default)]
pub(crate) struct Touch {
    pub(crate) urgent: bool,
    pub(crate) removed: bool,
}

impl Touch {
    /// It has a new form.
    pub(crate) const UPSERT: Touch = Touch { urgent: false, removed: false };
    /// It has a new form that takes rights away.
    pub(crate) const CUT: Touch = Touch { urgent: true, removed: false };
    /// It is gone, and nobody may go on using it.
    pub(crate) const REVOKED: Touch = Touch { urgent: true, removed: true };
    /// It is gone.
    pub(crate) const REMOVED: Touch = Touch { urgent: false, removed: true };
}

struct Line {
    org: Option<OrgId>,
    action: String,
    target: String,
    detail: String,
}

const HEAD: &str = "select head from revisions where one = 1";
// postgres
const HEAD_LOCKED: &str = "select head from revisions where one = 1 for update";
const MOVE_HEAD: &str = "update revisions set head = $1 where one = 1 and head = $2";
static LOG: Bulk = Bulk::new(5, "insert into changes (revision, kind, name, urgent, removed) values", "");
static AUDIT: Bulk =
    Bulk::new(8, "insert into audit (revision, line, at, actor, org_id, action, target, detail) values", "");

impl Edit {
    pub(crate) async fn open(store: &Store, actor: Actor, now: Timestamp) -> Result<Edit> {
        let mut tx = store.engine().begin().await?;
        let lock = if tx.is_postgres() { HEAD_LOCKED } else { HEAD };
        let row = tx.one(lock, args![]).await?.ok_or(Error::NotFound { what: "revision counter" })?;
        let head: Revision = row.first()?;
        Ok(Edit {
            tx,
            local: store.local().clone(),
            actor: actor.to_string(),
            now,
            revision: Revision(head.0 + 1),
            changes: BTreeMap::new(),
            lines: Vec::new(),
        })
    }

    /// The revision that a commit gives to everything in this edit.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The moment of this edit.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds a line to the audit log. Every write makes its own; this is for what only the caller knows.
    pub fn audit(&mut self, org: Option<OrgId>, action: &str, target: impl Display, detail: impl Into<String>) {
        self.lines.push(Line { org, action: action.to_owned(), target: target.to_string(), detail: detail.into() });
    }

    /// Notes what happened to a resource that proxies know. Within one edit the last word counts; urgency stays.
    pub(crate) fn touch(&mut self, kind: Kind, name: impl Display, touch: Touch) {
        let slot = self.changes.entry((kind, name.to_string())).or_default();
        *slot = Touch { urgent: slot.urgent || touch.urgent, removed: touch.removed };
    }

    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    pub(crate) async fn execute(&mut self, text: &'static str, arguments: Vec<Arg>) -> Result<u64> {
        self.tx.execute(text, arguments).await
    }

    /// Makes it true and says at which revision. An edit that wrote nothing makes no revision and gives the present
    /// one. Goes on to the end even when the caller stops waiting.
    pub async fn commit(self) -> Result<Revision> {
        let task = tokio::spawn(self.finish());
        task.await.map_err(|_| Error::Misuse { what: "an edit was committed while the runtime stopped" })?
    }

    async fn finish(mut self) -> Result<Revision> {
        let head = Revision(self.revision.0 - 1);
        if self.changes.is_empty() && self.lines.is_empty() {
            self.tx.commit().await?;
            return Ok(head);
        }
        let revision = self.revision;
        let log = self
            .changes
            .iter()
            .map(|((kind, name), touch)| args![revision, kind.name(), name, touch.urgent, touch.removed]);
        let log = log.collect();
        LOG.run(&mut self.tx, log).await?;
        let lines = self.lines.iter().enumerate().map(|(at, line)| {
            args![revision, at, self.now, &self.actor, line.org, &line.action, &line.target, &line.detail]
        });
        let lines = lines.collect();
        AUDIT.run(&mut self.tx, lines).await?;
        if self.tx.execute(MOVE_HEAD, args![revision, head]).await? != 1 {
            return Err(Error::Conflict { what: "revision" });
        }
        let nudges = vec![Nudge::Settings];
        attach(&mut self.tx, &nudges).await?;
        let on_postgres = self.tx.is_postgres();
        self.tx.commit().await?;
        announce(on_postgres, &self.local, nudges);
        Ok(revision)
    }
}

/// Refuses a row outside the scope exactly like one that is not there.
pub(crate) fn within(scope: domain::ids::OrgScope, org: OrgId, what: &'static str) -> Result<()> {
    if scope.covers(org) { Ok(()) } else { Err(Error::NotFound { what }) }
}
