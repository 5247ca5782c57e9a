//! Commits whose answer is lost on the way, through a proxy before Postgres.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use meet_store::{Location, SecretUrl, StoreError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::world::{Server, World};

/// What the proxy does with the next commit.
const PASS: u8 = 0;
const LOSE_THE_ANSWER: u8 = 1;
const LOSE_THE_COMMIT: u8 = 2;

/// Carries one connection, until it loses something.
async fn carry(mut client: TcpStream, server: String, mode: Arc<AtomicU8>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let commits = up[..count].windows(7).any(|window| window == b"COMMIT\0");
                let mode = if commits { mode.swap(PASS, Ordering::SeqCst) } else { PASS };
                if mode == LOSE_THE_COMMIT {
                    return;
                }
                server.write_all(&up[..count]).await.unwrap();
                if mode == LOSE_THE_ANSWER {
                    // The answer arrives here, and no further.
                    let _ = server.read(&mut down).await;
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_read_back_before_anyone_is_told() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxied = format!("postgres://{user}@{}/{database}", listener.local_addr().unwrap());
    let mode = Arc::new(AtomicU8::new(PASS));
    let (server_address, proxy_mode) = (address.to_owned(), Arc::clone(&mode));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            connections.spawn(carry(client, server_address.clone(), Arc::clone(&proxy_mode)));
        }
    });

    let world = World::open(Location::Postgres(SecretUrl::new(proxied)), tempfile::tempdir().unwrap()).await;
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, published) = world.appender();
    world.say(&appender, &owner, room, "first").await;

    mode.store(LOSE_THE_ANSWER, Ordering::SeqCst);
    assert_eq!(world.say(&appender, &owner, room, "stored, and nobody heard").await.seq, 2);

    mode.store(LOSE_THE_COMMIT, Ordering::SeqCst);
    let lost = appender.append(world.message(&owner, room, "not stored")).await;
    assert!(matches!(lost, Err(StoreError::Unavailable { .. })), "{lost:?}");

    assert_eq!(world.say(&appender, &owner, room, "third").await.seq, 3);
    assert!(world.log(owner.tenant, room).await.iter().eq(published.all().iter().map(|one| &*one.message)));
    assert_eq!(published.all().len(), 3);
    assert_eq!(mode.load(Ordering::SeqCst), PASS);
    world.store.close().await;
    tasks.shutdown().await;
    server.drop(&name).await;
}
