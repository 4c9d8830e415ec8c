//! The Ticket: what an admitted request owns, and the one record it ends in. It can be closed or dropped, never copied or
//! forgotten; a client that hangs up, a panic and a shutdown all come through here. Never waits for anything.
//!
//! How cut answers are counted: the provider's last word about usage where it gave one; else a quarter of the prompt's
//! bytes, and for what was relayed the tap's estimate. An estimate never replaces a number that a provider gave.

use std::{borrow::Cow, rc::Rc};

use codec::Tap;
use domain::{
    catalog::PriceList,
    ids::ModelId,
    money::Money,
    pricing,
    usage::{Intent, Outcome, TokenUsage, UsageRecord, UsageSource},
};

use super::{
    Visit,
    admit::{Output, Sizing},
    arrival::Arrival,
};
use crate::{
    connection::Cut,
    fair::{Class, Need, Pass},
    offers::Lane,
    purse::{Holds, Purse},
    spool::Slot,
};

/// Longest text of others that is kept in a record, in bytes.
const LONGEST: usize = 256;
/// More than one request can use of anything: ten times the longest context there is.
const USED_MOST: u64 = 100_000_000;

/// How far the provider has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Nothing was sent, or the provider refused it before doing any work.
    Nothing,
    /// It was sent, and what became of it is not known.
    Sent,
    /// It was accepted: the head of an answer came.
    Accepted,
}

/// An admitted request.
pub(crate) struct Ticket {
    open: Option<Box<Open>>,
}

struct Open {
    visit: Rc<Visit>,
    purse: Rc<Purse>,
    holds: Holds,
    slot: Slot,
    sizing: Sizing,
    output: Output,
    requested_model: String,
    streamed: bool,
    /// The answer goes on after its first output, whatever was asked for.
    flows: bool,
    lane: Option<Rc<Lane>>,
    reached: Reached,
    first_output_ms: Option<u64>,
    /// What attempts that were given up may cost us.
    lost: Money,
    /// What it was let through to the present endpoint's account with.
    pass: Option<Pass>,
}

/// How an answer ended, as far as the books care.
pub(crate) struct Ending<'t> {
    pub outcome: Outcome,
    /// What the answer told about itself; none when there was none.
    pub tap: Option<&'t Tap>,
    /// What the client saw; 0 for nothing.
    pub status: u16,
}

impl Ticket {
    /// Writes the intent; from here on there will be a record.
    pub fn open(
        visit: &Rc<Visit>,
        purse: &Rc<Purse>,
        holds: Holds,
        mut slot: Slot,
        arrival: &Arrival,
        sizing: Sizing,
        output: Output,
    ) -> Ticket {
        let requested_model = cut(arrival.requested());
        slot.intent(Intent {
            request: visit.id,
            org: purse.org.id,
            key: purse.key,
            budget: holds.budget_pool(),
            billing: purse.org.billing,
            plan: purse.org.plan.clone(),
            requested_model: requested_model.clone(),
            held: holds.money(),
            started_at: visit.started_at,
            streamed: arrival.scan.stream,
        });
        let open = Open {
            visit: visit.clone(),
            purse: purse.clone(),
            holds,
            slot,
            sizing,
            output,
            requested_model,
            streamed: arrival.scan.stream,
            flows: arrival.scan.stream,
            lane: None,
            reached: Reached::Nothing,
            first_output_ms: None,
            lost: Money::ZERO,
            pass: None,
        };
        Ticket { open: Some(Box::new(open)) }
    }

    /// What the money that is held pays for.
    pub fn output(&self) -> Output {
        self.open.as_ref().map_or(Output { tokens: 0, limit: None }, |open| open.output)
    }

    pub fn sizing(&self) -> Option<Sizing> {
        self.open.as_ref().map(|open| open.sizing)
    }

    /// The holds, while the ticket is open.
    pub fn holds(&mut self) -> Option<&mut Holds> {
        self.open.as_mut().map(|open| &mut open.holds)
    }

    /// The money that is held.
    pub fn held(&self) -> Money {
        self.open.as_ref().map_or(Money::ZERO, |open| open.holds.money())
    }

    /// Tokens that it is thought to need at this endpoint, prompt and answer together.
    pub fn tokens(&self, lane: &Lane) -> u64 {
        let Some(open) = &self.open else { return 0 };
        let output = open.output.limit.unwrap_or_else(|| open.sizing.output(lane.max_output()));
        open.sizing.prompt.saturating_add(output.saturating_mul(open.sizing.choices))
    }

