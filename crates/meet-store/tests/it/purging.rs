//! Forgetting in slices.

use std::sync::Arc;

use futures_util::future::join_all;
use meet_store::{Admitted, Entry, Redeemed};

use crate::world::{HOUR, NOW, World, idempotency};

crate::on_both!(
    a_deleted_room_is_purged_in_slices_and_spares_the_others,
    messages_go_on_while_a_room_is_purged,
    an_expired_room_is_kept_for_a_day,
    the_guests_of_a_deleted_room_are_gone_with_it,
    what_has_expired_is_forgotten,
    a_guest_is_kept_while_it_has_a_grant,
    a_quick_room_is_forgotten_and_its_meeting_is_not,
);

async fn a_deleted_room_is_purged_in_slices_and_spares_the_others(world: Arc<World>) {
    let owner = world.owner().await;
    let (room, kept) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let (appender, _) = world.appender();
    join_all((0..1700).map(|_| appender.append(world.message(&owner, room, "to be forgotten")))).await;
    join_all((0..3).map(|_| appender.append(world.message(&owner, kept, "to be kept")))).await;
    let mut keyed = world.message(&owner, room, "keyed");
    keyed.idempotency = Some(idempotency("key", 1));
    appender.append(keyed).await.unwrap();
    assert!(world.store.create_invite(owner.tenant, world.invite(Some(room), None)).await.unwrap());
    assert!(world.store.delete_room(owner.tenant, room, NOW).await.unwrap());
    // Four slices of messages, then keys, invites, the room itself.
    assert_eq!(world.purge(NOW).await, 7);
    assert_eq!(world.log(owner.tenant, kept).await.len(), 3);
    let found = world.store.search(owner.tenant, kept, &["kept".into()], None, 0, 10).await.unwrap();
    assert_eq!(found.len(), 3);
    assert!(world.store.invites(owner.tenant, room, 10, None).await.unwrap().is_empty());
}

async fn messages_go_on_while_a_room_is_purged(world: Arc<World>) {
    let owner = world.owner().await;
    let (room, live) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let (appender, _) = world.appender();
    join_all((0..1000).map(|_| appender.append(world.message(&owner, room, "old")))).await;
    assert!(world.store.delete_room(owner.tenant, room, NOW).await.unwrap());
    let talk = join_all((0..300).map(|_| appender.append(world.message(&owner, live, "new"))));
    let (outcomes, _) = tokio::join!(talk, world.purge(NOW));
    assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
    assert!(world.log(owner.tenant, live).await.iter().map(|message| message.seq).eq(1..=300));
}

async fn an_expired_room_is_kept_for_a_day(world: Arc<World>) {
    let owner = world.owner().await;
    let mut room = world.new_room("short");
    room.expires_at = Some(NOW);
    let room = world.make_room(owner.tenant, room).await.room.id;
    world.purge(NOW.plus(HOUR * 23)).await;
    assert!(world.store.room(owner.tenant, room).await.unwrap().is_some());
    world.purge(NOW.plus(HOUR * 24)).await;
    assert_eq!(world.store.room(owner.tenant, room).await.unwrap(), None);
}

async fn what_has_expired_is_forgotten(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let invite = world.invite(Some(room), None);
    assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());
    let mut long = world.redeem("Gus");
    long.session.2 = NOW.plus(HOUR * 3);
    let guest = world.store.redeem_invite(&invite.digest, NOW, long).await.unwrap();
    let Redeemed::Session(guest) = guest else { panic!("{guest:?}") };
    // The invite has expired, and stays as long as someone is in by it.
    world.purge(NOW.plus(HOUR * 2)).await;
    assert_eq!(world.store.invites(owner.tenant, room, 10, None).await.unwrap().len(), 1);
    assert!(world.find_user(owner.tenant, guest.user.id).await.is_some());
    world.purge(NOW.plus(HOUR * 3)).await;
    assert_eq!(world.store.invites(owner.tenant, room, 10, None).await.unwrap(), []);
    assert_eq!(world.find_user(owner.tenant, guest.user.id).await, None);
    // Users of the key stay.
    assert!(world.find_user(owner.tenant, owner.user.id).await.is_some());
}

