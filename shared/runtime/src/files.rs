//! The few things we ask of a file system beyond reading: writes that are whole or absent, a lock on a folder,
//! and enough open files. Never decides what is in a file. All calls block; call them off the data path.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::{Error, Result};

/// Replaces `path` by `bytes`: after a crash at any moment the file holds the old content or the new, never a part.
/// `mode` is exact, whatever the umask says.
///
/// # Errors
/// Whatever the file system reports; the old content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let draft = Draft::write(path, bytes, mode)?;
    fs::rename(&draft.path, path).map_err(Error::file("replace", path))?;
    sync_parent(path)
}

/// Writes `path` only when nothing is there yet. `false` means that it existed and was left alone; when two processes
/// try at once, exactly one of them gets `true`, and the loser can read the winner's whole file.
///
/// # Errors
/// Whatever the file system reports.
pub fn create_once(path: &Path, bytes: &[u8], mode: u32) -> Result<bool> {
    let draft = Draft::write(path, bytes, mode)?;
    // A link is the one portable way to give a finished file a name that must not exist yet.
    match fs::hard_link(&draft.path, path) {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::file("create", path)(error)),
    }
}

/// A finished file under a temporary name beside its target; the name is gone when this is dropped.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(target: &Path, bytes: &[u8], mode: u32) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let draft = Self { path: target.with_file_name(name) };
        draft.fill(bytes, mode).map_err(Error::file("write", target))?;
        Ok(draft)
    }

    fn fill(&self, bytes: &[u8], mode: u32) -> io::Result<()> {
        // Left over from a crashed process that had our number.
        let _ = fs::remove_file(&self.path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&self.path)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Already gone after a rename; after a link or an error this is the clean-up.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a new name durable: on most file systems the folder must be synced too.
fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(Error::file("sync folder", parent))
}

/// The exclusive right to a folder, given back when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock at once or not at all. The file `lock` in the folder stays behind; only the lock on it counts.
    ///
    /// # Errors
    /// [`Error::FolderInUse`] when another process (or another lock of this one) has it.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(Error::file("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::FolderInUse { path: folder.to_owned(), holder: holder(&mut file) });
            }
            Err(error) => return Err(Error::file("lock", path)(error.into())),
        }
        sign(&mut file).map_err(Error::file("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Leaves our process number for the message that the next one shows.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(32).read_to_string(&mut text);
    text.trim().parse::<u32>().map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// How many files and sockets this process may hold open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit as we found it; `None` is unlimited.
    pub before: Option<u64>,
    /// The limit now.
    pub now: Option<u64>,
}

/// Raises the soft limit of open files to the hard limit; to be called once at start.
///
/// # Errors
/// When the system refuses, which it does not do for a rise within the hard limit.
pub fn raise_open_files() -> Result<OpenFiles> {
    let Rlimit { current: before, maximum } = getrlimit(Resource::Nofile);
    if before == maximum {
        return Ok(OpenFiles { before, now: before });
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .map_err(|error| Error::OpenFiles(error.into()))?;
    Ok(OpenFiles { before, now: maximum })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_atomic_write_replaces_the_whole_file_with_the_exact_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_atomic(&path, b"a long first version", 0o666).unwrap();
        assert_eq!(mode(&path), 0o666, "the umask would have made it less");
        write_atomic(&path, b"second", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(folder.path()), ["state"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"x").unwrap();
        let error = write_atomic(&path, b"new", 0o600).unwrap_err();
        assert!(error.to_string().contains("state"), "{error}");
        assert_eq!(names(folder.path()), ["state"]);
    }

    #[test]
    fn of_many_creators_exactly_one_wins_and_all_read_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let start = std::sync::Barrier::new(8);
        let wins: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|n| {
                    let (path, start) = (&path, &start);
                    scope.spawn(move || {
                        start.wait();
                        let won = create_once(path, &[n; 100], 0o600).unwrap();
                        assert_eq!(fs::read(path).unwrap().len(), 100);
                        won
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(wins.iter().filter(|won| **won).count(), 1);
        let winner = u8::try_from(wins.iter().position(|won| *won).unwrap()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [winner; 100]);
        assert_eq!((mode(&path), names(folder.path())), (0o600, vec!["key".to_owned()]));
    }

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert!(matches!(refused, Error::FolderInUse { .. }));
        assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn the_limit_of_open_files_ends_at_the_hard_limit() {
        let limit = raise_open_files().unwrap();
        assert_eq!(limit.now, getrlimit(Resource::Nofile).maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, limit.now);
    }
}
