//! Users, sessions and invites.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use meet_api::{ChosenStatus, Kind, Role};
use meet_store::{Ensured, Redeemed, Session};

use crate::world::{HOUR, NOW, World};

crate::on_both!(
    a_name_and_kind_is_one_user_in_every_spelling,
    concurrent_first_messages_of_a_name_make_one_user,
    a_guest_may_not_take_a_name_and_nobody_takes_a_guests,
    a_session_lasts_until_it_ends_or_is_ended,
    a_session_is_found_by_its_id_as_by_its_digest,
    a_user_of_a_key_is_one_until_the_key_is_rotated,
    three_uses_admit_three_of_a_hundred_racers,
    an_owner_link_opens_all_rooms_once,
    an_invite_dies_with_its_time_its_room_or_its_owner,
    revoking_ends_the_sessions_of_an_invite,
    invites_are_listed_by_pages,
    nothing_of_one_tenant_is_there_for_another,
    a_status_is_kept_for_its_user_alone,
);

fn session(redeemed: Redeemed) -> Session {
    match redeemed {
        Redeemed::Session(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn a_name_and_kind_is_one_user_in_every_spelling(world: Arc<World>) {
    let owner = world.owner().await;
    let zoe = world.user(owner.tenant, "Zo\u{eb}", Kind::Human).await;
    assert_eq!(world.user(owner.tenant, "ZOE\u{308}", Kind::Human).await, zoe);
    let agent = world.user(owner.tenant, "Zo\u{eb}", Kind::Agent).await;
    assert_ne!(agent.id, zoe.id);
    let users = world.store.users(owner.tenant, 10).await.unwrap();
    assert_eq!(users.iter().map(|stored| stored.user.id).collect::<Vec<_>>(), [owner.user.id, zoe.id, agent.id]);
    assert!(users.iter().all(|stored| !stored.guest));
    assert_eq!(world.store.users(owner.tenant, 2).await.unwrap().len(), 2);
}

async fn concurrent_first_messages_of_a_name_make_one_user(world: Arc<World>) {
    let owner = world.owner().await;
    let users = join_all((0..50).map(|_| world.user(owner.tenant, "Bot", Kind::Agent))).await;
    assert_eq!(users.iter().map(|user| user.id).collect::<BTreeSet<_>>().len(), 1);
}

async fn a_guest_may_not_take_a_name_and_nobody_takes_a_guests(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let invite = world.invite(Some(room), None);
    assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());
    let redeem = async |name: &str| world.store.redeem_invite(&invite.digest, NOW, world.redeem(name)).await.unwrap();
    for taken in ["Ann", "ANN", " ann "] {
        assert_eq!(redeem(taken).await, Redeemed::NameTaken, "{taken}");
    }
    // A refused name counts no use.
    assert_eq!(world.store.invites(owner.tenant, room, 10, None).await.unwrap()[0].uses, 0);
    let guest = session(redeem("Gus").await);
    assert_eq!((guest.role, guest.rooms.as_deref(), guest.invite), (Role::Member, Some(&[room][..]), Some(invite.id)));
    assert!(world.find_user(owner.tenant, guest.user.id).await.unwrap().guest);
    assert_eq!(redeem("gus").await, Redeemed::NameTaken);
    let own = world.store.ensure_user(owner.tenant, world.new_user("GUS", Kind::Agent), NOW).await.unwrap();
    assert_eq!(own, Ensured::NameTaken);
    // Racers for one name: one of them gets it.
    let racers = (0..20).map(|_| world.store.redeem_invite(&invite.digest, NOW, world.redeem("Eve")));
    let won = join_all(racers).await.into_iter().filter(|one| matches!(one, Ok(Redeemed::Session(_)))).count();
    assert_eq!(won, 1);
    assert_eq!(world.store.invites(owner.tenant, room, 10, None).await.unwrap()[0].uses, 2);
    // A name is free again when its guest is gone.
    assert!(world.store.end_session(owner.tenant, guest.id).await.unwrap());
    world.purge(NOW).await;
    assert_eq!(world.find_user(owner.tenant, guest.user.id).await, None);
    session(redeem("Gus").await);
}

async fn a_session_lasts_until_it_ends_or_is_ended(world: Arc<World>) {
    let owner = world.owner().await;
    let digest = world.digest();
    let new = world.session(owner.tenant, owner.user.id, digest);
    assert!(world.store.create_session(new.clone()).await.unwrap());
    let found = world.store.session_by_digest(&digest, NOW).await.unwrap().unwrap();
    assert_eq!((found.id, found.user, found.role, found.rooms), (new.id, owner.user.clone(), Role::Owner, None));
    assert_eq!((found.tenant.id, found.expires_at), (owner.tenant, NOW.plus(HOUR)));
    assert_eq!(world.store.session_by_digest(&digest, NOW.plus(HOUR)).await.unwrap(), None);
    assert!(world.store.end_session(owner.tenant, new.id).await.unwrap());
    assert!(!world.store.end_session(owner.tenant, new.id).await.unwrap());
    assert_eq!(world.store.session_by_digest(&digest, NOW).await.unwrap(), None);

    let rooms = vec![world.room(owner.tenant).await, world.room(owner.tenant).await];
    for rooms in [rooms, vec![]] {
        let mut held = world.session(owner.tenant, owner.user.id, world.digest());
        held.rooms = Some(rooms.clone());
        assert!(world.store.create_session(held.clone()).await.unwrap());
        let found = world.store.session_by_digest(&held.digest, NOW).await.unwrap().unwrap();
        assert_eq!(found.rooms, Some(rooms));
    }
}

async fn a_session_is_found_by_its_id_as_by_its_digest(world: Arc<World>) {
    let owner = world.owner().await;
    let new = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(world.store.create_session(new.clone()).await.unwrap());
    let by_id = async |at| world.store.session(new.id, at).await.unwrap();
    assert_eq!(by_id(NOW).await, world.store.session_by_digest(&new.digest, NOW).await.unwrap());
    assert_eq!(by_id(NOW).await.unwrap().tenant.id, owner.tenant);
    assert_eq!(by_id(NOW.plus(HOUR)).await, None);
    let rotated = world.store.rotate_key(owner.tenant, 0, world.digest(), "mai_new".into(), NOW).await.unwrap();
    assert!(rotated.is_some());
    assert_eq!(by_id(NOW).await, None);
}

async fn a_user_of_a_key_is_one_until_the_key_is_rotated(world: Arc<World>) {
    let (owner, other) = (world.owner().await, world.owner().await);
    let room = world.room(owner.tenant).await;
    let invite = world.invite(Some(room), None);
    assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());
    let guest = session(world.store.redeem_invite(&invite.digest, NOW, world.redeem("Gus")).await.unwrap());
    let tenant_of =
        async |tenant, generation, user| world.store.tenant_of_user(tenant, generation, user).await.unwrap();
    let tenant = world.store.tenant(owner.tenant).await.unwrap();
    assert!(tenant.is_some());
    assert_eq!(tenant_of(owner.tenant, 0, owner.user.id).await, tenant);
    assert_eq!(tenant_of(owner.tenant, 1, owner.user.id).await, None);
    assert_eq!(tenant_of(owner.tenant, 0, guest.user.id).await, None);
    assert_eq!(tenant_of(owner.tenant, 0, other.user.id).await, None);
    assert_eq!(tenant_of(other.tenant, 0, owner.user.id).await, None);
    world.store.rotate_key(owner.tenant, 0, world.digest(), "mai_new".into(), NOW).await.unwrap();
    assert_eq!(tenant_of(owner.tenant, 0, owner.user.id).await, None);
    assert!(tenant_of(owner.tenant, 1, owner.user.id).await.is_some());
    assert!(world.store.delete_tenant(owner.tenant, 1, NOW).await.unwrap());
    assert_eq!(tenant_of(owner.tenant, 1, owner.user.id).await, None);
}

async fn three_uses_admit_three_of_a_hundred_racers(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let invite = world.invite(Some(room), Some(3));
    assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());
    let names: Vec<_> = (0..100).map(|n| format!("Guest {n}")).collect();
    let racers = names.iter().map(|name| world.store.redeem_invite(&invite.digest, NOW, world.redeem(name)));
    let outcomes: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|one| matches!(one, Redeemed::Session(_))).count(), 3);
    assert_eq!(outcomes.iter().filter(|one| **one == Redeemed::Unknown).count(), 97);
    let listed = world.store.invites(owner.tenant, room, 10, None).await.unwrap();
    assert_eq!((listed[0].uses, listed[0].max_uses), (3, Some(3)));
    assert_eq!(world.store.users(owner.tenant, 100).await.unwrap().len(), 4);
}

