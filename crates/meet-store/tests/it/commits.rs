//! Commits whose answer is lost on the way, or is an error that says nothing, through a proxy before
//! Postgres.

use meet_store::StoreError;

use crate::{
    proxy::{Fate, Proxy},
    world::{Server, World},
};

const COMMIT: &str = "COMMIT\0";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_outcome_nobody_told_is_read_back_before_anyone_is_answered() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    let proxy = Proxy::before(&url).await;
    let world = World::open(proxy.location.clone(), tempfile::tempdir().unwrap()).await;
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, published) = world.appender();

    let stored = [
        Fate::Unanswered,
        // PgBouncer, when the server's connection ends under it.
        Fate::Answered("FATAL", "08P01"),
        Fate::Answered("ERROR", "08006"),
        // The server has written the commit and cannot sync it, or is told to stop.
        Fate::Answered("PANIC", "58030"),
        Fate::Answered("FATAL", "57P01"),
        Fate::Answered("ERROR", "40003"),
    ];
    let mut seq = 0;
    for fate in stored {
        proxy.decide(COMMIT, fate);
        seq += 1;
        assert_eq!(world.say(&appender, &owner, room, "stored, and nobody heard").await.seq, seq, "{fate:?}");
    }
    for fate in [Fate::Lost, Fate::Refused("FATAL", "57P01"), Fate::Refused("ERROR", "53100")] {
        proxy.decide(COMMIT, fate);
        let lost = appender.append(world.message(&owner, room, "not stored")).await;
        let is_told = matches!(lost, Err(StoreError::Unavailable { .. } | StoreError::Full { .. }));
        assert!(is_told, "{fate:?} {lost:?}");
    }
    // A plain refusal that asks for another try gets one.
    proxy.decide(COMMIT, Fate::Refused("ERROR", "40001"));
    seq += 1;
    assert_eq!(world.say(&appender, &owner, room, "stored at the second try").await.seq, seq);

    assert!(world.log(owner.tenant, room).await.iter().eq(published.all().iter().map(|one| &*one.message)));
    assert_eq!(published.all().len() as u64, seq);
    world.store.close().await;
    proxy.close().await;
    server.drop(&name).await;
}
