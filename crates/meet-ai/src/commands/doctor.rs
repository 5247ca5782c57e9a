//! `doctor`: what the server's own side says, then ports, the running server and the client's side.

use std::{io, time::Duration};

use meet_server::{
    Clock, Config,
    config::PublicUrl,
    data_dir::DataDir,
    doctor::{self, Finding, Level},
};
use tokio::net::TcpListener;

use super::server::{config_file, load};
use crate::{
    args::{ClientArgs, DoctorArgs},
    client::{Client, ClientError},
    connection::{Connection, Source},
    failure::{Failure, Outcome, key_wanted},
    invocation,
    output::{self, escape},
    server_url::ServerUrl,
};

/// How long whoever has the address may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// `doctor`: a line for each thing that was looked at, and what to do where it is not well.
pub(crate) async fn run(args: DoctorArgs) -> Outcome {
    let mut worst = Level::Ok;
    let config_file = config_file(&args.server);
    let mut named = None;
    let is_named = args.server.public_url.is_some() || args.server.listen.is_some();
    match load(args.server) {
        Ok(config) => {
            named = is_named.then(|| config.base_url(config.listen));
            let understood = format!("understood; `{}` prints it", invocation::command(&["config"]));
            worst = worst.max(tell(&Finding::ok("configuration", understood))?);
            let serve = invocation::server_command("serve", &config, config_file.as_deref());
            for finding in doctor::inspect(&config, &serve, &Clock::system()).await {
                worst = worst.max(tell(&finding)?);
            }
            worst = worst.max(tell(&listener(&config).await)?);
        }
        Err(failure) => {
            let finding = Finding::fail("configuration", failure.sentence(), "correct that setting");
            worst = worst.max(tell(&finding)?);
        }
    }
    let connection = match (args.url, named) {
        // Keys of other places belong to other servers.
        (None, Some(named)) => Connection::kept_for(named, args.key),
        (url, _) => Connection::resolve(&ClientArgs { url, key: args.key, json: false }),
    };
    for finding in client_side(connection).await {
        worst = worst.max(tell(&finding)?);
    }
    match worst {
        Level::Fail => Err(Failure::refused("something does not work; each line above that says fail has its fix")),
        Level::Ok | Level::Warn => Ok(()),
    }
}

fn tell(finding: &Finding) -> Result<Level, Failure> {
    let word = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "fail",
    };
    output::line(&format!("{word:<5} {:<15} {}", finding.subject, escape(&finding.state)))?;
    if let Some(fix) = &finding.fix {
        for line in fix.lines() {
            output::line(&format!("{:<5} {:<15} fix: {}", "", "", escape(line.trim())))?;
        }
    }
    Ok(finding.level)
}

/// Whether the address is free for a server, or this data directory's server answers there.
async fn listener(config: &Config) -> Finding {
    if let Some(url) = DataDir::announced(&config.data_dir) {
        return running(config, &url).await;
    }
    match TcpListener::bind(config.listen).await {
        Ok(_) => Finding::ok("address", format!("{} is free", config.listen)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => occupied(config).await,
        Err(error) => {
            let state = format!("{} cannot be listened on: {error}", config.listen);
            Finding::fail("address", state, "choose another address with --listen or MEET_AI_LISTEN")
        }
    }
}

/// Who has the address: a server on another directory, as when this command is run outside of its
/// directory, or a program of another kind.
async fn occupied(config: &Config) -> Finding {
    let (listen, data_dir) = (config.listen, output::absolute(&config.data_dir));
    let own = Config { public_url: None, ..config.clone() };
    let client = match ServerUrl::parse(&own.base_url(listen)) {
        Ok(url) => Client::new(&Connection { url, url_source: Source::Default, key: None }).ok(),
        Err(_) => None,
    };
    let is_ours = match client {
        // What is asked is answered in our own words, also where it is refused.
        Some(client) => {
            let answer = tokio::time::timeout(PATIENCE, client.public_rooms()).await;
            matches!(answer, Ok(Ok(_) | Err(ClientError::Refused { .. })))
        }
        None => false,
    };
    if is_ours {
        let shown = data_dir.display();
        let state = match DataDir::is_taken(&config.data_dir) {
            Ok(false) => format!("a meet-ai answers at {listen}, and its data is not in {shown}"),
            Ok(true) | Err(_) => {
                format!("a meet-ai answers at {listen}; whether its data is in {shown} cannot be told")
            }
        };
        let fix = "to look at that one, name its data with --data-dir, as its own user; to start another, choose an \
                   address with --listen";
        return Finding::warn("address", state, fix);
    }
    let state = format!("{listen} is taken by a program that does not answer as a meet-ai");
    Finding::fail("address", state, "choose another address with --listen or MEET_AI_LISTEN")
}

/// Asks the server that runs on the data directory whether it is ready, at its public address: that
/// shows, too, that it answers to that Host.
async fn running(config: &Config, announced: &str) -> Finding {
    let subject = "server";
    let public = config.public_url.as_ref().map_or(announced, PublicUrl::as_str);
    let client = ServerUrl::parse(public)
        .ok()
        .map(|url| Client::new(&Connection { url, url_source: Source::Default, key: None }));
    let ready = match client {
        Some(Ok(client)) => match client.ready().await {
            // Readiness is told to any Host; what needs one is asked too.
            Ok(()) => client.public_rooms().await.map(drop),
            not_ready => not_ready,
        },
        Some(Err(error)) => Err(error),
        None => return Finding::fail(subject, format!("{public} is not an address"), "set --public-url"),
    };
    match ready {
        Ok(()) => Finding::ok(subject, format!("ready at {public}")),
        Err(error @ ClientError::Unreachable { .. }) => Finding::fail(
            subject,
            error.to_string(),
            "check that the name leads to this machine, and the proxy and firewall on the way",
        ),
        Err(error) => Finding::fail(subject, error.to_string(), "look at the server's log, and at --public-url"),
    }
}

/// The server and key that the other commands would use here.
async fn client_side(connection: Result<Connection, Failure>) -> Vec<Finding> {
    let connection = match connection {
        Ok(connection) => connection,
        Err(failure) => return vec![Finding::fail("client", failure.sentence(), "correct that setting")],
    };
    let mut findings = Vec::new();
    let reached = match Client::new(&connection) {
        Ok(client) => client.ready().await.map(|()| client),
        Err(error) => Err(error),
    };
    let server = connection.server();
    let client = match reached {
        Ok(client) => {
            findings.push(Finding::ok("client", format!("{server} is ready")));
            client
        }
        Err(error) => {
            let fix = format!("start the server with `{}`, or set MEET_AI_URL", invocation::command(&["serve"]));
            findings.push(Finding::warn("client", error.to_string(), fix));
            return findings;
        }
    };
    let Some(source) = connection.key.as_ref().map(|(_, source)| *source) else {
        findings.push(Finding::warn("key", format!("none for {server}"), key_wanted()));
        return findings;
    };
    findings.push(key(&client, source).await);
    findings
}

async fn key(client: &Client, source: Source) -> Finding {
    let place = source.as_str();
    match client.session().await {
        Ok(session) => {
            let who = session.user.map_or_else(|| "a key".to_owned(), |user| format!("the session of {}", user.name));
            Finding::ok("key", format!("{who} from {place}, {} of {}", session.role.as_str(), session.org))
        }
        Err(error) => Finding::fail("key", format!("the one from {place} is refused: {error}"), key_wanted()),
    }
}