    /// What it needs of an endpoint's account at this moment of the gate's clock.
    pub fn need(&self, tokens: u64, now_ms: u64) -> Option<Need> {
        let org = &self.open.as_ref()?.purse.org;
        Some(Need { org: org.id, class: Class::of_plan(org.plan.as_str()), tokens, now_ms })
    }

    /// It may use an endpoint's account; none when the attempt there is over.
    pub fn passes(&mut self, pass: Option<Pass>) {
        if let Some(open) = &mut self.open {
            open.pass = pass;
        }
    }

    /// An attempt at this endpoint begins.
    pub fn goes_to(&mut self, lane: &Rc<Lane>) {
        if let Some(open) = &mut self.open {
            open.lane = Some(lane.clone());
            open.reached = Reached::Nothing;
        }
    }

    /// The attempt has got this far.
    pub fn reached(&mut self, reached: Reached) {
        if let Some(open) = &mut self.open {
            open.reached = reached;
        }
    }

    /// The attempt is given up; if the provider may bill it, that is our loss.
    pub fn lost(&mut self, tap: Option<&Tap>) {
        let Some(open) = &mut self.open else { return };
        if let Some(lane) = open.lane.as_ref().filter(|_| open.reached != Reached::Nothing) {
            let (usage, _) = counted(tap, &open.sizing);
            open.lost = open.lost.plus(pricing::cost(&usage, lane.prices())).unwrap_or(open.lost);
        }
        open.reached = Reached::Nothing;
    }

    /// The first output is there. Returns the milliseconds it took.
    pub fn first_output(&mut self) -> u64 {
        let Some(open) = &mut self.open else { return 0 };
        let ms = millis(open.visit.age());
        open.first_output_ms = Some(ms);
        ms
    }

    /// The answer goes on after its first output though no stream was asked for.
    pub fn flows(&mut self) {
        if let Some(open) = &mut self.open {
            open.flows = true;
        }
    }

    /// Ends the request: the one record, and everything that was not used goes back.
    pub fn close(mut self, ending: &Ending<'_>) {
        if let Some(open) = self.open.take() {
            open.end(ending);
        }
    }

    /// How a request ends whose client or proxy is gone; `has_output` when some of an answer was on its way.
    pub fn outcome_of_drop(visit: &Visit, has_output: bool) -> Outcome {
        match (visit.connection.why_cut(), has_output) {
            (Some(Cut::ShutDown), _) => Outcome::ShutDown,
            (Some(Cut::SlowReader), true) => Outcome::SlowReader,
            (_, true) => Outcome::ClientLeft,
            (_, false) => Outcome::ClientLeftEarly,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let outcome = Ticket::outcome_of_drop(&open.visit, false);
            open.end(&Ending { outcome, tap: None, status: 0 });
        }
    }
}

impl Open {
    fn end(mut self, ending: &Ending<'_>) {
        let bill = self.bill(ending);
        let record = self.record(ending, &bill);
        let Open { visit, holds, slot, lane, first_output_ms, pass, .. } = self;
        let used = if record.outcome.is_charged() { total(&bill.usage) } else { 0 };
        holds.settle(bill.cost, used);
        if let Some(pass) = pass {
            pass.settle(used);
        }
        if let Some(lane) = lane.filter(|_| record.outcome == Outcome::Finished) {
            let writing_ms = record.latency_ms.saturating_sub(first_output_ms.unwrap_or(record.latency_ms));
            lane.health.finished(bill.usage.completion_total(), writing_ms, &visit.worker.alarms);
        }
        visit.worker.tally.ended(&record);
        trace(&visit, &record);
        slot.terminal(record);
    }

    fn bill(&self, ending: &Ending<'_>) -> Bill {
        // Counting is free, also where a model has a price per request.
        let prices = self.lane.as_ref().map(|lane| lane.prices()).filter(|_| !self.visit.dialect.is_count());
        let mut bill = bill(ending.outcome, ending.tap, &self.sizing, self.reached, prices);
        bill.written_off = bill.written_off.plus(self.lost).unwrap_or(bill.written_off);
        bill
    }

