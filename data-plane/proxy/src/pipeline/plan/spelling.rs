//! How other gateways spell the same wishes: AnyAPI's `provider_preferences`, `priority` and `timeout`, and Vercel's
//! `providerOptions.gateway`. Where `provider` says something as well, it wins; restrictions add up.

use std::time::Duration;

use domain::routing::{By, DataCollection, Preferences, Regions, Sort};
use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};
use serde_json::value::RawValue;

use super::wish::{Own, refused, wrong};
use crate::pipeline::Refusal;

/// The longest that a request may ask for, in seconds; the proxy's own limit is shorter as a rule.
const TIMEOUT_MOST: f64 = 86_400.0;

/// Adds what the field of this name says.
pub(super) fn read(name: &'static str, raw: &[u8], wish: &mut Own) -> Result<(), Refusal> {
    match name {
        "provider_preferences" => object::<OneOrMore>(name, raw)?.wishes(&mut wish.provider),
        "priority" => {
            wish.provider.sort.get_or_insert(Sort::Word(parse::<Priority>(name, raw)?.by()));
        }
        "preset" => wish.preset = Some(parse(name, raw)?),
        "timeout" => wish.timeout = Some(timeout(name, parse(name, raw)?)?),
        // What is for others than the gateway is theirs, whatever it is.
        "providerOptions" => {
            let options = object::<ProviderOptions>(name, raw).ok();
            if let Some(gateway) = options.and_then(|options| options.gateway) {
                object::<Gateway>(name, gateway.get().as_bytes())?.wishes(name, wish)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(name: &'static str, raw: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(raw).map_err(|error| refused(name, &error))
}

/// The same of an object: a list would be taken for its fields in their order.
fn object<T: DeserializeOwned>(name: &'static str, raw: &[u8]) -> Result<T, Refusal> {
    match raw.starts_with(b"{") {
        true => parse(name, raw),
        false => Err(wrong(name, &format!("`{name}` must be an object"))),
    }
}

fn timeout(name: &'static str, seconds: f64) -> Result<Duration, Refusal> {
    let fits = seconds > 0.0 && seconds <= TIMEOUT_MOST;
    let time = fits.then(|| Duration::try_from_secs_f64(seconds).ok()).flatten();
    time.ok_or_else(|| wrong(name, &format!("`{name}` is in seconds, above 0 and at most {TIMEOUT_MOST}")))
}

/// AnyAPI: one provider, and others behind it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OneOrMore {
    primary: Option<String>,
    fallback: Option<Names>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`fallback` is a text or a list of texts")]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl OneOrMore {
    fn wishes(self, wish: &mut Preferences) {
        let fallback = match self.fallback {
            None => Vec::new(),
            Some(Names::One(name)) => vec![name],
            Some(Names::Several(names)) => names,
        };
        let order: Vec<String> = self.primary.into_iter().chain(fallback).collect();
        if !order.is_empty() {
            wish.order.get_or_insert(order);
        }
    }
}

/// AnyAPI: what matters most.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Priority {
    Speed,
    Cost,
}

impl Priority {
    fn by(&self) -> By {
        match self {
            Priority::Speed => By::Latency,
            Priority::Cost => By::Price,
        }
    }
}

/// Vercel: options by provider, of which those for the gateway are for us.
#[derive(Debug, Deserialize)]
struct ProviderOptions {
    gateway: Option<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Gateway {
    order: Option<Vec<String>>,
    only: Option<Vec<String>>,
    sort: Option<GatewaySort>,
    models: Option<Vec<String>>,
    zero_data_retention: Option<bool>,
    disallow_prompt_training: Option<bool>,
    inference_region: Option<Regions>,
    /// Says nothing of how to route.
    user: Option<IgnoredAny>,
    tags: Option<IgnoredAny>,
    caching: Option<IgnoredAny>,
    service_tier: Option<IgnoredAny>,
    idempotency_key: Option<IgnoredAny>,
    /// Cannot be kept, so it is refused.
    byok: Option<IgnoredAny>,
    has: Option<IgnoredAny>,
    provider_timeouts: Option<IgnoredAny>,
    quota_entity_id: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GatewaySort {
    Cost,
    /// Time to the first token.
    Ttft,
    /// Tokens a second.
    Tps,
}

impl Gateway {
    fn wishes(self, name: &'static str, own: &mut Own) -> Result<(), Refusal> {
        let refused = [
            (self.byok.is_some(), "byok"),
            (self.has.is_some(), "has"),
            (self.provider_timeouts.is_some(), "providerTimeouts"),
            (self.quota_entity_id.is_some(), "quotaEntityId"),
        ];
        if let Some((_, field)) = refused.into_iter().find(|(is_there, _)| *is_there) {
            return Err(wrong(name, &format!("`{name}.gateway.{field}` is not supported here")));
        }
        let wish = &mut own.provider;
        let some = |names: Option<Vec<String>>| names.filter(|names| !names.is_empty());
        wish.order = wish.order.take().or(some(self.order));
        wish.only = wish.only.take().or(some(self.only));
        let by = self.sort.map(|sort| match sort {
            GatewaySort::Cost => By::Price,
            GatewaySort::Ttft => By::Latency,
            GatewaySort::Tps => By::Throughput,
        });
        wish.sort = wish.sort.or(by.map(Sort::Word));
        own.models.extend(self.models.unwrap_or_default());
        if self.zero_data_retention == Some(true) {
            wish.zdr = Some(true);
        }
        if self.disallow_prompt_training == Some(true) {
            wish.data_collection = Some(DataCollection::Deny);
        }
        let region = self.inference_region.filter(|regions| regions.named().next().is_some());
        wish.region = wish.region.take().or(region);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(fields: &[(&'static str, &str)]) -> Result<Own, String> {
        let mut wish = Own::default();
        for (name, raw) in fields {
            read(name, raw.as_bytes(), &mut wish).map_err(|refusal| {
                assert_eq!(refusal.fault.param.as_deref(), Some(*name));
                refusal.fault.message.into_owned()
            })?;
        }
        Ok(wish)
    }

    #[test]
    fn anyapis_spellings_are_the_same_wishes() {
        let wish =
            read_all(&[("provider_preferences", r#"{"primary":"a","fallback":"b"}"#), ("timeout", "1.5")]).unwrap();
        assert_eq!(wish.provider.order.unwrap(), ["a", "b"]);
        assert_eq!(wish.timeout, Some(Duration::from_millis(1_500)));
        let wish = read_all(&[("provider_preferences", r#"{"fallback":["b","c"]}"#)]).unwrap();
        assert_eq!(wish.provider.order.unwrap(), ["b", "c"]);
        assert_eq!(read_all(&[("priority", r#""speed""#)]).unwrap().provider.by(), Some(By::Latency));
        assert_eq!(read_all(&[("priority", r#""cost""#)]).unwrap().provider.by(), Some(By::Price));
    }

    #[test]
    fn vercels_spellings_are_the_same_wishes() {
        let gateway = r#"{"openai":{"x":1},"gateway":{"order":["a"],"only":["a","b"],"sort":"tps","models":["m/n"],
            "zeroDataRetention":true,"disallowPromptTraining":true,"inferenceRegion":"eu","user":"u","tags":["t"]}}"#;
        let wish = read_all(&[("providerOptions", gateway)]).unwrap();
        assert_eq!(
            (wish.provider.order.clone().unwrap(), wish.provider.only.clone().unwrap()),
            (vec!["a".into()], vec!["a".into(), "b".into()])
        );
        assert_eq!(
            (wish.provider.by(), wish.provider.zdr, wish.models.clone()),
            (Some(By::Throughput), Some(true), vec!["m/n".to_owned()])
        );
        assert_eq!(wish.provider.data_collection, Some(DataCollection::Deny));
        assert_eq!(wish.provider.region.unwrap().named().collect::<Vec<_>>(), ["eu"]);
        for others in [r#"{"openai":{"anything":1}}"#, r#"{"gateway":null}"#, "{}", "[7]", r#""x""#] {
            assert!(read_all(&[("providerOptions", others)]).unwrap().provider.order.is_none(), "{others}");
        }
    }

    #[test]
    fn the_provider_object_wins() {
        let mut wish = Own::read(Some(br#"{"order":["x"],"sort":"price","zdr":true}"#)).unwrap();
        read("provider_preferences", br#"{"primary":"a"}"#, &mut wish).unwrap();
        read("priority", br#""speed""#, &mut wish).unwrap();
        read("providerOptions", br#"{"gateway":{"zeroDataRetention":false}}"#, &mut wish).unwrap();
        assert_eq!(
            (wish.provider.order.clone().unwrap(), wish.provider.by(), wish.provider.zdr),
            (vec!["x".to_owned()], Some(By::Price), Some(true))
        );
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (name, raw, named) in [
            ("provider_preferences", r#"{"second":"a"}"#, "second"),
            ("provider_preferences", r#"["a"]"#, "object"),
            ("providerOptions", r#"{"gateway":["a"]}"#, "object"),
            ("priority", r#""both""#, "both"),
            ("priority", "7", "priority"),
            ("timeout", "0", "above 0"),
            ("timeout", "-1", "above 0"),
            ("timeout", "1e300", "above 0"),
            ("timeout", r#""5""#, "f64"),
            ("providerOptions", r#"{"gateway":{"sorted":"cost"}}"#, "sorted"),
            ("providerOptions", r#"{"gateway":{"byok":{"openai":[]}}}"#, "not supported"),
            ("providerOptions", r#"{"gateway":{"providerTimeouts":{}}}"#, "providerTimeouts"),
        ] {
            let message = read_all(&[(name, raw)]).unwrap_err();
            assert!(message.contains(named), "{name} {raw}: {message}");
        }
    }
}
