//! Money in the books: balanced, append-only, the same thing never twice.

use domain::audit::Actor;
use domain::credits::{Account, EntryKind, transfer};
use domain::ids::{OrgId, OrgScope};
use store::{Error, Once, Posting, credits};

use crate::ground::Ground;
use crate::samples::{self, ALL, NOW, usd};

on_both_engines!(
    credits_are_granted_once_per_key,
    a_refund_takes_what_is_available_and_no_more,
    entries_are_listed_newest_first_with_their_legs,
    another_organisations_books_are_closed,
    written_entries_cannot_be_changed,
    what_does_not_balance_is_not_written,
    grants_from_many_sides_are_all_counted,
    a_key_that_was_not_committed_is_free_again,
    two_with_one_key_at_the_same_time_post_once,
);

async fn credits_are_granted_once_per_key(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(25)).await;
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(25));
    match ground.store.post_once(Actor::Root, "first:1", NOW).await.unwrap() {
        Once::Replayed(entries) => {
            assert_eq!(entries.len(), 1);
            assert_eq!((entries[0].org, entries[0].kind), (org.id, EntryKind::Grant));
            assert_eq!(entries[0].legs[1].amount, usd(25));
        }
        Once::New(_) => panic!("the key was used"),
    }
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(25));
    let mut posting = samples::post_new(&ground.store, "second").await;
    let there = posting.orgs(ALL(), &[org.id]).await.unwrap();
    assert_eq!(there[&org.id].available, usd(25));
    posting.grant(org.id, "promo\0", usd(1)).unwrap();
    posting.commit().await.unwrap();
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(26));
}

async fn a_refund_takes_what_is_available_and_no_more(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(5)).await;
    let mut posting = samples::post_new(&ground.store, "refund").await;
    posting.orgs(ALL(), &[org.id]).await.unwrap();
    assert!(matches!(posting.refund(org.id, usd(6)), Err(Error::Conflict { what: "available" })));
    posting.refund(org.id, usd(2)).unwrap();
    assert!(matches!(posting.refund(org.id, usd(4)), Err(Error::Conflict { .. })), "counts what it did itself");
    posting.commit().await.unwrap();
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.refunded, balance.funded()), (usd(3), usd(2), usd(5)));
}

async fn entries_are_listed_newest_first_with_their_legs(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(1)).await;
    for n in 2..=5 {
        samples::grant(&ground.store, org.id, usd(n), &format!("grant {n}")).await;
    }
    let entries = credits::entries(&ground.store, ALL(), org.id, None, 3).await.unwrap();
    let amounts: Vec<_> = entries.iter().map(|entry| entry.legs.last().unwrap().amount).collect();
    assert_eq!(amounts, [usd(5), usd(4), usd(3)]);
    let legs = transfer(Account::Funding("grant".into()), Account::Available(org.id), usd(5));
    assert_eq!(entries[0].legs, legs);
    assert_eq!((entries[0].actor.as_str(), entries[0].at), ("root", NOW));
    let older = credits::entries(&ground.store, ALL(), org.id, Some(entries[2].id), 9).await.unwrap();
    assert_eq!(older.iter().map(|entry| entry.legs[1].amount).collect::<Vec<_>>(), [usd(2), usd(1)]);
}

async fn another_organisations_books_are_closed(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(1)).await;
    let stranger = OrgScope::granted(OrgId::new(1, 99));
    assert!(matches!(credits::balance(&ground.store, stranger, org.id).await, Err(Error::NotFound { .. })));
    let entries = credits::entries(&ground.store, stranger, org.id, None, 9).await;
    assert!(matches!(entries, Err(Error::NotFound { .. })));
    let mut posting = samples::post(&ground.store).await;
    assert!(matches!(posting.orgs(stranger, &[org.id]).await, Err(Error::NotFound { .. })));
    drop(posting);
    let nobody = OrgId::new(1, 404);
    assert!(matches!(credits::balance(&ground.store, ALL(), nobody).await, Err(Error::NotFound { .. })));
    let mut posting = samples::post(&ground.store).await;
    assert!(matches!(posting.orgs(ALL(), &[nobody]).await, Err(Error::NotFound { .. })));
}

