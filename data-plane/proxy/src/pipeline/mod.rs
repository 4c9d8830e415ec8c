//! The corridor of one inference request: five stages in order, each taking what the one before it made. No stage calls
//! back, and none is skipped: no route reaches a provider except through `admit` and `settle`.

mod admit;
mod answer;
mod arrival;
mod attempt;
mod authenticate;
mod count;
mod judge;
mod outflow;
mod plan;
mod refusal;
mod relay;
mod reply;
mod settle;
mod sound;
mod trail;
mod visit;

use std::{convert::Infallible, rc::Rc};

use http::{Request, Response};
use hyper::body::Incoming;

use crate::{
    connection::OpenRequest,
    server::{Asked, EXPLAIN},
};

pub(crate) use answer::{json, plain, refuse, stamp};
pub(crate) use arrival::discard;
pub(crate) use attempt::{Attempts, Ran};
pub(crate) use authenticate::authenticate;
pub(crate) use outflow::Outflow;
pub(crate) use refusal::Refusal;
pub(crate) use visit::Visit;

/// One inference that is to be served: mostly a chat.
pub(crate) struct Chat {
    pub visit: Rc<Visit>,
    pub asked: Asked,
    pub open: OpenRequest,
    pub request: Request<Incoming>,
}

/// What hyper is given for it.
pub(crate) type Answered = Result<Response<Outflow>, Infallible>;

impl Chat {
    /// Serves it.
    pub async fn serve(self) -> Answered {
        let Chat { visit, asked, open, request } = self;
        let response = match inference(&visit, asked, request).await {
            Ok(response) => response,
            Err(refusal) => answer::refuse(&visit, &refusal),
        };
        Ok(response.map(|body| body.holding(open)))
    }
}

async fn inference(visit: &Rc<Visit>, asked: Asked, request: Request<Incoming>) -> Result<Response<Outflow>, Refusal> {
    let (mut head, body) = request.into_parts();
    let view = visit.worker.view();
    let purse = match authenticate(visit, &view, &head.headers, &head.uri) {
        Ok(purse) => purse,
        Err(refusal) => {
            Box::pin(discard(visit, &head, body)).await;
            return Err(refusal);
        }
    };
    let arrival = arrival::receive(visit, asked, &head, body).await?;
    visit.worker.keep_headers(std::mem::take(&mut head.headers));
    // The rest of the head lies in the parser's buffer, which has a use for the room.
    drop(head);
    if visit.dialect.is_count()
        && let Some(estimate) = count::estimate(visit, &view, &purse, &arrival)?
    {
        return Ok(estimate);
    }
    if arrival.operation == EXPLAIN {
        return plan::explain(visit, &view, &purse, &arrival);
    }
    let plan = plan::plan(visit, &view, &purse, &arrival)?;
    drop(view);
    let ticket = admit::admit(visit, &purse, &arrival, &plan).await?;
    attempt::attempt(visit, arrival, plan, ticket).await
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::plan::tests::route;
    use super::*;

    #[test]
    fn what_a_request_carries_is_bounded() {
        fn size<I, F>(_: fn(I) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(Chat::serve) <= 2_560, "{} bytes", size(Chat::serve));
        assert!(size(Attempts::run) <= 4_608, "{} bytes", size(Attempts::run));
        assert!(size_of::<relay::Relay>() <= 1_280, "{} bytes", size_of::<relay::Relay>());
        assert!(size_of::<sound::Sound>() <= 1_024, "{} bytes", size_of::<sound::Sound>());
        assert!(size_of::<Outflow>() <= 64, "{} bytes", size_of::<Outflow>());
    }
}
