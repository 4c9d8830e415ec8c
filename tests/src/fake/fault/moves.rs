//! Does what a fault says, move by move, and notes what left.

use std::io;
use std::time::Duration;

use super::chunk;
use super::words::number;
use crate::fake::act::{Over, wait};
use crate::fake::script::Gate;
use crate::fake::truth::{End, Served};
use crate::fake::wire::Wire;
use crate::money::Tokens;

/// Stands for a number that is not known yet.
pub(super) const NUMBER: usize = 987_654_321;

/// One thing that a provider does.
#[derive(Debug, Clone)]
pub(in crate::fake) enum Move {
    /// These bytes leave, whatever they are.
    Send(Vec<u8>),
    /// Bytes with one piece of text in them.
    Piece(Vec<u8>),
    /// The same again and again, until the other side leaves.
    Again(Vec<u8>, Duration),
    /// An event with a piece of text, again and again, each with the number behind the last one's in place of `NUMBER`,
    /// from this one on.
    Pieces(String, usize, Duration),
    /// Bytes in slices of this size.
    Slices(Vec<u8>, usize, Duration),
    Wait(Duration),
    /// Goes on when the test says that it has seen what was sent.
    Seen,
    /// Says nothing until the other side leaves.
    Hang,
    /// What was sent told this usage.
    Told(Tokens),
    /// It is over, like this.
    End(End),
    Close,
    Reset,
}

/// Plays them; says how the connection ends, if it does.
pub(in crate::fake) async fn play(
    wire: &mut Wire,
    served: &Served,
    moves: Vec<Move>,
    gate: &Gate,
) -> io::Result<Option<Over>> {
    for one in moves {
        match one {
            Move::Send(bytes) => send(wire, served, &bytes).await?,
            Move::Piece(bytes) => piece(wire, served, &bytes).await?,
            Move::Again(bytes, every) => loop {
                send(wire, served, &bytes).await?;
                if !wait(wire, every).await {
                    return Ok(left(served));
                }
            },
            Move::Pieces(event, first, every) => {
                for at in first.. {
                    let event = event.replace(&number(NUMBER), &number(at));
                    piece(wire, served, &chunk(event.as_bytes())).await?;
                    if !wait(wire, every).await {
                        return Ok(left(served));
                    }
                }
            }
            Move::Slices(bytes, size, every) => {
                for slice in bytes.chunks(size) {
                    send(wire, served, slice).await?;
                    if !wait(wire, every).await {
                        return Ok(left(served));
                    }
                }
            }
            Move::Wait(time) if !wait(wire, time).await => return Ok(left(served)),
            Move::Wait(_) => {}
            Move::Seen => tokio::select! {
                () = gate.pass() => {}
                () = wire.gone() => return Ok(left(served)),
            },
            Move::Hang => {
                wire.gone().await;
                return Ok(left(served));
            }
            Move::Told(tokens) => served.note(|produced| produced.usage = Some(tokens)),
            Move::End(end) => served.note(|produced| produced.end = end),
            Move::Close => return Ok(broken(served, Over::Closed)),
            Move::Reset => return Ok(broken(served, Over::Reset)),
        }
    }
    Ok(None)
}

async fn send(wire: &mut Wire, served: &Served, bytes: &[u8]) -> io::Result<()> {
    wire.write(bytes).await?;
    served.note(|produced| produced.bytes += bytes.len());
    Ok(())
}

async fn piece(wire: &mut Wire, served: &Served, bytes: &[u8]) -> io::Result<()> {
    send(wire, served, bytes).await?;
    served.note(|produced| produced.chunks += 1);
    Ok(())
}

fn left(served: &Served) -> Option<Over> {
    served.note(|produced| produced.end = End::Left);
    Some(Over::Closed)
}

fn broken(served: &Served, over: Over) -> Option<Over> {
    served.note(|produced| {
        if produced.end == End::Open {
            produced.end = End::Broken;
        }
    });
    Some(over)
}
