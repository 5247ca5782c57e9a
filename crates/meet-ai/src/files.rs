//! Replaces a file so that it is whole at every moment, whatever is cut off.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Puts `content` in the place of the file, with these permissions.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // A link to a file elsewhere stays a link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut temporary = OsString::from(path.as_os_str());
    temporary.push(format!(".{}", std::process::id()));
    // In a container each process may have the same number, also one that was cut off here.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(content).and_then(|()| {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, &path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}
