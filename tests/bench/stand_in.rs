//! A stand-in for the control plane that has as many keys as are asked for: it speaks the contract between the planes and
//! keeps no books. It hands out whole states, lends whatever is asked and takes every report. Only the `scale` step uses
//! it, where what is measured is a proxy's table of keys and a million of them would take the real one minutes to make.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::{Stream, StreamExt, stream};
use link::base::{BaseDigest, chunk_digest};
use prost::Message;
use proto::sync as wire;
use proto::sync::base_response::Message as Piece;
use proto::sync::change::Content;
use proto::sync::sync_service_server::{SyncService, SyncServiceServer};
use proto::sync::watch_request::Message as Up;
use proto::sync::watch_response::Message as Down;
use tonic::{Request, Response, Status, Streaming};

use crate::crowd;
use crate::scale::{MODEL, UPSTREAM_MODEL};

/// Everything is as of this revision, for ever.
const REVISION: u64 = 1;
/// Keys in one chunk of a whole state, which may have a megabyte.
const KEYS_IN_A_CHUNK: usize = 8_192;
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a lease lasts: longer than any step.
const LEASE_MS: u64 = 900_000;
const PROVIDER: &str = "mock";

#[derive(clap::Args)]
pub struct Options {
    /// Where proxies connect.
    #[arg(long)]
    listen: SocketAddr,
    /// The one provider of the catalogue.
    #[arg(long)]
    upstream: SocketAddr,
    /// How many keys there are.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    keys: u64,
    /// How many organisations the keys belong to, evenly.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    orgs: u64,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let listen = options.listen;
    let stand_in = StandIn { state: Arc::new(State::new(&options)) };
    eprintln!("{} keys are made", options.keys);
    tonic::transport::Server::builder()
        .add_service(SyncServiceServer::new(stand_in))
        .serve(listen)
        .await
        .with_context(|| format!("serve on {listen}"))
}

/// Everything that proxies are told, and how far their reports have come.
struct State {
    /// Catalogue and organisations.
    rows: Vec<wire::Change>,
    /// Digest and number of every key, sorted as the real control plane sends them.
    keys: Vec<([u8; 32], u64)>,
    orgs: u64,
    /// By life of a proxy.
    booked: Mutex<HashMap<u64, u64>>,
}

impl State {
    fn new(options: &Options) -> Self {
        let mut keys: Vec<_> = (0..options.keys).map(|number| (crowd::digest(number), number)).collect();
        keys.sort_unstable();
        let orgs = (0..options.orgs).map(org);
        let rows = catalogue(options.upstream).into_iter().chain(orgs).collect();
        Self { rows, keys, orgs: options.orgs, booked: Mutex::default() }
    }

    /// The changes of one chunk; none when all have been sent.
    fn chunk(&self, at: usize) -> Option<Vec<wire::Change>> {
        let Some(at) = at.checked_sub(1) else { return Some(self.rows.clone()) };
        let keys = self.keys.chunks(KEYS_IN_A_CHUNK).nth(at)?;
        Some(keys.iter().map(|(digest, number)| key(digest, *number, self.orgs)).collect())
    }
}

fn change(kind: &str, name: String, content: Content) -> wire::Change {
    wire::Change { revision: REVISION, kind: kind.to_owned(), name, must_understand: 0, content: Some(content) }
}

fn catalogue(upstream: SocketAddr) -> [wire::Change; 3] {
    let provider = wire::Provider {
        id: PROVIDER.to_owned(),
        name: "Mock".to_owned(),
        base_url: format!("http://{upstream}/v1"),
        dialects: vec!["openai-chat".to_owned()],
        auth: "none".to_owned(),
        enabled: true,
        ..wire::Provider::default()
    };
    let text = || vec!["text".to_owned()];
    let model = wire::Model {
        id: MODEL.to_owned(),
        name: "Mock".to_owned(),
        context_length: 1_000_000,
        input_modalities: text(),
        output_modalities: text(),
        ..wire::Model::default()
    };
    // Pico-dollars for each token.
    let prices = [("prompt", 150_000), ("completion", 600_000)].map(|(column, price)| (column.to_owned(), price));
    let endpoint = wire::Endpoint {
        id: format!("{MODEL}@{PROVIDER}"),
        model: MODEL.to_owned(),
        provider: PROVIDER.to_owned(),
        upstream_model: UPSTREAM_MODEL.to_owned(),
        price_version: REVISION,
        prices: prices.into_iter().collect(),
        enabled: true,
        ..wire::Endpoint::default()
    };
    [
        change("provider", provider.id.clone(), Content::Provider(provider)),
        change("model", model.id.clone(), Content::Model(model)),
        change("endpoint", endpoint.id.clone(), Content::Endpoint(endpoint)),
    ]
}

fn org(number: u64) -> wire::Change {
    let org = wire::Org {
        id: format!("org_{}", id_text(number)),
        name: format!("Org {number}"),
        billing: "prepaid".to_owned(),
        plan: "standard".to_owned(),
        created_at_us: 1,
        ..wire::Org::default()
    };
    change("org", org.id.clone(), Content::Org(org))
}

fn key(digest: &[u8; 32], number: u64, orgs: u64) -> wire::Change {
    let key = wire::Key {
        digest: digest.to_vec().into(),
        id: id_bytes(number),
        org: id_bytes(number % orgs),
        ..wire::Key::default()
    };
    change("key", String::new(), Content::Key(key))
}

