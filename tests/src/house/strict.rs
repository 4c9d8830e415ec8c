//! The models behind the strict provider: one for each family and operation, with a price of its own for every class of
//! tokens, so that a token in the wrong class shows in the money.

use super::catalogue::Catalogue;
use crate::fake::Fake;
use crate::fake::strict::{Family, Truth};

/// What one of everything costs, in pico-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// A token of each class, in the order of `CLASSES`.
    tokens: [u64; 8],
    /// In the order of `UNITS`.
    units: [u64; 3],
}

/// The columns that are per million tokens, in the order of `Rates`.
const CLASSES: [&str; 8] =
    ["prompt", "cache_read", "cache_write", "cache_write_1h", "completion", "reasoning", "audio_input", "audio_output"];
/// The columns that are per unit.
const UNITS: [&str; 3] = ["image", "request", "character"];

/// What a model costs, by its id.
pub fn rates(model: &str) -> Rates {
    let at =
        MODELS.iter().position(|row| row.id == model).unwrap_or_else(|| panic!("no model {model} in the strict lab"));
    let step = u64::try_from(at).expect("a small number");
    // Odd numbers, none a multiple of another, different for every model.
    let tokens = [1_234_567, 123_451, 1_543_219, 2_469_137, 7_000_003, 9_876_541, 3_333_337, 15_111_119]
        .map(|price| price + 1_001 * step);
    let units = match MODELS[at].operation {
        "openai-images" => [20_000_011, 0, 0],
        "openai-audio" => [0, 0, 15_013],
        "rerank" => [0, 2_000_003, 0],
        _ => [0, 123_457, 0],
    };
    Rates { tokens, units }
}

impl Rates {
    /// What `truth` costs, in nano-dollars: exact, rounded half up once.
    pub fn cost(&self, truth: &Truth) -> i64 {
        let counts = [
            truth.prompt,
            truth.cache_read,
            truth.cache_write,
            truth.cache_write_1h,
            truth.completion,
            truth.reasoning,
            truth.audio_input,
            truth.audio_output,
        ];
        let units = [truth.images, 1, truth.characters];
        let tokens: u128 =
            counts.iter().zip(self.tokens).map(|(count, price)| u128::from(*count) * u128::from(price)).sum();
        let others: u128 =
            units.iter().zip(self.units).map(|(count, price)| u128::from(*count) * u128::from(price)).sum();
        i64::try_from((tokens + others + 500) / 1_000).expect("an amount")
    }

    fn table(&self) -> String {
        let millionth = |price: u64| format!("{}.{:06}", price / 1_000_000, price % 1_000_000);
        let unit = |price: u64| format!("0.{price:012}");
        let tokens = CLASSES.iter().zip(self.tokens).map(|(name, price)| format!("{name} = \"{}\"", millionth(price)));
        let units = UNITS.iter().zip(self.units).filter(|(_, price)| *price > 0);
        let units = units.map(|(name, price)| format!("{name} = \"{}\"", unit(price)));
        format!("{{ {} }}", tokens.chain(units).collect::<Vec<_>>().join(", "))
    }
}

struct Row {
    id: &'static str,
    provider: &'static str,
    upstream: &'static str,
    operation: &'static str,
    input: &'static str,
    output: &'static str,
}