    /// The one record. To be called once.
    fn record(&mut self, ending: &Ending<'_>, bill: &Bill) -> UsageRecord {
        let Open { visit, purse, holds, lane, .. } = self;
        // What answered is named only when something did.
        let answered = lane.as_ref().filter(|_| self.reached == Reached::Accepted);
        UsageRecord {
            request: visit.id,
            org: purse.org.id,
            key: purse.key,
            budget: holds.budget_pool(),
            billing: purse.org.billing,
            plan: purse.org.plan.clone(),
            requested_model: std::mem::take(&mut self.requested_model),
            model: answered.map(|lane| -> ModelId { lane.route.endpoint.model.clone() }),
            provider: answered.map(|lane| lane.route.provider.id.clone()),
            endpoint: answered.map(|lane| lane.route.endpoint.id.clone()),
            dialect_in: visit.dialect.id.into(),
            dialect_out: lane.as_ref().map_or("", |lane| lane.dialect.id).into(),
            attempt: visit.attempts(),
            upstream_id: ending.tap.map_or_else(String::new, |tap| cut(tap.upstream_id())),
            usage: bill.usage,
            usage_source: bill.source,
            cost: bill.cost,
            held: holds.money(),
            written_off: bill.written_off,
            price_version: lane.as_ref().map_or(0, |lane| lane.prices().version),
            is_byok: false,
            outcome: ending.outcome,
            finish_reason: ending.tap.map_or(Cow::Borrowed(""), |tap| tap.finish_reason().clone()),
            status: ending.status,
            streamed: self.streamed,
            started_at: visit.started_at,
            // A whole answer is over when it is there.
            latency_ms: self.first_output_ms.filter(|_| !self.flows).unwrap_or_else(|| millis(visit.age())),
            ttft_ms: self.first_output_ms,
            trail: visit.trail_of(lane.as_deref().filter(|_| self.reached != Reached::Accepted)),
        }
    }
}

/// What a request used and costs.
#[derive(Debug, PartialEq, Eq)]
struct Bill {
    usage: TokenUsage,
    source: UsageSource,
    cost: Money,
    written_off: Money,
}

/// The rule of charging: outcomes that are charged cost what was used; the others cost nothing, and what the provider
/// may bill for them is ours.
fn bill(outcome: Outcome, tap: Option<&Tap>, sizing: &Sizing, reached: Reached, prices: Option<&PriceList>) -> Bill {
    let nothing =
        Bill { usage: TokenUsage::default(), source: UsageSource::None, cost: Money::ZERO, written_off: Money::ZERO };
    let Some(prices) = prices.filter(|_| reached != Reached::Nothing) else { return nothing };
    let (usage, source) = counted(tap, sizing);
    let price = pricing::cost(&usage, prices);
    match outcome.is_charged() {
        true => Bill { usage, source, cost: price, written_off: Money::ZERO },
        false => Bill { usage, source, cost: Money::ZERO, written_off: price },
    }
}

/// The tokens of an answer, and how they are known.
fn counted(tap: Option<&Tap>, sizing: &Sizing) -> (TokenUsage, UsageSource) {
    let nothing = Tap::default();
    let tap = tap.unwrap_or(&nothing);
    let source = match tap.usage_source() {
        UsageSource::None => UsageSource::Estimated,
        told => told,
    };
    let usage = tap.booked_usage(sizing.likely_prompt);
    if is_absurd(&usage) {
        let (prompt, completion) = (sizing.likely_prompt, tap.estimated_output_tokens());
        return (TokenUsage { prompt, completion, ..TokenUsage::default() }, UsageSource::Estimated);
    }
    (usage, source)
}

/// Whether a provider's numbers cannot be those of one request. Charged, they would empty an organisation's account.
fn is_absurd(usage: &TokenUsage) -> bool {
    let units = [usage.images, usage.web_searches, usage.characters];
    units.into_iter().fold(total(usage), u64::saturating_add) > USED_MOST
}

fn total(usage: &TokenUsage) -> u64 {
    usage.prompt_total().saturating_add(usage.completion_total())
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text).to_owned()
}

fn trace(visit: &Visit, record: &UsageRecord) {
    let span = &visit.span;
    if span.is_disabled() {
        return;
    }
    span.record("gen_ai.usage.input_tokens", record.usage.prompt_total());
    span.record("gen_ai.usage.output_tokens", record.usage.completion_total());
    span.record("gen_ai.response.id", record.upstream_id.as_str());
    span.record("http.response.status_code", record.status);
    span.record("tollgate.outcome", record.outcome.name());
    span.record("tollgate.cost_nano_usd", record.cost.nano());
    if let (Some(model), Some(provider)) = (&record.model, &record.provider) {
        span.record("gen_ai.response.model", model.as_str());
        span.record("gen_ai.provider.name", provider.as_str());
    }
    if !record.outcome.is_charged() {
        span.record("error.type", record.outcome.name());
    }
}

