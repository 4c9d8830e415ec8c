//! Panics as log lines.
//! A panic's message may quote what the code was working on (a string cut in the middle of a character quotes the
//! string), so only messages that are fixed text in our source are shown. The place is always shown.

use std::panic::{self, PanicHookInfo};

pub(super) fn into_log() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(place, thread, "panic at {place}: {}", shown(info));
    }));
}

fn shown(info: &PanicHookInfo<'_>) -> &'static str {
    info.payload().downcast_ref::<&'static str>().copied().unwrap_or("(message withheld)")
}
