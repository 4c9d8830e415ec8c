//! The tables: migrated by a job of its own, the same on both engines, never rewritten.

use std::collections::BTreeSet;

use domain::keys::Digest;
use store::migrations::{MIGRATIONS, Text};
use store::{Error, SchemaState, Store, migrate};

use crate::ground::Ground;

/// Each migration's number and the SHA-256 of its text, where the engines differ first SQLite's, then PostgreSQL's. A
/// line here is never changed once it was published: a correction is another migration.
const PUBLISHED: &[(i64, &[&str])] = &[
    (1, &["54d335434de74e73e9bcd83bccd8a783b9855c39c4b0745b18835a63556c33c6"]),
    (2, &["286a633763360ddfa87083848f37f5679b1cbbc044436de36d8f0d5ba11fe04e"]),
    (3, &["03b315c78dc43e454e87625c90ce75f0ce89f24e3c3aee15adeb56b0ae64a722"]),
    (4, &["3c66d4de86bff2a0c0097f6aa02c6f8752553a4d4e70e9390554c746b70bdc2c"]),
    (5, &["d174e1af0e7e6da6383d93e485fecbfd24b0b05e534935d24e49b3a688a200e0"]),
    (6, &["89e72a47985c465b7f954ef8fc6057759c255daceb065a1164e9078049c1ffef"]),
    (7, &["9c38e04cfd82a06245399ba9ace92649af48161852401f6d43e80d37e47df5fe"]),
    (8, &["36ccc38682450e3f9b9d664cbc1383a82c08d033fdb0a53674413bbab4022588"]),
    (9, &["92ae1d317648dc9a1088240e35b24065000b5c6eeeb1df85716bcb85ed46fd36"]),
    (10, &["7ccef9829f8781e0d50d084bf991e1fc11f40de8a7bf5fb689e6fb4699aef210"]),
    (
        11,
        &[
            "c7e4555d77d19d3838b36db1abe2c29b118f7a9d2f187a4d59d4d4bf6d0d1a80",
            "781ae466a91bac912789a05f54fe3f516962949eff1c9871a5eba3a50d1bd14f",
        ],
    ),
    (12, &["5a15078be70d02b7f4b3d9083e2137f7905c17f00175907681228ffd0084142c"]),
    (13, &["aabedb5d21a79b45584cd9b86db7b625ea3fdc95285f84ca1e7e58bcc2495ff7"]),
    (14, &["70fc5ed6cd808fd593371d719649d1c8fa005a77417d72d50b59de6c43e74493"]),
    (15, &["824968a03df782809aca5be6cb712afd713022be2f2064ecf7cd7ead9500c6dd"]),
    (16, &["f2cd946237db409457d61b81975de589a3ec18ce775482fdd8eb8d4e3e31e1b8"]),
    (17, &["fd3a141e75a260ee9b14d2f707c42ff558a0204147628f09d8f2c41848967545"]),
];

#[test]
fn published_migrations_are_never_rewritten() {
    let hashes = |text: &Text| -> Vec<String> {
        let texts: BTreeSet<&str> = [text.sqlite, text.postgres].into();
        let both = if texts.len() == 1 { vec![text.sqlite] } else { vec![text.sqlite, text.postgres] };
        both.into_iter().map(|text| Digest::of(text).to_string()).collect()
    };
    let found: Vec<(i64, Vec<String>)> = MIGRATIONS.iter().map(|text| (text.version, hashes(text))).collect();
    let published: Vec<(i64, Vec<String>)> = PUBLISHED
        .iter()
        .map(|(version, hashes)| (*version, hashes.iter().map(|hash| (*hash).to_owned()).collect()))
        .collect();
    assert_eq!(found, published);
}

#[test]
fn migrations_stay_within_the_portable_subset() {
    for text in MIGRATIONS.iter().filter(|text| text.sqlite == text.postgres) {
        for word in ["serial", "autoincrement", "now()", "jsonb", "timestamp", "uuid", "varchar", "integer", "real"] {
            assert!(!text.sqlite.contains(word), "{}: {word}", text.name);
        }
    }
}

