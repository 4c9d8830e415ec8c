//! OpenAI's chat completions: the front end's face.

mod fields;
mod read;
mod rules;
mod write;

use serde_json::Value;

use super::talk::Talk;
use super::{Ask, Checks, Front, Reply, Violation, serve};

pub struct Chat;

impl Front for Chat {
    fn read(&self, ask: &Ask<'_>, checks: &mut Checks) -> Talk {
        read::read(ask, checks)
    }

    fn id(&self, sequence: u64) -> String {
        format!("chatcmpl-strict{sequence:016}")
    }

    fn whole(&self, reply: &Reply<'_>) -> Value {
        write::whole(reply)
    }

    fn frames(&self, reply: &Reply<'_>) -> Vec<Vec<u8>> {
        write::frames(reply)
    }

    fn broken(&self, reply: &Reply<'_>) -> Vec<Vec<u8>> {
        let _ = reply;
        let error = self.error(500, super::BROKEN, None);
        vec![serve::event(None, &error.to_string()), serve::event(None, "[DONE]")]
    }

    fn error(&self, status: u16, message: &str, violation: Option<&Violation>) -> Value {
        serve::openai_error(status, message, violation)
    }
}

pub use read::tool_choice;
pub use rules::{schema_rules, strict_schema};
