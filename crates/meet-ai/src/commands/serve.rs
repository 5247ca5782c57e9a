//! `serve`: from settings to a running server, and what it tells the person who started it.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
};

use meet_server::{App, Clock, Config, FirstStart, Hold, Started, config::machine_address, data_dir::DataDir};
use rustix::process::{Resource, getrlimit, setrlimit};
use secrecy::ExposeSecret as _;
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::server::{chain, config_file, load};
use crate::{
    args::ServeArgs,
    failure::{Failure, Outcome},
    first_start, invocation, mcp, output,
    signals::Signals,
};

/// `serve`, until a signal ends it.
pub(crate) async fn run(args: ServeArgs) -> Outcome {
    let config_file = config_file(&args.server);
    let config = load(args.server)?;
    let owner_link = invocation::server_command("owner-link", &config, config_file.as_deref());
    let serve = invocation::server_command("serve", &config, config_file.as_deref());
    config.check_exposure().map_err(|exposed| Failure::usage(exposed.sentence(&serve, machine_address())))?;
    start_logging(&config)?;
    raise_descriptor_limit();
    let data_dir = DataDir::open(&config.data_dir).map_err(Failure::refused)?;
    let taken = Hold::take(&config.location()).await;
    let mut hold = taken.map_err(|error| Failure::refused(chain(&error)))?;
    let (listener, bound) = listen(config.listen).await?;
    let mut signals = Signals::hear().map_err(|error| Failure::refused(format!("signals cannot be heard: {error}")))?;
    let opened = App::open(config, Clock::system(), bound).await;
    let Started { app, first } = opened.map_err(|error| Failure::refused(chain(&error)))?;
    app.look_at_provider();
    if let Err(error) = data_dir.announce(&app.site().public_url) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "commands beside this server do not learn its address"
        );
    }
    introduce(&app, bound, first, &owner_link).await.map_err(|error| Failure::refused(chain(&error)))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut lost = None;
    let stopping = CancellationToken::new();
    let mcp = mcp::mounted(app.config().mcp.manage, stopping.clone());
    let serving = meet_server::serve_with(app, listener, Some(mcp), async {
        tokio::select! {
            _ = stopped => {}
            taken_over = hold.lost() => lost = Some(taken_over),
        }
        stopping.cancel();
    });
    let insisting = async {
        signals.next().await;
        output::note("stopping; a second signal stops at once");
        let _ = stop.send(());
        signals.next().await;
    };
    tokio::select! {
        served = serving => served.map_err(|error| Failure::refused(chain(&error)))?,
        () = insisting => return Err(Failure::refused("stopped at once; what was not acknowledged may be lost")),
    }
    lost.map_or(Ok(()), |taken_over| Err(Failure::refused(chain(&taken_over))))
}

/// Prints where the server is. A first start also hands its key and a link to whoever started it, and has ended only
/// when both are out.
async fn introduce(
    app: &App,
    bound: SocketAddr,
    first: Option<FirstStart>,
    owner_link: &str,
) -> Result<(), meet_server::Error> {
    let url = &app.site().public_url;
    let Some(first) = first else {
        first_start::keep_here_too(app, bound).await;
        let how = format!("Open {url}/ in a browser; this prints a link that signs in as the owner:\n  {owner_link}");
        output::announce(&banner(app, bound, &how));
        return Ok(());
    };
    let (link, _) = app.owner_link().await?;
    first_start::keep(app, bound, &first.key).await;
    let how = "Open this link in a browser; it works once, for 10 minutes, and makes it the owner's:";
    output::announce(&banner(app, bound, &format!("{how}\n  {}", link.expose_secret())));
    app.end_first_start().await
}

/// Logs to standard error what the filter lets through.
fn start_logging(config: &Config) -> Outcome {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        Failure::usage(format!("MEET_AI_LOG is not a filter such as info or meet_server=debug,warn: {error}"))
    })?;
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // The SDK of MCP tells what was said in its sessions, which nobody is to read here, whatever the filter says.
    let is_ours_to_tell = filter_fn(|metadata| !metadata.target().starts_with("rmcp"));
    tracing_subscriber::registry().with(lines).with(filter).with(is_ours_to_tell).init();
    Ok(())
}

/// Lets the process open as many files as the system allows it to: each socket is one.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A system that says no leaves things as they are, and the limit on sockets follows.
    let _ = setrlimit(Resource::Nofile, limit);
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bound.await.map_err(|error| Failure::refused(cannot_listen(address, &error)))
}

/// Why an address cannot be had, and what to do about it.
fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let other = SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(3000));
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is taken by another program: stop that one, or choose another address with --listen {other} (or \
             MEET_AI_LISTEN)"
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "this user may not listen on {address}: choose a port from 1024 up with --listen (or MEET_AI_LISTEN)"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is not an address of this machine: choose one that is with --listen (or MEET_AI_LISTEN)")
        }
        _ => format!("cannot listen on {address} ({error}): choose another address with --listen (or MEET_AI_LISTEN)"),
    }
}

/// What the person who started the server needs next.
fn banner(app: &App, bound: SocketAddr, how_to_open: &str) -> String {
    let url = &app.site().public_url;
    let socket = url.replacen("http", "ws", 1);
    let mut lines = vec![
        format!("meet-ai {}, listening on {bound}", env!("CARGO_PKG_VERSION")),
        format!("  web       {url}/"),
        format!("  API       {url}/docs"),
        format!("  sockets   {socket}/api/rooms/{{id}}/ws"),
        format!("  SDKs      {socket}/connection/websocket"),
        format!("  data      {}", output::escape(&output::absolute(&app.config().data_dir).display().to_string())),
    ];
    if !app.config().signup_is_open() {
        lines.push("  sign-up is closed: strangers get no key; MEET_AI_SIGNUP=open opens it".to_owned());
    }
    lines.push(format!("\n{how_to_open}"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_told_with_the_way_out() {
        let address = "127.0.0.1:3000".parse().unwrap();
        let sentence = cannot_listen(address, &io::ErrorKind::AddrInUse.into());
        assert!(
            sentence.contains("127.0.0.1:3000 is taken") && sentence.contains("--listen 127.0.0.1:3001"),
            "{sentence}"
        );
        let highest = "127.0.0.1:65535".parse().unwrap();
        assert!(cannot_listen(highest, &io::ErrorKind::AddrInUse.into()).contains("--listen 127.0.0.1:3000"));
    }
}
