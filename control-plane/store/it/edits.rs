//! Edits: all or nothing, one at a time, never without an actor.

use std::time::Duration;

use domain::audit::Actor;
use domain::ids::{Revision, TokenId};
use domain::orgs::Org;
use store::{Nudge, audit, orgs, revisions};

use crate::ground::Ground;
use crate::samples::{self, ALL, NOW};

on_both_engines!(
    a_dropped_edit_leaves_nothing,
    edits_wait_for_each_other_and_revisions_have_no_gaps,
    a_commit_goes_on_when_nobody_waits_for_it,
    an_edit_is_one_revision_for_all_of_its_changes,
    the_audit_log_is_read_newest_first,
    a_committed_edit_is_announced,
    the_first_id_of_an_installation_stays,
);

async fn a_dropped_edit_leaves_nothing(ground: &Ground) {
    let mut edit = samples::edit(&ground.store).await;
    orgs::insert(&mut edit, &samples::org(1)).await.unwrap();
    drop(edit);
    assert!(orgs::list(&ground.store, ALL(), None, 9).await.unwrap().is_empty());
    assert_eq!(revisions::head(&ground.store).await.unwrap(), Revision(0));
    assert!(audit::list(&ground.store, None, None, 9).await.unwrap().is_empty());
    samples::insert_org(&ground.store, &samples::org(1)).await;
}

async fn edits_wait_for_each_other_and_revisions_have_no_gaps(ground: &Ground) {
    samples::insert_org(&ground.store, &Org { name: "0".into(), ..samples::org(1) }).await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = ground.store.clone();
            tokio::spawn(async move {
                let mut edit = samples::edit(&store).await;
                // Read, change, write: none of the twenty may be lost.
                let mut org = orgs::load(&mut edit, ALL(), samples::org(1).id).await.unwrap();
                org.name = (org.name.parse::<u32>().unwrap() + 1).to_string();
                orgs::update(&mut edit, ALL(), &org).await.unwrap();
                edit.commit().await.unwrap()
            })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        given.push(task.await.unwrap().0);
    }
    given.sort_unstable();
    assert_eq!(given, (2..=21).collect::<Vec<_>>());
    assert_eq!(orgs::load(&ground.store, ALL(), samples::org(1).id).await.unwrap().name, "20");
}

async fn a_commit_goes_on_when_nobody_waits_for_it(ground: &Ground) {
    let mut nudges = ground.store.nudges().await.unwrap();
    let mut edit = samples::edit(&ground.store).await;
    orgs::insert(&mut edit, &samples::org(1)).await.unwrap();
    {
        // Polled once, then forgotten, as a cancelled call would.
        let commit = edit.commit();
        tokio::pin!(commit);
        let once = std::future::poll_fn(|context| std::task::Poll::Ready(commit.as_mut().poll(context).is_ready()));
        once.await;
    }
    let heard = tokio::time::timeout(Duration::from_secs(10), nudges.next()).await.unwrap();
    assert_eq!(heard, Nudge::Settings);
    assert_eq!(revisions::head(&ground.store).await.unwrap(), Revision(1));
}

async fn an_edit_is_one_revision_for_all_of_its_changes(ground: &Ground) {
    let mut edit = samples::edit(&ground.store).await;
    assert_eq!(edit.revision(), Revision(1));
    for n in 1..=3 {
        orgs::insert(&mut edit, &samples::org(n)).await.unwrap();
    }
    assert_eq!(edit.commit().await.unwrap(), Revision(1));
    let page = revisions::changes_since(&ground.store, Revision(0), 10).await.unwrap();
    assert!(page.changes.iter().all(|change| change.revision == Revision(1)));
    assert_eq!(page.changes.len(), 3);
}

async fn the_audit_log_is_read_newest_first(ground: &Ground) {
    let token = TokenId::new(1, 1);
    for n in 1..=3 {
        let mut edit = ground.store.edit(Actor::Token(token), NOW).await.unwrap();
        orgs::insert(&mut edit, &samples::org(n)).await.unwrap();
        edit.audit(None, "apply", "file", "by hand");
        edit.commit().await.unwrap();
    }
    let all = audit::list(&ground.store, None, None, 10).await.unwrap();
    let seen: Vec<_> = all.iter().map(|line| (line.revision.0, line.action.as_str())).collect();
    assert_eq!(
        seen,
        [(3, "apply"), (3, "orgs.create"), (2, "apply"), (2, "orgs.create"), (1, "apply"), (1, "orgs.create")]
    );
    assert!(all.iter().all(|line| line.actor == token.to_string()));
    let before = audit::list(&ground.store, None, Some(Revision(2)), 10).await.unwrap();
    assert_eq!(before.len(), 2);
    let own = audit::list(&ground.store, Some(samples::org(2).id), None, 10).await.unwrap();
    assert_eq!(own.iter().map(|line| line.revision.0).collect::<Vec<_>>(), [2]);
}

async fn a_committed_edit_is_announced(ground: &Ground) {
    let mut nudges = ground.store.nudges().await.unwrap();
    let (org, _) = samples::funded(&ground.store, 1, samples::usd(1)).await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(tokio::time::timeout(Duration::from_secs(10), nudges.next()).await.unwrap());
    }
    assert_eq!(heard, [Nudge::Settings, Nudge::Settings, Nudge::Credits(org.id)]);
}

async fn the_first_id_of_an_installation_stays(ground: &Ground) {
    let first = ground.store.installation("one", NOW).await.unwrap();
    let again = ground.store.installation("two", samples::later(5)).await.unwrap();
    assert_eq!(first.id, "one");
    assert_eq!(first, again);
    ground.store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_a_reason_to_look_and_listening_goes_on() {
    let Some(ground) = Ground::postgres().await else { return };
    let mut nudges = ground.store.nudges().await.unwrap();
    let ended = "select cast(pg_terminate_backend(pid) as text) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid() and query ilike 'listen%'";
    assert_eq!(ground.texts(ended).await, ["true"]);
    let next =
        async |nudges: &mut store::Nudges| tokio::time::timeout(Duration::from_secs(20), nudges.next()).await.unwrap();
    assert_eq!(next(&mut nudges).await, Nudge::Missed);
    // Whatever is committed from here on is heard, or is another reason to look, until it listens again.
    let mut heard = Vec::new();
    for n in 1..=5 {
        samples::insert_org(&ground.store, &samples::org(n)).await;
        heard.push(next(&mut nudges).await);
    }
    assert_eq!(heard.last(), Some(&Nudge::Settings), "{heard:?}");
    // Somebody still listens while the store closes: that ends, too.
    tokio::time::timeout(Duration::from_secs(20), ground.end()).await.unwrap();
}
