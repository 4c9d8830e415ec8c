//! The few things the spool asks of a disk, as a seam: simulation and tests put one in its place that loses what was
//! not synced, tears writes and fails. Never decides what is in a file. All calls block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runtime::files::{FolderLock, write_atomic};

/// A file in the spool's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    /// Length in bytes.
    pub len: u64,
    /// Last change, in unix microseconds.
    pub modified_us: i64,
}

/// Where segments live.
pub trait Disk: Send + Sync {
    /// The files of a folder, in no order; the folder is made when it is missing.
    fn list(&self, folder: &Path) -> io::Result<Vec<Found>>;
    /// Makes a new file, whose name survives a crash once the file was synced.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Appender>>;
    /// At most `limit` bytes from `offset`; fewer only at the end of the file.
    fn read(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Vec<u8>>;
    /// Makes everything that a reader of the file sees now survive a crash, and its name.
    fn sync(&self, path: &Path) -> io::Result<()>;
    /// Replaces a small file as a whole or not at all.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that only grows. One thread appends; another may sync at the same time.
pub trait Appender: Send + Sync {
    /// Adds bytes at the end; after an error any part of them may be there.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything that was appended before the call survives a crash. After an error nothing is known about
    /// what was appended since the last success, and asking again proves nothing.
    fn sync(&self) -> io::Result<()>;
}

/// A disk that has nothing and keeps nothing.
pub(super) struct Nowhere;

impl Disk for Nowhere {
    fn list(&self, _: &Path) -> io::Result<Vec<Found>> {
        Ok(Vec::new())
    }

    fn create(&self, _: &Path) -> io::Result<Arc<dyn Appender>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read(&self, _: &Path, _: u64, _: u64) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn sync(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn replace(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The machine's disk, with the folder locked against a second process.
pub struct RealDisk {
    _lock: FolderLock,
}

impl RealDisk {
    /// Makes the folder when it is missing and takes its lock.
    ///
    /// # Errors
    /// When another process holds the lock, or the folder cannot be made.
    pub fn new(folder: &Path) -> Result<RealDisk, super::Error> {
        make_folder(folder).map_err(super::Error::disk("make", folder))?;
        Ok(RealDisk { _lock: FolderLock::take(folder)? })
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

impl Disk for RealDisk {
    fn list(&self, folder: &Path) -> io::Result<Vec<Found>> {
        make_folder(folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (Ok(name), meta) = (entry.file_name().into_string(), entry.metadata()?) else { continue };
            if meta.is_file() {
                let since = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let modified_us = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
                found.push(Found { name, len: meta.len(), modified_us });
            }
        }
        Ok(found)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn Appender>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile { file, path: path.to_owned(), has_name: AtomicBool::new(false) }))
    }

    fn read(&self, path: &Path, offset: u64, limit: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()?;
        sync_parent(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        write_atomic(path, bytes, 0o600).map_err(io::Error::other)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

struct RealFile {
    file: File,
    path: PathBuf,
    /// The folder was synced since the file is in it.
    has_name: AtomicBool,
}

impl Appender for RealFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.has_name.load(Ordering::Acquire) {
            sync_parent(&self.path)?;
            self.has_name.store(true, Ordering::Release);
        }
        Ok(())
    }
}
