//! What one window says of one endpoint: what each proxy told of it lately, and the vote of all of them.

use domain::ids::OrgId;

use super::{Met, State};

/// Windows that make up a proxy's weight: a minute.
const WEIGHED: usize = 12;
/// Shares of failure, in percent.
const DEGRADED: u64 = 60;
const EJECTED: u64 = 85;
const GOOD: u64 = 30;
/// What is evidence: attempts in the last minute, proxies that see failure, organisations that met it.
const ATTEMPTS: u64 = 100;
const PROXIES: usize = 3;
const ORGS: usize = 3;

/// What one proxy told of one endpoint. Small: there is one for each of them.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Told since the last window was judged.
    pub(super) pending: Option<Box<Met>>,
    /// Attempts of the windows that were judged, the oldest of which is written over.
    pub(super) attempts: [u64; WEIGHED],
    /// Organisations for which something went badly, each with the window and how often.
    pub(super) troubles: Vec<(usize, OrgId, u64)>,
}

impl History {
    pub(super) fn weight(&self) -> u64 {
        self.attempts.iter().fold(0, |sum, attempts| sum.saturating_add(*attempts))
    }

    /// The window of this number was judged. Says whether there is anything left to know.
    pub(super) fn keep(&mut self, window: usize, told: Option<&Met>) -> bool {
        if let Some(place) = self.attempts.get_mut(window % WEIGHED) {
            *place = told.map_or(0, |met| met.attempts);
        }
        self.troubles.retain(|(known, _, _)| window.saturating_sub(*known) < WEIGHED);
        let orgs = told.map(|met| met.orgs.as_slice()).unwrap_or_default();
        self.troubles.extend(orgs.iter().map(|(org, count)| (window, *org, *count)));
        self.weight() > 0 || !self.troubles.is_empty() || told.is_some_and(|met| met.shut > 0)
    }
}

/// What all proxies together say of one window.
pub(super) struct Poll {
    pub(super) weight: u64,
    /// Weights times hundredths of failure, without overload and with it.
    pub(super) failing: u64,
    pub(super) straining: u64,
    /// Proxies that sent something there lately, and those of them that saw at least half of their attempts fail.
    pub(super) present: usize,
    pub(super) proxies: usize,
    pub(super) orgs: usize,
    /// Of this window, without those of the organisation that met most failures.
    pub(super) attempts: u64,
    pub(super) troubles: u64,
}

impl Poll {
    pub(super) fn vote(&mut self, met: &Met, weight: u64, loudest: Option<OrgId>) {
        let of_loudest = met.troubles_of(loudest);
        let attempts = met.attempts.saturating_sub(of_loudest);
        self.attempts = self.attempts.saturating_add(attempts);
        self.troubles = self.troubles.saturating_add(met.troubles().saturating_sub(of_loudest));
        self.present += usize::from(weight > 0);
        let shut = met.shut.min(100);
        let share = |bad: u64| {
            let open = bad.saturating_sub(of_loudest).saturating_mul(100).checked_div(attempts).unwrap_or(0).min(100);
            // Workers that leave it alone have nothing else to tell.
            shut + (100 - shut) * open / 100
        };
        let (failing, straining) = (share(met.failures), share(met.troubles()));
        self.weight = self.weight.saturating_add(weight);
        self.failing = self.failing.saturating_add(weight.saturating_mul(failing));
        self.straining = self.straining.saturating_add(weight.saturating_mul(straining));
        self.proxies += usize::from(straining >= 50);
    }

    pub(super) fn share(&self, of: u64) -> u64 {
        of.checked_div(self.weight).unwrap_or(0)
    }

    pub(super) fn verdict(&self, fleet: usize) -> State {
        // Where two of many proxies use it, they are all; one is not, unless there is no other.
        let needed = PROXIES.min(self.present).max(2).min(fleet).max(1);
        let is_evidence = self.weight >= ATTEMPTS && self.orgs >= ORGS && self.proxies >= needed;
        if is_evidence && self.share(self.failing) >= EJECTED {
            return State::Ejected;
        }
        if is_evidence && self.share(self.straining) >= DEGRADED { State::Degraded } else { State::Healthy }
    }

    /// Whether what was tried went well: who tried nothing has no say.
    pub(super) fn is_good(&self) -> bool {
        self.troubles.saturating_mul(100) < self.attempts.saturating_mul(GOOD)
    }
}
