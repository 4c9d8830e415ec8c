//! Models, endpoints and providers, with the index that routing reads. Small next to keys, so it is rebuilt whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Change, Content, Kind, Resource};
use crate::catalog::{Endpoint, Model};
use crate::ids::{EndpointId, ModelId, ProviderId, Revision};
use crate::providers::Provider;

/// A row, or the note that it was removed or refused at a revision.
type Rows<K, V> = BTreeMap<K, (Revision, Option<Arc<V>>)>;

/// What is on offer.
#[derive(Clone, Default)]
pub struct Catalogue {
    providers: Rows<ProviderId, Provider>,
    models: Rows<ModelId, Model>,
    endpoints: Rows<EndpointId, Endpoint>,
    /// Models by every name they may be asked for: the id, and the bare slug where only one model has it.
    by_name: HashMap<Box<str>, Arc<ModelEntry>>,
    /// Models in the order of their ids.
    listed: Vec<Arc<ModelEntry>>,
}

/// A model and where it can be reached.
#[derive(Debug)]
pub struct ModelEntry {
    pub model: Arc<Model>,
    pub routes: Vec<Route>,
}

/// An endpoint with its provider.
#[derive(Debug, Clone)]
pub struct Route {
    pub endpoint: Arc<Endpoint>,
    pub provider: Arc<Provider>,
}

impl Route {
    /// Whether requests may be sent here on credits: switched on, priced, and signable.
    pub fn is_open(&self) -> bool {
        self.endpoint.enabled && self.provider.enabled && self.endpoint.prices.is_complete() && self.provider.can_sign()
    }
}

impl Catalogue {
    /// The model with this id or unambiguous bare slug.
    pub fn model(&self, name: &str) -> Option<&Arc<ModelEntry>> {
        self.by_name.get(name)
    }

    /// Every model, sorted by id.
    pub fn models(&self) -> &[Arc<ModelEntry>] {
        &self.listed
    }

    /// The provider with this id.
    pub fn provider(&self, id: &ProviderId) -> Option<&Arc<Provider>> {
        self.providers.get(id).and_then(|row| row.1.as_ref())
    }

    /// Every provider.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values().filter_map(|row| row.1.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.listed.len() + self.providers().count() + self.endpoints.values().filter(|row| row.1.is_some()).count()
    }

    pub(super) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            let Change { revision, kind, name, content } = change;
            match (kind, content) {
                (_, Content::Upsert(Resource::Provider(row))) => {
                    put(&mut self.providers, row.id.clone(), revision, Some(row))
                }
                (_, Content::Upsert(Resource::Model(row))) => {
                    put(&mut self.models, row.id.clone(), revision, Some(row))
                }
                (_, Content::Upsert(Resource::Endpoint(row))) => {
                    put(&mut self.endpoints, row.id.clone(), revision, Some(row))
                }
                (Kind::Provider, _) => remove(&mut self.providers, &name, revision),
                (Kind::Model, _) => remove(&mut self.models, &name, revision),
                (Kind::Endpoint, _) => remove(&mut self.endpoints, &name, revision),
                (Kind::Org | Kind::Key, _) => {}
            }
        }
        self.index();
    }

    fn index(&mut self) {
        let mut routes: BTreeMap<&ModelId, Vec<Route>> = BTreeMap::new();
        for endpoint in self.endpoints.values().filter_map(|row| row.1.as_ref()) {
            if let Some(provider) = self.provider(&endpoint.provider) {
                let route = Route { endpoint: endpoint.clone(), provider: provider.clone() };
                routes.entry(&endpoint.model).or_default().push(route);
            }
        }
        let listed: Vec<Arc<ModelEntry>> = self
            .models
            .values()
            .filter_map(|row| row.1.as_ref())
            .map(|model| {
                Arc::new(ModelEntry { model: model.clone(), routes: routes.remove(&model.id).unwrap_or_default() })
            })
            .collect();
        let mut by_name: HashMap<Box<str>, Arc<ModelEntry>> = HashMap::new();
        let mut slugs: HashMap<&str, Vec<&Arc<ModelEntry>>> = HashMap::new();
        for entry in &listed {
            by_name.insert(entry.model.id.as_str().into(), entry.clone());
            slugs.entry(entry.model.id.slug()).or_default().push(entry);
        }
        for (slug, entries) in slugs {
            if let Some(entry) = only_one(&entries) {
                by_name.insert(slug.into(), entry.clone());
            }
        }
        self.listed = listed;
        self.by_name = by_name;
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let providers = upserts(&self.providers, Resource::Provider);
        let models = upserts(&self.models, Resource::Model);
        let endpoints = upserts(&self.endpoints, Resource::Endpoint);
        providers.chain(models).chain(endpoints)
    }
}

/// Whom a bare slug means: the model that has it, or the one of several that can be reached at all.
fn only_one<'a>(entries: &[&'a Arc<ModelEntry>]) -> Option<&'a Arc<ModelEntry>> {
    if let [entry] = entries {
        return Some(entry);
    }
    let mut reachable = entries.iter().filter(|entry| entry.routes.iter().any(Route::is_open));
    reachable.next().filter(|_| reachable.next().is_none()).copied()
}

fn upserts<'a, K, V: Clone>(rows: &'a Rows<K, V>, wrap: fn(V) -> Resource) -> impl Iterator<Item = Change> + 'a {
    rows.values().filter_map(move |(revision, row)| {
        row.as_ref().map(|row| Change::upsert(*revision, wrap(row.as_ref().clone())))
    })
}

fn put<K: Ord, V>(rows: &mut Rows<K, V>, key: K, revision: Revision, row: Option<V>) {
    let slot = rows.entry(key).or_insert((revision, None));
    if slot.0 <= revision {
        *slot = (revision, row.map(Arc::new));
    }
}

fn remove<K: Ord + std::str::FromStr, V>(rows: &mut Rows<K, V>, name: &str, revision: Revision) {
    if let Ok(key) = name.parse() {
        put(rows, key, revision, None);
    }
}
