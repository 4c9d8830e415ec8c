//! Whatever rules are put together, nothing comes back that one of them left out.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{
    BadName, By, DataCollection, Fallbacks, MaxPrice, Names, Preferences, Preset, Regions, Rulebook, Rules, Sort,
    Strategy as Way, Trigger, Triggers, is_part,
};
use crate::catalog::{Endpoint, PriceList};
use crate::ids::EndpointId;
use crate::money::Price;
use crate::providers::{AuthScheme, DataPolicy, Provider};
use crate::snapshot::Route;

const NAMES: [&str; 4] = ["acme", "bolt", "crux", "dyne"];
const REGIONS: [&str; 4] = ["us", "us-east", "eu", "asia"];

fn route(at: usize, prompt: i64, training: Option<bool>, zdr: Option<bool>) -> Route {
    let model: crate::ids::ModelId = "a/model".parse().unwrap();
    let provider = Provider {
        id: NAMES[at].parse().unwrap(),
        name: format!("{} Inc", NAMES[at]),
        base_url: "https://acme.example/v1".to_owned(),
        dialects: vec!["openai-chat".parse().unwrap()],
        auth: AuthScheme("bearer".to_owned()),
        credential_version: 1,
        regions: vec![REGIONS[at].to_owned()],
        data_policy: DataPolicy { training, zdr, retention_days: None },
        limits: Default::default(),
        insecure: false,
        enabled: true,
    };
    let endpoint = Endpoint {
        id: EndpointId::of(&model, &provider.id),
        model,
        provider: provider.id.clone(),
        upstream_model: "m".to_owned(),
        prices: PriceList {
            prompt: Some(Price::from_pico(prompt)),
            completion: Some(Price::from_pico(2 * prompt)),
            ..PriceList::default()
        },
        context_length: None,
        max_output_tokens: None,
        quirks: vec![],
        enabled: true,
    };
    Route { endpoint: endpoint.into(), provider: provider.into() }
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let each = (0..NAMES.len(), 0..4i64, any::<Option<bool>>(), any::<Option<bool>>());
    prop::collection::vec(each.prop_map(|(at, prompt, training, zdr)| route(at, prompt, training, zdr)), 1..8)
}

/// Providers in every spelling that means one.
fn names() -> impl Strategy<Value = Option<Vec<String>>> {
    let name = (0..NAMES.len(), 0..3usize).prop_map(|(at, spelling)| match spelling {
        0 => NAMES[at].to_owned(),
        1 => format!("{} INC", NAMES[at]),
        _ => format!("{}/{}", NAMES[at], REGIONS[at]),
    });
    prop::option::of(prop::collection::vec(name, 1..4))
}

fn regions() -> impl Strategy<Value = Option<Regions>> {
    let region = || prop::sample::select(&REGIONS[..]).prop_map(str::to_owned);
    let several = prop::collection::vec(region(), 1..3).prop_map(Regions::Several);
    prop::option::of(prop_oneof![region().prop_map(Regions::One), several])
}

fn most() -> impl Strategy<Value = Option<MaxPrice>> {
    let price = || prop::option::of((0..5i64).prop_map(Price::from_pico));
    let each = (price(), price());
    prop::option::of(each.prop_map(|(prompt, completion)| MaxPrice { prompt, completion, ..MaxPrice::default() }))
}

fn preferences() -> impl Strategy<Value = Preferences> {
    let lists = (names(), names(), names(), regions(), most());
    let collection = prop::option::of(prop_oneof![Just(DataCollection::Deny), Just(DataCollection::Allow)]);
    let flags = (any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<bool>>(), collection, any::<bool>());
    (lists, flags).prop_map(|((order, only, ignore, region, max_price), flags)| {
        let (allow_fallbacks, require_parameters, zdr, data_collection, free) = flags;
        Preferences {
            order,
            only,
            ignore,
            region,
            max_price,
            allow_fallbacks,
            require_parameters,
            zdr,
            data_collection,
            free,
            ..Preferences::default()
        }
    })
}

