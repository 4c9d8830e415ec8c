use proptest::prelude::*;

use super::*;

/// The vectors that AWS publishes with its own readers, and two frames of a Bedrock answer.
const EMPTY: &str = "00000010 00000000 05c248eb 7d98c8ff";
const NUMBER: &str = "0000002b 0000000e 348bec7b 086576656e742d696404 0000a00c 7b27666f6f273a27626172277d d3890285";
const PAYLOAD: &str = "0000001d 00000000 fd528c5a 7b27666f6f273a27626172277d c3653936";
const TEXT: &str = "0000003d 00000020 07fd8396 0c636f6e74656e742d74797065070010 6170706c69636174696f6e2f6a736f6e \
                    7b27666f6f273a27626172277d 8d9c08b1";
const EVENT: &str = "00000081000000526cc176930b3a6576656e742d7479706507000c6d65737361676553746172740d3a636f6e74656e742d747970\
                     650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b2270223a226162\
                     6364222c22726f6c65223a22617373697374616e74227df512a005";
const EXCEPTION: &str = "00000090000000618e91a9b70f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f\
                         6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700\
                         09657863657074696f6e7b226d657373616765223a22546f6f206d616e79207265717565737473227de67f8005";
const FOO: &[u8] = b"{'foo':'bar'}";

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// All messages of these pieces, and what is left at the end.
fn read(limit: usize, pieces: &[&[u8]]) -> (Vec<Message>, Result<usize, Malformed>) {
    let (mut splitter, mut messages) = (Splitter::new(limit), Vec::new());
    for piece in pieces {
        splitter.push(Bytes::copy_from_slice(piece));
        loop {
            match splitter.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(wrong) => return (messages, Err(wrong)),
            }
        }
    }
    (messages, Ok(splitter.rest().len()))
}

fn only(bytes: &[u8]) -> Message {
    let (mut messages, rest) = read(MAX_MESSAGE_BYTES, &[bytes]);
    assert_eq!((messages.len(), rest), (1, Ok(0)));
    messages.remove(0)
}

fn wrong(bytes: &[u8]) -> Malformed {
    let (messages, rest) = read(MAX_MESSAGE_BYTES, &[bytes]);
    assert!(messages.is_empty());
    rest.unwrap_err()
}

fn write(value: Value<'_>, out: &mut Vec<u8>) {
    let sized = |kind, bytes: &[u8], out: &mut Vec<u8>| {
        out.push(kind);
        out.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
        out.extend_from_slice(bytes);
    };
    let fixed = |kind, bytes: &[u8], out: &mut Vec<u8>| {
        out.push(kind);
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Bool(yes) => out.push(u8::from(!yes)),
        Value::Byte(n) => fixed(2, &n.to_be_bytes(), out),
        Value::Short(n) => fixed(3, &n.to_be_bytes(), out),
        Value::Int(n) => fixed(4, &n.to_be_bytes(), out),
        Value::Long(n) => fixed(5, &n.to_be_bytes(), out),
        Value::Bytes(bytes) => sized(6, bytes, out),
        Value::Text(text) => sized(7, text.as_bytes(), out),
        Value::Time(n) => fixed(8, &n.to_be_bytes(), out),
        Value::Uuid(bytes) => fixed(9, &bytes, out),
    }
}

/// A frame with these bytes as headers, its checksums right.
fn framed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = u32::try_from(LEAST + headers.len() + payload.len()).unwrap();
    let mut out = Vec::new();
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

