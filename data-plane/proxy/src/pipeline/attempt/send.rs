//! What an endpoint gets: the request bridged to its dialect, with its address, its headers and its signature, and the way
//! there. Each time from the untouched original. Next room: `receive`.

use std::{pin::pin, sync::Arc};

use codec::{Carry, RequestEdits, Routed, Segments};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT},
};
use runtime::Secret;

use super::{Attempts, miss};
use crate::{
    alarm::TimeUp,
    offers::Lane,
    pipeline::{
        judge::{Miss, Trouble},
        settle::Reached,
    },
    upstream::{self, Reply, auth::Outgoing},
};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// What is sent to an endpoint.
pub(super) struct Prepared {
    route: upstream::Route,
    headers: HeaderMap,
    body: Segments,
}

impl Attempts {
    /// Everything that is sent, signed.
    pub(super) async fn prepare(&mut self, lane: &Lane) -> Result<Prepared, Box<Miss>> {
        let model = &lane.route.endpoint.upstream_model;
        let secret = self.secret_of(lane);
        if let Some(wait) = lane.signer.wait(secret.as_ref()) {
            let due = self.due(self.visit.worker.timeouts.provider_first_byte.get());
            let token = self.alarm.limit(due, pin!(wait.over())).await;
            token.ok().and_then(Result::ok).ok_or_else(|| miss(lane, Trouble::NoCredential))?;
        }
        let body = self.outbound(lane, secret.as_ref())?;
        let routed = Routed {
            operation: self.arrival.operation,
            upstream_model: model,
            stream: self.arrival.scan.stream,
            quirks: lane.quirks,
        };
        let route = lane.target.route(&lane.bridge.route(&routed), model);
        let route = route.map_err(|_| miss(lane, Trouble::Unreachable))?;
        let mut headers = self.headers(lane);
        let outgoing = Outgoing {
            method: &Method::POST,
            target: &lane.target,
            route: &route,
            body: &body,
            now: self.visit.worker.wall(self.visit.worker.gate.clock.monotonic()),
        };
        let signed = lane.signer.sign(secret.as_ref(), &outgoing, &mut headers);
        signed.map_err(|_| miss(lane, Trouble::NoCredential))?;
        Ok(Prepared { route, headers, body })
    }

    pub(super) async fn send(&mut self, lane: &Lane, prepared: Prepared) -> Result<Reply, Box<Miss>> {
        let Prepared { route, headers, body } = prepared;
        self.ticket.reached(Reached::Sent);
        let due = self.due(self.visit.worker.timeouts.provider_first_byte.get());
        let sent = {
            let upstream = &self.visit.worker.upstream;
            // Pinned here, so that only a reference is moved into the limit.
            let sending = pin!(upstream.send(&lane.target, &Method::POST, &route, &headers, body));
            self.alarm.limit(due, sending).await
        };
        self.visit.worker.keep_headers(headers);
        match sent {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(self.lost(lane, error)),
            Err(TimeUp) => Err(self.miss(lane, Trouble::Slow, None)),
        }
    }

    fn secret_of(&self, lane: &Lane) -> Option<Arc<Secret>> {
        let provider = &lane.route.provider;
        match provider.auth.needs_no_credential() {
            true => None,
            false => self.visit.worker.gate.link.secrets.get(&provider.id, provider.credential_version),
        }
    }

    fn headers(&self, lane: &Lane) -> HeaderMap {
        let mut headers = self.visit.worker.spare_headers();
        if lane.bridge.is_same() {
            headers.extend(self.arrival.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        for (name, value) in lane.dialect.headers {
            headers.entry(*name).or_insert(HeaderValue::from_static(value));
        }
        let accept = match self.arrival.scan.stream {
            true => HeaderValue::from_static(lane.dialect.stream_type()),
            false if lane.dialect.is_opaque() => HeaderValue::from_static("*/*"),
            false => JSON,
        };
        headers.insert(ACCEPT, accept);
        headers.insert(ACCEPT_ENCODING, IDENTITY);
        headers.insert(CONTENT_TYPE, self.arrival.form.clone().unwrap_or(JSON));
        headers.insert(USER_AGENT, AGENT);
        headers
    }

    /// The request as this endpoint gets it. One that cannot be asked so is passed over.
    fn outbound(&mut self, lane: &Lane, secret: Option<&Arc<Secret>>) -> Result<Segments, Box<Miss>> {
        self.carry = self.carry_of(lane, secret);
        let edits = RequestEdits {
            upstream_model: &lane.route.endpoint.upstream_model,
            token_limit: self.ticket.output().limit,
            quirks: lane.quirks,
            max_output: lane.max_output(),
            input_modalities: &lane.model.input_modalities,
            require_parameters: self.plan.requires_parameters,
            surface: self.visit.surface,
            carry: &self.carry,
        };
        match lane.bridge.request(&self.arrival.body, &self.arrival.scan, &edits) {
            Ok(outbound) => {
                self.visit.loses(outbound.losses);
                self.names = outbound.names;
                Ok(outbound.body)
            }
            Err(fault) => Err(Box::new(Miss { refusal: Some(fault.into()), ..*miss(lane, Trouble::Unsupported) })),
        }
    }

    /// What binds an endpoint's sealed state to whoever asks; nothing is carried between equal dialects.
    fn carry_of(&self, lane: &Lane, secret: Option<&Arc<Secret>>) -> Carry {
        let (false, Some(purse)) = (lane.bridge.is_same(), self.visit.purse()) else { return Carry::default() };
        let provider = &lane.route.provider;
        let secret = secret.map_or(&[][..], |secret| secret.expose());
        Carry::new(secret, &purse.org.id.to_string(), provider.id.as_str(), &lane.route.endpoint.upstream_model)
    }
}
