//! Changes, as the watch stream, the base and a proxy's disk cache carry them. A change that cannot be understood
//! becomes [`Content::Refused`], which puts its resource into the denying form; a kind that nobody here knows is
//! counted and left out.

use domain::ids::Revision;
use domain::keys::Digest;
use domain::snapshot::{Change, Content, KeyGrant, Kind, Refusal, Resource};

use super::{ORG_RESTRICTIONS, invalid, keys, orgs};
use crate::sync as wire;
use wire::change::Content as Body;

invalid!(
    /// A change of a kind that this build has no place for.
    InvalidChange,
    "Change"
);
invalid!(
    /// A refusal that names no kind.
    InvalidRefusal,
    "Refusal"
);

/// The bit that no build ever understands: a resource kept in its denying form carries it.
const NEVER: u64 = 1 << 63;

/// The restrictions of one kind that this build enforces.
fn understood(kind: Kind) -> u64 {
    match kind {
        Kind::Key => super::KEY_RESTRICTIONS,
        Kind::Org => ORG_RESTRICTIONS,
        Kind::Provider | Kind::Model | Kind::Endpoint => 0,
    }
}

/// All that this build understands, as one number that differs where another build understands more or less. A cache
/// that was written under another number may hold refusals that are no longer due.
pub fn known_restrictions() -> u64 {
    Kind::ALL
        .iter()
        .fold(u64::from(crate::SYNC_SCHEMA), |sum, kind| sum.wrapping_mul(0x9e37_79b9).wrapping_add(understood(*kind)))
}

impl From<&Change> for wire::Change {
    fn from(change: &Change) -> Self {
        let (must_understand, content) = match &change.content {
            Content::Upsert(resource) => write_resource(resource),
            Content::Removed => (0, Some(Body::Removed(true))),
            Content::Refused(_) => (NEVER, None),
        };
        // An upserted key is named by its digest.
        let named = !matches!(content, Some(Body::Key(_)));
        wire::Change {
            revision: change.revision.0,
            kind: change.kind.name().to_owned(),
            name: if named { change.name.clone() } else { String::new() },
            must_understand,
            content,
        }
    }
}

fn write_resource(resource: &Resource) -> (u64, Option<Body>) {
    match resource {
        Resource::Provider(provider) => (0, Some(Body::Provider(provider.into()))),
        Resource::Model(model) => (0, Some(Body::Model(model.into()))),
        Resource::Endpoint(endpoint) => (0, Some(Body::Endpoint(endpoint.into()))),
        Resource::Org(org) => (orgs::must_understand(org), Some(Body::Org(org.into()))),
        Resource::Key(grant) => (keys::must_understand(grant), Some(Body::Key(grant.into()))),
    }
}

impl TryFrom<wire::Change> for Change {
    type Error = InvalidChange;

    /// Fails only for a kind that is not known; anything else that is wrong becomes a refusal of the named resource.
    /// A key that is upserted has no name but its digest.
    fn try_from(wire: wire::Change) -> Result<Self, InvalidChange> {
        let kind = Kind::parse(&wire.kind)
            .ok_or_else(|| InvalidChange::new("kind", format!("`{}` ({}) is no kind", wire.kind, wire.name)))?;
        let revision = Revision(wire.revision);
        let unknown = wire.must_understand & !understood(kind);
        let refused = |name: String, reason: String| Change { revision, kind, name, content: Content::Refused(reason) };
        Ok(match wire.content {
            Some(Body::Removed(_)) => Change { revision, kind, name: wire.name, content: Content::Removed },
            content if unknown != 0 => {
                refused(name_of(wire.name, content.as_ref()), format!("restrictions {unknown:#x} are not known here"))
            }
            None => refused(wire.name, "no content that is known here".to_owned()),
            Some(body) => {
                let digest = key_digest(&body);
                match read_content(kind, &wire.name, body) {
                    Ok(content) => Change { revision, kind, name: wire.name, content },
                    Err(reason) => refused(named(wire.name, digest), reason),
                }
            }
        })
    }
}

fn key_digest(body: &Body) -> Option<Digest> {
    match body {
        Body::Key(key) => keys::read_digest(&key.digest),
        _ => None,
    }
}

/// What the change calls its resource, or else a key's digest.
fn named(name: String, digest: Option<Digest>) -> String {
    if name.is_empty() { digest.map(|digest| digest.to_string()).unwrap_or_default() } else { name }
}

fn name_of(name: String, content: Option<&Body>) -> String {
    named(name, content.and_then(key_digest))
}

fn read_content(kind: Kind, name: &str, body: Body) -> Result<Content, String> {
    let resource = read_resource(body)?;
    if resource.kind() != kind {
        return Err(format!("a {} in a change of kind {}", resource.kind().name(), kind.name()));
    }
    // A mismatch would let one resource's refusal or tombstone miss its target. A key may go without: writing a million
    // names that the digests say already would be the larger part of the work.
    let may_be_nameless = kind == Kind::Key && name.is_empty();
    if !may_be_nameless && resource.name() != name {
        return Err("content and name differ".to_owned());
    }
    Ok(Content::Upsert(resource))
}

fn read_resource(body: Body) -> Result<Resource, String> {
    fn said(error: impl std::fmt::Display) -> String {
        error.to_string()
    }
    match body {
        Body::Provider(row) => row.try_into().map(Resource::Provider).map_err(said),
        Body::Model(row) => row.try_into().map(Resource::Model).map_err(said),
        Body::Endpoint(row) => row.try_into().map(Resource::Endpoint).map_err(said),
        Body::Org(row) => row.try_into().map(Resource::Org).map_err(said),
        Body::Key(row) => KeyGrant::try_from(row).map(Resource::Key).map_err(said),
        Body::Removed(_) => Err("a removal where content was expected".to_owned()),
    }
}

/// What a list of changes says.
#[derive(Debug, Default)]
pub struct ReadChanges {
    /// Everything of a known kind, refusals included, in the order of the message.
    pub changes: Vec<Change>,
    /// Resources of kinds that nobody here knows, to be named in the acknowledgement.
    pub strange: Vec<wire::Refusal>,
}

/// Reads a list of changes; nothing in it can fail as a whole.
pub fn read_changes(list: Vec<wire::Change>) -> ReadChanges {
    let mut read = ReadChanges { changes: Vec::with_capacity(list.len()), strange: Vec::new() };
    for change in list {
        let (kind, name) = match Kind::parse(&change.kind) {
            Some(_) => (String::new(), String::new()),
            None => (change.kind.clone(), change.name.clone()),
        };
        match Change::try_from(change) {
            Ok(change) => read.changes.push(change),
            Err(error) => read.strange.push(wire::Refusal { kind, name, reason: error.to_string() }),
        }
    }
    read
}

impl From<&Refusal> for wire::Refusal {
    fn from(refusal: &Refusal) -> Self {
        wire::Refusal {
            kind: refusal.kind.name().to_owned(),
            name: refusal.name.clone(),
            reason: refusal.reason.clone(),
        }
    }
}

impl TryFrom<wire::Refusal> for Refusal {
    type Error = InvalidRefusal;

    fn try_from(wire: wire::Refusal) -> Result<Self, InvalidRefusal> {
        let kind = Kind::parse(&wire.kind)
            .ok_or_else(|| InvalidRefusal::new("kind", format!("`{}` is no kind", wire.kind)))?;
        Ok(Refusal { kind, name: wire.name, reason: wire.reason })
    }
}
