//! What the models behind Converse take. One request shape serves many makers, and each refuses what it does not know, so
//! the maker is read from the model's id; a row's quirks say it for ids that do not tell.

use super::quirks;
use crate::bridge::RequestEdits;
use crate::dialect::Quirks;

/// Makers whose models know neither native structured output nor strict tools.
const WITHOUT_SCHEMAS: [&str; 5] = ["amazon.", "meta.", "cohere.", "ai21.", "writer."];

/// Whose model it is, as far as that changes what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    Anthropic,
    Amazon,
    OpenAi,
    Other,
}

/// The model that is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'m> {
    id: &'m str,
    pub maker: Maker,
    quirks: Quirks,
}

impl<'m> Model<'m> {
    pub fn of(wanted: &RequestEdits<'m>) -> Model<'m> {
        let (id, quirks) = (wanted.upstream_model, wanted.quirks);
        let maker = match () {
            () if quirks::is_claude(quirks) => Maker::Anthropic,
            () if quirks::is_nova(quirks) => Maker::Amazon,
            () if quirks::is_gpt(quirks) => Maker::OpenAi,
            () if id.contains("anthropic.") => Maker::Anthropic,
            () if id.contains("amazon.nova") => Maker::Amazon,
            () if id.contains("openai.") => Maker::OpenAi,
            () => Maker::Other,
        };
        Model { id, maker, quirks }
    }

    pub fn is_claude(&self) -> bool {
        self.maker == Maker::Anthropic
    }

    /// Whether images and failures can stand in results of tools, and a tool be forced by name.
    pub fn knows_tools_well(&self) -> bool {
        matches!(self.maker, Maker::Anthropic | Maker::Amazon)
    }

    /// Whether a tool can be forced at all.
    pub fn can_force(&self) -> bool {
        !(quirks::forces_nothing(self.quirks) || self.id.contains("meta."))
    }

    /// Whether answers can be given the shape of a schema, and inputs of tools too.
    pub fn takes_schemas(&self) -> bool {
        let is_without = || WITHOUT_SCHEMAS.iter().any(|maker| self.id.contains(maker)) || self.maker == Maker::Amazon;
        !(quirks::forces_tool(self.quirks) || is_without())
    }

    /// Whether the prompt can be marked for a cache.
    pub fn takes_cache_points(&self) -> bool {
        self.knows_tools_well() && !quirks::refuses_cache_points(self.quirks)
    }

    /// Whether tools can be marked as well, and a mark can ask for an hour.
    pub fn caches_well(&self) -> bool {
        self.is_claude() && self.takes_cache_points()
    }

    pub fn thinks_adaptively(&self) -> bool {
        quirks::thinks_adaptively(self.quirks)
    }

    pub fn thinks_always(&self) -> bool {
        quirks::thinks_always(self.quirks)
    }

    /// Whether a model of Amazon's is of the generation that reasons.
    pub fn is_reasoning_nova(&self) -> bool {
        let generation = self.id.split("nova-").nth(1).and_then(|rest| rest.chars().next());
        quirks::is_nova(self.quirks) || generation.is_some_and(|digit| digit.is_ascii_digit())
    }

    pub fn refuses_sampling(&self) -> bool {
        quirks::refuses_sampling(self.quirks)
    }

    pub fn refuses_stop(&self) -> bool {
        quirks::refuses_stop(self.quirks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Carry;
    use crate::dialect::bedrock_converse::DIALECT;

    fn model<'m>(id: &'m str, quirks: &[&str], carry: &'m Carry) -> Model<'m> {
        let quirks = DIALECT.parse_quirks(quirks).unwrap();
        Model::of(&RequestEdits { quirks, ..RequestEdits::new(id, carry) })
    }

    #[test]
    fn a_maker_is_read_from_the_id_and_a_row_knows_better() {
        let carry = Carry::default();
        for (id, quirks, maker) in [
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", &[][..], Maker::Anthropic),
            ("eu.anthropic.claude-opus-4-6-v1", &[], Maker::Anthropic),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
                &[],
                Maker::Anthropic,
            ),
            ("us.amazon.nova-pro-v1:0", &[], Maker::Amazon),
            ("openai.gpt-oss-120b-1:0", &[], Maker::OpenAi),
            ("us.meta.llama4-scout-17b-instruct-v1:0", &[], Maker::Other),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", &[], Maker::Other),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", &["claude"], Maker::Anthropic),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", &["nova"], Maker::Amazon),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", &["gpt"], Maker::OpenAi),
        ] {
            assert_eq!(model(id, quirks, &carry).maker, maker, "{id}");
        }
        assert!(model("us.amazon.nova-2-lite-v1:0", &[], &carry).is_reasoning_nova());
        assert!(!model("us.amazon.nova-lite-v1:0", &[], &carry).is_reasoning_nova());
        assert!(!model("us.amazon.nova-pro-v1:0", &[], &carry).takes_schemas());
        assert!(model("qwen.qwen3-32b-v1:0", &[], &carry).takes_schemas());
        assert!(!model("qwen.qwen3-32b-v1:0", &["forced-tool"], &carry).takes_schemas());
        assert!(!model("meta.llama3-8b-instruct-v1:0", &[], &carry).can_force());
        assert!(!model("anthropic.claude-opus-5", &["thinks-always"], &carry).can_force());
        assert!(!model("anthropic.claude-3-haiku", &["no-cache-points"], &carry).takes_cache_points());
    }
}