fn frame(headers: &[(&str, Value<'_>)], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(u8::try_from(name.len()).unwrap());
        bytes.extend_from_slice(name.as_bytes());
        write(*value, &mut bytes);
    }
    framed(&bytes, payload)
}

#[test]
fn the_published_vectors_are_read() {
    let empty = only(&hex(EMPTY));
    assert_eq!((empty.headers().count(), &empty.payload[..]), (0, &b""[..]));
    let number = only(&hex(NUMBER));
    assert_eq!(number.headers().collect::<Vec<_>>(), [("event-id", Value::Int(0xa00c))]);
    assert_eq!(number.payload, FOO);
    let payload = only(&hex(PAYLOAD));
    assert_eq!((payload.headers().count(), &payload.payload[..]), (0, FOO));
    let text = only(&hex(TEXT));
    assert_eq!((text.text("content-type"), &text.payload[..]), (Some("application/json"), FOO));
}

#[test]
fn the_published_corruptions_are_refused() {
    for (vector, place, byte, expected) in [
        (TEXT, 23, b'+', Malformed::Checksum),
        (TEXT, 6, 1, Malformed::Checksum),
        (PAYLOAD, 0, 1, Malformed::Checksum),
        (PAYLOAD, 24, 0x8d, Malformed::Checksum),
    ] {
        let mut bytes = hex(vector);
        assert_ne!(std::mem::replace(&mut bytes[place], byte), byte);
        assert_eq!(wrong(&bytes), expected, "{vector} at {place}");
    }
}

#[test]
fn events_and_exceptions_are_told_apart() {
    let event = only(&hex(EVENT));
    assert_eq!((event.kind(), event.name()), (Some("event"), Some("messageStart")));
    assert_eq!(event.payload, &br#"{"p":"abcd","role":"assistant"}"#[..]);
    let exception = only(&hex(EXCEPTION));
    assert_eq!((exception.kind(), exception.name()), (Some("exception"), Some("throttlingException")));
    assert_eq!(exception.payload, &br#"{"message":"Too many requests"}"#[..]);
    let error = only(&frame(&[(":message-type", Value::Text("error")), (":error-code", Value::Text("500"))], b""));
    assert_eq!((error.kind(), error.name()), (Some("error"), Some("500")));
    let odd = only(&frame(&[(":message-type", Value::Int(1)), (":event-type", Value::Text("x"))], b""));
    assert_eq!((odd.kind(), odd.name()), (None, Some("x")));
}

#[test]
fn a_stream_cut_anywhere_gives_the_same_messages() {
    let all = [hex(EVENT), hex(EMPTY), hex(EXCEPTION)].concat();
    let (whole, rest) = read(MAX_MESSAGE_BYTES, &[&all]);
    assert_eq!((whole.len(), rest), (3, Ok(0)));
    for cut in 0..=all.len() {
        let (front, back) = all.split_at(cut);
        assert_eq!(read(MAX_MESSAGE_BYTES, &[front, back]), (whole.clone(), Ok(0)), "cut at {cut}");
        let (before, rest) = read(MAX_MESSAGE_BYTES, &[front]);
        assert_eq!(before, whole[..before.len()]);
        let read_bytes = [0, hex(EVENT).len(), hex(EVENT).len() + hex(EMPTY).len(), all.len()][before.len()];
        assert_eq!(rest, Ok(cut - read_bytes), "what is not whole waits");
    }
    let bytes: Vec<&[u8]> = all.chunks(1).collect();
    assert_eq!(read(MAX_MESSAGE_BYTES, &bytes), (whole, Ok(0)));
}

#[test]
fn impossible_lengths_are_refused_before_a_byte_is_waited_for() {
    for (total, headers, expected) in [
        (15u32, 0u32, Malformed::Lengths),
        (16, 1, Malformed::Lengths),
        (1_000_000, 128 * 1024 + 1, Malformed::Lengths),
        (u32::MAX, 0, Malformed::TooLarge { limit: MAX_MESSAGE_BYTES }),
        (0, u32::MAX, Malformed::Lengths),
    ] {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        assert_eq!(wrong(&bytes), expected, "{total} {headers}");
    }
}

#[test]
fn a_message_may_be_as_large_as_the_limit_and_no_larger() {
    let bytes = frame(&[], &[7; 84]);
    assert_eq!(bytes.len(), 100);
    assert_eq!(read(100, &[&bytes]).0.len(), 1);
    assert_eq!(read(99, &[&bytes]).1, Err(Malformed::TooLarge { limit: 99 }));
}

#[test]
fn headers_that_do_not_fill_their_place_exactly_are_refused() {
    for headers in [
        &b"\x01a"[..],          // no kind
        b"\x01a\x0a",           // no such kind
        b"\x00\x00",            // no name
        b"\x05ab\x00",          // a name that is too long
        b"\x01a\x04\0\0\0",     // a number that is too short
        b"\x01a\x07\0\x05xy",   // a text that is too long
        b"\x01a\x07\0\x01\xff", // a text that is none
        b"\x01\xff\x00",        // a name that is no text
        b"\x01a\x00\x01",       // something behind the last
    ] {
        assert_eq!(wrong(&framed(headers, b"{}")), Malformed::Headers, "{headers:?}");
    }
}

#[test]
fn a_lost_stream_stays_lost_and_holds_nothing() {
    let mut bytes = hex(PAYLOAD);
    bytes[20] ^= 1;
    let mut splitter = Splitter::default();
    splitter.push(bytes.into());
    splitter.push(hex(EMPTY).into());
    for _ in 0..2 {
        assert_eq!(splitter.next_message(), Err(Malformed::Checksum));
        splitter.push(hex(EMPTY).into());
        assert!(splitter.rest().is_empty());
    }
}

#[test]
fn a_message_that_came_in_one_piece_is_not_copied() {
    let chunk: Bytes = [hex(EVENT), hex(TEXT)].concat().into();
    let range = chunk.as_ptr_range();
    let mut splitter = Splitter::default();
    splitter.push(chunk.clone());
    for _ in 0..2 {
        let message = splitter.next_message().unwrap().unwrap();
        assert!(range.contains(&message.payload.as_ptr()));
    }
    assert_eq!(splitter.next_message(), Ok(None));
}

/// A header of any kind, with what its value borrows.
#[derive(Debug, Clone)]
enum Any {
    Plain(Value<'static>),
    Bytes(Vec<u8>),
    Text(String),
}

impl Any {
    fn value(&self) -> Value<'_> {
        match self {
            Any::Plain(value) => *value,
            Any::Bytes(bytes) => Value::Bytes(bytes),
            Any::Text(text) => Value::Text(text),
        }
    }
}

fn values() -> impl Strategy<Value = Any> {
    prop_oneof![
        any::<bool>().prop_map(|yes| Any::Plain(Value::Bool(yes))),
        any::<i8>().prop_map(|n| Any::Plain(Value::Byte(n))),
        any::<i16>().prop_map(|n| Any::Plain(Value::Short(n))),
        any::<i32>().prop_map(|n| Any::Plain(Value::Int(n))),
        any::<i64>().prop_map(|n| Any::Plain(Value::Long(n))),
        any::<i64>().prop_map(|n| Any::Plain(Value::Time(n))),
        any::<[u8; 16]>().prop_map(|bytes| Any::Plain(Value::Uuid(bytes))),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Any::Bytes),
        "\\PC{0,20}".prop_map(Any::Text),
    ]
}

type Written = (Vec<(String, Any)>, Vec<u8>);

fn messages() -> impl Strategy<Value = Vec<Written>> {
    let headers = proptest::collection::vec(("[a-z:é-]{1,20}", values()), 0..6);
    let payload = proptest::collection::vec(any::<u8>(), 0..200);
    proptest::collection::vec((headers, payload), 0..5)
}

/// The bytes in pieces of these sizes, again and again.
fn pieces<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut sizes, mut pieces) = (bytes, sizes.iter().cycle(), Vec::new());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

proptest! {
    #[test]
    fn what_was_written_is_read_whatever_the_pieces(
        written in messages(),
        sizes in proptest::collection::vec(1usize..60, 1..6),
    ) {
        let bytes: Vec<u8> = written.iter().flat_map(|(headers, payload)| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.value())).collect();
            frame(&headers, payload)
        }).collect();
        let (read, rest) = read(MAX_MESSAGE_BYTES, &pieces(&bytes, &sizes));
        prop_assert_eq!(rest, Ok(0));
        prop_assert_eq!(read.len(), written.len());
        for (read, (headers, payload)) in read.iter().zip(&written) {
            let expected: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.value())).collect();
            prop_assert_eq!(read.headers().collect::<Vec<_>>(), expected);
            prop_assert_eq!(&read.payload[..], &payload[..]);
        }
    }

    #[test]
    fn one_changed_byte_is_never_read_as_something_else(place in 0usize..129, flip in 1u8..=255) {
        let mut bytes = hex(EVENT);
        bytes[place] ^= flip;
        prop_assert_eq!(wrong(&bytes), Malformed::Checksum);
    }

    #[test]
    fn any_bytes_end_in_messages_or_an_error_and_hold_no_more_than_the_limit(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        headers in proptest::collection::vec(any::<u8>(), 0..60),
        sizes in proptest::collection::vec(1usize..60, 1..6),
    ) {
        let all = [framed(&headers, b"payload"), bytes].concat();
        let mut splitter = Splitter::new(256);
        for piece in pieces(&all, &sizes) {
            splitter.push(Bytes::copy_from_slice(piece));
            while let Ok(Some(_)) = splitter.next_message() {}
            prop_assert!(splitter.rest().len() < 256);
        }
    }
}
