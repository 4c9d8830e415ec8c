//! The driver: takes inputs from a corpus, breaks them, and runs the target until the time is up. Without coverage it
//! leans on good corpora and on words that parsers react to.

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tollgate_tests::progress::Progress;

/// Longer inputs only make runs slow.
const MOST_BYTES: usize = 16 << 10;
/// Inputs that a run must get through to have proved anything.
const LEAST_RUNS: u64 = 100;

/// What is known about the inputs of one target.
pub struct Corpus {
    pub inputs: Vec<Vec<u8>>,
    pub words: &'static [&'static str],
}

/// Runs `target` on mutations of the corpus. The input of a finding is printed, as hex when it is no text.
pub fn drive(name: &'static str, corpus: &Corpus, mut target: impl FnMut(&[u8])) {
    assert!(!corpus.inputs.is_empty(), "{name} has no corpus");
    let seconds = std::env::var("TOLLGATE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let seed = std::env::var("TOLLGATE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| if seconds > 10 { rand::random() } else { 20_261_121 });
    println!("{name}: seed {seed}, {seconds} s, {} inputs", corpus.inputs.len());
    let mut random = StdRng::seed_from_u64(seed);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut runs, mut progress) = (0u64, Progress::of(name));
    let mut run = |input: &[u8]| {
        if let Err(finding) = panic::catch_unwind(AssertUnwindSafe(|| target(input))) {
            let shown = std::str::from_utf8(input).map_or_else(|_| hex(input), |text| format!("{text:?}"));
            println!("{name}: a finding in run {runs} of seed {seed}, {} bytes: {shown}", input.len());
            panic::resume_unwind(finding);
        }
        runs += 1;
        progress.so_far(usize::try_from(runs).unwrap_or(usize::MAX));
    };
    corpus.inputs.iter().for_each(|input| run(input));
    while Instant::now() < until {
        let input = mutated(&mut random, corpus);
        run(&input);
    }
    println!("{name}: {runs} runs");
    assert!(runs >= LEAST_RUNS, "{name}: only {runs} runs");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A part of `length` bytes at most.
fn part(random: &mut StdRng, length: usize) -> std::ops::Range<usize> {
    let start = random.random_range(0..=length);
    let end = random.random_range(start..=length.min(start + 64));
    start..end
}

fn mutated(random: &mut StdRng, corpus: &Corpus) -> Vec<u8> {
    let pick = |random: &mut StdRng| &corpus.inputs[random.random_range(0..corpus.inputs.len())];
    let mut input = pick(random).clone();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..=input.len());
        match random.random_range(0..10) {
            0 => input.truncate(at),
            1 => input.insert(at, random.random()),
            2 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            3 if at < input.len() => input[at] = random.random(),
            4 => drop(input.drain(part(random, input.len()))),
            5 => {
                let copy = input[part(random, input.len())].to_vec();
                input.splice(at..at, copy);
            }
            6 => {
                let other = pick(random);
                let piece = other[part(random, other.len())].to_vec();
                input.splice(at..at, piece);
            }
            7 => {
                let other = pick(random).clone();
                input.truncate(at);
                input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
            }
            _ => {
                let word = corpus.words[random.random_range(0..corpus.words.len())].as_bytes().to_vec();
                let gone = if random.random() { at..(at + word.len()).min(input.len()) } else { at..at };
                input.splice(gone, word);
            }
        }
    }
    input.truncate(MOST_BYTES);
    input
}