async fn written_entries_cannot_be_changed(ground: &Ground) {
    samples::funded(&ground.store, 1, usd(1)).await;
    for sql in [
        "update entries set note = 'other'",
        "delete from entries",
        "update legs set amount = amount * 2",
        "delete from legs",
    ] {
        assert!(ground.attempt(sql).await.is_err(), "{sql}");
    }
    // The guard is on these tables only.
    ground.attempt("update orgs set name = 'other'").await.unwrap();
}

async fn what_does_not_balance_is_not_written(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(1)).await;
    let legs = transfer(Account::Available(org.id), Account::Settled(org.id), usd(1));
    let mut posting = samples::post(&ground.store).await;
    let unlocked = posting.legs(org.id, EntryKind::Charge, &legs);
    assert!(matches!(unlocked, Err(Error::Misuse { .. })), "nothing moves that is not locked");
    posting.orgs(ALL(), &[org.id]).await.unwrap();
    assert!(matches!(posting.legs(org.id, EntryKind::Charge, &legs[..1]), Err(Error::Misuse { .. })));
    assert!(matches!(posting.grant(org.id, "x", samples::nano(-1)), Err(Error::Misuse { .. })));
    let again = posting.orgs(ALL(), &[samples::org(2).id]).await;
    assert!(matches!(again, Err(Error::Misuse { .. })), "organisations are locked all at once");
    let mark = posting.mark(&samples::proxy("late"), samples::EPOCH).await;
    assert!(matches!(mark, Err(Error::Misuse { .. })), "a mark comes before organisations");
    assert!(posting.commit().await.unwrap().is_empty(), "an empty posting writes no entry");
    assert_eq!(credits::entries(&ground.store, ALL(), org.id, None, 9).await.unwrap().len(), 1);
}

async fn grants_from_many_sides_are_all_counted(ground: &Ground) {
    let orgs: Vec<OrgId> = (1..=3).map(|n| samples::org(n).id).collect();
    for n in 1..=3 {
        samples::insert_org(&ground.store, &samples::org(n)).await;
    }
    let tasks: Vec<_> = (0..24)
        .map(|n| {
            let (store, mut orgs) = (ground.store.clone(), orgs.clone());
            tokio::spawn(async move {
                // Everyone wants all three, each in another order.
                orgs.rotate_left(n % 3);
                let mut posting = samples::post_new(&store, &format!("grant {n}")).await;
                posting.orgs(ALL(), &orgs).await.unwrap();
                for org in orgs {
                    posting.grant(org, "grant", usd(1)).unwrap();
                    posting.write_off(org, "crash", usd(2)).unwrap();
                }
                posting.commit().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for org in orgs {
        assert_eq!(samples::balance(&ground.store, org).await.available, usd(24));
    }
    crate::books::everything_adds_up(ground).await;
}

async fn a_key_that_was_not_committed_is_free_again(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(1)).await;
    let mut posting = samples::post_new(&ground.store, "later").await;
    posting.orgs(ALL(), &[org.id]).await.unwrap();
    posting.grant(org.id, "grant", usd(9)).unwrap();
    drop(posting);
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(1));
    samples::grant(&ground.store, org.id, usd(2), "later").await;
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(3));
}

async fn two_with_one_key_at_the_same_time_post_once(ground: &Ground) {
    let (org, _) = samples::funded(&ground.store, 1, usd(1)).await;
    let grant = async |store: &store::Store| match store.post_once(Actor::Root, "same", NOW).await.unwrap() {
        Once::Replayed(entries) => {
            assert_eq!(entries.len(), 1, "the other one is committed by now");
            false
        }
        Once::New(mut posting) => {
            posting.orgs(ALL(), &[org.id]).await.unwrap();
            posting.grant(org.id, "grant", usd(1)).unwrap();
            finish(posting).await;
            true
        }
    };
    let (one, two) = tokio::join!(grant(&ground.store), grant(&ground.store));
    assert!(one != two, "exactly one did it");
    assert_eq!(samples::balance(&ground.store, org.id).await.available, usd(2));
}

async fn finish(posting: Posting) {
    // Lets the other one come up to the same key first.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    posting.commit().await.unwrap();
}
