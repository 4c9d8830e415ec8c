//! The corridor of one inference request: five stages in order, each taking what the one before it made. No stage calls
//! back, and none is skipped: no route reaches a provider except through `admit` and `settle`.

mod admit;
mod answer;
mod arrival;
mod attempt;
mod authenticate;
mod judge;
mod outflow;
mod plan;
mod refusal;
mod relay;
mod settle;
mod visit;

use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;

pub(crate) use answer::{json, plain, refuse, stamp};
pub(crate) use arrival::discard;
pub(crate) use authenticate::authenticate;
pub(crate) use outflow::Outflow;
pub(crate) use refusal::Refusal;
pub(crate) use visit::Visit;

/// Serves one chat completion.
pub(crate) async fn serve(visit: &Rc<Visit>, request: Request<Incoming>) -> Response<Outflow> {
    match inference(visit, request).await {
        Ok(response) => response,
        Err(refusal) => answer::refuse(visit, &refusal),
    }
}

async fn inference(visit: &Rc<Visit>, request: Request<Incoming>) -> Result<Response<Outflow>, Refusal> {
    let (head, body) = request.into_parts();
    let view = visit.worker.view();
    let purse = match authenticate(visit, &view, &head.headers, &head.uri) {
        Ok(purse) => purse,
        Err(refusal) => {
            discard(visit, &head, body).await;
            return Err(refusal);
        }
    };
    let arrival = arrival::receive(visit, &head, body).await?;
    drop(head);
    let plan = plan::plan(visit, &view, &purse, &arrival)?;
    drop(view);
    let ticket = admit::admit(visit, &purse, &arrival, &plan).await?;
    attempt::attempt(visit, arrival, plan, ticket).await
}