async fn from_nothing_to_current(ground: Ground) {
    let behind = SchemaState::Behind { missing: MIGRATIONS.len() };
    assert_eq!(ground.store.schema_state().await.unwrap(), behind);
    let refused = ground.store.require_schema().await;
    assert!(matches!(refused, Err(Error::Schema(SchemaState::Behind { .. }))));
    // Two jobs at the same time, and once more.
    let (one, two) = tokio::join!(migrate(&ground.url), migrate(&ground.url));
    one.unwrap();
    two.unwrap();
    migrate(&ground.url).await.unwrap();
    assert_eq!(ground.store.schema_state().await.unwrap(), SchemaState::Current);
    ground.store.require_schema().await.unwrap();
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_run_once_on_sqlite_whoever_starts_them() {
    from_nothing_to_current(Ground::empty_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_run_once_on_postgres_whoever_starts_them() {
    if let Some(ground) = Ground::empty_postgres().await {
        from_nothing_to_current(ground).await;
    }
}

on_both_engines!(an_unknown_schema_is_refused, a_schema_of_the_release_before_is_behind);

async fn an_unknown_schema_is_refused(ground: &Ground) {
    ground.break_by("update _sqlx_migrations set version = 9999 where version = 12").await;
    assert_eq!(ground.store.schema_state().await.unwrap(), SchemaState::Unknown { version: 9999 });
    let refused = ground.store.migrate().await;
    assert!(matches!(refused, Err(Error::Schema(SchemaState::Unknown { version: 9999 }))), "{refused:?}");
    ground.break_by("update _sqlx_migrations set version = 12 where version = 9999").await;
    assert_eq!(ground.store.schema_state().await.unwrap(), SchemaState::Current);
    // The same number with another text.
    let other = if ground.store.is_postgres() { "'\\x00'" } else { "x'00'" };
    ground.break_by(&format!("update _sqlx_migrations set checksum = {other} where version = 2")).await;
    assert_eq!(ground.store.schema_state().await.unwrap(), SchemaState::Unknown { version: 2 });
}

async fn a_schema_of_the_release_before_is_behind(ground: &Ground) {
    ground.break_by("delete from _sqlx_migrations where version = 12").await;
    assert_eq!(ground.store.schema_state().await.unwrap(), SchemaState::Behind { missing: 1 });
}

const SQLITE_COLUMNS: &str = "select m.name || ' ' || p.name || ' ' || lower(p.type) || ' ' || p.\"notnull\" \
    from sqlite_master m join pragma_table_info(m.name) p where m.type = 'table' and m.name not like '%sqlx%'";
const POSTGRES_COLUMNS: &str = "select table_name || ' ' || column_name || ' ' || data_type || ' ' || \
    case when is_nullable = 'NO' then '1' else '0' end from information_schema.columns \
    where table_schema = 'public' and table_name not like '%sqlx%'";
const SQLITE_INDEXES: &str = "select m.name || ' on ' || m.tbl_name || ' (' || \
    (select group_concat(name, ', ') from (select name from pragma_index_info(m.name) order by seqno)) || ')' \
    from sqlite_master m where m.type = 'index' and m.sql is not null";
const POSTGRES_INDEXES: &str = "select c.relname || ' on ' || t.relname || ' (' || \
    (select string_agg(a.attname, ', ' order by k.ord) from unnest(i.indkey) with ordinality as k(num, ord) \
     join pg_attribute a on a.attrelid = t.oid and a.attnum = k.num) || ')' \
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid \
    join pg_namespace n on n.oid = t.relnamespace where n.nspname = 'public' and t.relname not like '%sqlx%' \
    and not exists (select 1 from pg_constraint o where o.conindid = i.indexrelid)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_have_the_same_tables() {
    let Some(postgres) = Ground::postgres().await else { return };
    let sqlite = Ground::sqlite().await;
    for (one, other) in [(SQLITE_COLUMNS, POSTGRES_COLUMNS), (SQLITE_INDEXES, POSTGRES_INDEXES)] {
        let one: BTreeSet<String> = sqlite.texts(one).await.into_iter().collect();
        let other: BTreeSet<String> = postgres.texts(other).await.into_iter().collect();
        assert!(one.len() > 5);
        assert_eq!(one, other);
    }
    sqlite.end().await;
    postgres.end().await;
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_repeating_a_password() {
    for url in ["mysql://localhost/x", "", "postgres://user:hunter2@[broken/x"] {
        let refused = Store::open(url).await.err();
        let Some(Error::BadUrl { .. }) = &refused else { panic!("{url}: {refused:?}") };
        assert!(!format!("{refused:?}").contains("hunter2"));
    }
}
