//! `mcp`: the protocol on standard input and output, until the client goes.

use std::sync::Arc;

use rmcp::{ServiceExt as _, service::ServerInitializeError};

use crate::{
    args::McpArgs,
    client::Client,
    connection::Connection,
    failure::{Failure, Outcome, not_empty},
    mcp::{Origin, Own, Server, push_mentions},
};

/// `mcp`, until standard input ends.
pub(crate) async fn run(args: McpArgs) -> Outcome {
    if let Some(name) = &args.name {
        not_empty("the name", name)?;
    }
    let client = Client::new(&Connection::resolve(&args.client)?)?;
    let own = Arc::new(Own::new(client, args.name, args.model, args.role));
    let server = Server::new(Origin::Own(Arc::clone(&own)), args.manage);
    let running = match server.serve(rmcp::transport::stdio()).await {
        Ok(running) => running,
        // A client that goes before it said anything wanted nothing.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(Failure::refused(format!("the client does not speak the protocol: {error}"))),
    };
    let peer = running.peer().clone();
    tokio::select! {
        ended = running.waiting() => {
            ended.map(drop).map_err(|error| Failure::refused(format!("the session ended: {error}")))
        }
        () = push_mentions(&own, &peer) => Ok(()),
    }
}
