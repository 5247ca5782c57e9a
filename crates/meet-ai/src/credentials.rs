//! The keys that this user's machine keeps, one table per server, in
//! `$XDG_CONFIG_HOME/meet-ai/config.toml`.
//!
//! A key belongs to the URL beside it and to no other. What else stands in the file is kept as it is.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};
use toml_edit::{DocumentMut, Item, RawString, Table, value};

use crate::{files, output::escape, server_url::ServerUrl};

/// The file's text, read or new.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(DocumentMut);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// There is no place for it.
    #[error("neither XDG_CONFIG_HOME nor HOME says where settings are kept")]
    NoHome,
    /// A server there cannot be named in it.
    #[error("{address} cannot be written as the address of a server")]
    NotAnAddress {
        /// Where the server listens.
        address: SocketAddr,
    },
    /// It cannot be read or written.
    #[error("{path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not TOML; what stands in it is not told, since keys do.
    #[error("{path} is not valid TOML: correct it or move it away")]
    NotToml {
        /// The file.
        path: PathBuf,
    },
}

/// Where the file is, by the two variables that decide it.
pub(crate) fn path(xdg_config_home: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, CredentialsError> {
    // The base directory specification wants relative values ignored.
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    let base = xdg_config_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".config")));
    Ok(base.ok_or(CredentialsError::NoHome)?.join("meet-ai").join("config.toml"))
}

