//! What `meet-ai doctor` can find out about a server's own side: configuration, data directory,
//! database. It looks, and repairs nothing; ports and clients are looked at by the command.

use std::{
    io,
    path::{Path, PathBuf},
};

use meet_store::{Disk, Durability, Inspection, Location, OpenError};

use crate::{
    clock::Clock,
    conference::Conference,
    config::{Config, machine_address},
    data_dir::{self, DataDir},
    tokens::KEYS_FILE,
    turnstile::Turnstile,
};

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and may be meant; worth knowing.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How well it is.
    pub level: Level,
    /// What was looked at, in two or three words.
    pub subject: &'static str,
    /// How it is.
    pub state: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Finding {
    /// It is as it should be.
    pub fn ok(subject: &'static str, state: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject, state: state.into(), fix: None }
    }

    /// It works; the fix is for those who did not mean it so.
    pub fn warn(subject: &'static str, state: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warn, subject, state: state.into(), fix: Some(fix.into()) }
    }

    /// It does not work.
    pub fn fail(subject: &'static str, state: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(subject, state, fix) }
    }
}

/// Looks at everything that a server needs before it can start. `serve` is the command that starts it.
pub async fn inspect(config: &Config, serve: &str, clock: &Clock) -> Vec<Finding> {
    let mut findings = vec![exposure(config, serve)];
    findings.extend(data_directory(&config.data_dir));
    findings.extend(database(config).await);
    findings.extend(calls(config, clock).await);
    findings
}

/// Whether whoever carries the calls does so, and whoever keeps bots away knows us.
async fn calls(config: &Config, clock: &Clock) -> Vec<Finding> {
    let subject = "calls";
    let mut findings = match Conference::new(config, &config.base_url(config.listen)) {
        Ok(Some(conference)) => conference.inspect(clock.now()).await,
        Ok(None) if config.livekit.url.is_some() || config.realtimekit.app_id.is_some() => vec![Finding::warn(
            subject,
            "a provider is set up and none is chosen, so there are no calls",
            "set MEET_AI_CONFERENCE__PROVIDER to livekit or realtimekit",
        )],
        Ok(None) => vec![Finding::ok(subject, "none; MEET_AI_CONFERENCE__PROVIDER is not set")],
        Err(error) => vec![Finding::fail(subject, error, "look at the settings of the provider")],
    };
    match Turnstile::new(&config.turnstile) {
        Ok(Some(turnstile)) => findings.push(turnstile.inspect(clock.uuid()).await),
        Ok(None) => {}
        Err(error) => findings.push(Finding::fail("Turnstile", error, "look at the settings of Turnstile")),
    }
    findings
}

fn exposure(config: &Config, serve: &str) -> Finding {
    let subject = "public URL";
    if let Err(exposed) = config.check_exposure() {
        let sentence = exposed.sentence(serve, machine_address());
        let (state, fix) = sentence.split_once('\n').unwrap_or((&sentence, "see the documentation"));
        return Finding::fail(subject, state, fix);
    }
    match &config.public_url {
        Some(url) if url.is_https() || url.is_loopback() => Finding::ok(subject, url.as_str()),
        Some(url) => Finding::warn(
            subject,
            format!("{url} is plain http: whoever shares the network reads along"),
            "put a proxy with TLS in front, and name its address with --public-url https://…",
        ),
        None => Finding::ok(subject, "none; only this machine reaches the server"),
    }
}

fn data_directory(path: &Path) -> Vec<Finding> {
    let subject = "data directory";
    // The directory that a relative path means is often the surprise.
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let shown = path.display();
    let fix = "give this user the directory, or choose another with --data-dir";
    if !path.exists() {
        let parent = existing_ancestor(path);
        return vec![match is_writable(&parent) {
            Ok(()) => Finding::ok(subject, format!("{shown} will be made by the first start")),
            Err(error) => Finding::fail(subject, format!("{shown} cannot be made: {error}"), fix),
        }];
    }
    if let Err(error) = is_writable(path) {
        return vec![Finding::fail(subject, format!("{shown} cannot be written: {error}"), fix)];
    }
    let mut findings = vec![match data_dir::is_open_to_others(path) {
        Ok(false) => Finding::ok(subject, format!("{shown} is writable and private")),
        Ok(true) => Finding::warn(
            subject,
            format!("{shown} can be entered by other users of this machine"),
            format!("chmod 700 {shown}"),
        ),
        Err(error) => Finding::fail(subject, format!("{shown} cannot be looked at: {error}"), fix),
    }];
    findings.push(match DataDir::is_taken(path) {
        Ok(true) => Finding::ok("lock", "held: a server runs on this directory"),
        Ok(false) => Finding::ok("lock", "free: no server runs on this directory"),
        Err(error) => Finding::warn("lock", format!("cannot be looked at: {error}"), "use a local disk"),
    });
    findings.extend(signing_keys(&path.join(KEYS_FILE)));
    findings
}

