//! What is expected of each fault: one row each, the same for all families unless it says otherwise.

use tollgate_tests::fake::fault::Fault::{self, *};
use tollgate_tests::fake::strict::Family;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered at this attempt, and charged as the provider said.
    Good(u32),
    /// It is answered, and charged by what was counted here, since the provider did not say.
    Counted,
    /// Nothing was answered before the first byte.
    Miss(Miss),
    /// The answer broke off behind the first byte: an error event, and nothing is charged.
    Cut,
    /// We broke it off: an error event, and what was delivered is charged.
    Capped,
}

/// What a failed attempt means when nobody else is there: the status that the client is given, and how often the provider
/// was asked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miss {
    pub status: u16,
    pub tries: u32,
    pub then: Then,
    pub outcome: &'static str,
    /// What `Retry-After` says, in seconds.
    pub later: Option<u32>,
}

/// Who is asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The request itself is at fault.
    Nobody,
    /// Another model, if the caller names one.
    OtherModel,
    /// Another provider of the same model.
    OtherProvider,
    /// The caller's time is up.
    TooLate,
}

/// Which machine the provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Fake,
    /// Nobody listens there.
    Refused,
    /// Packets vanish there.
    BlackHole,
}

pub struct Row {
    pub name: &'static str,
    pub place: Place,
    /// One after the other, the last one for good.
    pub turns: &'static [Fault],
    /// Of a request to stream, unless the fault is none there.
    pub streamed: Option<Fate>,
    pub whole: Option<Fate>,
    /// Where a family is different: of a stream, of a whole answer.
    pub except: &'static [(Family, Option<Fate>, Option<Fate>)],
    /// Whether it is nothing to a client of the same family, which is given the provider's bytes.
    pub only_across: bool,
}

impl Row {
    pub fn fate(&self, from: Family, to: Family, is_stream: bool) -> Option<Fate> {
        if self.only_across && from == to {
            return None;
        }
        let found = self.except.iter().find(|(other, _, _)| *other == to);
        let (streamed, whole) = found.map_or((self.streamed, self.whole), |(_, streamed, whole)| (*streamed, *whole));
        if is_stream { streamed } else { whole }
    }
}

const fn row(name: &'static str, turns: &'static [Fault], fate: Fate) -> Row {
    Row { name, place: Place::Fake, turns, streamed: Some(fate), whole: Some(fate), except: &[], only_across: false }
}

const fn streamed(name: &'static str, turns: &'static [Fault], fate: Fate) -> Row {
    Row { whole: None, ..row(name, turns, fate) }
}

const fn miss(status: u16, tries: u32, then: Then) -> Miss {
    Miss { status, tries, then, outcome: "upstream_error", later: None }
}

/// It may have been billed, or asking again would not help: another provider is asked, or nobody.
const fn once(status: u16) -> Fate {
    Fate::Miss(miss(status, 1, Then::OtherProvider))
}

/// It cost nothing: if there is no other, the same provider is asked again, three times in all.
const fn thrice(status: u16) -> Fate {
    Fate::Miss(miss(status, 3, Then::OtherProvider))
}

const fn later(status: u16, tries: u32, seconds: u32) -> Fate {
    Fate::Miss(Miss { later: Some(seconds), ..miss(status, tries, Then::OtherProvider) })
}

/// The request is at fault.
const fn refused(status: u16) -> Fate {
    Fate::Miss(miss(status, 1, Then::Nobody))
}

const fn unfit(status: u16) -> Fate {
    Fate::Miss(miss(status, 1, Then::OtherModel))
}

const EMPTY: Fate = Fate::Miss(Miss { outcome: "empty", ..miss(502, 1, Then::OtherProvider) });
const TOO_LATE: Fate = Fate::Miss(miss(504, 1, Then::TooLate));
const GOOD: Fate = Fate::Good(1);
const LIMITED: Option<Fate> = Some(later(429, 1, 1));