const fn row(
    id: &'static str,
    provider: &'static str,
    upstream: &'static str,
    operation: &'static str,
    modalities: [&'static str; 2],
) -> Row {
    Row { id, provider, upstream, operation, input: modalities[0], output: modalities[1] }
}

const ALL: &str = r#""text", "image", "file", "audio", "video""#;
const TEXT: &str = r#""text""#;

const MODELS: [Row; 16] = [
    row("strict/openai-chat", "strict-chat", "strict-chat-1", "openai-chat", [ALL, TEXT]),
    row("strict/openai-responses", "strict-responses", "strict-responses-1", "openai-responses", [ALL, TEXT]),
    row("strict/anthropic", "strict-anthropic", "claude-strict-1", "anthropic", [ALL, TEXT]),
    row("strict/gemini", "strict-gemini", "gemini-strict-3", "gemini", [ALL, TEXT]),
    row("strict/embed", "strict-embed", "strict-embed-1", "openai-embeddings", [TEXT, r#""embeddings""#]),
    row("strict/embed-gemini", "strict-gemini", "gemini-strict-embed-1", "gemini", [TEXT, r#""embeddings""#]),
    row("strict/image", "strict-image", "strict-image-1", "openai-images", [r#""text", "image""#, r#""image""#]),
    row("strict/speech", "strict-audio", "strict-speech-1", "openai-audio", [TEXT, r#""audio""#]),
    row("strict/transcribe", "strict-audio", "strict-transcribe-1", "openai-audio", [r#""audio""#, TEXT]),
    row("strict/moderate", "strict-moderate", "strict-moderate-1", "openai-moderations", [TEXT, TEXT]),
    row("strict/rerank", "strict-rerank", "strict-rerank-1", "rerank", [TEXT, TEXT]),
    row("strict/complete", "strict-complete", "strict-complete-1", "openai-completions", [TEXT, TEXT]),
    // Accounts of their own for those who have them limited.
    row("limited/openai-chat", "limited-chat", "strict-chat-1", "openai-chat", [TEXT, TEXT]),
    row("limited/openai-responses", "limited-responses", "strict-responses-1", "openai-responses", [TEXT, TEXT]),
    row("limited/anthropic", "limited-anthropic", "claude-strict-1", "anthropic", [TEXT, TEXT]),
    row("limited/gemini", "limited-gemini", "gemini-strict-3", "gemini", [TEXT, TEXT]),
];

/// The providers and the models.
pub fn strict(fake: &Fake) -> Catalogue {
    let mut catalogue = Catalogue::default();
    let mut known: Vec<&str> = Vec::new();
    for row in &MODELS {
        if !known.contains(&row.provider) {
            known.push(row.provider);
            catalogue = catalogue.raw(&provider(fake, row));
        }
        catalogue = catalogue.raw(&model(row));
    }
    catalogue
}

fn provider(fake: &Fake, row: &Row) -> String {
    let (family, auth) = match row.operation {
        "openai-responses" => (Family::Responses, "bearer"),
        "anthropic" => (Family::Anthropic, "header:x-api-key"),
        "gemini" => (Family::Gemini, "header:x-goog-api-key"),
        _ => (Family::Chat, "bearer"),
    };
    format!(
        "[[providers]]\nid = \"{id}\"\nbase_url = \"{url}\"\ndialects = [\"{dialect}\"]\nauth = \"{auth}\"\n\
         credential = {{ value = \"sk-of-{id}-0123456789abcdef\" }}\n\n",
        id = row.provider,
        url = fake.strict().url(family),
        dialect = row.operation,
    )
}

fn model(row: &Row) -> String {
    let slug = row.id.rsplit('/').next().unwrap_or(row.id);
    format!(
        "[[models]]\nid = \"{id}\"\nname = \"{slug}\"\ncontext_length = 1000000\nmax_output_tokens = 32000\n\
         input_modalities = [{input}]\noutput_modalities = [{output}]\n\
         supported_parameters = [\"max_tokens\", \"temperature\", \"top_p\", \"stop\", \"tools\", \"tool_choice\", \
         \"response_format\", \"structured_outputs\", \"reasoning\", \"seed\"]\n\n\
         [[models.endpoints]]\nprovider = \"{provider}\"\nupstream_model = \"{upstream}\"\nprices = {prices}\n\n",
        id = row.id,
        input = row.input,
        output = row.output,
        provider = row.provider,
        upstream = row.upstream,
        prices = rates(row.id).table(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_the_sum_of_its_classes() {
        let chat = rates("strict/openai-chat");
        let one = |truth: &str| chat.cost(&Truth::parse(truth)) - chat.cost(&Truth::default());
        assert_eq!(chat.cost(&Truth::default()), 123);
        assert_eq!(one("prompt=1000"), 1_234_567);
        assert_eq!(one("cache_read=1000,reasoning=1000"), 123_451 + 9_876_541);
        assert_ne!(rates("strict/gemini"), chat);
        assert_eq!(rates("strict/image").cost(&Truth { images: 2, ..Truth::default() }), 40_000);
        assert!(chat.table().contains("reasoning = \"9.876541\", audio_input"), "{}", chat.table());
    }
}
