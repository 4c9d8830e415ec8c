//! Server-sent events by the letter of their standard, as far as providers use them.

/// One event with data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Of its `event:` line; empty when there is none.
    pub name: String,
    /// The `data:` lines, joined.
    pub data: String,
}

/// The events of a body. Comments and empty events are skipped, as clients do.
pub fn parse(raw: &[u8]) -> Vec<Event> {
    let text = std::str::from_utf8(raw).expect("a stream in UTF-8").replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let (mut name, mut data) = (String::new(), Vec::new());
        for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_owned(),
                "data" => data.push(value),
                "id" | "retry" => {}
                other => panic!("a line that is no field of an event: {other}: {value}"),
            }
        }
        if !data.is_empty() {
            events.push(Event { name, data: data.join("\n") });
        }
    }
    events
}