async fn an_owner_link_opens_all_rooms_once(world: Arc<World>) {
    let owner = world.owner().await;
    let link = world.invite(None, Some(1));
    assert!(world.store.create_invite(owner.tenant, link.clone()).await.unwrap());
    let session = session(world.store.redeem_invite(&link.digest, NOW, world.redeem("ann")).await.unwrap());
    // The link belongs to the key: its user of that name is meant.
    assert_eq!((session.user.id, session.role, session.rooms), (owner.user.id, Role::Owner, None));
    let again = world.store.redeem_invite(&link.digest, NOW, world.redeem("ann")).await.unwrap();
    assert_eq!(again, Redeemed::Unknown);
    let other = world.invite(None, Some(1));
    assert!(world.store.create_invite(owner.tenant, other.clone()).await.unwrap());
    let made = world.store.redeem_invite(&other.digest, NOW, world.redeem("Olga")).await.unwrap();
    let Redeemed::Session(made) = made else { panic!("{made:?}") };
    assert!(!world.find_user(owner.tenant, made.user.id).await.unwrap().guest);
}

async fn an_invite_dies_with_its_time_its_room_or_its_owner(world: Arc<World>) {
    let (owner, other) = (world.owner().await, world.owner().await);
    let room = world.room(owner.tenant).await;
    let mut short = world.new_room("short");
    short.expires_at = Some(NOW.plus(HOUR / 2));
    let short = world.make_room(owner.tenant, short).await.room.id;
    let (invite, hasty) = (world.invite(Some(room), None), world.invite(Some(short), None));
    for new in [&invite, &hasty] {
        assert!(world.store.create_invite(owner.tenant, new.clone()).await.unwrap());
    }
    // Nobody invites to somebody else's room.
    assert!(!world.store.create_invite(other.tenant, world.invite(Some(room), None)).await.unwrap());
    let redeem = async |digest, at| world.store.redeem_invite(digest, at, world.redeem("Bob")).await.unwrap();
    assert_eq!(redeem(&invite.digest, NOW.plus(HOUR)).await, Redeemed::Unknown);
    assert_eq!(redeem(&hasty.digest, NOW.plus(HOUR / 2)).await, Redeemed::Unknown);
    assert!(world.store.delete_room(owner.tenant, room, NOW).await.unwrap());
    assert_eq!(redeem(&invite.digest, NOW).await, Redeemed::Unknown);
    let unheard = world.digest();
    assert_eq!(redeem(&unheard, NOW).await, Redeemed::Unknown);
    session(redeem(&hasty.digest, NOW).await);
}

