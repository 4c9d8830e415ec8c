//! How providers' endpoints do: what proxies met goes into one view, and what comes of it goes out to all of them as advice.
//! In memory: proxies tell it all again when they connect. Never touches a request; a proxy that hears nothing goes by what
//! it sees itself. Next rooms: `link::health`, which judges, and `elsewhere`, what proxies of other controllers met.

mod elsewhere;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ids::{EndpointId, ProxyId, Revision};
use link::health::Advice;
use link::health::coolings::{Cooling, Coolings};
use link::health::view::{ADVICE_MS, Measured, Met, Shown, View, WINDOW_MS};
use proto::convert::{read_coolings, read_met, write_advice};
use proto::sync as wire;
use runtime::tasks::Tasks;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::sync::Connection;

/// What is measured is told every so many windows: it changes slowly.
const MEASURED_EVERY: u64 = 6;
/// Endpoints in one message, so that it stays small.
const AT_ONCE: usize = 250;

/// What there is to tell a proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct News {
    /// Something is to be left alone.
    pub coolings: bool,
    /// A window was judged.
    pub states: bool,
    /// It is time for what was measured.
    pub measures: bool,
}

impl News {
    /// Something is to be left alone.
    pub const COOLINGS: News = News { coolings: true, states: false, measures: false };
    /// Everything, for one that has just come.
    pub const ALL: News = News { coolings: true, states: true, measures: true };

    /// Both.
    pub fn add(&mut self, other: News) {
        self.coolings |= other.coolings;
        self.states |= other.states;
        self.measures |= other.measures;
    }
}

/// What is known here.
#[derive(Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    coolings: Coolings,
    view: View,
    /// The endpoints of each model that may be routed to, as of this revision.
    models: Vec<Vec<EndpointId>>,
    revision: Option<Revision>,
    windows: u64,
}

impl Health {
    /// What to tell a proxy, in messages of a bearable size; none when there is nothing.
    pub fn advice(&self, news: News, now_ms: u64) -> Vec<wire::Advice> {
        if news == News::default() {
            return Vec::new();
        }
        let state = self.lock();
        let coolings: Vec<Cooling> = match news.coolings {
            true => state.coolings.live(now_ms).map(|(pool, left)| (pool.clone(), left)).collect(),
            false => Vec::new(),
        };
        let endpoints = (news.states && state.windows > 0).then(|| {
            let states = state.view.advice().map(|(endpoint, state)| (endpoint.clone(), state));
            (states.collect(), ADVICE_MS)
        });
        let measures = if news.measures { state.measures(now_ms) } else { Vec::new() };
        drop(state);
        let mut told = Vec::new();
        if !coolings.is_empty() || endpoints.is_some() {
            told.push(Advice { endpoints, coolings, measures: Vec::new() });
        }
        told.extend(measures.chunks(AT_ONCE).map(|part| Advice { measures: part.to_vec(), ..Advice::default() }));
        told.iter().map(write_advice).collect()
    }

    /// What is known of an endpoint, and how long it is to be left alone.
    pub fn shown(&self, endpoint: &EndpointId, now_ms: u64) -> Shown {
        self.lock().view.shown(endpoint, now_ms)
    }

    /// What cools, with the milliseconds that are left.
    pub fn coolings(&self, now_ms: u64) -> Vec<Cooling> {
        self.lock().coolings.live(now_ms).map(|(pool, left)| (pool.clone(), left)).collect()
    }

    fn cool(&self, coolings: Vec<Cooling>, now_ms: u64) -> bool {
        let mut state = self.lock();
        state.coolings.sweep(now_ms);
        // All of them, whatever the first one says.
        coolings.into_iter().fold(false, |news, (pool, left)| state.coolings.cool(pool, left, now_ms) || news)
    }

    fn told(&self, proxy: &ProxyId, routes: Vec<(EndpointId, Met)>, now_ms: u64) {
        self.lock().view.told(proxy, routes, now_ms);
    }

    /// Judges a window. Says what there is to tell.
    fn judge(&self, now_ms: u64) -> News {
        let mut state = self.lock();
        let State { view, models, windows, coolings, .. } = &mut *state;
        coolings.sweep(now_ms);
        view.judge(models, now_ms);
        *windows += 1;
        News { states: true, measures: *windows % MEASURED_EVERY == 0, ..News::default() }
    }

    // No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn measures(&self, now_ms: u64) -> Vec<Measured> {
        let all = self.view.endpoints();
        let measured =
            |endpoint: &EndpointId| Measured::of(endpoint.clone(), &self.view.shown(endpoint, now_ms).measures);
        all.map(measured).collect()
    }
}

/// Starts judging.
pub fn start(app: &Arc<App>, tasks: &Tasks) {
    let (owner, stop) = (app.clone(), tasks.stopping());
    tasks.spawn("health", async move {
        let mut windows = interval(Duration::from_millis(WINDOW_MS));
        windows.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once, when nobody has told anything.
        windows.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = windows.tick() => {}
            }
            judge(&owner).await;
        }
    });
    elsewhere::start(app, tasks);
}

async fn judge(app: &App) {
    if let Err(error) = look_at_models(app).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "the catalogue cannot be read now; endpoints are judged by the last one");
    }
    let news = app.health.judge(now_ms(app));
    app.fleet.advise(news);
}

/// Which endpoints may be routed to, where that has changed.
async fn look_at_models(app: &App) -> store::Result<()> {
    let head = app.fleet.head();
    if app.health.lock().revision == Some(head) {
        return Ok(());
    }
    let models = models(app).await?;
    let mut state = app.health.lock();
    (state.models, state.revision) = (models, Some(head));
    Ok(())
}

async fn models(app: &App) -> store::Result<Vec<Vec<EndpointId>>> {
    let providers = store::providers::list(&app.store).await?;
    let is_open = |provider: &str| providers.iter().any(|row| row.enabled && row.id.as_str() == provider);
    let mut models: Vec<Vec<EndpointId>> = Vec::new();
    for listed in store::catalog::list_endpoints(&app.store).await? {
        let endpoint = &listed.endpoint;
        if !endpoint.enabled || !is_open(endpoint.provider.as_str()) {
            continue;
        }
        let same = |ids: &&mut Vec<EndpointId>| ids.first().is_some_and(|id| id.model() == endpoint.id.model());
        match models.iter_mut().rev().find(same) {
            Some(ids) => ids.push(endpoint.id.clone()),
            None => models.push(vec![endpoint.id.clone()]),
        }
    }
    Ok(models)
}

/// A proxy of this controller tells what it met.
pub async fn heard(app: &App, connection: &Connection, observed: wire::Observations) {
    take(app, &connection.proxy, &observed);
    elsewhere::pass_on(app, connection, observed).await;
}

/// Takes what a proxy met, whoever holds its stream.
fn take(app: &App, proxy: &ProxyId, observed: &wire::Observations) {
    let now_ms = now_ms(app);
    match read_coolings(&observed.coolings) {
        Ok(coolings) => {
            if app.health.cool(coolings, now_ms) {
                app.fleet.advise(News::COOLINGS);
            }
        }
        Err(error) => tracing::warn!(%proxy, %error, "observations cannot be understood"),
    }
    if observed.window == 0 {
        return;
    }
    match read_met(&observed.routes) {
        Ok(routes) => app.health.told(proxy, routes, now_ms),
        Err(error) => tracing::warn!(%proxy, %error, "observations cannot be understood"),
    }
}

/// Milliseconds of the clock that does not jump.
pub fn now_ms(app: &App) -> u64 {
    u64::try_from(app.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
}
