use std::{collections::HashSet, fs, os::unix::fs::PermissionsExt as _};

use zeroize::Zeroizing;

use super::*;
use crate::Error;

fn master(seed: u8) -> MasterKey {
    MasterKey::new(Zeroizing::new([seed; 32]))
}

fn opens(result: crate::Result<crate::Secret>) -> Option<Vec<u8>> {
    result.ok().map(|secret| secret.expose().to_vec())
}

#[test]
fn what_is_sealed_opens_with_the_same_key_and_binding() {
    let key = master(1);
    let bound = binding(&[b"provider", b"org_1", b"openai", b"7"]);
    for secret in [b"".as_slice(), b"sk-live-123", &[0xff; 10_000]] {
        let envelope = key.seal(&bound, secret).unwrap();
        assert_eq!(opens(key.open(&bound, &envelope)).as_deref(), Some(secret));
    }
}

#[test]
fn an_envelope_moved_to_another_row_or_version_does_not_open() {
    let key = master(1);
    let envelope = key.seal(&binding(&[b"org_1", b"openai", b"1"]), b"sk").unwrap();
    for other in [[b"org_2".as_slice(), b"openai", b"1"], [b"org_1", b"groq", b"1"], [b"org_1", b"openai", b"2"]] {
        assert!(matches!(key.open(&binding(&other), &envelope), Err(Error::Open(_))));
    }
}

#[test]
fn every_altered_bit_and_every_cut_is_refused() {
    let key = master(1);
    let envelope = key.seal(b"row", b"secret").unwrap();
    for at in 0..envelope.len() {
        for bit in 0..8 {
            let mut altered = envelope.clone();
            altered[at] ^= 1 << bit;
            assert!(key.open(b"row", &altered).is_err(), "byte {at} bit {bit}");
        }
        assert!(key.open(b"row", &envelope[..at]).is_err(), "cut at {at}");
    }
    assert!(key.open(b"row", &[envelope.as_slice(), b"x"].concat()).is_err());
}

#[test]
fn parts_of_two_envelopes_cannot_be_mixed() {
    let key = master(1);
    let (one, two) = (key.seal(b"row", b"secret-1").unwrap(), key.seal(b"row", b"secret-2").unwrap());
    let wrapped = 1 + 8 + 12 + 32 + 16;
    assert!(key.open(b"row", &[&one[..wrapped], &two[wrapped..]].concat()).is_err());
}

#[test]
fn another_master_key_is_named_in_the_refusal() {
    let envelope = master(1).seal(b"row", b"secret").unwrap();
    let refused = master(2).open(b"row", &envelope).err().unwrap();
    assert!(matches!(&refused, Error::OtherMasterKey { sealed_under, .. } if *sealed_under == master(1).id()));
    assert_ne!(master(1).id(), master(2).id());
}

#[test]
fn the_same_secret_never_seals_to_the_same_bytes() {
    let key = master(1);
    let sealed: HashSet<_> = (0..200).map(|_| key.seal(b"row", b"secret").unwrap()).collect();
    let nonces: HashSet<_> = sealed.iter().map(|envelope| envelope[9..21].to_vec()).collect();
    assert_eq!((sealed.len(), nonces.len()), (200, 200));
    assert!(sealed.iter().all(|envelope| !envelope.windows(6).any(|part| part == b"secret")));
}

#[test]
fn bindings_of_different_parts_differ() {
    let lists: [&[&[u8]]; 6] = [&[], &[b""], &[b"", b""], &[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"]];
    assert_eq!(lists.iter().map(|list| binding(list)).collect::<HashSet<_>>().len(), lists.len());
}

#[test]
fn a_missing_key_file_is_made_once_with_mode_600() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let source = KeySource::File(path.clone());
    assert!(source.load(IfMissing::Refuse).is_err(), "a lost key must not be replaced silently");
    assert!(!path.exists());
    let made = source.load(IfMissing::Make).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for _ in 0..2 {
        assert_eq!(source.load(IfMissing::Make).unwrap().id(), made.id());
    }
    let other = KeySource::File(folder.path().join("other.key")).load(IfMissing::Make).unwrap();
    assert_ne!(other.id(), made.id());
    let envelope = made.seal(b"row", b"secret").unwrap();
    assert_eq!(opens(source.load(IfMissing::Refuse).unwrap().open(b"row", &envelope)).unwrap(), b"secret");
}

#[test]
fn a_key_from_the_environment_is_the_same_key_as_from_a_file() {
    let text = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    fs::write(&path, format!("{text}\n")).unwrap();
    let from_file = KeySource::File(path).load(IfMissing::Refuse).unwrap();
    let env = KeySource::Env("KEY".to_owned());
    let from_env = env.load_with(IfMissing::Refuse, |name| (name == "KEY").then(|| text.to_owned())).unwrap();
    assert_eq!(from_env.id(), from_file.id());
    assert!(env.load_with(IfMissing::Make, |_| None).is_err());
}

#[test]
fn a_malformed_key_is_refused_without_repeating_it() {
    let env = KeySource::Env("KEY".to_owned());
    let plus = "+1".repeat(32);
    let zeros = "0".repeat(64);
    for bad in ["", "canary", &"canaryzz".repeat(8), &"ab".repeat(31), &"ab".repeat(33), &"é".repeat(32), &plus, &zeros]
    {
        let refused = env.load_with(IfMissing::Refuse, |_| Some((*bad).to_owned())).err().unwrap();
        assert!(refused.to_string().starts_with("master key from env:KEY: "), "{refused}");
        assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused}");
    }
}

#[test]
fn a_key_source_reads_back_as_it_is_written() {
    for text in ["file:/var/lib/tollgate/master.key", "file:C:odd", "env:TOLLGATE_KEY"] {
        assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
    }
    for bad in ["", "file:", "env:", "master.key", "vault:x"] {
        assert!(bad.parse::<KeySource>().is_err(), "{bad}");
    }
}

#[test]
fn a_secret_sealed_to_a_boot_key_opens_only_there_and_for_its_purpose() {
    let (proxy, stranger) = (BootKey::generate(), BootKey::generate());
    let info = binding(&[b"proxy-1", b"epoch-9", b"openai", b"3"]);
    let sealed = seal_to(&proxy.public_key(), &info, b"sk-live").unwrap();
    assert_eq!(opens(proxy.open(&info, &sealed)).unwrap(), b"sk-live");
    assert!(stranger.open(&info, &sealed).is_err());
    assert!(proxy.open(&binding(&[b"proxy-1", b"epoch-8", b"openai", b"3"]), &sealed).is_err());
    assert!(!sealed.windows(7).any(|part| part == b"sk-live"));
}

#[test]
fn every_altered_byte_and_every_cut_of_a_sent_secret_is_refused() {
    let proxy = BootKey::generate();
    let sealed = seal_to(&proxy.public_key(), b"info", b"sk-live").unwrap();
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 0x01;
        assert!(proxy.open(b"info", &altered).is_err(), "byte {at}");
        assert!(proxy.open(b"info", &sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_malformed_public_key_is_refused() {
    let all_zero = [0; PUBLIC_KEY_LEN];
    for bad in [b"".as_slice(), b"short", &[1; 31], &[1; 33], &all_zero] {
        assert!(seal_to(bad, b"info", b"secret").is_err(), "{} bytes", bad.len());
    }
}

#[test]
fn two_boots_have_two_keys() {
    assert_ne!(BootKey::generate().public_key(), BootKey::generate().public_key());
}
