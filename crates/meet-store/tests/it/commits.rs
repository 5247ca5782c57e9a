//! Commits whose answer is lost on the way, or is an error that says nothing, through a proxy before
//! Postgres.

use meet_store::StoreError;

use crate::{
    proxy::{Fate, Proxy},
    world::{Server, World, run, stored},
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

/// Whoever looks has only this one thread: what is said at once is one batch.
#[tokio::test]
async fn a_batch_is_found_again_though_its_first_message_is_gone_already() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    let proxy = Proxy::before(&url).await;
    let world = World::open(proxy.location.clone(), tempfile::tempdir().unwrap()).await;
    let owner = world.owner().await;
    let (first, second) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let (appender, published) = world.appender();
    let forget = "CREATE FUNCTION forget() RETURNS trigger AS \
                  'BEGIN DELETE FROM messages WHERE id = NEW.id; RETURN NULL; END' LANGUAGE plpgsql; \
                  CREATE CONSTRAINT TRIGGER forget AFTER INSERT ON messages DEFERRABLE INITIALLY DEFERRED \
                  FOR EACH ROW WHEN (NEW.content = 'purged at once') EXECUTE FUNCTION forget()";
    run(&url, forget).await;
    proxy.decide(COMMIT, Fate::Unanswered);
    let (gone, kept) = tokio::join!(
        appender.append(world.message(&owner, first, "purged at once")),
        appender.append(world.message(&owner, second, "kept")),
    );
    assert_eq!((stored(gone.unwrap()).seq, stored(kept.unwrap()).seq), (1, 1));
    assert_eq!(published.all().len(), 2);
    assert_eq!((world.log(owner.tenant, first).await.len(), world.log(owner.tenant, second).await.len()), (0, 1));
    world.store.close().await;
    proxy.close().await;
    server.drop(&name).await;
}