fn rules() -> impl Strategy<Value = Arc<Rules>> {
    let triggers = prop::option::of(prop::collection::vec(prop::sample::select(&Trigger::ALL[..]), 0..4));
    let timeout = prop::option::of((1..100u64).prop_map(Duration::from_secs));
    (preferences(), triggers, timeout).prop_map(|(provider, triggers, timeout)| {
        let fallbacks = Fallbacks { triggers: triggers.map(Triggers::from_iter), models: vec![] };
        Arc::new(Rules { provider, fallbacks, timeout })
    })
}

/// The places of the endpoints that are left.
fn kept(book: &Rulebook, routes: &[Route]) -> Vec<usize> {
    let lacks = |route: &Route| route.provider.id.as_str() == "bolt";
    (0..routes.len()).filter(|at| book.excluded(&routes[*at], lacks).is_none()).collect()
}

fn alone(rules: &Arc<Rules>) -> Rulebook {
    Rulebook::with(None, Rules::clone(rules))
}

proptest! {
    #[test]
    fn together_rules_leave_what_each_of_them_leaves(
        org in rules(), key in rules(), request in rules(), routes in routes(),
    ) {
        let standing = Rulebook::of(Some(&key), Some(&org));
        let book = Rulebook::with(standing.as_ref(), Rules::clone(&request));
        let each = [&org, &key, &request].map(alone);
        let in_each = (0..routes.len()).filter(|at| each.iter().all(|book| kept(book, &routes).contains(at)));
        prop_assert_eq!(kept(&book, &routes), in_each.collect::<Vec<_>>());
        for one in &each {
            prop_assert!(!one.takes_one() || book.takes_one());
            prop_assert!(!one.requires_parameters() || book.requires_parameters());
            prop_assert!(one.timeout().is_none_or(|most| book.timeout().is_some_and(|time| time <= most)));
            prop_assert_eq!(book.triggers().both(one.triggers()), book.triggers());
        }
    }

    #[test]
    fn whose_rule_it_is_does_not_matter_for_what_is_left(one in rules(), other in rules(), routes in routes()) {
        let ways = [Rulebook::of(Some(&one), Some(&other)), Rulebook::of(Some(&other), Some(&one))];
        let [this, that] = ways.map(Option::unwrap);
        prop_assert_eq!(kept(&this, &routes), kept(&that, &routes));
        prop_assert_eq!(
            (this.takes_one(), this.requires_parameters(), this.timeout(), this.triggers()),
            (that.takes_one(), that.requires_parameters(), that.timeout(), that.triggers())
        );
    }
}

#[test]
fn the_nearest_says_the_order() {
    let ordered = |order: &[&str], sort: Option<By>| {
        let order = (!order.is_empty()).then(|| order.iter().map(|name| (*name).to_owned()).collect());
        Arc::new(Rules {
            provider: Preferences { order, sort: sort.map(Sort::Word), ..Preferences::default() },
            ..Rules::default()
        })
    };
    let org = ordered(&["acme"], None);
    let silent = ordered(&[], None);
    let book = Rulebook::of(Some(&silent), Some(&org)).unwrap();
    assert_eq!((book.strategy(), book.order()), (Way::Order, &["acme".to_owned()][..]));
    let sorting = Rulebook::with(Some(&book), Rules::clone(&ordered(&[], Some(By::Price))));
    assert_eq!((sorting.strategy(), sorting.order()), (Way::Price, &[][..]), "a request's word on the order");
    let key = Rulebook::of(Some(&ordered(&["bolt"], None)), Some(&org)).unwrap();
    assert_eq!(key.order(), ["bolt"]);
    assert!(Rulebook::of(None, None).is_none());
}

#[test]
fn the_models_of_the_nearest_are_tried() {
    let naming = |models: &[&str]| {
        let models = models.iter().map(|name| (*name).to_owned()).collect();
        Arc::new(Rules { fallbacks: Fallbacks { models, triggers: None }, ..Rules::default() })
    };
    let (org, key) = (naming(&["a/one"]), naming(&["a/two", "a/three"]));
    assert_eq!(Rulebook::of(Some(&key), Some(&org)).unwrap().models(), ["a/two", "a/three"]);
    assert_eq!(Rulebook::of(Some(&naming(&[])), Some(&org)).unwrap().models(), ["a/one"]);
    assert!(Rulebook::default().models().is_empty());
}

