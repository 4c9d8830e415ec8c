//! What an edit did to one resource, as proxies are told.

use crate::catalog::{Endpoint, Model};
use crate::ids::{KeyId, OrgId, Revision};
use crate::keys::{Digest, Policy};
use crate::orgs::Org;
use crate::providers::Provider;
use crate::time::Timestamp;

/// The kinds of resources, in the order in which they are published; removals go the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Provider,
    Model,
    Endpoint,
    Org,
    Key,
}

impl Kind {
    /// Every kind in order.
    pub const ALL: &[Kind] = &[Kind::Provider, Kind::Model, Kind::Endpoint, Kind::Org, Kind::Key];

    /// The word in the change log and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Provider => "provider",
            Kind::Model => "model",
            Kind::Endpoint => "endpoint",
            Kind::Org => "org",
            Kind::Key => "key",
        }
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == word)
    }
}

/// What proxies know of a key: no name, no text. Known by its digest, so that a rotation is a removal and an addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGrant {
    pub digest: Digest,
    pub id: KeyId,
    pub org: OrgId,
    pub policy: Policy,
    pub expires_at: Option<Timestamp>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Provider(Provider),
    Model(Model),
    Endpoint(Endpoint),
    Org(Org),
    Key(KeyGrant),
}

impl Resource {
    /// The resource's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Resource::Provider(_) => Kind::Provider,
            Resource::Model(_) => Kind::Model,
            Resource::Endpoint(_) => Kind::Endpoint,
            Resource::Org(_) => Kind::Org,
            Resource::Key(_) => Kind::Key,
        }
    }

    /// The resource's name within its kind: a slug, an id, or a key's digest in hexadecimal.
    pub fn name(&self) -> String {
        match self {
            Resource::Provider(provider) => provider.id.to_string(),
            Resource::Model(model) => model.id.to_string(),
            Resource::Endpoint(endpoint) => endpoint.id.to_string(),
            Resource::Org(org) => org.id.to_string(),
            Resource::Key(grant) => grant.digest.to_string(),
        }
    }
}

/// What happened to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once and dropped; a box would cost an allocation for each of a million keys"
)]
pub enum Content {
    Upsert(Resource),
    Removed,
    /// It changed in a way this program cannot understand, and why: the resource takes its denying form.
    Refused(String),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub revision: Revision,
    pub kind: Kind,
    pub name: String,
    pub content: Content,
}

impl Change {
    /// The change that brings a resource.
    pub fn upsert(revision: Revision, resource: Resource) -> Change {
        Change { revision, kind: resource.kind(), name: resource.name(), content: Content::Upsert(resource) }
    }

    /// The change that takes a resource away.
    pub fn removed(revision: Revision, kind: Kind, name: impl Into<String>) -> Change {
        Change { revision, kind, name: name.into(), content: Content::Removed }
    }
}

/// A change that a proxy could not accept, as it tells the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    pub name: String,
    pub reason: String,
}
