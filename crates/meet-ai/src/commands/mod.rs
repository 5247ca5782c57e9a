//! What each command does. Client commands speak the public API only; server commands call
//! `meet_server`. None has a door that others have not.

pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod join;
pub(crate) mod listen;
pub(crate) mod mcp;
pub(crate) mod messages;
pub(crate) mod presence;
pub(crate) mod reading;
pub(crate) mod rooms;
pub(crate) mod serve;
pub(crate) mod server;
pub(crate) mod skill;

use serde_json::json;

use crate::{
    args::{ClientArgs, Command},
    client::Client,
    connection::Connection,
    failure::{Failure, Outcome},
    output::{self, escape},
};

/// Runs a command.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::GenerateKey(args) => generate_key(&args).await,
        Command::CreateRoom(args) => rooms::create(args).await,
        Command::Rooms(args) => rooms::list(&args).await,
        Command::SendMessage(args) => messages::send(args).await,
        Command::Poll(args) => messages::poll(args).await,
        Command::Listen(args) => Box::pin(listen::run(args)).await,
        Command::Unread(args) => reading::unread(args).await,
        Command::MarkRead(args) => reading::mark(args).await,
        Command::Status(args) => presence::set(args).await,
        Command::Log(args) => presence::log(args).await,
        Command::Who(args) => presence::who(args).await,
        Command::Whoami(args) => presence::whoami(&args).await,
        Command::Join(args) => join::run(args).await,
        Command::Mcp(args) => mcp::run(args).await,
        Command::Skill(args) => skill::run(args),
        Command::OwnerLink(args) => server::owner_link(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Config(args) => server::config(args),
        Command::Backup(args) => server::backup(args).await,
        Command::Restore(args) => server::restore(args).await,
        Command::Openapi => output::line(meet_server::openapi_json()),
        Command::Version => output::line(concat!("meet-ai ", env!("CARGO_PKG_VERSION"))),
    }
}

/// Whether a failure of this command is to be told as JSON.
pub(crate) fn is_json(command: &Command) -> bool {
    match command {
        Command::GenerateKey(args) | Command::Rooms(args) | Command::Whoami(args) => args.json,
        Command::Unread(args) => args.client.json,
        Command::MarkRead(args) => args.client.json,
        Command::Status(args) => args.client.json,
        Command::Log(args) => args.client.json,
        Command::Who(args) => args.client.json,
        Command::CreateRoom(args) => args.client.json,
        Command::SendMessage(args) => args.client.json,
        Command::Poll(args) => args.client.json,
        Command::Join(args) => args.json,
        Command::Listen(_) => true,
        _ => false,
    }
}

/// The client that the flags and their surroundings ask for.
fn client(args: &ClientArgs) -> Result<Client, Failure> {
    Ok(Client::new(&Connection::resolve(args)?)?)
}

/// The same client as a user of its own: the session's, or the agent of this name, since a key may name anybody.
async fn client_as(args: &ClientArgs, name: Option<&str>) -> Result<Client, Failure> {
    let client = client(args)?;
    match name {
        Some(name) => presence::identified(client, name).await,
        None if client.has_key() && !client.is_session() => {
            Err(Failure::usage("say which agent you are by --as NAME: whoever has a key may be anybody"))
        }
        None => Ok(client),
    }
}

async fn generate_key(args: &ClientArgs) -> Outcome {
    let client = client(args)?;
    let made = client.create_key().await?;
    if args.json {
        return output::json(&json!({ "key": made.key, "prefix": made.prefix }));
    }
    output::line(&escape(&made.key))?;
    output::note("This key is shown once. Keep it in MEET_AI_KEY, or in your .env:");
    output::note("  MEET_AI_KEY=<the key above>");
    output::note(&format!("  MEET_AI_URL={}", client.connection().url));
    Ok(())
}