async fn the_guests_of_a_deleted_room_are_gone_with_it(world: Arc<World>) {
    let owner = world.owner().await;
    let (room, kept) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let mut guests = Vec::new();
    for (room, name) in [(room, "Gus"), (room, "Eve"), (kept, "Kim")] {
        let invite = world.invite(Some(room), None);
        assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());
        let request = world.redeem(name);
        let secret = request.session.1;
        let redeemed = world.store.redeem_invite(&invite.digest, NOW, request).await.unwrap();
        let Redeemed::Session(session) = redeemed else { panic!("{redeemed:?}") };
        guests.push((secret, session.user));
    }
    let own = world.digest();
    assert!(world.store.create_session(world.session(owner.tenant, owner.user.id, own)).await.unwrap());
    assert!(world.store.delete_room(owner.tenant, room, NOW).await.unwrap());
    world.purge(NOW).await;
    for (secret, user) in &guests[..2] {
        assert_eq!(world.store.session_by_digest(secret, NOW).await.unwrap(), None);
        assert_eq!(world.find_user(owner.tenant, user.id).await, None);
        // Its name is free again.
        world.user(owner.tenant, &user.name, user.kind).await;
    }
    for secret in [guests[2].0, own] {
        assert!(world.store.session_by_digest(&secret, NOW).await.unwrap().is_some());
    }
}

async fn a_guest_is_kept_while_it_has_a_grant(world: Arc<World>) {
    let owner = world.owner().await;
    let mut session = world.session(owner.tenant, owner.user.id, world.digest());
    session.expires_at = NOW.plus(HOUR * 2);
    assert!(world.store.create_session(session.clone()).await.unwrap());
    let room = world.quick_room("plaza").await;
    let meeting = world.meeting(room.tenant, room.room.id).await;
    let admission = world.admission(&room, &meeting, "Gus", Entry::Grant { session: session.id, visitor_until: NOW });
    let seat = admission.seat.identity.clone();
    let admitted = world.store.admit(admission).await.unwrap();
    let Admitted::In { user, .. } = admitted else { panic!("{admitted:?}") };
    let is_there = async || world.find_user(room.tenant, user.id).await.is_some();
    world.purge(NOW).await;
    assert!(is_there().await);
    // A seat alone keeps no name from others: it has its own copy.
    world.purge(NOW.plus(HOUR * 2)).await;
    assert_eq!(world.store.session(session.id, NOW).await.unwrap(), None);
    assert!(!is_there().await);
    assert_eq!(world.store.seat(&seat).await.unwrap().unwrap().user, user);
}

async fn a_quick_room_is_forgotten_and_its_meeting_is_not(world: Arc<World>) {
    let owner = world.owner().await;
    let session = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(world.store.create_session(session.clone()).await.unwrap());
    let room = world.quick_room("plaza").await;
    let kept = world.quick_room("garden").await;
    let mut seats = Vec::new();
    for room in [&room, &kept] {
        let meeting = world.meeting(room.tenant, room.room.id).await;
        for entry in
            [world.by_new_session(), world.as_visitor(), Entry::Grant { session: session.id, visitor_until: NOW }]
        {
            let admission = world.admission(room, &meeting, "Gus", entry);
            seats.push(admission.seat.identity.clone());
            assert!(matches!(world.store.admit(admission).await.unwrap(), Admitted::In { .. }));
        }
    }
    world.store.end_quick_room(room.tenant, NOW, true).await.unwrap();
    assert!(world.store.end_meetings(NOW).await.unwrap());
    assert!(world.store.delete_tenant(owner.tenant, 0, NOW).await.unwrap());
    world.purge(NOW).await;
    for tenant in [room.tenant, owner.tenant] {
        assert!(world.store.users(tenant, 10).await.unwrap().is_empty());
    }
    assert_eq!(world.store.users(kept.tenant, 10).await.unwrap().len(), 2);
    // What is still to be done at the provider is not forgotten, nor that the name has ended.
    assert_eq!(world.store.closing_meetings(None, 10).await.unwrap().len(), 1);
    let ended: Vec<_> = world.store.ended_seats(None, 10).await.unwrap();
    let ended: Vec<_> = ended.into_iter().map(|seat| seat.identity).collect();
    assert_eq!(ended, [&seats[..3], &seats[5..]].concat());
    assert!(world.store.take_tombstone("plaza", NOW).await.unwrap());
}
