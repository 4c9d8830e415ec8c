use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn names(frame: &Frame) -> Vec<&str> {
    match frame {
        Frame::Delta { names, .. } => names.iter().map(|(_, name)| name.as_str()).collect(),
        Frame::Resync { .. } => Vec::new(),
    }
}

fn key(feed: &mut Feed, revision: u64, name: &str, urgent: bool, now: u64) {
    feed.mark(Revision(revision), Kind::Key, name, urgent, now);
}

#[test]
fn bulk_waits_for_quiet_and_urgent_for_nothing() {
    let mut feed = Feed::new(Revision(5));
    key(&mut feed, 6, "a", false, 1_000);
    assert_eq!(feed.next(1_000), []);
    assert_eq!(feed.next_wake(), Some(1_050));
    key(&mut feed, 7, "b", true, 1_010);
    let urgent = feed.next(1_010);
    let expected = vec![(Kind::Key, "b".to_owned())];
    assert_eq!(urgent, [Frame::Delta { nonce: 1, urgent: true, to_revision: Revision(5), names: expected }]);
    assert_eq!(feed.next(1_049), []);
    let bulk = feed.next(1_050);
    let expected = vec![(Kind::Key, "a".to_owned())];
    assert_eq!(bulk, [Frame::Delta { nonce: 2, urgent: false, to_revision: Revision(7), names: expected }]);
    assert_eq!(feed.dirty(), 0);
}

#[test]
fn bulk_that_never_rests_is_sent_all_the_same() {
    let mut feed = Feed::new(Revision(0));
    let mut sent_at = None;
    for now in (0..1_000).step_by(10) {
        key(&mut feed, now + 1, "a", false, now);
        if !feed.next(now).is_empty() && sent_at.is_none() {
            sent_at = Some(now);
        }
    }
    assert_eq!(sent_at, Some(500));
}

#[test]
fn a_name_is_sent_once_however_often_it_changed() {
    let mut feed = Feed::new(Revision(0));
    for revision in 1..10_000 {
        key(&mut feed, revision, ["a", "b"][usize::from(revision % 2 == 0)], false, 0);
    }
    assert_eq!(feed.dirty(), 2);
    let frames = feed.next(50);
    assert_eq!(names(&frames[0]), ["a", "b"]);
    assert!(matches!(frames[0], Frame::Delta { to_revision: Revision(9_999), .. }));
}

#[test]
fn a_change_that_concerns_no_proxy_moves_the_revision_alone() {
    let mut feed = Feed::new(Revision(3));
    feed.advance(Revision(4), 0);
    let empty = Frame::Delta { nonce: 1, urgent: false, to_revision: Revision(4), names: vec![] };
    assert_eq!(feed.next(50), [empty]);
    assert_eq!(feed.next(1_000), []);
}

#[test]
fn two_bulk_frames_are_under_way_at_most_and_urgent_passes_them() {
    let mut feed = Feed::new(Revision(0));
    for n in 0..5 * FRAME {
        key(&mut feed, 1, &format!("{n:06}"), false, 0);
    }
    let first = feed.next(50);
    assert_eq!(first.len(), 2);
    let told = |frame: &Frame| matches!(frame, Frame::Delta { to_revision: Revision(0), .. });
    assert!(first.iter().all(told), "not everything is told yet");
    key(&mut feed, 2, "000000", true, 60);
    assert_eq!(names(&feed.next(60)[0]), ["000000"]);
    feed.acked(1, true);
    assert_eq!(feed.next(61).len(), 1);
    for nonce in [2, 3, 4] {
        feed.acked(nonce, true);
    }
    let last = feed.next(120);
    assert_eq!(last.len(), 2);
    assert!(matches!(last[1], Frame::Delta { to_revision: Revision(2), .. }));
}

#[test]
fn kinds_come_in_the_order_of_publication() {
    let mut feed = Feed::new(Revision(0));
    for kind in [Kind::Key, Kind::Org, Kind::Endpoint, Kind::Provider, Kind::Model] {
        feed.mark(Revision(1), kind, "x", false, 0);
    }
    let Frame::Delta { names, .. } = feed.next(50).remove(0) else { panic!() };
    assert_eq!(names.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), Kind::ALL);
}

#[test]
fn a_proxy_that_stops_listening_costs_a_bounded_set_and_starts_over() {
    let mut feed = Feed::new(Revision(0));
    for n in 0..=DIRTY_MAX {
        key(&mut feed, 1, &n.to_string(), false, 0);
    }
    assert_eq!(feed.dirty(), 0);
    assert_eq!(feed.next(50), [Frame::Resync { revision: Revision(1) }]);

    let mut feed = Feed::new(Revision(0));
    key(&mut feed, 1, "a", false, 0);
    assert_eq!(feed.next(50).len(), 1);
    key(&mut feed, 2, "b", false, 60);
    assert_eq!(feed.next_wake(), Some(110));
    feed.next(110);
    assert_eq!(feed.next_wake(), Some(60_050));
    assert_eq!(feed.next(60_050), [Frame::Resync { revision: Revision(2) }]);
}

#[test]
fn a_refused_frame_starts_over_and_late_answers_are_ignored() {
    let mut feed = Feed::new(Revision(0));
    key(&mut feed, 1, "a", false, 0);
    feed.next(50);
    feed.acked(1, false);
    assert_eq!(feed.next(51), [Frame::Resync { revision: Revision(1) }]);
    feed.acked(1, false);
    assert_eq!(feed.next(52), []);
}

proptest! {
    /// Whatever is marked and acknowledged when: once the feed rests, a reader that loads rows when frames are made
    /// knows the last state of every name, and never believed a revision whose changes it did not have.
    #[test]
    fn a_reader_of_all_frames_knows_everything(steps in prop::collection::vec((0u8..6, 0usize..12, any::<bool>()), 1..200)) {
        let mut feed = Feed::new(Revision(0));
        let (mut rows, mut known): (BTreeMap<String, u64>, BTreeMap<String, u64>) = Default::default();
        let (mut now, mut revision, mut open) = (0u64, 0u64, Vec::new());
        let deliver = |frames: Vec<Frame>, rows: &BTreeMap<String, u64>, known: &mut BTreeMap<String, u64>, open: &mut Vec<u64>| {
            for frame in frames {
                let Frame::Delta { nonce, urgent, to_revision, names } = frame else { panic!("resync") };
                for (_, name) in names {
                    known.insert(name.clone(), rows[&name]);
                }
                open.push(nonce);
                if !urgent {
                    for (name, changed) in rows.iter().filter(|(_, changed)| **changed <= to_revision.0) {
                        assert_eq!(known.get(name), Some(changed), "{to_revision}");
                    }
                }
            }
        };
        for (what, name, urgent) in steps {
            match what {
                0..=2 => {
                    revision += 1;
                    let name = format!("k{name}");
                    rows.insert(name.clone(), revision);
                    key(&mut feed, revision, &name, urgent, now);
                }
                3 if !open.is_empty() => feed.acked(open.remove(0), true),
                _ => now += 30,
            }
            deliver(feed.next(now), &rows, &mut known, &mut open);
        }
        for _ in 0..100 {
            now += 50;
            open.drain(..).for_each(|nonce| feed.acked(nonce, true));
            deliver(feed.next(now), &rows, &mut known, &mut open);
        }
        prop_assert_eq!(known, rows);
        prop_assert_eq!(feed.dirty(), 0);
        prop_assert_eq!(feed.next_wake(), None);
    }
}
