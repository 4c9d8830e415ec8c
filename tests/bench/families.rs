//! What each API family costs on its way to a provider of the same family, beside the bare proxy, and what a translation
//! costs beside that. Every way is measured in many short turns, since the machine's noise lasts for seconds; a ratio is that
//! of one turn, and the median counts. The worst way is what counts, and all of them are told on stderr.

use anyhow::{Context, Result};

use crate::family::Family;
use crate::figures::{Figure, Values, median};
use crate::measure::Cpu;
use crate::steps::{BRISK, Extent, loaded};
use crate::target::{Ground, Kind, Target};
use crate::tollgate::{WHOLE, model_of};

/// One way through a target.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    client: Family,
    /// None at the bare proxy, which knows no providers.
    provider: Option<Family>,
}

impl Way {
    /// What is compared stands side by side: a noisy machine is as noisy a second later.
    fn all() -> Vec<Way> {
        let of = |client| {
            let others = Family::ALL.into_iter().filter(move |provider| *provider != client);
            let providers = [None, Some(client)].into_iter().chain(others.map(Some));
            providers.map(move |provider| Way { client, provider })
        };
        Family::ALL.into_iter().flat_map(of).collect()
    }

    fn name(self) -> String {
        let to = self.provider.map_or("bare proxy", Family::name);
        format!("{} to {to}", self.client.name())
    }
}

/// What a request and a chunk of each way cost in one turn, in microseconds of CPU time.
struct Turn {
    costs: Vec<(Way, f64, f64)>,
    failed: f64,
}

impl Turn {
    fn of(&self, way: Way) -> Option<(f64, f64)> {
        self.costs.iter().find(|(known, ..)| *known == way).map(|(_, request, chunk)| (*request, *chunk))
    }

    /// The cost of one way over that of another.
    fn ratio(&self, way: Way, over: Way) -> Option<(f64, f64)> {
        let (above, below) = (self.of(way)?, self.of(over)?);
        Some((above.0 / below.0, above.1 / below.1))
    }
}

pub async fn measure(ground: &Ground, extent: &Extent) -> Result<Values> {
    let mut turns = Vec::new();
    for number in 0..extent.turns {
        // What is compared is taken now in this order and now in the other, so that nothing always comes first.
        let mut ways = Way::all();
        if number % 2 == 1 {
            ways.reverse();
        }
        turns.push(turn(ground, &ways, extent).await?);
    }
    Ok(figures(&turns))
}

/// Both targets are new in each turn, as in the rounds of the other steps: what a long run leaves behind (a control plane's
/// database above all, which stands with the load) is not what is compared.
async fn turn(ground: &Ground, ways: &[Way], extent: &Extent) -> Result<Turn> {
    let floor = Kind::Floor.start(ground).await?;
    let mut tollgate = Kind::Tollgate.start(ground).await?;
    // Models are named in full here.
    tollgate.author = "";
    let mut turn = Turn { costs: Vec::new(), failed: 0.0 };
    for &way in ways {
        let target = if way.provider.is_some() { &tollgate } else { &floor };
        let (request, chunk) = cost(ground, target, way, extent, &mut turn.failed).await?;
        turn.costs.push((way, request, chunk));
    }
    Ok(turn)
}

/// What a request and a chunk of one way cost.
async fn cost(ground: &Ground, target: &Target, way: Way, extent: &Extent, failed: &mut f64) -> Result<(f64, f64)> {
    let named = |model: &str| way.provider.map_or(model.to_owned(), |provider| model_of(provider, model));
    let family = ["--family", way.client.name()];
    let whole = [&family[..], &["--connections", "32"]].concat();
    let whole = loaded(ground, target, "closed", &named(WHOLE), extent.seconds / 4.0, &whole).await?;
    let streams = [&family[..], &["--streams", "50"]].concat();
    let streams = loaded(ground, target, "streams", &named(BRISK), extent.seconds / 4.0, &streams).await?;
    *failed += (whole.summary.errors + streams.summary.errors) as f64;
    let each = |cpu: Option<Cpu>, pieces: u64| cpu.map(|cpu| cpu.micros() / pieces.max(1) as f64);
    let request = each(whole.cpu, whole.summary.answered).context("the target has no bill")?;
    let chunk = each(streams.cpu, streams.summary.chunks).context("the target has no bill")?;
    Ok((request, chunk))
}

fn figures(turns: &[Turn]) -> Values {
    let mut values = Values::from([(Figure::Failed, turns.iter().map(|turn| turn.failed).sum())]);
    let mut worst = |figure: Figure, ratio: f64| {
        let value = values.entry(figure).or_insert(0.0);
        *value = value.max(ratio);
    };
    for way in Way::all() {
        let Some(provider) = way.provider else { continue };
        let is_same = provider == way.client;
        let over = Way { client: way.client, provider: if is_same { None } else { Some(way.client) } };
        let ratios: Vec<(f64, f64)> = turns.iter().filter_map(|turn| turn.ratio(way, over)).collect();
        let middle = |pick: fn(&(f64, f64)) -> f64| median(&ratios.iter().map(pick).collect::<Vec<_>>()).unwrap_or(0.0);
        let (request, chunk) = (middle(|ratio| ratio.0), middle(|ratio| ratio.1));
        let cost = |pick: fn((f64, f64)) -> f64| {
            median(&turns.iter().filter_map(|turn| turn.of(way)).map(pick).collect::<Vec<_>>()).unwrap_or(0.0)
        };
        eprintln!(
            "  {:<24} request {request:>5.2}, chunk {chunk:>5.2} x {:<24} ({:.1} us, {:.1} us)",
            way.name(),
            over.name(),
            cost(|costs| costs.0),
            cost(|costs| costs.1)
        );
        let (of_request, of_chunk) = match is_same {
            true => (Figure::FamilyRequest, Figure::FamilyChunk),
            false => (Figure::CrossRequest, Figure::CrossChunk),
        };
        worst(of_request, request);
        worst(of_chunk, chunk);
    }
    values
}