fn id_bytes(number: u64) -> bytes::Bytes {
    u128::from(number).to_be_bytes().to_vec().into()
}

/// The 26 digits of an id.
fn id_text(number: u64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digit = |place: u32| DIGITS.get((number.checked_shr(5 * place).unwrap_or(0) & 31) as usize).copied();
    (0..26).rev().map(|place| digit(place).map_or('0', char::from)).collect()
}

#[derive(Clone)]
struct StandIn {
    state: Arc<State>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn down(message: Down) -> Result<wire::WatchResponse, Status> {
    Ok(wire::WatchResponse { message: Some(message) })
}

fn heartbeat() -> Result<wire::WatchResponse, Status> {
    down(Down::Heartbeat(wire::Heartbeat { head_revision: REVISION, server_time_us: 0 }))
}

#[tonic::async_trait]
impl SyncService for StandIn {
    type WatchStream = Answers<wire::WatchResponse>;
    type BaseStream = Answers<wire::BaseResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<wire::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut up = request.into_inner();
        let Some(wire::WatchRequest { message: Some(Up::Hello(hello)) }) = up.message().await? else {
            return Err(Status::invalid_argument("hello comes first"));
        };
        let first = if hello.have_revision == REVISION {
            heartbeat()
        } else {
            down(Down::Resync(wire::Resync { revision: REVISION }))
        };
        // Acknowledgements are read so that they do not pile up; the stream ends with the proxy's.
        let beats = stream::unfold((up, tokio::time::interval(HEARTBEAT)), |(mut up, mut beats)| async move {
            loop {
                tokio::select! {
                    message = up.message() => if !matches!(message, Ok(Some(_))) { return None },
                    _ = beats.tick() => return Some((heartbeat(), (up, beats))),
                }
            }
        });
        Ok(Response::new(Box::pin(stream::iter([first]).chain(beats))))
    }

    async fn base(&self, _: Request<wire::BaseRequest>) -> Result<Response<Self::BaseStream>, Status> {
        // The runner counts these lines: a proxy that starts from its cache causes none.
        eprintln!("a whole state is sent");
        let state = Arc::clone(&self.state);
        let pieces = stream::unfold((state, 0, Some(BaseDigest::new())), |(state, at, digest)| async move {
            let mut digest = digest?;
            if let Some(changes) = state.chunk(at) {
                let payload = wire::Changes { changes }.encode_to_vec();
                let own = chunk_digest(&payload);
                digest.add(&own);
                let piece = Piece::Chunk(wire::BaseChunk { payload: payload.into(), digest: own.to_vec().into() });
                return Some((piece, (state, at + 1, Some(digest))));
            }
            let objects = (state.rows.len() + state.keys.len()) as u64;
            let end = wire::BaseEnd { revision: REVISION, objects, digest: digest.finish().to_vec().into() };
            Some((Piece::End(end), (state, at, None)))
        });
        let answers = pieces.map(|piece| Ok(wire::BaseResponse { message: Some(piece) }));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease(&self, request: Request<wire::LeaseRequest>) -> Result<Response<wire::LeaseResponse>, Status> {
        let grant = |ask: wire::Ask| wire::Grant {
            pool: ask.pool,
            verdict: wire::Verdict::Granted.into(),
            granted_total: ask.granted_total.saturating_add(ask.need.max(ask.want)),
            admit_for_ms: LEASE_MS,
            ..wire::Grant::default()
        };
        let grants = request.into_inner().asks.into_iter().map(grant).collect();
        Ok(Response::new(wire::LeaseResponse { grants, active_proxies: 1 }))
    }

    async fn report(&self, request: Request<wire::ReportRequest>) -> Result<Response<wire::ReportResponse>, Status> {
        let request = request.into_inner();
        let last = (request.first_sequence + request.records.len() as u64).saturating_sub(1);
        let mut booked = self.state.booked.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = booked.entry(request.boot_epoch).or_default();
        *mark = last.max(*mark);
        Ok(Response::new(wire::ReportResponse { high_water_mark: *mark }))
    }

    async fn secrets(&self, _: Request<wire::SecretsRequest>) -> Result<Response<wire::SecretsResponse>, Status> {
        Ok(Response::new(wire::SecretsResponse::default()))
    }

    async fn query(&self, _: Request<wire::QueryRequest>) -> Result<Response<wire::QueryResponse>, Status> {
        Err(Status::unimplemented("there are no books here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_state_has_every_key_once_in_order_and_no_chunk_above_a_megabyte() {
        let listen: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let state = State::new(&Options { listen, upstream: listen, keys: 20_000, orgs: 3 });
        let chunks: Vec<_> = (0..).map_while(|at| state.chunk(at)).collect();
        assert_eq!(chunks[0].len(), 3 + 3);
        let digests: Vec<_> = chunks[1..]
            .iter()
            .flatten()
            .map(|change| match &change.content {
                Some(Content::Key(key)) => key.digest.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(digests.len(), 20_000);
        assert!(digests.is_sorted_by(|one, other| one < other));
        assert!(chunks.iter().all(|changes| wire::Changes { changes: changes.clone() }.encoded_len() <= 1 << 20));
    }

    #[test]
    fn an_id_has_26_digits() {
        assert_eq!(id_text(0), "0".repeat(26));
        assert_eq!(id_text(33), format!("{}11", "0".repeat(24)));
    }
}
