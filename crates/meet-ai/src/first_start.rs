//! What happens to the operator's key on a first start: it is kept for this user's command line, so
//! that the browser and the command line are one tenant. It is never shown.

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
    /// It took the place of one that this database does not know.
    Replaced(PathBuf),
    /// The file has another key that this database knows.
    Left(PathBuf),
}

/// Keeps the key for the address that the server is bound to, when that is this machine's own, and
/// tells what came of it.
pub(crate) async fn keep(app: &App, bound: SocketAddr, key: &SecretString) {
    if !bound.ip().is_loopback() {
        return;
    }
    let place = |path: &Path| format!("the key in {}", escape(&path.display().to_string()));
    output::note(&match write(app, bound, key).await {
        Ok(Kept::Written(path)) => format!("The command line on this machine uses {}", place(&path)),
        Ok(Kept::Replaced(path)) => format!(
            "The command line on this machine uses {}; the one that was there for this address is not of this database \
             and is replaced",
            place(&path)
        ),
        Ok(Kept::Left(path)) => {
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

async fn write(app: &App, bound: SocketAddr, key: &SecretString) -> Result<Kept, CredentialsError> {
    let path = credentials::own_path()?;
    let _held = credentials::hold(&path)?;
    let mut credentials = Credentials::read(&path)?;
    let server = ServerUrl::parse(&format!("http://{bound}"));
    let server = server.map_err(|_| CredentialsError::NotAnAddress { address: bound })?;
    let before = credentials.key(&server);
    if let Some(before) = &before
        && is_known(app, before).await
    {
        return Ok(Kept::Left(path));
    }
    credentials.set_key(&server, key);
    credentials.write(&path)?;
    Ok(if before.is_some() { Kept::Replaced(path) } else { Kept::Written(path) })
}

/// Whether this database knows the key. When it cannot tell, the key is not taken away.
async fn is_known(app: &App, key: &SecretString) -> bool {
    let presented = Presented::Token(key.expose_secret().to_owned());
    !matches!(app.authenticate(&presented).await, Err(meet_server::Error::InvalidKey))
}
