//! Tenants and their keys.

use std::sync::Arc;

use futures_util::future::join_all;
use meet_store::{Created, Digest, Location, SecretUrl, TenantKind};

use crate::world::{HOUR, NOW, Server, World, run};

crate::on_both!(
    a_key_finds_its_tenant_and_no_other,
    the_operator_is_found_and_the_database_is_no_longer_empty,
    rotating_ends_sessions_and_invites,
    of_those_who_replace_or_delete_one_key_at_once_one_does,
    deleting_ends_everything_at_once,
    the_last_use_only_moves_forward,
);

async fn a_key_finds_its_tenant_and_no_other(world: Arc<World>) {
    let (one, two) = (world.owner().await, world.owner().await);
    assert_eq!(world.store.tenant_by_key(&one.key).await.unwrap().unwrap().id, one.tenant);
    assert_eq!(world.store.tenant_by_key(&two.key).await.unwrap().unwrap().id, two.tenant);
    assert_eq!(world.store.tenant_by_key(&Digest([0; 32])).await.unwrap(), None);
    let tenant = world.store.tenant(one.tenant).await.unwrap().unwrap();
    assert_eq!((tenant.kind, tenant.prefix.as_deref(), tenant.generation), (TenantKind::Key, Some("mai_abcd"), 0));
    assert_eq!((tenant.created_at, tenant.last_used), (NOW, None));
}

async fn the_operator_is_found_and_the_database_is_no_longer_empty(world: Arc<World>) {
    assert!(world.store.is_empty().await.unwrap());
    world.owner().await;
    assert!(!world.store.is_empty().await.unwrap());
    assert_eq!(world.store.operator().await.unwrap(), None);
    let operator = world.tenant(TenantKind::Operator).await;
    assert_eq!(world.store.operator().await.unwrap().unwrap().id, operator.tenant);
}

async fn rotating_ends_sessions_and_invites(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let secret = world.digest();
    let session = world.session(owner.tenant, owner.user.id, secret);
    assert!(world.store.create_session(session.clone()).await.unwrap());
    let invite = world.invite(Some(room), None);
    assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());
    assert!(world.store.session_by_digest(&secret, NOW).await.unwrap().is_some());

    let key = world.digest();
    let rotated = world.store.rotate_key(owner.tenant, 0, key, "mai_wxyz".into(), NOW).await.unwrap().unwrap();
    assert_eq!((rotated.id, rotated.generation, rotated.prefix.as_deref()), (owner.tenant, 1, Some("mai_wxyz")));
    assert_eq!(world.store.tenant_by_key(&owner.key).await.unwrap(), None);
    assert_eq!(world.store.tenant_by_key(&key).await.unwrap().unwrap(), rotated);
    assert_eq!(world.store.session_by_digest(&secret, NOW).await.unwrap(), None);
    assert_eq!(world.store.invites(owner.tenant, room, 10, None).await.unwrap(), []);
    let used = world.store.redeem_invite(&invite.digest, NOW, world.redeem("Bob")).await.unwrap();
    assert_eq!(used, meet_store::Redeemed::Unknown);
    // Whoever signed in with the old key, and is only now given a session, gets none.
    let mut late = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(!world.store.create_session(late.clone()).await.unwrap());
    late.generation = 1;
    assert!(world.store.create_session(late).await.unwrap());
    // Nor does an invite outlive the key that was about to make it.
    let mut late = world.invite(Some(room), None);
    assert!(!world.store.create_invite(owner.tenant, late.clone()).await.unwrap());
    late.generation = 1;
    assert!(world.store.create_invite(owner.tenant, late).await.unwrap());
    // The tenant's data is all there.
    assert!(world.store.room(owner.tenant, room).await.unwrap().is_some());
}

