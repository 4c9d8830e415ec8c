//! What a model takes, told by its name, since Google tells it nowhere else. Names that nobody knows are taken for the
//! newest: aliases such as `gemini-flash-latest` point there.

/// What is known of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    generation: Generation,
    is_gemini: bool,
    is_pro: bool,
    is_lite: bool,
    /// Major and minor; none for aliases.
    version: Option<(u32, u32)>,
}

/// How thinking is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// Up to 2.0: not at all.
    Plain,
    /// 2.5: by a budget.
    Budget,
    /// From 3 on: by a level, and old budgets are understood.
    Level,
}

impl Model {
    pub fn of(name: &str) -> Model {
        let name = name.to_ascii_lowercase();
        let words = || name.rsplit('/').next().unwrap_or_default().split('-');
        let is_gemini = words().any(|word| word == "gemini");
        let version = words().find_map(version);
        let generation = match version {
            Some((1, _) | (2, 0)) if is_gemini => Generation::Plain,
            Some((2, _)) if is_gemini => Generation::Budget,
            Some((1..=3, _)) if words().any(|word| word == "gemma") => Generation::Plain,
            _ => Generation::Level,
        };
        Model {
            generation,
            is_gemini,
            is_pro: words().any(|word| word == "pro"),
            is_lite: words().any(|word| word == "lite"),
            version,
        }
    }

    /// It refuses calls of earlier turns that come without a signature.
    pub fn wants_signatures(self) -> bool {
        self.is_gemini && self.generation == Generation::Level
    }

    /// Pictures may stand inside the response of a function; else they stand beside it.
    pub fn takes_response_parts(self) -> bool {
        self.is_gemini && self.generation == Generation::Level
    }

    /// The Gemini API refuses penalties on these.
    pub fn refuses_penalties(self) -> bool {
        self.is_gemini && self.generation == Generation::Budget
    }

    /// Thinking cannot be asked for at all.
    pub fn is_plain(self) -> bool {
        self.generation == Generation::Plain
    }

    /// Thinking is said as a level.
    pub fn takes_level(self) -> bool {
        self.generation == Generation::Level
    }

    /// The least level: the largest models and the newest ones of middle size have no `minimal`.
    pub fn least_level(self) -> &'static str {
        let is_old = self.version.is_some_and(|version| version < (3, 7));
        if !self.is_pro && (self.is_lite || is_old) { "minimal" } else { "low" }
    }

    /// The least budget of thinking, and the most.
    pub fn budgets(self) -> (u64, u64) {
        match (self.is_pro, self.is_lite) {
            (true, _) => (128, 32_768),
            (_, true) => (512, 24_576),
            _ => (1, 24_576),
        }
    }

    /// Whether a budget of 0 switches thinking off.
    pub fn can_be_silent(self) -> bool {
        self.generation == Generation::Budget && !self.is_pro
    }
}

/// The number that a word such as `2.5` is.
fn version(word: &str) -> Option<(u32, u32)> {
    let (major, minor) = word.split_once('.').unwrap_or((word, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_known_by_their_names() {
        for (name, generation, least) in [
            ("gemini-1.5-flash-002", Generation::Plain, "minimal"),
            ("gemini-2.0-flash-001", Generation::Plain, "minimal"),
            ("gemini-2.5-flash", Generation::Budget, "minimal"),
            ("models/gemini-2.5-pro-preview-06-05", Generation::Budget, "low"),
            ("gemini-3-flash-preview", Generation::Level, "minimal"),
            ("gemini-3.1-pro-preview", Generation::Level, "low"),
            ("gemini-3.8-flash", Generation::Level, "low"),
            ("gemini-3.8-flash-lite", Generation::Level, "minimal"),
            ("gemini-flash-latest", Generation::Level, "low"),
            ("gemini-strict-3", Generation::Level, "minimal"),
            ("gemma-3-27b-it", Generation::Plain, "minimal"),
        ] {
            let model = Model::of(name);
            assert_eq!((model.generation, model.least_level()), (generation, least), "{name}");
            assert_eq!(model.wants_signatures(), generation == Generation::Level, "{name}");
        }
        assert!(!Model::of("projects/p/endpoints/123").wants_signatures());
        assert!(Model::of("gemini-2.5-flash").can_be_silent() && !Model::of("gemini-2.5-pro").can_be_silent());
        assert_eq!(Model::of("gemini-2.5-flash-lite").budgets(), (512, 24_576));
    }
}