async fn revoking_ends_the_sessions_of_an_invite(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (invite, other) = (world.invite(Some(room), None), world.invite(Some(room), None));
    for new in [&invite, &other] {
        assert!(world.store.create_invite(owner.tenant, new.clone()).await.unwrap());
    }
    let mut ended = BTreeSet::new();
    let mut digests = Vec::new();
    for name in ["Bob", "Cleo"] {
        let redeem = world.redeem(name);
        digests.push(redeem.session.1);
        ended.insert(session(world.store.redeem_invite(&invite.digest, NOW, redeem).await.unwrap()).id);
    }
    let kept = world.redeem("Dora");
    let kept_digest = kept.session.1;
    session(world.store.redeem_invite(&other.digest, NOW, kept).await.unwrap());
    // Its time may be over: its sessions still are to be ended.
    world.purge(NOW.plus(HOUR / 2)).await;
    let revoked = world.store.revoke_invite(owner.tenant, invite.id).await.unwrap().unwrap();
    assert_eq!(revoked.into_iter().collect::<BTreeSet<_>>(), ended);
    assert_eq!(world.store.revoke_invite(owner.tenant, invite.id).await.unwrap(), None);
    for digest in digests {
        assert_eq!(world.store.session_by_digest(&digest, NOW).await.unwrap(), None);
    }
    assert!(world.store.session_by_digest(&kept_digest, NOW).await.unwrap().is_some());
}

