//! Backup and restore of a server's data, for whoever holds its configuration.
//!
//! A backup takes no lock and runs beside the server; a restore needs the data directory for itself.
//! What a backup's file is, and what a restored database leaves out, is `meet_store`'s business.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use meet_store::Hold;
pub use meet_store::Summary;

use crate::{
    clock::Clock,
    config::Config,
    data_dir::{DataDir, DataDirError, LOCK_FILE},
    secret,
};

/// Why there is no backup, or nothing was restored; one sentence with the fix in it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data directory cannot be had for a restore.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The file was a backup, and is not all there.
    #[error("{} is damaged or cut off: use another backup", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
    },
    /// The database or the file refused.
    #[error(transparent)]
    Store(#[from] meet_store::BackupError),
}

/// Writes a copy of the database to a new file; the server may be running.
pub async fn backup(config: &Config, file: &Path) -> Result<Summary, BackupError> {
    Ok(meet_store::backup(&config.location(), file).await?)
}

/// Fills an empty database from a copy; the server must not be running. Rooms get new epochs, so that
/// every client reads them anew. What was made for a restore that fails is removed again.
pub async fn restore(config: &Config, file: &Path, clock: &Clock) -> Result<Summary, BackupError> {
    let made = Made::before(&config.data_dir);
    let restored = restore_into(config, file, clock, &made).await;
    if restored.is_err() {
        made.remove();
    }
    restored
}

async fn restore_into(config: &Config, file: &Path, clock: &Clock, made: &Made) -> Result<Summary, BackupError> {
    let held = DataDir::open(&config.data_dir)?;
    let filled = fill(config, file, clock).await;
    if filled.is_err() {
        // As long as it is held: what is removed is ours.
        made.remove_files();
    }
    drop(held);
    filled
}

async fn fill(config: &Config, file: &Path, clock: &Clock) -> Result<Summary, BackupError> {
    // SQLite reads what is missing of the last page as zeros. What cannot be read is told by the restore.
    if matches!(is_cut_off(file), Ok(true)) {
        return Err(BackupError::CutOff { path: file.to_owned() });
    }
    let _database = Hold::take(&config.location()).await.map_err(meet_store::BackupError::from)?;
    let chance = clock.clone();
    let epoch = move || secret::new_epoch(&chance);
    Ok(meet_store::restore(&config.location(), file, epoch, clock.now()).await?)
}

/// What of a data directory is not there yet.
struct Made {
    /// The directory and those above it, innermost first.
    directories: Vec<PathBuf>,
    /// The lock.
    files: Vec<PathBuf>,
}

impl Made {
    fn before(data_dir: &Path) -> Self {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let directories = data_dir.ancestors().take_while(is_missing).map(Path::to_owned).collect();
        let lock = data_dir.join(LOCK_FILE);
        Self { directories, files: if lock.exists() { Vec::new() } else { vec![lock] } }
    }

    fn remove_files(&self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }

    /// Removes the directories, unless something has come into them.
    fn remove(&self) {
        for directory in &self.directories {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Whether a file begins as a database of SQLite, and is shorter than its beginning says.
fn is_cut_off(path: &Path) -> io::Result<bool> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = Vec::new();
    file.take(100).read_to_end(&mut head)?;
    let number = |at: usize, bytes: usize| {
        let bytes = head.get(at..at + bytes)?;
        Some(bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    // The number of pages counts only when it was written with the last change.
    let pages = number(28, 4).filter(|_| number(24, 4) == number(92, 4));
    let whole = pages.zip(number(16, 2)).map(|(pages, size)| match size {
        // The largest size does not fit into its place.
        1 => pages << 16,
        size => pages * size,
    });
    Ok(head.starts_with(MAGIC) && (head.len() < 100 || whole.is_some_and(|whole| length < whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<PathBuf> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn a_restore_that_fails_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("no-such.backup");
        let config = |data_dir: &str| Config { data_dir: root.path().join(data_dir), ..Config::default() };
        restore(&config("a/b/c"), &missing, &Clock::system()).await.unwrap_err();
        assert!(names(root.path()).is_empty(), "{:?}", names(root.path()));
        fs::create_dir(root.path().join("mine")).unwrap();
        restore(&config("mine"), &missing, &Clock::system()).await.unwrap_err();
        assert!(names(&root.path().join("mine")).is_empty());
    }

    #[tokio::test]
    async fn a_backup_that_is_cut_off_is_told_so_wherever_that_is() {
        let root = tempfile::tempdir().unwrap();
        let data = Config { data_dir: root.path().to_owned(), ..Config::default() };
        meet_store::Store::open(&data.location()).await.unwrap().close().await;
        let file = root.path().join("whole.backup");
        backup(&data, &file).await.unwrap();
        let whole = fs::read(&file).unwrap();
        let config = Config { data_dir: root.path().join("restored"), ..Config::default() };
        for length in [20, 99, 5000, whole.len() / 2, whole.len() - 1] {
            fs::write(&file, &whole[..length]).unwrap();
            let refusal = restore(&config, &file, &Clock::system()).await.unwrap_err().to_string();
            assert!(refusal.contains("damaged or cut off"), "{length}: {refusal}");
        }
        fs::write(&file, &whole).unwrap();
        restore(&config, &file, &Clock::system()).await.unwrap();
    }
}
