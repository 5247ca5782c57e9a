//! Replaces a file so that it is whole at every moment, whatever is cut off.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// How many links lead to a file at most, as the system has it.
const MOST_LINKS: usize = 40;

/// What is to take a file's place, beside it until then.
#[derive(Debug)]
pub(crate) struct Replacement {
    temporary: NamedTempFile,
    target: PathBuf,
}

impl Replacement {
    /// Makes the room for it, so that what cannot be written is known before there is something to write.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let target = target(path);
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut prefix = target.file_name().map(OsString::from).unwrap_or_default();
        prefix.push(".");
        Ok(Self { temporary: tempfile::Builder::new().prefix(&prefix).tempfile_in(folder)?, target })
    }

    /// Puts the content in the place of the file, with these permissions.
    pub(crate) fn put(mut self, content: &[u8], mode: u32) -> io::Result<()> {
        self.temporary.write_all(content)?;
        self.temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
        self.temporary.as_file().sync_all()?;
        self.temporary.persist(self.target)?;
        Ok(())
    }
}

/// Puts `content` in the place of the file, with these permissions.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    Replacement::of(path)?.put(content, mode)
}

/// The file itself: a link to a file elsewhere stays a link, also when there is no file yet.
fn target(path: &Path) -> PathBuf {
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let Ok(next) = fs::read_link(&target) else { break };
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_a_link_also_to_a_file_that_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let [link, file] = [".env", "shared"].map(|name| folder.path().join(name));
        std::os::unix::fs::symlink("shared", &link).unwrap();
        for content in ["one", "two"] {
            replace(&link, content.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
            assert!(link.is_symlink());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn nothing_beside_a_file_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let others = folder.path().join(format!(".env.{}", std::process::id()));
        fs::write(&others, "mine").unwrap();
        replace(&folder.path().join(".env"), b"x", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&others).unwrap(), "mine");
    }
}
