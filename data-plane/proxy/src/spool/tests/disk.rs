//! A disk that can be crashed: what was not synced is lost or torn, syncs and writes fail or hang when told to.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use super::super::disk::{Appender, Disk, Found};

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Bytes that survive a crash.
    synced: usize,
    /// After a failed sync nothing behind this is ever kept, whatever a later sync says.
    lost_from: Option<usize>,
    /// The file was synced, and so its name survives a crash.
    has_name: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Kept>,
    failing_syncs: u32,
    failing_writes: u32,
    are_syncs_held: bool,
    /// Handles of an earlier life do nothing.
    life: u64,
}

#[derive(Clone, Default)]
pub struct FakeDisk(Arc<Mutex<State>>, Arc<Condvar>);

fn broken() -> io::Error {
    io::Error::other("the disk fails as it was told to")
}

impl FakeDisk {
    pub fn fail_syncs(&self, times: u32) {
        self.0.lock().unwrap().failing_syncs = times;
    }

    pub fn fail_writes(&self, times: u32) {
        self.0.lock().unwrap().failing_writes = times;
    }

    /// Syncs that begin do not end until this is taken back.
    pub fn hold_syncs(&self, held: bool) {
        self.0.lock().unwrap().are_syncs_held = held;
        self.1.notify_all();
    }

    /// The power goes: of what was not synced, each file keeps a part whose size `pick` chooses, perhaps spoilt, and a
    /// file that never was may be gone.
    pub fn crash(&self, mut pick: impl FnMut(usize) -> usize) {
        let mut state = self.0.lock().unwrap();
        state.end_life();
        state.files.retain(|_, kept| kept.has_name || pick(2) == 1);
        for kept in state.files.values_mut() {
            let sure = kept.lost_from.unwrap_or(kept.synced).min(kept.synced);
            let torn = sure + pick(kept.bytes.len() - sure + 1);
            kept.bytes.truncate(torn);
            if torn > sure && pick(2) == 1 {
                let at = sure + pick(torn - sure);
                kept.bytes[at] ^= 0x40;
            }
            kept.synced = kept.bytes.len();
            kept.lost_from = None;
        }
    }

    /// The process is killed: what was written is there, though it may never have been synced.
    pub fn kill(&self) {
        let mut state = self.0.lock().unwrap();
        state.end_life();
        state.files.values_mut().for_each(|kept| kept.lost_from = None);
    }

    /// The segments, as somebody sees them who looks into the folder.
    pub fn segments(&self) -> Vec<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let segments = state.files.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "spool"));
        segments.map(|(_, kept)| kept.bytes.clone()).collect()
    }

    pub fn spoil(&self, name_part: &str, at: usize) {
        let mut state = self.0.lock().unwrap();
        for (path, kept) in &mut state.files {
            if path.to_string_lossy().contains(name_part) && at < kept.bytes.len() {
                kept.bytes[at] ^= 1;
            }
        }
    }

    pub fn names(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        state.files.keys().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }
}

impl State {
    fn end_life(&mut self) {
        self.life += 1;
        self.failing_syncs = 0;
        self.failing_writes = 0;
    }
}

impl Disk for FakeDisk {
    fn list(&self, folder: &Path) -> io::Result<Vec<Found>> {
        let state = self.0.lock().unwrap();
        let own = state.files.iter().filter(|(path, _)| path.parent() == Some(folder));
        Ok(own
            .map(|(path, kept)| Found {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                len: kept.bytes.len() as u64,
                modified_us: 0,
            })
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        let mut state = self.0.lock().unwrap();
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(path.to_owned(), Kept::default());
        Ok(Arc::new(FakeFile { disk: self.clone(), path: path.to_owned(), life: state.life }))
    }

    fn read(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let kept = state.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let rest = kept.bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        Ok(rest.iter().take(usize::try_from(limit).unwrap()).copied().collect())
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let kept = state.files.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        kept.synced = kept.bytes.len();
        kept.has_name = true;
        Ok(())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let kept = Kept { bytes: bytes.to_vec(), synced: bytes.len(), lost_from: None, has_name: true };
        self.0.lock().unwrap().files.insert(path.to_owned(), kept);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().files.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

struct FakeFile {
    disk: FakeDisk,
    path: PathBuf,
    life: u64,
}

impl Appender for FakeFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        assert_eq!(state.life, self.life, "a dead process writes");
        let fails = state.failing_writes > 0;
        state.failing_writes = state.failing_writes.saturating_sub(1);
        let kept = state.files.get_mut(&self.path).ok_or(io::ErrorKind::NotFound)?;
        let part = if fails { bytes.len() / 2 } else { bytes.len() };
        kept.bytes.extend_from_slice(&bytes[..part]);
        if fails { Err(broken()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let written = state.files.get(&self.path).ok_or(io::ErrorKind::NotFound)?.bytes.len();
        while state.are_syncs_held {
            state = self.disk.1.wait(state).unwrap();
        }
        assert_eq!(state.life, self.life, "a dead process syncs");
        let fails = state.failing_syncs > 0;
        state.failing_syncs = state.failing_syncs.saturating_sub(1);
        let kept = state.files.get_mut(&self.path).ok_or(io::ErrorKind::NotFound)?;
        if fails {
            kept.lost_from = kept.lost_from.or(Some(kept.synced));
            return Err(broken());
        }
        // What was appended while this went on may be kept, or not.
        kept.synced = kept.synced.max(written);
        kept.has_name = true;
        Ok(())
    }
}
