//! What may be said of where requests go: rules are read by the same reader as the proxies', and names in them that nobody
//! has are told. Rules may name what does not exist yet, so that is a word of warning and no refusal.

use std::sync::Arc;

use domain::faults::Fault;
use domain::providers::Provider;
use domain::routing::{Rules, is_named};

use crate::app::App;
use crate::error::Result;
use crate::fault::invalid;

/// The longest text of rules, in bytes.
const LONGEST: usize = 16 * 1024;
/// Unknown names that one note tells of.
const TOLD_MOST: usize = 10;

/// Reads rules as people write them, in JSON; none where the text is empty or says nothing.
pub fn parse_rules(text: &str) -> Result<Option<Arc<Rules>>, Fault> {
    if text.len() > LONGEST {
        return Err(invalid("routing", format!("at most {LONGEST} bytes")));
    }
    proto::convert::read_rules(text).map_err(|reason| invalid("routing", reason))
}

/// What is odd about rules that were just written, as a note; empty when nothing is.
pub async fn oddities(app: &App, rules: Option<&Arc<Rules>>) -> Result<String> {
    let Some(rules) = rules else { return Ok(String::new()) };
    let providers: Vec<Provider> =
        store::providers::list(&app.store).await?.into_iter().map(|stored| stored.provider).collect();
    let models = store::catalog::list_models(&app.store).await?;
    let has_model = |name: &str| models.iter().any(|model| [model.id.as_str(), model.id.slug()].contains(&name));
    Ok(note_of(rules, &providers, has_model))
}

fn note_of(rules: &Rules, providers: &[Provider], has_model: impl Fn(&str) -> bool) -> String {
    let lists = [&rules.provider.order, &rules.provider.only, &rules.provider.ignore];
    let is_unknown = |name: &&String| !providers.iter().any(|provider| is_named(provider, name));
    let strangers = lists.into_iter().flatten().flatten().filter(is_unknown).map(|name| format!("provider `{name}`"));
    // A variant may stand behind the name.
    let is_stranger =
        |name: &&String| !has_model(name) && !name.rsplit_once(':').is_some_and(|(plain, _)| has_model(plain));
    let unheard = rules.fallbacks.models.iter().filter(is_stranger).map(|name| format!("model `{name}`"));
    let told: Vec<String> = strangers.chain(unheard).take(TOLD_MOST).collect();
    match told.is_empty() {
        true => String::new(),
        false => format!("the rules name what does not exist (yet): {}", told.join(", ")),
    }
}

/// Two notes as one.
pub fn joined(note: String, more: String) -> String {
    match (note.is_empty(), more.is_empty()) {
        (false, false) => format!("{note}; {more}"),
        (true, _) => more,
        (_, true) => note,
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::ProviderId;
    use domain::providers::{AuthScheme, DataPolicy};

    use super::*;

    fn provider(id: &str) -> Provider {
        Provider {
            id: id.parse::<ProviderId>().unwrap(),
            name: format!("{id} Inc"),
            base_url: "https://acme.example/v1".to_owned(),
            dialects: vec![],
            auth: AuthScheme("bearer".to_owned()),
            credential_version: 1,
            regions: vec!["us".to_owned()],
            data_policy: DataPolicy::default(),
            limits: Default::default(),
            insecure: false,
            enabled: true,
        }
    }

    #[test]
    fn names_that_nobody_has_are_told() {
        let note = |text: &str| {
            let rules = parse_rules(text).unwrap().unwrap();
            note_of(&rules, &[provider("acme")], |name| name == "a/b")
        };
        assert_eq!(
            note(r#"{"provider":{"only":["acme","ACME inc","acme/us"]},"fallbacks":{"models":["a/b:nitro"]}}"#),
            ""
        );
        let told = note(r#"{"provider":{"order":["acme/eu"],"ignore":["bolt"]},"fallbacks":{"models":["a/c"]}}"#);
        assert!(told.ends_with("provider `acme/eu`, provider `bolt`, model `a/c`"), "{told}");
        assert_eq!(joined("one".into(), "two".into()), "one; two");
        assert_eq!((joined("one".into(), "".into()), joined("".into(), "two".into())), ("one".into(), "two".into()));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let refused = parse_rules(r#"{"provider":{"ordre":["a"]}}"#).unwrap_err();
        assert_eq!(refused.param.as_deref(), Some("routing"));
        assert!(refused.message.contains("ordre"), "{}", refused.message);
        assert!(parse_rules(&" ".repeat(LONGEST + 1)).is_err());
        assert_eq!(parse_rules("").unwrap(), None);
    }
}