async fn of_those_who_replace_or_delete_one_key_at_once_one_does(world: Arc<World>) {
    let owner = world.owner().await;
    let keys: Vec<_> = (0..10).map(|_| world.digest()).collect();
    let rotate = |key: &Digest| world.store.rotate_key(owner.tenant, 0, *key, "mai_wxyz".into(), NOW);
    let rotated = join_all(keys.iter().map(rotate)).await;
    let won: Vec<_> = keys.iter().zip(rotated).filter_map(|(key, rotated)| Some((*key, rotated.unwrap()?))).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(world.store.tenant_by_key(&won[0].0).await.unwrap().as_ref(), Some(&won[0].1));
    // With a key that has been replaced nothing is deleted.
    assert!(!world.store.delete_tenant(owner.tenant, 0, NOW).await.unwrap());
    assert!(world.store.tenant(owner.tenant).await.unwrap().is_some());
}

async fn deleting_ends_everything_at_once(world: Arc<World>) {
    let (owner, other) = (world.owner().await, world.owner().await);
    let (room, kept) = (world.room(owner.tenant).await, world.room(other.tenant).await);
    let secret = world.digest();
    assert!(world.store.create_session(world.session(owner.tenant, owner.user.id, secret)).await.unwrap());
    let link = world.invite(None, Some(1));
    assert!(world.store.create_invite(owner.tenant, link.clone()).await.unwrap());

    assert!(world.store.delete_tenant(owner.tenant, 0, NOW).await.unwrap());
    assert!(!world.store.delete_tenant(owner.tenant, 0, NOW).await.unwrap());
    assert_eq!(world.store.tenant_by_key(&owner.key).await.unwrap(), None);
    assert_eq!(world.store.tenant(owner.tenant).await.unwrap(), None);
    assert_eq!(world.store.session_by_digest(&secret, NOW).await.unwrap(), None);
    let used = world.store.redeem_invite(&link.digest, NOW, world.redeem("Bob")).await.unwrap();
    assert_eq!(used, meet_store::Redeemed::Unknown);
    assert_eq!(world.store.room(owner.tenant, room).await.unwrap(), None);
    let made = world.store.create_room(owner.tenant, world.new_room("late"), None).await.unwrap();
    assert_eq!(made, Created::TenantGone);
    world.purge(NOW.plus(HOUR)).await;
    assert!(!world.store.is_empty().await.unwrap());
    assert!(world.store.room(other.tenant, kept).await.unwrap().is_some());
    assert!(world.store.delete_tenant(other.tenant, 0, NOW).await.unwrap());
    world.purge(NOW.plus(HOUR)).await;
    assert!(world.store.is_empty().await.unwrap());
}

async fn the_last_use_only_moves_forward(world: Arc<World>) {
    let owner = world.owner().await;
    for at in [NOW.plus(HOUR), NOW] {
        world.store.touch_key(owner.tenant, at).await.unwrap();
    }
    assert_eq!(world.store.tenant(owner.tenant).await.unwrap().unwrap().last_used, Some(NOW.plus(HOUR)));
}

#[tokio::test]
async fn a_key_is_rotated_however_long_its_sessions_take_to_end() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    let hasty = SecretUrl::new(format!("{url}?options=-c%20statement_timeout%3D2s"));
    let world = World::open(Location::Postgres(hasty), tempfile::tempdir().unwrap()).await;
    // As if there were a million of them.
    let slow = "CREATE FUNCTION slow() RETURNS trigger AS \
                'BEGIN PERFORM pg_sleep(3); RETURN OLD; END' LANGUAGE plpgsql; \
                CREATE TRIGGER slow BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION slow()";
    run(&url, slow).await;
    let owner = world.owner().await;
    let secret = world.digest();
    assert!(world.store.create_session(world.session(owner.tenant, owner.user.id, secret)).await.unwrap());
    let rotated = world.store.rotate_key(owner.tenant, 0, world.digest(), "mai_wxyz".into(), NOW).await.unwrap();
    assert_eq!(rotated.map(|tenant| tenant.generation), Some(1));
    assert_eq!(world.store.session_by_digest(&secret, NOW).await.unwrap(), None);
    world.store.close().await;
    server.drop(&name).await;
}
