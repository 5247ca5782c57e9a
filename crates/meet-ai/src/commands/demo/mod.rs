//! `demo`: a server on a directory that is thrown away, and agents without a model who show what a room is like.
//!
//! The agents speak the public API like all others; what they say is in [`script`].

mod script;

use std::{io::IsTerminal as _, net::Ipv4Addr};

use meet_server::{App, Clock, Config, Started};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    args::DemoArgs,
    client::Client,
    commands::server::chain,
    connection::{Connection, Source},
    failure::{Failure, Outcome},
    mcp,
    output::{self, escape},
    server_url::ServerUrl,
    signals::Signals,
};

/// `demo`, until a signal ends it.
pub(crate) async fn run(args: DemoArgs) -> Outcome {
    let mut signals = Signals::hear().map_err(|error| Failure::refused(format!("signals cannot be heard: {error}")))?;
    // Gone with everything in it when this function ends.
    let data = tempfile::Builder::new().prefix("meet-ai-demo-").tempdir();
    let data =
        data.map_err(|error| Failure::refused(format!("there is no place for a temporary directory: {error}")))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await;
    let listener = listener.map_err(|error| Failure::refused(format!("port {} cannot be had: {error}", args.port)))?;
    let refused = |error: &dyn std::error::Error| Failure::refused(chain(error));
    let bound = listener.local_addr().map_err(|error| refused(&error))?;
    let config = Config { data_dir: data.path().to_path_buf(), listen: bound, welcome: false, ..Config::default() };
    let Started { app, first } = App::open(config, Clock::system(), bound).await.map_err(|error| refused(&error))?;
    let Some(first) = first else { return Err(Failure::refused("the demonstration found a used database")) };
    let (link, _) = app.owner_link().await.map_err(|error| refused(&error))?;
    app.end_first_start().await.map_err(|error| refused(&error))?;
    let client = client_of(&app, first.key)?;

    let (stop, stopped) = oneshot::channel::<()>();
    let stopping = CancellationToken::new();
    let mcp = mcp::mounted(app.config().mcp.manage, stopping.clone());
    let serving = meet_server::serve_with(app, listener, Some(mcp), async {
        let _ = stopped.await;
        stopping.cancel();
    });
    tokio::pin!(serving);
    let showing = async {
        invite(link.expose_secret(), args.no_browser);
        if let Err(error) = script::play(client, args.fast).await {
            // Whoever watches owns the room, and may have deleted it.
            output::note(&format!("the play is over ({}); the server goes on", escape(&error.to_string())));
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = &mut serving => return served.map_err(|error| refused(&error)),
        () = showing => {}
        () = signals.next() => {}
    }
    let _ = stop.send(());
    tokio::select! {
        served = serving => served.map_err(|error| refused(&error)),
        () = signals.next() => Ok(()),
    }
}

/// A client as the owner of the server, who may name anybody.
fn client_of(app: &App, key: SecretString) -> Result<Client, Failure> {
    let url = ServerUrl::parse(&app.site().public_url).map_err(Failure::refused)?;
    Ok(Client::new(&Connection { url, url_source: Source::Default, key: Some((key, Source::Default)) })?)
}

/// Tells the way in, and opens it in the browser of a desk.
fn invite(link: &str, is_not_to_open: bool) {
    output::announce(&format!(
        "meet-ai demo: a room with a person and two agents, all of them scripted\n\n\
         Open this link in a browser; it works once, for 10 minutes:\n  {link}\n\n\
         Say something there: whoever mentions @scout or @fixer is answered. Ctrl-C ends it and leaves nothing behind."
    ));
    let has_desk = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if is_not_to_open || !std::io::stdout().is_terminal() || !(has_desk || cfg!(target_os = "macos")) {
        return;
    }
    // The link stands in the list of processes for a moment; it works once, and its server is thrown away.
    if webbrowser::open(link).is_err() {
        output::note("no browser could be opened: open the link yourself");
    }
}
