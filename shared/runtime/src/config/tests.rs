use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::*;
use crate::{
    Secret,
    secret::{mask, mask_map},
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Plane {
    listen: SocketAddr,
    workers: u16,
    ratio: f64,
    strict: bool,
    lease_ttl: Span,
    max_body: Bytes,
    hosts: Vec<String>,
    ports: Vec<u16>,
    color: Color,
    limit: Option<u32>,
    #[serde(serialize_with = "mask")]
    token: Secret,
    #[serde(serialize_with = "mask_map")]
    headers: BTreeMap<String, Secret>,
    database: Database,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Database {
    url: String,
    pool: Pool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Pool {
    max_size: u32,
    idle: Span,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
enum Color {
    Red,
    DarkBlue,
}

impl Default for Plane {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
            workers: 4,
            ratio: 0.5,
            strict: true,
            lease_ttl: Span::from_mins(20),
            max_body: Bytes::from_mib(32),
            hosts: vec![],
            ports: vec![],
            color: Color::Red,
            limit: None,
            token: Secret::default(),
            headers: BTreeMap::new(),
            database: Database::default(),
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { url: "sqlite".to_owned(), pool: Pool::default() }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self { max_size: 8, idle: Span::from_secs(90) }
    }
}

const PREFIX: &str = "TOLLGATE_DATA_";

fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_vars(pairs: &[(&str, &str)]) -> Result<Plane, ConfigError> {
    load(None, PREFIX, vars(pairs))
}

/// Loads a file of this text; the folder's name is cut from the error.
fn from_file(text: &str, pairs: &[(&str, &str)]) -> Result<Plane, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plane.toml");
    fs::write(&path, text).unwrap();
    let folder = format!("{}/", folder.path().display());
    load(Some(&path), PREFIX, vars(pairs)).map_err(|error| error.to_string().replace(&folder, ""))
}

fn refusal(result: Result<Plane, ConfigError>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn without_file_and_variables_the_defaults_hold() {
    let plane = from_vars(&[]).unwrap();
    assert_eq!((plane.workers, plane.database.pool.max_size), (4, 8));
    assert!(plane.token.is_empty());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "workers = 6\nratio = 0.25\n[database.pool]\nmax_size = 16\n";
    let plane = from_file(file, &[("TOLLGATE_DATA_WORKERS", "7")]).unwrap();
    assert_eq!((plane.workers, plane.database.pool.max_size), (7, 16));
    assert!((plane.ratio - 0.25).abs() < f64::EPSILON);
    assert_eq!(plane.database.pool.idle.get(), Duration::from_secs(90));
}

#[test]
fn variables_are_read_by_the_type_of_their_setting() {
    let plane = from_vars(&[
        ("TOLLGATE_DATA_LISTEN", "0.0.0.0:0"),
        ("TOLLGATE_DATA_RATIO", "1"),
        ("TOLLGATE_DATA_STRICT", "false"),
        ("TOLLGATE_DATA_LEASE_TTL", "1h30m"),
        ("TOLLGATE_DATA_MAX_BODY", "64KiB"),
        ("TOLLGATE_DATA_HOSTS", "a.example, 10"),
        ("TOLLGATE_DATA_PORTS", "1,2"),
        ("TOLLGATE_DATA_COLOR", "dark_blue"),
        ("TOLLGATE_DATA_LIMIT", "12"),
        ("TOLLGATE_DATA_TOKEN", "123456"),
        ("TOLLGATE_DATA_HEADERS", "authorization=Bearer a=b, x-team=9"),
        ("TOLLGATE_DATA_DATABASE_URL", "postgres://x"),
        ("TOLLGATE_DATA_DATABASE_POOL_IDLE", "250ms"),
    ])
    .unwrap();
    assert_eq!(plane.listen, ([0, 0, 0, 0], 0).into());
    assert!((plane.ratio - 1.0).abs() < f64::EPSILON && !plane.strict);
    assert_eq!((plane.lease_ttl.get(), plane.max_body.get()), (Duration::from_secs(5_400), 65_536));
    assert_eq!((plane.hosts, plane.ports), (vec!["a.example".to_owned(), "10".to_owned()], vec![1, 2]));
    assert_eq!((plane.color, plane.limit), (Color::DarkBlue, Some(12)));
    assert_eq!(plane.token.expose(), b"123456");
    assert_eq!(plane.headers["authorization"].expose(), b"Bearer a=b");
    assert_eq!(plane.headers["x-team"].expose(), b"9");
    assert_eq!((plane.database.url.as_str(), plane.database.pool.idle), ("postgres://x", Span::from_millis(250)));
}

#[test]
fn lists_and_tables_may_be_written_in_tomls_own_form() {
    let plane = from_vars(&[
        ("TOLLGATE_DATA_HOSTS", "['a,b', 'c']"),
        ("TOLLGATE_DATA_HEADERS", "{ authorization = 'Bearer, x' }"),
    ])
    .unwrap();
    assert_eq!(plane.hosts, ["a,b", "c"]);
    assert_eq!(plane.headers["authorization"].expose(), b"Bearer, x");
}

#[test]
fn a_variable_set_to_nothing_counts_as_not_set() {
    assert_eq!(from_vars(&[("TOLLGATE_DATA_WORKERS", ""), ("TOLLGATE_DATA_TYPO", "")]).unwrap().workers, 4);
}

#[test]
fn unknown_variables_of_the_plane_are_refused_by_name() {
    let refused = refusal(from_vars(&[
        ("TOLLGATE_DATA_WORKER", "3"),
        ("TOLLGATE_DATA_WORKERS", "3"),
        ("TOLLGATE_DATA_NOTHING_LIKE_IT", "x"),
    ]));
    assert_eq!(
        refused,
        "no such setting: TOLLGATE_DATA_NOTHING_LIKE_IT, TOLLGATE_DATA_WORKER (did you mean TOLLGATE_DATA_WORKERS?)"
    );
}

#[test]
fn a_setting_named_without_its_plane_is_refused_and_the_right_name_said() {
    let refused = refusal(from_vars(&[("TOLLGATE_WORKERS", "3"), ("TOLLGATE_DATABASE_POOL_IDLE", "1s")]));
    assert_eq!(
        refused,
        "no such setting: TOLLGATE_DATABASE_POOL_IDLE (did you mean TOLLGATE_DATA_DATABASE_POOL_IDLE?), \
         TOLLGATE_WORKERS (did you mean TOLLGATE_DATA_WORKERS?)"
    );
    assert_eq!(from_vars(&[("TOLLGATE_WORKERS", "")]).unwrap().workers, 4);
}

#[test]
fn variables_of_others_are_left_alone() {
    let others = [
        ("TOLLGATE_ADMIN_TOKEN", "t"),
        ("TOLLGATE_ADMIN_URL", "u"),
        ("TOLLGATE_FIXTURES", "f"),
        ("TOLLGATE_CONTROL_WORKERS", "9"),
        ("TOLLGATE_KEY", "k"),
        ("TOLLGATE_", "nothing"),
        ("WORKERS", "9"),
        ("PATH", "/bin"),
    ];
    assert_eq!(from_vars(&others).unwrap().workers, 4);
}

#[test]
fn a_bad_variable_is_refused_with_its_name_and_setting() {
    let cases = [
        ("TOLLGATE_DATA_WORKERS", "many", "workers: "),
        ("TOLLGATE_DATA_WORKERS", "70000", "workers: "),
        ("TOLLGATE_DATA_STRICT", "yes", "strict: "),
        ("TOLLGATE_DATA_LEASE_TTL", "20", "lease_ttl: a duration is a whole number with a unit"),
        ("TOLLGATE_DATA_PORTS", "1,x", "ports: "),
        ("TOLLGATE_DATA_COLOR", "green", "color: unknown variant `green`"),
        ("TOLLGATE_DATA_LIMIT", "-1", "limit: "),
        ("TOLLGATE_DATA_DATABASE_POOL_MAX_SIZE", "1.5", "database.pool.max_size: "),
        ("TOLLGATE_DATA_HEADERS", "canary", "headers: each part must be NAME=VALUE"),
    ];
    for (name, value, rest) in cases {
        let refused = refusal(from_vars(&[(name, value)]));
        assert!(refused.starts_with(&format!("environment variable {name}: {rest}")), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
}

#[test]
fn a_mistake_in_the_file_is_shown_with_file_line_column_and_key() {
    let cases = [
        ("workers = 1\nwokers = 2\n", "plane.toml:2:1: wokers: unknown field `wokers`, expected"),
        ("\n\nworkers = 'six'\n", "plane.toml:3:11: workers: invalid type: string \"six\", expected u16"),
        ("[database]\n[database.pool]\nmax_size = -3\n", "plane.toml:3:12: database.pool.max_size: invalid value"),
        ("[database]\npool = { size = 3 }\n", "plane.toml:2:10: database.pool.size: unknown field `size`"),
        ("[databse]\nurl = 'x'\n", "plane.toml:1:2: databse: unknown field `databse`"),
        ("lease_ttl = '20 parsecs'\n", "plane.toml:1:13: lease_ttl: a duration is"),
        ("lease_ttl = 20\n", "plane.toml:1:13: lease_ttl: a duration is"),
        ("workers = 1\nworkers = 2\n", "plane.toml:2:1: duplicate key"),
    ];
    for (text, wanted) in cases {
        let refused = from_file(text, &[]).err().unwrap();
        assert!(refused.starts_with(wanted), "{refused}\nwanted {wanted}");
    }
    let missing = load::<Plane>(Some(Path::new("/nonexistent/plane.toml")), PREFIX, []).err().unwrap();
    assert_eq!(missing.to_string(), "read settings file /nonexistent/plane.toml");
}

#[test]
fn a_mistake_in_a_file_never_quotes_a_secret() {
    for text in
        ["token = canary-1\n", "token = 'canary-1\n", "token = 'canary-1'\nwokers = 1\n", "token = ['canary-1']\n"]
    {
        let refused = from_file(text, &[]).err().unwrap();
        assert!(!refused.contains("canary"), "{refused}");
    }
}

#[test]
fn printed_settings_hold_no_secret_and_read_back() {
    let mut plane = from_vars(&[("TOLLGATE_DATA_TOKEN", "canary-1"), ("TOLLGATE_DATA_HEADERS", "a=canary-2")]).unwrap();
    let printed = to_toml(&plane).unwrap();
    assert!(!printed.contains("canary"), "{printed}");
    assert!(printed.contains("token = \"***set***\"") && printed.contains("a = \"***set***\""), "{printed}");
    assert!(printed.contains("lease_ttl = \"20m\"") && printed.contains("max_body = \"32MiB\""), "{printed}");
    // With the mask in it the print is no settings file any more …
    assert!(from_file(&printed, &[]).err().unwrap().contains("mask"));
    // … and without secrets it says the same as the defaults.
    plane.token = Secret::default();
    plane.headers.clear();
    let again = from_file(&to_toml(&plane).unwrap(), &[]).unwrap();
    assert_eq!(to_toml(&again).unwrap(), to_toml(&plane).unwrap());
}

#[test]
fn every_setting_has_its_variable() {
    let known: BTreeMap<_, _> = variables::<Plane>(PREFIX).unwrap().into_iter().collect();
    assert_eq!(known.len(), 15);
    assert_eq!(known["TOLLGATE_DATA_DATABASE_POOL_MAX_SIZE"], "database.pool.max_size");
    assert_eq!(known["TOLLGATE_DATA_LIMIT"], "limit");
}

#[derive(Default, Serialize, Deserialize)]
struct Clash {
    pool_size: u32,
    pool: Inner,
}

#[derive(Default, Serialize, Deserialize)]
struct Inner {
    size: u32,
}

#[test]
fn two_settings_that_share_a_variable_are_a_mistake_of_ours_and_found_at_start() {
    let refused = load::<Clash>(None, PREFIX, []).err().unwrap().to_string();
    assert!(refused.contains("pool_size") && refused.contains("pool.size"), "{refused}");
}

#[test]
fn durations_are_read_and_printed_exactly() {
    let cases = [
        ("20m", 1_200_000_000_000, "20m"),
        ("250ms", 250_000_000, "250ms"),
        ("90s", 90_000_000_000, "90s"),
        ("60m", 3_600_000_000_000, "1h"),
        ("1h30m", 5_400_000_000_000, "90m"),
        ("1d 2h", 93_600_000_000_000, "26h"),
        ("1s500ms", 1_500_000_000, "1500ms"),
        ("7us", 7_000, "7us"),
        ("3ns", 3, "3ns"),
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
    ];
    for (text, ns, printed) in cases {
        let span: Span = text.parse().unwrap();
        assert_eq!((span.get(), span.to_string().as_str()), (Duration::from_nanos(ns), printed), "{text}");
        assert_eq!(printed.parse(), Ok(span));
    }
    for bad in ["", "20", "m", "1.5s", "-1s", "20 parsecs", "1h30", "s1"] {
        assert_eq!(bad.parse::<Span>(), Err(BadQuantity::Span), "{bad}");
    }
    for huge in ["999999999d", "99999999999999999999s", "200000d200000d"] {
        assert_eq!(huge.parse::<Span>(), Err(BadQuantity::TooLarge), "{huge}");
    }
}

#[test]
fn sizes_are_read_and_printed_exactly() {
    let cases = [
        ("16MiB", 16 << 20, "16MiB"),
        ("1024KiB", 1 << 20, "1MiB"),
        ("1500", 1500, "1500B"),
        ("10MB", 10_000_000, "10000000B"),
        ("2 GiB", 2 << 30, "2GiB"),
        ("0", 0, "0B"),
    ];
    for (text, bytes, printed) in cases {
        let size: Bytes = text.parse().unwrap();
        assert_eq!((size.get(), size.to_string().as_str()), (bytes, printed), "{text}");
        assert_eq!(printed.parse(), Ok(size));
    }
    for bad in ["", "MiB", "1.5MiB", "16mib", "-1", "16 apples"] {
        assert_eq!(bad.parse::<Bytes>(), Err(BadQuantity::Bytes), "{bad}");
    }
    assert_eq!("99999999TiB".parse::<Bytes>(), Err(BadQuantity::TooLarge));
    assert_eq!(from_file("max_body = 4096\n", &[]).unwrap().max_body, Bytes::from_kib(4));
}