#[cfg(test)]
mod tests {
    use domain::money::Price;

    use super::*;

    const SIZING: Sizing =
        Sizing { prompt: 200, likely_prompt: 100, limit: None, choices: 1, images: 0, characters: 0 };

    fn prices() -> PriceList {
        PriceList {
            prompt: Price::per_million("1").ok(),
            completion: Price::per_million("2").ok(),
            ..PriceList::default()
        }
    }

    /// A tap that has seen this stream.
    fn seen(stream: &'static str) -> codec::StreamPass {
        let dialect = codec::dialect::find("openai-chat").unwrap();
        let bridge = codec::Bridge::between(dialect, dialect).unwrap();
        let edits = codec::AnswerEdits { public_model: "m".to_owned(), wants_usage: true, ..Default::default() };
        let mut pass = bridge.stream(&edits);
        let mut free = |_: &TokenUsage| codec::Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: None };
        pass.push(stream.into(), &mut free);
        pass
    }

    const FINISHED: &str = concat!(
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"12345678"},"finish_reason":"stop"}]}"#,
        "\n\n",
        r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":50,"completion_tokens":7,"total_tokens":57}}"#,
        "\n\ndata: [DONE]\n\n"
    );
    const CUT: &str = concat!(
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"12345678"},"finish_reason":null}]}"#,
        "\n\n"
    );

    #[test]
    fn charged_outcomes_cost_what_was_used_and_free_ones_are_written_off() {
        let pass = seen(FINISHED);
        for outcome in Outcome::ALL {
            let bill = bill(*outcome, Some(pass.tap()), &SIZING, Reached::Accepted, Some(&prices()));
            assert_eq!((bill.usage.prompt, bill.usage.completion), (50, 7));
            assert_eq!(bill.source, UsageSource::ProviderFinal);
            let price = Money::from_nano(50 * 1_000 + 7 * 2_000);
            let (cost, loss) = if outcome.is_charged() { (price, Money::ZERO) } else { (Money::ZERO, price) };
            assert_eq!((bill.cost, bill.written_off), (cost, loss), "{outcome:?}");
        }
    }

    #[test]
    fn a_cut_answer_is_estimated_from_what_was_relayed() {
        let pass = seen(CUT);
        let bill = bill(Outcome::ClientLeft, Some(pass.tap()), &SIZING, Reached::Accepted, Some(&prices()));
        assert_eq!((bill.usage.prompt, bill.usage.completion), (100, 2));
        assert_eq!(bill.source, UsageSource::Estimated);
        assert_eq!(bill.cost, Money::from_nano(100 * 1_000 + 2 * 2_000));
    }

    const ABSURD: &str = concat!(
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"12345678"},"finish_reason":"stop"}]}"#,
        "\n\n",
        r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":50,"completion_tokens":1152921504606846976}}"#,
        "\n\ndata: [DONE]\n\n"
    );

    #[test]
    fn numbers_that_no_request_can_reach_are_not_charged() {
        let pass = seen(ABSURD);
        let bill = bill(Outcome::Finished, Some(pass.tap()), &SIZING, Reached::Accepted, Some(&prices()));
        assert_eq!((bill.usage.prompt, bill.usage.completion), (100, 2));
        assert_eq!((bill.source, bill.cost), (UsageSource::Estimated, Money::from_nano(100 * 1_000 + 2 * 2_000)));
    }

    #[test]
    fn what_never_reached_a_provider_costs_nobody_anything() {
        for outcome in Outcome::ALL {
            let bill = bill(*outcome, None, &SIZING, Reached::Nothing, Some(&prices()));
            assert_eq!((bill.cost, bill.written_off, bill.source), (Money::ZERO, Money::ZERO, UsageSource::None));
        }
        let sent = bill(Outcome::UpstreamError, None, &SIZING, Reached::Sent, Some(&prices()));
        assert_eq!((sent.cost, sent.written_off), (Money::ZERO, Money::from_nano(100_000)));
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        assert_eq!(cut(&"ä".repeat(200)).len(), 256);
        assert_eq!(cut(&format!("x{}", "ä".repeat(200))).len(), 255);
        assert_eq!(cut("short"), "short");
    }
}
