//! Backup and restore of a server's data, for whoever holds its configuration.
//!
//! A backup takes no lock and runs beside the server; a restore needs the data directory for itself.
//! What a backup's file is, and what a restored database leaves out, is `meet_store`'s business.

use std::path::Path;

use meet_store::Hold;
pub use meet_store::Summary;

use crate::{
    clock::Clock,
    config::Config,
    data_dir::{DataDir, DataDirError},
    secret,
};

/// Why there is no backup, or nothing was restored; one sentence with the fix in it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data directory cannot be had for a restore.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database or the file refused.
    #[error(transparent)]
    Store(#[from] meet_store::BackupError),
}

/// Writes a copy of the database to a new file; the server may be running.
pub async fn backup(config: &Config, file: &Path) -> Result<Summary, BackupError> {
    Ok(meet_store::backup(&config.location(), file).await?)
}

/// Fills an empty database from a copy; the server must not be running. Rooms get new epochs, so that
/// every client reads them anew.
pub async fn restore(config: &Config, file: &Path, clock: &Clock) -> Result<Summary, BackupError> {
    let _held = DataDir::open(&config.data_dir)?;
    let _database = Hold::take(&config.location()).await.map_err(meet_store::BackupError::from)?;
    let chance = clock.clone();
    let epoch = move || secret::new_epoch(&chance);
    Ok(meet_store::restore(&config.location(), file, epoch, clock.now()).await?)
}