/// Where the file is for this process.
pub(crate) fn own_path() -> Result<PathBuf, CredentialsError> {
    path(std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"))
}

impl Credentials {
    /// Reads the file; a missing one is empty.
    pub(crate) fn read(path: &Path) -> Result<Self, CredentialsError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| CredentialsError::NotToml { path: path.to_path_buf() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(CredentialsError::File { path: path.to_path_buf(), source }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let document: DocumentMut = text.parse().ok()?;
        // Editing would fail on it later, and silently.
        let usable = document.get("servers").is_none_or(Item::is_table);
        usable.then_some(Self(document))
    }

    /// The addresses of all servers in the file.
    pub(crate) fn servers(&self) -> Vec<ServerUrl> {
        self.tables().filter_map(|(url, _)| ServerUrl::parse(url).ok()).collect()
    }

    /// The key that is kept for this server.
    pub(crate) fn key(&self, server: &ServerUrl) -> Option<SecretString> {
        let (_, table) = self.tables().find(|(url, _)| is(url, server))?;
        table.get("key")?.as_str().filter(|key| !key.is_empty()).map(Into::into)
    }

    /// Keeps a key for this server, in place of one that was there; `remark` is a comment above it.
    pub(crate) fn set_key(&mut self, server: &ServerUrl, key: &SecretString, remark: Option<&str>) {
        let written = self.tables().map(|(url, _)| url.to_owned()).find(|url| is(url, server));
        let written = written.unwrap_or_else(|| server.to_string());
        let servers = self.0.entry("servers").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let Some(servers) = servers.as_table_mut() else { return };
        let item = servers.entry(&written).or_insert_with(toml_edit::table);
        let is_inline = item.is_inline_table();
        let Some(table) = item.as_table_like_mut() else { return };
        match table.get_mut("key").and_then(Item::as_value_mut) {
            // What stands around the value stays.
            Some(kept) => {
                let decor = kept.decor().clone();
                *kept = key.expose_secret().into();
                *kept.decor_mut() = decor;
            }
            None => drop(table.insert("key", value(key.expose_secret()))),
        }
        // In an inline table there is no line above the key but that of the whole.
        let below = if is_inline { servers.key_mut(&written) } else { table.key_mut("key") };
        if let (Some(remark), Some(mut below)) = (remark, below) {
            let decor = below.leaf_decor_mut();
            let above = decor.prefix().and_then(RawString::as_str).unwrap_or_default();
            decor.set_prefix(format!("{above}# {}\n", escape(remark)));
        }
    }

    fn tables(&self) -> impl Iterator<Item = (&str, &dyn toml_edit::TableLike)> {
        let servers = self.0.get("servers").and_then(Item::as_table);
        servers.into_iter().flat_map(Table::iter).filter_map(|(url, item)| Some((url, item.as_table_like()?)))
    }

    /// Writes the file so that it is whole at every moment and its owner's alone.
    pub(crate) fn write(&self, path: &Path) -> Result<(), CredentialsError> {
        files::replace(path, self.0.to_string().as_bytes(), 0o600)
            .map_err(|source| CredentialsError::File { path: path.to_path_buf(), source })
    }
}

/// Makes the file's directory and keeps other processes from changing the file until the result is
/// dropped.
pub(crate) fn hold(path: &Path) -> Result<File, CredentialsError> {
    let directory = path.parent().unwrap_or(path);
    let held = DirBuilder::new().recursive(true).mode(0o700).create(directory).and_then(|()| {
        let lock = directory.join(".config.lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock)?;
        lock.lock()?;
        Ok(lock)
    });
    held.map_err(|source| CredentialsError::File { path: path.to_path_buf(), source })
}

fn is(url: &str, server: &ServerUrl) -> bool {
    ServerUrl::parse(url).is_ok_and(|url| url.is_same_server(server))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn url(text: &str) -> ServerUrl {
        ServerUrl::parse(text).unwrap()
    }

    fn key(credentials: &Credentials, server: &str) -> Option<String> {
        credentials.key(&url(server)).map(|key| key.expose_secret().to_owned())
    }

    #[test]
    fn one_file_keeps_the_keys_of_many_servers() {
        let mut credentials = Credentials::default();
        credentials.set_key(&url("http://127.0.0.1:3000"), &"mai_a".into(), None);
        credentials.set_key(&url("https://meet.example.org"), &"mai_b".into(), None);
        assert_eq!(
            credentials.0.to_string(),
            "[servers.\"http://127.0.0.1:3000\"]\nkey = \"mai_a\"\n\n\
             [servers.\"https://meet.example.org\"]\nkey = \"mai_b\"\n"
        );
        assert_eq!(key(&credentials, "http://localhost:3000").as_deref(), Some("mai_a"));
        assert_eq!(key(&credentials, "http://127.0.0.1:3001"), None);
    }

    #[test]
    fn what_others_wrote_into_the_file_stays() {
        let text = "# mine\nurl = \"https://a.example\"\n\n[servers.\"https://a.example\"] # work\nkey = 'mai_a'\n\
                    note = 1\n\n[servers.\"http://localhost:3000\"]\nkey = \"mai_old\"\n";
        let mut credentials = Credentials::parse(text).unwrap();
        credentials.set_key(&url("http://127.0.0.1:3000"), &"mai_new".into(), None);
        assert_eq!(credentials.0.to_string(), text.replace("mai_old", "mai_new"));
    }

    #[test]
    fn a_remark_stands_above_the_key_however_the_table_is_written() {
        for text in [
            "[servers.\"http://localhost:3000\"]\n# mine\nkey = \"mai_old\" # work\n",
            "[servers]\n# mine\n\"http://localhost:3000\" = { key = \"mai_old\" } # work\n",
            "# mine\nservers.\"http://localhost:3000\".key = \"mai_old\" # work\n",
        ] {
            let mut credentials = Credentials::parse(text).unwrap();
            credentials.set_key(&url("http://127.0.0.1:3000"), &"mai_new".into(), Some("before\nit: mai_old"));
            let written = credentials.0.to_string();
            let expected =
                text.replace("mai_old", "mai_new").replace("# mine\n", "# mine\n# before\\u{a}it: mai_old\n");
            assert_eq!(written, expected);
            let read = Credentials::parse(&written).unwrap();
            assert_eq!(key(&read, "http://127.0.0.1:3000").as_deref(), Some("mai_new"));
        }
    }

    #[test]
    fn a_file_that_is_not_ours_to_edit_is_refused() {
        for bad in ["servers = 3", "key = ", "[servers"] {
            assert!(Credentials::parse(bad).is_none(), "{bad}");
        }
        assert!(Credentials::parse("").is_some());
    }

    #[test]
    fn the_file_is_replaced_whole_and_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("meet-ai/config.toml");
        let held = hold(&path).unwrap();
        let mut credentials = Credentials::read(&path).unwrap();
        credentials.set_key(&url("http://127.0.0.1:3000"), &"mai_a".into(), None);
        credentials.write(&path).unwrap();
        drop(held);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(key(&Credentials::read(&path).unwrap(), "http://127.0.0.1:3000").as_deref(), Some("mai_a"));
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn a_link_to_the_file_stays_a_link() {
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().join("real.toml"), root.path().join("config.toml"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut credentials = Credentials::default();
        credentials.set_key(&url("http://127.0.0.1:3000"), &"mai_a".into(), None);
        credentials.write(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().contains("mai_a"));
    }

    #[test]
    fn the_place_follows_the_base_directory_specification() {
        let path = |xdg: Option<&str>, home: Option<&str>| {
            path(xdg.map(Into::into), home.map(Into::into)).ok().map(|path| path.display().to_string())
        };
        assert_eq!(path(Some("/x"), Some("/h")).as_deref(), Some("/x/meet-ai/config.toml"));
        assert_eq!(path(Some(""), Some("/h")).as_deref(), Some("/h/.config/meet-ai/config.toml"));
        assert_eq!(path(Some("x"), Some("/h")).as_deref(), Some("/h/.config/meet-ai/config.toml"));
        assert_eq!(path(None, None), None);
    }
}