#[test]
fn a_set_of_triggers_knows_its_own() {
    assert!(Trigger::ALL.into_iter().all(|trigger| Triggers::ALL.has(trigger)));
    let two = Triggers::from_iter([Trigger::RateLimit, Trigger::Moderation]);
    let one = Triggers::from_iter([Trigger::Moderation, Trigger::Timeout]);
    assert_eq!(two.both(one), Triggers::from_iter([Trigger::Moderation]));
    assert!(Trigger::ALL.into_iter().all(|trigger| !Triggers::from_iter([]).has(trigger)));
}

#[test]
fn a_part_of_a_region_is_in_it() {
    for (part, whole, is) in
        [("us", "us", true), ("us-east", "US", true), ("us", "us-east", false), ("use", "us", false), ("é", "e", false)]
    {
        assert_eq!(is_part(part, whole), is, "{part} in {whole}");
    }
}

#[test]
fn names_keep_their_bounds() {
    let mut names = Names::default();
    let model = || vec!["a/b".to_owned()];
    for odd in ["", "a b", "ä", "a:b", "@preset/x", &"x".repeat(129)] {
        assert!(matches!(names.set_alias(odd, model()), Err(BadName::Shape(_))), "{odd}");
        assert!(matches!(names.set_preset(odd, Preset::default()), Err(BadName::Shape(_))), "{odd}");
    }
    assert_eq!(names.set_alias("a", vec![]), Err(BadName::NoModel));
    assert_eq!(names.set_alias("a", vec!["a".to_owned()]), Err(BadName::Itself("a".to_owned())));
    assert!(matches!(names.set_alias("a", vec!["x@preset/y".to_owned()]), Err(BadName::Model(_))));
    assert_eq!(names.set_alias("a", vec!["m".to_owned(); 16]), Err(BadName::TooManyModels));
    for at in 0..100 {
        names.set_alias(&format!("a{at}"), model()).unwrap();
    }
    assert_eq!(names.set_alias("more", model()), Err(BadName::TooMany));
    names.set_alias("a7", vec!["c/d".to_owned()]).unwrap();
    assert_eq!(names.alias("a7"), Some(&["c/d".to_owned()][..]));
    assert!(names.remove_alias("a7") && !names.remove_alias("a7") && names.alias("a7").is_none());
}

#[test]
fn a_version_of_a_preset_never_changes() {
    let timed = |seconds| Preset {
        rules: Rules { timeout: Some(Duration::from_secs(seconds)), ..Rules::default() },
        ..Preset::default()
    };
    let mut names = Names::default();
    assert_eq!([1, 2, 2, 3].map(|seconds| names.set_preset("p", timed(seconds)).unwrap()), [1, 2, 2, 3]);
    assert_eq!((names.preset("p"), names.preset("p@1")), (Some(&timed(3)), Some(&timed(1))));
    assert!(names.remove_preset("p", Some(3)) && !names.remove_preset("p", Some(3)));
    assert_eq!((names.preset("p"), names.preset("p@3")), (Some(&timed(2)), None));
    assert_eq!(names.set_preset("p", timed(9)), Ok(4));
    let newest: Vec<_> = names.presets().map(|(slug, version, newest, _)| (slug, version, newest)).collect();
    assert_eq!(newest, [("p", 1, false), ("p", 2, false), ("p", 4, true)]);
    assert!(names.remove_preset("p", None) && !names.remove_preset("p", None) && names.preset("p").is_none());
    assert_eq!(names.set_preset("p", timed(1)), Ok(5));
    for seconds in 10..29 {
        names.set_preset("p", timed(seconds)).unwrap();
    }
    assert_eq!(names.set_preset("p", timed(99)), Err(BadName::TooManyVersions("p".to_owned())));
    for wrong in ["p@", "p@x", "p@0", "@1", "q", ""] {
        assert!(names.preset(wrong).is_none(), "{wrong}");
    }
}
