//! The apply file of the test houses: providers that are paths of one fake upstream, and models on them with odd prices.

use std::fmt::Write as _;

use crate::fake::Fake;
use crate::money::Prices;

/// Prices that do not divide evenly.
pub const ODD: Prices =
    Prices { prompt: "0.123457", completion: "7.000001", cache_read: Some("0.061729"), reasoning: None, request: None };
/// Dearer ones, with every kind of price.
pub const DEAR: Prices = Prices {
    prompt: "3.000007",
    completion: "15.111111",
    cache_read: Some("0.3"),
    reasoning: Some("17.999999"),
    request: Some("0.000000123"),
};

/// Three providers that differ in whatever one can wish for, with `lab/routed` on all of them: at these chances of being
/// first, 36 : 9 : 4. Each has a model of its own name as well.
pub const ROUTED: [(&str, &str, Prices); 3] = [
    ("east", "regions = [\"us-east\"]", flat("1")),
    ("euro", "regions = [\"eu\"]\ndata_policy = { training = false, zdr = true }", flat("2")),
    ("west", "regions = [\"us-west\"]\ndata_policy = { training = false }", flat("3")),
];

const fn flat(price: &'static str) -> Prices {
    Prices { prompt: price, completion: price, cache_read: None, reasoning: None, request: None }
}

/// Providers `p000` … with a model each, so that a test that breaks its provider disturbs nobody.
pub const SOLOS: usize = 160;
/// Pairs of providers `a000`, `b000` … with one model on both.
pub const PAIRS: usize = 32;

/// An apply file in the making.
#[derive(Default)]
pub struct Catalogue {
    text: String,
}

impl Catalogue {
    /// A provider with a credential of the platform.
    pub fn provider(mut self, id: &str, url: &str) -> Catalogue {
        let _ = write!(
            self.text,
            "[[providers]]\nid = \"{id}\"\nbase_url = \"{url}\"\ndialects = [\"openai-chat\"]\nauth = \"bearer\"\n\
             credential = {{ value = \"sk-of-{id}-0123456789abcdef\" }}\n\n"
        );
        self
    }

    /// A provider that asks for no credential.
    pub fn open_provider(mut self, id: &str, url: &str) -> Catalogue {
        let _ = write!(
            self.text,
            "[[providers]]\nid = \"{id}\"\nbase_url = \"{url}\"\ndialects = [\"openai-chat\"]\nauth = \"none\"\n\n"
        );
        self
    }

    /// A model with an endpoint at each of these providers.
    pub fn model(mut self, id: &str, endpoints: &[(&str, Prices)]) -> Catalogue {
        let slug = id.rsplit('/').next().unwrap_or(id);
        let _ = write!(
            self.text,
            "[[models]]\nid = \"{id}\"\nname = \"{slug}\"\ncontext_length = 2000000\nmax_output_tokens = 16384\n\
             supported_parameters = [\"max_tokens\", \"temperature\", \"tools\"]\n\n"
        );
        for (provider, prices) in endpoints {
            let prices = prices.table();
            let _ = write!(
                self.text,
                "[[models.endpoints]]\nprovider = \"{provider}\"\nupstream_model = \"{slug}-at-{provider}\"\nprices = {prices}\n\n"
            );
        }
        self
    }

    /// Anything else, as an apply file writes it.
    pub fn raw(mut self, text: &str) -> Catalogue {
        self.text.push_str(text);
        self
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Everything the promises need.
pub fn lab(fake: &Fake) -> Catalogue {
    let mut lab = Catalogue::default()
        .provider("plain", &fake.url("plain"))
        .provider("account", &fake.url("account"))
        .open_provider("refused", &fake.refused_url())
        .open_provider("black-hole", &fake.black_hole_url())
        .model("lab/plain", &[("plain", ODD)])
        .model("lab/dear", &[("plain", DEAR)])
        .model("lab/account-one", &[("account", ODD)])
        .model("lab/account-two", &[("account", ODD)])
        .model("lab/account-three", &[("account", ODD)])
        .model("lab/refused", &[("refused", ODD)])
        .model("lab/black-hole", &[("black-hole", ODD)]);
    for (id, policy, price) in ROUTED {
        lab = lab.raw(&format!(
            "[[providers]]\nid = \"{id}\"\nname = \"{id} inc\"\nbase_url = \"{}\"\ndialects = [\"openai-chat\"]\nauth = \"none\"\n{policy}\n\n",
            fake.url(id)
        ));
        lab = lab.model(&format!("lab/{id}"), &[(id, price)]);
    }
    let routed = ROUTED.map(|(id, _, price)| (id, price));
    lab = lab.model("lab/routed", &routed);
    for at in 0..SOLOS {
        let provider = format!("p{at:03}");
        lab = lab.open_provider(&provider, &fake.url(&provider)).model(&format!("lab/m{at:03}"), &[(&provider, ODD)]);
    }
    for at in 0..PAIRS {
        let (one, other) = (format!("a{at:03}"), format!("b{at:03}"));
        lab = lab
            .open_provider(&one, &fake.url(&one))
            .open_provider(&other, &fake.url(&other))
            .model(&format!("lab/pair{at:03}"), &[(&one, ODD), (&other, DEAR)]);
    }
    lab
}
