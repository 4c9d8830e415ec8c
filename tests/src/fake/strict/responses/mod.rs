//! OpenAI's Responses: the front end's face.

mod fields;
mod items;
mod read;
mod write;

use serde_json::Value;

use super::talk::Talk;
use super::{Ask, Checks, Front, Reply, Violation, serve};

pub struct Responses;

impl Front for Responses {
    fn read(&self, ask: &Ask<'_>, checks: &mut Checks) -> Talk {
        read::read(ask, checks)
    }

    fn id(&self, sequence: u64) -> String {
        format!("resp_strict{sequence:037}")
    }

    fn whole(&self, reply: &Reply<'_>) -> Value {
        write::whole(reply)
    }

    fn frames(&self, reply: &Reply<'_>) -> Vec<Vec<u8>> {
        write::frames(reply)
    }

    fn broken(&self, reply: &Reply<'_>) -> Vec<Vec<u8>> {
        write::broken(reply)
    }

    fn broken_whole(&self, reply: &Reply<'_>) -> Value {
        write::failed(reply)
    }

    fn error(&self, status: u16, message: &str, violation: Option<&Violation>) -> Value {
        serve::openai_error(status, message, violation)
    }
}
