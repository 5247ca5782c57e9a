//! The commands beside a server: its configuration, its owner's link, its backups.

use std::path::{Path, PathBuf};

use meet_server::{App, Clock, Config, Error, backup, config::Overrides, config::PublicUrl, data_dir::DataDir};
use secrecy::ExposeSecret as _;

use crate::{
    args::{FileArgs, ServerArgs},
    failure::{Failure, Outcome},
    output::{self, escape},
};

/// The configuration that the flags, the environment and the file say.
pub(crate) fn load(args: ServerArgs) -> Result<Config, Failure> {
    let overrides = Overrides {
        listen: args.listen,
        data_dir: args.data_dir,
        public_url: args.public_url,
        insecure_http: args.insecure_http,
    };
    Config::load(args.config.as_deref(), own_environment()?.into_iter(), overrides).map_err(Failure::usage)
}

/// The file that a configuration comes from, when one is named.
pub(crate) fn config_file(args: &ServerArgs) -> Option<PathBuf> {
    let named = std::env::var_os("MEET_AI_CONFIG").filter(|name| !name.is_empty());
    args.config.clone().or_else(|| named.map(PathBuf::from))
}

/// The variables that may be ours; one of them that is not text is a mistake.
fn own_environment() -> Result<Vec<(String, String)>, Failure> {
    let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    ours.filter(|(name, _)| name.starts_with("MEET_AI_"))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(Failure::usage(format!("{name} is not text in UTF-8"))),
        })
        .collect()
}

/// `config`.
pub(crate) fn config(args: ServerArgs) -> Outcome {
    output::line(load(args)?.masked().trim_end())
}

/// `owner-link`: a link that signs a browser in as the owner, once.
pub(crate) async fn owner_link(args: ServerArgs) -> Outcome {
    let mut config = load(args)?;
    if config.database_url.is_none() && !config.data_dir.join("meet-ai.db").exists() {
        let shown = escape(&config.data_dir.display().to_string());
        return Err(Failure::refused(format!(
            "there is no database in {shown}: start the server first, or name its directory with --data-dir"
        )));
    }
    // A running server knows best by which address it is reached.
    if let Some(url) = DataDir::announced(&config.data_dir).and_then(|url| PublicUrl::parse(&url).ok()) {
        config.public_url = Some(url);
    }
    let bound = config.listen;
    let app = App::open_beside(config, Clock::system(), bound).await;
    let app = app.map_err(|error| Failure::refused(chain(&error)))?;
    let link = app.owner_link().await;
    app.close().await;
    let (link, expires_at) = link.map_err(|error| match error {
        Error::NotFound(_) => Failure::refused("the database has no owner yet: start the server first"),
        error => Failure::refused(chain(&error)),
    })?;
    output::line(link.expose_secret())?;
    output::note(&format!("It works once, until {expires_at}; whoever opens it owns the server."));
    Ok(())
}

/// `backup`.
pub(crate) async fn backup(args: FileArgs) -> Outcome {
    let (file, config) = of_file(args)?;
    let summary = backup::backup(&config, &file).await.map_err(|error| Failure::refused(chain(&error)))?;
    tell("written to", &file, summary)
}

/// `restore`.
pub(crate) async fn restore(args: FileArgs) -> Outcome {
    let (file, config) = of_file(args)?;
    let restored = backup::restore(&config, &file, &Clock::system()).await;
    tell("restored from", &file, restored.map_err(|error| Failure::refused(chain(&error)))?)
}

fn of_file(args: FileArgs) -> Result<(PathBuf, Config), Failure> {
    let server = ServerArgs { data_dir: args.data_dir, config: args.config, ..ServerArgs::default() };
    Ok((args.file, load(server)?))
}

fn tell(done: &str, file: &Path, summary: backup::Summary) -> Outcome {
    let backup::Summary { tenants, rooms, messages, bytes } = summary;
    let file = escape(&file.display().to_string());
    output::line(&format!("{done} {file}: {messages} messages in {rooms} rooms of {tenants} keys, {bytes} bytes"))
}

/// An error and what caused it, as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let reason = source.to_string();
        if !text.contains(&reason) {
            text = format!("{text} ({reason})");
        }
        cause = source.source();
    }
    text
}
