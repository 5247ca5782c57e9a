//! The directory in which a server keeps its files: made private, and held by one process.
//!
//! It knows nothing of what the files mean.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// The file by which a process holds the directory.
pub(crate) const LOCK_FILE: &str = "meet-ai.lock";
const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// A data directory that this process holds; dropping it lets go.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

/// Why a data directory cannot be used; one sentence with the fix in it.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or written.
    #[error(
        "the data directory {} cannot be written ({source}): give this user the right to, or choose another with \
         --data-dir",
        path.display()
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no space for it.
    #[error("the disk of {} is full: free some space on it, then start again", path.display())]
    DiskFull {
        /// The directory.
        path: PathBuf,
    },
    /// Another process holds it.
    #[error(
        "another meet-ai{} uses the data directory {}: stop it, or choose another with --data-dir",
        by(*process),
        path.display()
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// The other process's id, when it left one.
        process: Option<u32>,
    },
}

fn by(process: Option<u32>) -> String {
    process.map(|id| format!(" (process {id})")).unwrap_or_default()
}

impl DataDir {
    /// Makes the directory when it is missing, readable by its owner only, and takes its lock, which
    /// ends with the process however that ends.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let not_writable = |source: io::Error| match source.kind() {
            io::ErrorKind::StorageFull => DataDirError::DiskFull { path: path.to_path_buf() },
            _ => DataDirError::NotWritable { path: path.to_path_buf(), source },
        };
        make_private(path).map_err(not_writable)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(PRIVATE_FILE);
        let mut lock = options.open(path.join(LOCK_FILE)).map_err(not_writable)?;
        match lock_patiently(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let process = read_note(&mut lock).lines().next().and_then(|id| id.parse().ok());
                return Err(DataDirError::Taken { path: path.to_path_buf(), process });
            }
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        lock.set_len(0).map_err(not_writable)?;
        writeln!(lock, "{}", std::process::id()).map_err(not_writable)?;
        Ok(Self { path: path.to_path_buf(), lock })
    }

    /// Leaves word of the address by which this process is reached, for commands beside it.
    pub fn announce(&self, url: &str) -> io::Result<()> {
        writeln!(&self.lock, "{url}")
    }

    /// The address by which the process that holds the directory is reached; `None` when none does.
    pub fn announced(path: &Path) -> Option<String> {
        let is_taken = Self::is_taken(path).ok()?;
        let mut lock = is_taken.then(|| File::open(path.join(LOCK_FILE)).ok())??;
        read_note(&mut lock).lines().nth(1).map(str::to_owned)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether some process holds the directory now; a missing one is free.
    pub fn is_taken(path: &Path) -> io::Result<bool> {
        let lock = match OpenOptions::new().read(true).open(path.join(LOCK_FILE)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Makes the directory private. One that holds something already keeps its mode: it may be a place
/// that others need, and `doctor` speaks of it.
fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY).create(path)?;
    if fs::read_dir(path)?.next().is_none() && is_open_to_others(path)? {
        fs::set_permissions(path, Permissions::from_mode(PRIVATE_DIRECTORY))?;
    }
    Ok(())
}

/// Writes a file that only its owner reads, whole or not at all: it is on disk under another name before it takes its
/// own. The directory is made when it is missing.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    make_private(directory)?;
    let beside = path.with_extension("new");
    // What a write that was cut off left there may have any mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

/// Whether users other than its owner have any right in the directory.
pub(crate) fn is_open_to_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

/// Takes the lock. A command that looks whether it is taken holds it for a moment, and must not keep a
/// server from starting.
fn lock_patiently(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..5 {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
    lock.try_lock()
}

/// What the holder wrote: its process id, and then its address.
fn read_note(lock: &mut File) -> String {
    let mut text = String::new();
    // A note that cannot be read is no note.
    let _ = lock.take(1024).read_to_string(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_private_and_held_by_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let held = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(held.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join(LOCK_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(DataDir::is_taken(&path).unwrap());
        let refusal = DataDir::open(&path).unwrap_err().to_string();
        assert!(refusal.contains(&format!("(process {})", std::process::id())), "{refusal}");
        assert_eq!(DataDir::announced(&path), None);
        held.announce("http://127.0.0.1:3000").unwrap();
        assert_eq!(DataDir::announced(&path).as_deref(), Some("http://127.0.0.1:3000"));
        drop(held);
        assert_eq!(DataDir::announced(&path), None);
        assert!(!DataDir::is_taken(&path).unwrap());
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn an_empty_directory_is_closed_to_others_and_a_used_one_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (empty, used) = (root.path().join("empty"), root.path().join("used"));
        for path in [&empty, &used] {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(used.join("file"), "").unwrap();
        DataDir::open(&empty).unwrap();
        DataDir::open(&used).unwrap();
        assert!(!is_open_to_others(&empty).unwrap());
        assert!(is_open_to_others(&used).unwrap());
    }

    #[test]
    fn a_private_file_is_whole_or_not_there_whatever_a_cut_off_write_left() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data/keys.toml");
        write_private(&path, "first").unwrap();
        let beside = path.with_extension("new");
        fs::write(&beside, "to").unwrap();
        fs::set_permissions(&beside, Permissions::from_mode(0o644)).unwrap();
        write_private(&path, "second").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!beside.exists() && !is_open_to_others(path.parent().unwrap()).unwrap());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_a_sentence_with_the_fix() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let refusal = DataDir::open(&file.join("inside")).unwrap_err().to_string();
        assert!(refusal.contains("cannot be written") && refusal.contains("--data-dir"), "{refusal}");
    }
}
