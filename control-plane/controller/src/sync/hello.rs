//! The opening of a stream: reads what a proxy says of itself, decides whether it may resume from what it has, and
//! prepares its feed until nothing is missing between that and what is published from now on.
//! Next room: `stream.rs`.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{BootEpoch, ProxyId, Revision};
use link::feed::{DIRTY_MAX, Feed};
use proto::sync as wire;
use store::revisions::{changes_since, head};
use tonic::{Status, Streaming};

use super::busy;
use super::connection::Connection;
use super::fleet::Refused;
use super::flights::Flights;
use super::publisher::{PAGE, Published, now_ms};
use crate::app::App;
use crate::error::Error;

/// How long a proxy may take to say hello.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stream waits for the publisher's first look after a start.
const BEGIN: Duration = Duration::from_secs(2);
/// How often the publisher may go on while a stream is prepared, before the proxy is sent away.
const MOST_ROUNDS: usize = 100;
/// When to come back after too many at once, in milliseconds.
const COME_BACK_MS: u64 = 1_000;

/// What a proxy says of itself.
struct Hello {
    proxy: ProxyId,
    epoch: BootEpoch,
    have: Revision,
    build: String,
    region: String,
}

/// Waits for the hello and lets the stream in, with everything marked that the proxy does not have.
pub async fn open(app: &App, inbound: &mut Streaming<wire::WatchRequest>) -> Result<Arc<Connection>, Status> {
    let first = tokio::time::timeout(PATIENCE, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no hello within 10 s"))??;
    let hello = read(first)?;
    if !app.fleet.admit(app.clock.monotonic().as_secs()) || !app.fleet.has_begun(BEGIN).await {
        return Err(busy("too many proxies connect at once: try again", COME_BACK_MS));
    }
    let mut connection = prepare(app, &hello).await.map_err(unavailable)?;
    for _ in 0..MOST_ROUNDS {
        match app.fleet.connect(connection) {
            Ok(connection) => return Ok(connection),
            Err(Refused::Behind(behind)) => connection = catch_up(app, *behind).await.map_err(unavailable)?,
            Err(Refused::Newer) => {
                return Err(Status::failed_precondition("a newer epoch of this proxy is connected"));
            }
            Err(Refused::Full) => {
                return Err(busy("this controller has as many proxies as it can serve", COME_BACK_MS));
            }
            Err(Refused::Stopping) => return Err(busy("the controller is stopping", COME_BACK_MS)),
        }
    }
    Err(busy("settings change too fast to open a stream: try again", COME_BACK_MS))
}

fn read(first: Option<wire::WatchRequest>) -> Result<Hello, Status> {
    let Some(wire::watch_request::Message::Hello(hello)) = first.and_then(|request| request.message) else {
        return Err(Status::invalid_argument("the first message must be a hello"));
    };
    if hello.schema != proto::SYNC_SCHEMA {
        let (theirs, ours) = (hello.schema, proto::SYNC_SCHEMA);
        return Err(Status::failed_precondition(format!("schema {theirs} is not served here, {ours} is")));
    }
    let proxy = hello.proxy_id.parse().map_err(|error| Status::invalid_argument(format!("proxy_id: {error}")))?;
    Ok(Hello {
        proxy,
        epoch: BootEpoch(hello.boot_epoch),
        have: Revision(hello.have_revision),
        build: hello.build.chars().take(100).collect(),
        region: hello.region.chars().take(100).collect(),
    })
}

/// A connection that resumes after what the proxy has, or starts over when that is nothing, too long ago, or of another
/// database.
async fn prepare(app: &App, hello: &Hello) -> store::Result<Connection> {
    let present = head(&app.store).await?;
    let resumes = hello.have > Revision(0) && hello.have <= present;
    let have = if resumes { hello.have } else { Revision(0) };
    let mut feed = Feed::new(if resumes { have } else { present });
    if !resumes {
        feed.resync(present);
    }
    let now = app.now();
    let row = store::fleet::Proxy {
        proxy: hello.proxy.clone(),
        controller: app.name.clone(),
        epoch: hello.epoch,
        connected_since: now,
        revision: have,
        refused: Vec::new(),
        build: hello.build.clone(),
        region: hello.region.clone(),
        last_seen: now,
    };
    let connection = Connection::new(row, feed, Flights::default(), if resumes { have } else { present });
    if resumes { catch_up(app, connection).await } else { Ok(connection) }
}

/// Marks what was committed since the connection's beginning, and moves the beginning.
async fn catch_up(app: &App, mut connection: Connection) -> store::Result<Connection> {
    let mut marked = 0;
    loop {
        let page = changes_since(&app.store, connection.from(), PAGE).await?;
        let (more, through) = (page.more, page.through);
        marked += page.changes.len();
        if marked > DIRTY_MAX {
            let present = head(&app.store).await?;
            connection.resync(present);
            connection.begin_at(present);
            return Ok(connection);
        }
        connection.mark(&Published::new(page), now_ms(app));
        connection.begin_at(through);
        if !more {
            return Ok(connection);
        }
    }
}

fn unavailable(error: store::Error) -> Status {
    Error::from(error).into()
}
