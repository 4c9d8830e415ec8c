//! The wire side of routes.

use std::sync::Arc;

use domain::members::Action;
use domain::routing::Rules;
use domain::time::Timestamp;
use proto::admin::{self, routes_service_server::RoutesService};
use tonic::{Request, Response, Status};

use super::Wish;
use super::replay::Outlook;
use crate::access::admit;
use crate::app::App;
use crate::error::Error;
use crate::fault::invalid;
use crate::orgs::parse_id;

/// The longest text of rules, in bytes.
const LONGEST: usize = 16 * 1024;
const DAY_US: i64 = 86_400_000_000;

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl RoutesService for Rpc {
    async fn simulate(
        &self,
        request: Request<admin::SimulateRequest>,
    ) -> Result<Response<admin::SimulateResponse>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::SimulateRoutes).await?;
        let wish = read(request.get_ref(), self.0.now())?;
        let simulation = super::simulate(&self.0, scope, &wish).await?;
        Ok(Response::new(admin::SimulateResponse {
            since: wish.since.to_string(),
            until: wish.until.to_string(),
            total: Some(message(String::new(), &simulation.total)),
            models: simulation.models.into_iter().map(|(name, outlook)| message(name, &outlook)).collect(),
            notes: notes(&wish.rules),
        }))
    }
}

fn read(wanted: &admin::SimulateRequest, now: Timestamp) -> Result<Wish, Error> {
    if wanted.policy.len() > LONGEST {
        return Err(invalid("policy", format!("at most {LONGEST} bytes")).into());
    }
    let rules = proto::convert::read_rules(&wanted.policy).map_err(|reason| invalid("policy", reason))?;
    let (since, until) = period(&wanted.since, &wanted.until, now)?;
    Ok(Wish {
        rules: rules.unwrap_or_default(),
        since,
        until,
        org: if wanted.org.is_empty() { None } else { Some(parse_id("org", &wanted.org)?) },
        model: Some(wanted.model.clone()).filter(|model| !model.is_empty()),
    })
}

/// The period that is meant: yesterday by itself, a day where only one end is told.
fn period(since: &str, until: &str, now: Timestamp) -> Result<(Timestamp, Timestamp), Error> {
    let time = |field: &'static str, text: &str| {
        let read = (!text.is_empty()).then(|| text.parse::<Timestamp>()).transpose();
        read.map_err(|error| invalid(field, error.to_string()))
    };
    let today = Timestamp::from_us(now.us().div_euclid(DAY_US) * DAY_US);
    let (since, until) = match (time("since", since)?, time("until", until)?) {
        (None, None) => (today.plus_us(-DAY_US), today),
        (Some(since), None) => (since, since.plus_us(DAY_US).min(now)),
        (None, Some(until)) => (until.plus_us(-DAY_US), until),
        (Some(since), Some(until)) => (since, until),
    };
    match since < until {
        true => Ok((since, until)),
        false => Err(invalid("until", "it is not after `since`").into()),
    }
}

fn message(model: String, outlook: &Outlook) -> admin::SimulatedModel {
    admin::SimulatedModel {
        model,
        requests: outlook.requests,
        cost: outlook.cost.to_string(),
        would_cost: outlook.would_cost.to_string(),
        without_endpoint: outlook.without_endpoint,
        availability: outlook.availability,
        would_be_available: outlook.would_be_available,
    }
}

/// What the records do not tell enough of.
fn notes(rules: &Rules) -> Vec<String> {
    let wish = &rules.provider;
    let left_out = [
        (wish.require_parameters == Some(true), "require_parameters"),
        (wish.preferred_min_throughput.is_some(), "preferred_min_throughput"),
        (wish.preferred_max_latency.is_some(), "preferred_max_latency"),
        (rules.fallbacks.triggers.is_some(), "triggers"),
        (rules.timeout.is_some(), "timeout"),
    ];
    let note = |name: &str| format!("`{name}` has no part in these figures: records do not tell enough for it");
    left_out.into_iter().filter(|(is_said, _)| *is_said).map(|(_, name)| note(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_yesterday_unless_it_is_told() {
        let now: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
        let period =
            |since, until| period(since, until, now).map(|(since, until)| (since.to_string(), until.to_string()));
        let day =
            |from: &str, to: &str| (format!("2026-11-{from}:00:00.000000Z"), format!("2026-11-{to}:00:00.000000Z"));
        assert_eq!(period("", "").unwrap(), day("21T00", "22T00"));
        assert_eq!(period("2026-11-20T06:00:00Z", "").unwrap(), day("20T06", "21T06"));
        assert_eq!(period("2026-11-22T06:00:00Z", "").unwrap(), day("22T06", "22T08"));
        assert_eq!(period("", "2026-11-20T06:00:00Z").unwrap(), day("19T06", "20T06"));
        assert_eq!(period("2026-11-19T06:00:00Z", "2026-11-20T07:00:00Z").unwrap(), day("19T06", "20T07"));
        for (since, until, named) in [
            ("2026-11-22T06:00:00Z", "2026-11-22T06:00:00Z", "until"),
            ("2026-11-23T06:00:00Z", "", "until"),
            ("yesterday", "", "since"),
        ] {
            let refused = Status::from(period(since, until).unwrap_err());
            assert!(refused.message().starts_with(named), "{refused:?}");
        }
    }

    #[test]
    fn what_has_no_part_is_told() {
        let rules = |text: &str| proto::convert::read_rules(text).unwrap().unwrap();
        assert_eq!(notes(&rules(r#"{"provider":{"only":["a"]}}"#)), Vec::<String>::new());
        let told = notes(&rules(r#"{"provider":{"preferred_max_latency":2},"timeout":3}"#));
        assert!(
            told.len() == 2 && told[0].contains("preferred_max_latency") && told[1].contains("timeout"),
            "{told:?}"
        );
    }
}