/// Whoever reads the signing keys can pass for anybody; a file that is not there is made by the first start.
fn signing_keys(path: &Path) -> Option<Finding> {
    let (subject, shown) = ("signing keys", path.display());
    match data_dir::is_open_to_others(path) {
        Ok(false) => Some(Finding::ok(subject, format!("{shown} is private"))),
        Ok(true) => Some(Finding::warn(
            subject,
            format!("{shown} has rights for other users of this machine"),
            format!("chmod 600 {shown}"),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            Some(Finding::fail(subject, format!("{shown} cannot be looked at: {error}"), "give this user the file"))
        }
    }
}

async fn database(config: &Config) -> Vec<Finding> {
    let subject = "database";
    let location = config.location();
    match meet_store::inspect(&location).await {
        Ok(Inspection { durability, disk }) => {
            let mut findings = vec![durable(&durability)];
            findings.extend(disk.map(|disk| space(config, disk)));
            findings
        }
        Err(OpenError::NothingThere { .. }) => {
            let engine = if matches!(location, Location::Sqlite(_)) { "SQLite" } else { "Postgres answers" };
            vec![Finding::ok(subject, format!("{engine}; the first start makes it"))]
        }
        Err(error) => {
            let sentence = error.to_string();
            let (state, fix) = sentence.split_once(": ").unwrap_or((&sentence, "look at the log of the server"));
            let outdated = matches!(error, OpenError::OlderSchema { .. });
            vec![if outdated { Finding::warn(subject, state, fix) } else { Finding::fail(subject, state, fix) }]
        }
    }
}

fn durable(durability: &Durability) -> Finding {
    let settings: Vec<String> = durability.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let state = format!("{} answers ({})", durability.engine, settings.join(", "));
    if durability.durable {
        Finding::ok("database", state)
    } else {
        let fix = "set fsync and synchronous_commit to on, or acknowledged messages may be lost";
        Finding::fail("database", state, fix)
    }
}

fn space(config: &Config, disk: Disk) -> Finding {
    let least = config.limits.min_free_bytes(disk.total);
    let state = format!("{} MiB free; writing stops below {} MiB", disk.free >> 20, least >> 20);
    let fix = "free some space, or lower MEET_AI_LIMITS__MIN_FREE_BYTES";
    if disk.free < least {
        Finding::fail("disk", state, fix)
    } else if disk.free < least.saturating_mul(4) {
        Finding::warn("disk", state, fix)
    } else {
        Finding::ok("disk", state)
    }
}

/// The nearest directory above that is there.
fn existing_ancestor(path: &Path) -> PathBuf {
    let mut above =
        path.ancestors().skip(1).map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    above.find(|path| path.exists()).unwrap_or(Path::new(".")).to_path_buf()
}

fn is_writable(directory: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    const SERVE: &str = "meet-ai serve";

    fn config(data_dir: &Path) -> Config {
        Config { data_dir: data_dir.to_path_buf(), ..Config::default() }
    }

    fn worst(findings: &[Finding]) -> Level {
        findings.iter().map(|finding| finding.level).max().unwrap()
    }

    #[tokio::test]
    async fn a_machine_that_never_ran_a_server_is_well() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let findings = inspect(&config(&path), SERVE, &Clock::system()).await;
        assert_eq!(worst(&findings), Level::Ok, "{findings:?}");
        assert!(!path.exists(), "looking makes nothing");
    }

    #[tokio::test]
    async fn a_directory_open_to_others_is_worth_a_warning_with_the_fix() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let findings = inspect(&config(root.path()), SERVE, &Clock::system()).await;
        let warned = findings.iter().find(|finding| finding.level == Level::Warn).unwrap();
        assert!(warned.fix.as_ref().unwrap().starts_with("chmod 700 "), "{warned:?}");
    }

    #[tokio::test]
    async fn a_database_is_looked_at_and_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let config = config(root.path());
        meet_store::Store::open(&config.location()).await.unwrap().close().await;
        let file = root.path().join("meet-ai.db");
        let before = fs::read(&file).unwrap();
        let findings = inspect(&config, SERVE, &Clock::system()).await;
        let found = findings.iter().find(|finding| finding.subject == "database").unwrap();
        assert_eq!((found.level, found.state.starts_with("sqlite answers")), (Level::Ok, true), "{found:?}");
        assert!(fs::read(&file).unwrap() == before);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "looking leaves nothing behind");
    }

    #[tokio::test]
    async fn signing_keys_that_others_may_read_are_worth_a_warning_with_the_fix() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(KEYS_FILE);
        fs::write(&file, "").unwrap();
        for (mode, level) in [(0o640, Level::Warn), (0o600, Level::Ok)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let findings = inspect(&config(root.path()), SERVE, &Clock::system()).await;
            let found = findings.iter().find(|finding| finding.subject == "signing keys").unwrap();
            assert_eq!(found.level, level, "{found:?}");
            assert_eq!(found.fix.is_some(), level == Level::Warn);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_a_failure_with_the_fix() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("meet-ai.db"), "not a database at all, but some text").unwrap();
        let findings = inspect(&config(root.path()), SERVE, &Clock::system()).await;
        let failed = findings.iter().find(|finding| finding.subject == "database").unwrap();
        assert_eq!(failed.level, Level::Fail, "{findings:?}");
        assert!(failed.fix.is_some());
    }
}