async fn invites_are_listed_by_pages(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let invite = world.invite(Some(room), None);
        ids.push(invite.id);
        assert!(world.store.create_invite(owner.tenant, invite).await.unwrap());
    }
    let page = async |after| -> Vec<_> {
        let invites = world.store.invites(owner.tenant, room, 2, after).await.unwrap();
        invites.into_iter().map(|invite| invite.id).collect()
    };
    assert_eq!(page(None).await, ids[..2]);
    assert_eq!(page(Some(ids[1])).await, ids[2..4]);
    assert_eq!(page(Some(ids[4])).await, []);
}

async fn nothing_of_one_tenant_is_there_for_another(world: Arc<World>) {
    let (owner, other) = (world.owner().await, world.owner().await);
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    let mut message = world.message(&owner, room, "secret plans");
    message.idempotency = Some(crate::world::idempotency("plan", 1));
    let message = crate::world::stored(appender.append(message).await.unwrap());
    let session = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(world.store.create_session(session.clone()).await.unwrap());
    let invite = world.invite(Some(room), None);
    assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());
    let (store, foreign) = (&world.store, other.tenant);
    assert_eq!(store.users(foreign, 10).await.unwrap().len(), 1);
    assert!(!store.create_session(world.session(foreign, owner.user.id, world.digest())).await.unwrap());
    assert!(!store.end_session(foreign, session.id).await.unwrap());
    assert_eq!(store.invites(foreign, room, 10, None).await.unwrap(), []);
    assert_eq!(store.revoke_invite(foreign, invite.id).await.unwrap(), None);
    assert_eq!(store.room(foreign, room).await.unwrap(), None);
    assert_eq!(store.public_room(room).await.unwrap(), None);
    assert_eq!(store.rooms(foreign, None, 10, NOW).await.unwrap(), []);
    assert_eq!(store.update_room(foreign, room, meet_store::RoomPatch::default()).await.unwrap(), None);
    assert!(!store.delete_room(foreign, room, NOW).await.unwrap());
    assert_eq!(store.history(foreign, room, meet_store::Page::After(0), 10).await.unwrap(), []);
    assert_eq!(store.history(foreign, room, meet_store::Page::Before(9), 10).await.unwrap(), []);
    assert_eq!(store.message_seq(foreign, room, message.id).await.unwrap(), None);
    assert_eq!(crate::world::head(store, foreign, room).await, None);
    let repeat = crate::world::idempotency("plan", 1);
    assert_eq!(store.find_repeat(foreign, room, owner.user.id, &repeat, NOW).await.unwrap(), None);
    let words = meet_store::words("secret");
    assert_eq!(store.search(foreign, room, &words, None, 0, 10).await.unwrap(), []);
    // All of it is still there for its owner.
    let repeated = store.find_repeat(owner.tenant, room, owner.user.id, &repeat, NOW).await.unwrap();
    assert_eq!(repeated, Some(meet_store::AppendOutcome::Replayed(Arc::clone(&message))));
    assert_eq!(store.search(owner.tenant, room, &words, None, 0, 10).await.unwrap().len(), 1);
    assert_eq!(store.message_seq(owner.tenant, room, message.id).await.unwrap(), Some(1));
    assert!(store.session_by_digest(&session.digest, NOW).await.unwrap().is_some());
}

async fn a_status_is_kept_for_its_user_alone(world: Arc<World>) {
    let (owner, foreign) = (world.owner().await, world.owner().await);
    let zoe = world.user(owner.tenant, "Zoe", Kind::Human).await;
    let status = async |tenant, user| world.store.appearance(tenant, user).await.unwrap().map(|seen| seen.status);
    assert_eq!(status(owner.tenant, zoe.id).await, Some(ChosenStatus::Online));
    for chosen in [ChosenStatus::Away, ChosenStatus::Busy, ChosenStatus::Invisible, ChosenStatus::Online] {
        assert!(world.store.set_appearance(owner.tenant, zoe.id, chosen.into()).await.unwrap());
        assert_eq!(status(owner.tenant, zoe.id).await, Some(chosen));
        assert_eq!(status(owner.tenant, owner.user.id).await, Some(ChosenStatus::Online));
    }
    assert_eq!(status(foreign.tenant, zoe.id).await, None);
    assert!(!world.store.set_appearance(foreign.tenant, zoe.id, ChosenStatus::Busy.into()).await.unwrap());
    assert_eq!(status(owner.tenant, zoe.id).await, Some(ChosenStatus::Online));
}
