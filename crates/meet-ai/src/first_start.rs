//! What becomes of the operator's key when a server starts: it is kept for this user's command line, at
//! every address at which the server listens, so that the browser and the command line are one tenant.
//! It is never shown.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use meet_server::{App, auth::Presented};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    credentials::{self, Credentials, CredentialsError},
    invocation,
    output::{self, escape},
    server_url::ServerUrl,
};

/// What became of the key.
#[derive(Debug)]
enum Kept {
    /// It is in the file.
    Written(PathBuf),
    /// It took the place of one that this database does not know, which is a comment now.
    Replaced(PathBuf),
    /// The file has another key that this database knows.
    Left(PathBuf),
    /// The file has one that it does not know, and no start but the first takes it away.
    Foreign(PathBuf),
}

/// Keeps the key for the address that the server is bound to, when that is this machine's own, and
/// tells what came of it.
pub(crate) async fn keep(app: &App, bound: SocketAddr, key: &SecretString) {
    if !bound.ip().is_loopback() {
        return;
    }
    output::note(&match write(app, bound, key).await {
        Ok(Kept::Written(path)) => format!("The command line on this machine uses {}", place(&path)),
        Ok(Kept::Replaced(path)) => format!(
            "The command line on this machine uses {}; the one that was there for this address is not of this database, \
             is replaced, and stays there as a comment",
            place(&path)
        ),
        Ok(Kept::Left(path) | Kept::Foreign(path)) => {
            format!("The command line on this machine goes on with {}, which is valid here", place(&path))
        }
        Err(error) => format!(
            "warning: the owner's key is not kept for the command line: {}; sign in with the link, or make a key with \
             `{}`",
            escape(&error.to_string()),
            invocation::command(&["generate-key"])
        ),
    });
}

/// Keeps the operator's key for this address, when the file has it for another and nothing for this one.
pub(crate) async fn keep_here_too(app: &App, bound: SocketAddr) {
    if !bound.ip().is_loopback() {
        return;
    }
    match write_too(app, bound).await {
        Ok(Some(Kept::Foreign(path))) => output::note(&format!(
            "warning: {} for this address is not known to this database, and the command line is refused: it is \
             another one's, or was replaced by a new key; one that was here before may stand above it as a comment",
            place(&path)
        )),
        Ok(Some(Kept::Written(path) | Kept::Replaced(path))) => {
            output::note(&format!("The command line on this machine uses {} here too", place(&path)));
        }
        // Nothing is expected of a later start, so that a machine without settings is no fault.
        Ok(Some(Kept::Left(_)) | None) | Err(CredentialsError::NoHome | CredentialsError::NotAnAddress { .. }) => {}
        Err(error) => output::note(&format!(
            "warning: the owner's key is not kept for this address: {}",
            escape(&error.to_string())
        )),
    }
}

fn place(path: &Path) -> String {
    format!("the key in {}", escape(&path.display().to_string()))
}

fn at(bound: SocketAddr) -> Result<ServerUrl, CredentialsError> {
    ServerUrl::parse(&format!("http://{bound}")).map_err(|_| CredentialsError::NotAnAddress { address: bound })
}

async fn write(app: &App, bound: SocketAddr, key: &SecretString) -> Result<Kept, CredentialsError> {
    let path = credentials::own_path()?;
    let _held = credentials::hold(&path)?;
    let mut credentials = Credentials::read(&path)?;
    let server = at(bound)?;
    let before = credentials.key(&server);
    if let Some(before) = &before
        && is_known(app, before).await
    {
        return Ok(Kept::Left(path));
    }
    let remark = before.as_ref().map(|before| remark(app, before));
    credentials.set_key(&server, key, remark.as_deref());
    credentials.write(&path)?;
    Ok(if before.is_some() { Kept::Replaced(path) } else { Kept::Written(path) })
}

/// What the file says of a key that has lost its place: it may be nowhere else.
fn remark(app: &App, before: &SecretString) -> String {
    let now = app.clock().now().to_string();
    let day = now.split('T').next().unwrap_or_default();
    let data = output::absolute(&app.config().data_dir);
    format!("{} was here until {day}, when {} took this address", before.expose_secret(), data.display())
}

async fn write_too(app: &App, bound: SocketAddr) -> Result<Option<Kept>, CredentialsError> {
    let path = credentials::own_path()?;
    let server = at(bound)?;
    let credentials = Credentials::read(&path)?;
    if let Some(key) = credentials.key(&server) {
        return Ok(Some(if is_known(app, &key).await { Kept::Left(path) } else { Kept::Foreign(path) }));
    }
    for key in credentials.servers().iter().filter_map(|other| credentials.key(other)) {
        if !is_operators(app, &key).await {
            continue;
        }
        let _held = credentials::hold(&path)?;
        // What another server wrote meanwhile stays.
        let mut credentials = Credentials::read(&path)?;
        if credentials.key(&server).is_some() {
            return Ok(None);
        }
        credentials.set_key(&server, &key, None);
        credentials.write(&path)?;
        return Ok(Some(Kept::Written(path)));
    }
    Ok(None)
}

/// Whether the key is that of this database's operator.
async fn is_operators(app: &App, key: &SecretString) -> bool {
    let presented = Presented::Token(key.expose_secret().to_owned());
    let member = app.authenticate(&presented).await.ok().flatten();
    member.is_some_and(|member| member.operator && member.bare_key().is_ok())
}

/// Whether this database knows the key. When it cannot tell, the key is not taken away.
async fn is_known(app: &App, key: &SecretString) -> bool {
    let presented = Presented::Token(key.expose_secret().to_owned());
    !matches!(app.authenticate(&presented).await, Err(meet_server::Error::InvalidKey))
}