pub static ROWS: &[Row] = &[
    // Odd, but an answer.
    row("healthy", &[Healthy], GOOD),
    row("slow-head", &[SlowHead], GOOD),
    row("dribble", &[Dribble], GOOD),
    row("one-byte-slices", &[OneByteSlices], GOOD),
    row("crlf", &[CrLf], GOOD),
    row("early-hints", &[EarlyHints], GOOD),
    row("late-bytes", &[LateBytes], GOOD),
    row("withheld", &[Withheld], GOOD),
    row("usage-missing", &[UsageMissing], Fate::Counted),
    row("usage-twice", &[UsageTwice], GOOD),
    row("usage-in-words", &[UsageInWords], Fate::Counted),
    row("usage-absurd", &[UsageAbsurd], Fate::Counted),
    row("burst", &[Status(500), Status(500), Healthy], Fate::Good(3)),
    row("limited-for-a-moment", &[Later(429, 1), Healthy], Fate::Good(2)),
    row("overloaded-for-a-moment", &[Later(503, 1), Healthy], Fate::Good(2)),
    // Nobody there.
    Row { place: Place::Refused, ..row("refused", &[Healthy], thrice(503)) },
    Row { place: Place::BlackHole, ..row("black-hole", &[Healthy], once(504)) },
    // No head.
    row("silent", &[Silent], once(504)),
    row("hang-up", &[HangUp], once(502)),
    row("reset", &[Reset], once(502)),
    row("cut-in-head", &[CutInHead], once(502)),
    row("reset-in-head", &[ResetInHead], once(502)),
    row("stall-in-head", &[StallInHead], once(504)),
    row("endless-head", &[EndlessHead], once(502)),
    row("not-http", &[NotHttp], once(502)),
    row("two-lengths", &[TwoLengths], once(502)),
    // A refusal.
    row("bad-request", &[Status(400)], refused(400)),
    row("unprocessable", &[Status(422)], refused(422)),
    row("too-large", &[Status(413)], refused(413)),
    row("stalled-refusal", &[StatusStall(400)], refused(400)),
    row("too-long", &[TooLong], unfit(400)),
    // Google says this in an answer.
    Row { except: &[(Family::Gemini, None, None)], ..row("against-rules", &[AgainstRules], unfit(400)) },
    row("bad-key", &[BadKey], once(502)),
    row("unauthorized", &[Status(401)], once(502)),
    row("unpaid", &[Status(402)], once(502)),
    row("forbidden", &[Status(403)], once(502)),
    row("not-found", &[Status(404)], once(502)),
    // Google has one word for it and for a limit.
    Row { except: &[(Family::Gemini, LIMITED, LIMITED)], ..row("out-of-money", &[OutOfMoney], once(502)) },
    row("request-timeout", &[Status(408)], thrice(504)),
    row("limited", &[Status(429)], later(429, 1, 1)),
    row("limited-for-long", &[Later(429, 7)], later(429, 1, 7)),
    row("failing", &[Status(500)], thrice(502)),
    row("failing-page", &[Page(502)], thrice(502)),
    row("unavailable-for-long", &[Later(503, 30)], later(503, 1, 30)),
    row("overloaded-for-long", &[Later(529, 30)], later(503, 1, 30)),
    row("gateway-timeout", &[Status(504)], thrice(504)),
    row("overloaded", &[Status(529)], thrice(503)),
    row("redirect", &[Redirect], once(502)),
    // 200, and no answer.
    row("error-with-200", &[ErrorBody], thrice(502)),
    row("empty-with-200", &[EmptyBody], once(502)),
    row("no-json-with-200", &[NotJson], once(502)),
    row("page-with-200", &[PageFor200], once(502)),
    row("wrong-kind", &[WrongKind], once(502)),
    row("other-form", &[OtherForm], once(502)),
    row("packed", &[Packed], once(502)),
    // Streams of these have a last event, or they were cut off.
    Row {
        except: &[(Family::Responses, Some(once(502)), Some(EMPTY)), (Family::Gemini, Some(once(502)), Some(EMPTY))],
        ..row("nothing", &[Nothing], EMPTY)
    },
    Row { only_across: true, ..row("bad-text", &[BadText], once(502)) },
    // Broken off before the first output, and whole answers in the middle.
    streamed("early-error", &[EarlyError], thrice(502)),
    row("early-stall", &[EarlyStall], once(504)),
    row("early-reset", &[EarlyReset], once(502)),
    row("early-cut", &[EarlyCut], once(502)),
    row("early-end", &[EarlyEnd], once(502)),
    row("early-bad-chunk", &[EarlyBadChunk], once(502)),
    row("early-nonsense", &[EarlyNonsense], once(502)),
    Row { whole: Some(once(504)), ..row("early-huge-line", &[EarlyHugeLine], once(502)) },
    streamed("endless-pings", &[EndlessPings], TOO_LATE),
    // Broken off behind it.
    streamed("late-error", &[LateError], Fate::Cut),
    streamed("late-stall", &[LateStall], Fate::Cut),
    streamed("late-reset", &[LateReset], Fate::Cut),
    streamed("late-cut", &[LateCut], Fate::Cut),
    streamed("late-end", &[LateEnd], Fate::Cut),
    streamed("late-bad-chunk", &[LateBadChunk], Fate::Cut),
    streamed("late-nonsense", &[LateNonsense], Fate::Cut),
    streamed("late-huge-line", &[LateHugeLine], Fate::Cut),
    // Never over.
    Row { whole: Some(once(502)), ..streamed("endless", &[Endless], Fate::Capped) },
    Row { whole: Some(TOO_LATE), ..streamed("endless-slowly", &[EndlessSlowly], Fate::Capped) },
];
