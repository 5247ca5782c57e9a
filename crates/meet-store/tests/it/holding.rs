//! The hold of the one server that serves from a Postgres, on a line that breaks.

use meet_store::{Hold, Location, OpenError, SecretUrl, StoreError};

use crate::{
    proxy::{Fate, Proxy},
    world::{Server, run},
};

#[tokio::test]
async fn a_line_that_breaks_while_it_is_set_up_is_an_error() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    let proxy = Proxy::before(&url).await;
    for fate in [Fate::Lost, Fate::Unanswered, Fate::Answered("FATAL", "57P01")] {
        proxy.decide("SET idle_session_timeout", fate);
        let taken = Hold::take(&proxy.location).await.map(drop);
        assert!(matches!(taken, Err(OpenError::Store(StoreError::Unavailable { .. }))), "{fate:?} {taken:?}");
    }
    Hold::take(&proxy.location).await.unwrap();
    proxy.close().await;
    server.drop(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_again_while_it_is_mended_is_mended_all_the_same() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    let mut proxy = Proxy::before(&url).await;
    let mut hold = Hold::take(&proxy.location).await.unwrap();
    proxy.decide("SET idle_session_timeout", Fate::Lost);
    // Only of this database: the other tests have locks of their own.
    let holders = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    run(&url, holders).await;
    let mended = async {
        proxy.happened().await;
        // The last thing that is asked of a new line, after the lock is taken.
        proxy.decide("to_regclass('messages')", Fate::Unanswered);
        proxy.happened().await;
        proxy.decide("to_regclass('messages')", Fate::Watched);
        proxy.happened().await;
        let other = Hold::take(&Location::Postgres(SecretUrl::new(url.clone()))).await.map(drop);
        assert!(matches!(other, Err(OpenError::Held)), "{other:?}");
    };
    tokio::select! {
        () = mended => {}
        lost = hold.lost() => panic!("{lost:?}"),
    }
    drop(hold);
    proxy.close().await;
    server.drop(&name).await;
}
