//! Letting people into quick rooms, and what their sessions reach then.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use meet_api::{Role, SessionId, User};
use meet_store::{Admission, Admitted, Entry, Meeting, Session, StoredRoom, TenantKind};

use crate::world::{HOUR, NOW, World};

crate::on_both!(
    a_stranger_gets_a_session_that_ends_with_the_room,
    a_session_is_granted_a_room_and_stays_what_it_is,
    whoever_comes_again_is_the_same_guest_by_another_name,
    a_visitor_reaches_the_room_and_nothing_else,
    visitors_who_come_at_once_are_of_one_tenant,
    racers_with_one_session_are_one_guest,
    nobody_comes_into_what_is_gone,
    grants_die_with_their_room_and_their_session,
    whoever_comes_in_while_the_room_ends_is_found,
);

async fn quick(world: &World, name: &str) -> (StoredRoom, Meeting) {
    let room = world.quick_room(name).await;
    let meeting = world.meeting(room.tenant, room.room.id).await;
    (room, meeting)
}

async fn admit(world: &World, admission: Admission) -> (User, Session) {
    match world.store.admit(admission).await.unwrap() {
        Admitted::In { user, session } => (user, session),
        Admitted::Gone => panic!("gone"),
    }
}

/// The rooms that a session is granted, and as whom.
async fn grants(world: &World, session: SessionId) -> Option<Vec<(String, User)>> {
    let session = world.store.session(session, NOW).await.unwrap()?;
    let mut granted = Vec::new();
    for grant in session.grants {
        let room = world.store.room(grant.tenant.id, grant.room).await.unwrap().unwrap();
        assert_eq!(grant.tenant.kind, TenantKind::Quick);
        granted.push((room.room.name, grant.user));
    }
    Some(granted)
}

async fn a_stranger_gets_a_session_that_ends_with_the_room(world: Arc<World>) {
    let (room, meeting) = quick(&world, "plaza").await;
    let entry = world.by_new_session();
    let Entry::Session { id, digest } = entry.clone() else { panic!() };
    let mut admission = world.admission(&room, &meeting, "Gus", entry);
    admission.seat.known_as = Some("p-1".into());
    let (user, session) = admit(&world, admission.clone()).await;
    assert_eq!((user.id, user.name.as_str()), (admission.user.id, "Gus"));
    assert_eq!((session.id, session.tenant.id, &session.user), (id, room.tenant, &user));
    assert_eq!((session.role, session.rooms.as_deref()), (Role::Member, Some(&[room.room.id][..])));
    assert_eq!((session.expires_at, session.grants.len()), (NOW.plus(HOUR), 0));
    assert_eq!(world.store.session_by_digest(&digest, NOW).await.unwrap(), Some(session));
    assert_eq!(world.store.session_by_digest(&digest, NOW.plus(HOUR)).await.unwrap(), None);
    assert!(world.find_user(room.tenant, user.id).await.unwrap().guest);
    let seat = world.store.seat(&admission.seat.identity).await.unwrap().unwrap();
    assert_eq!((seat.user, seat.session, seat.holder), (user, Some(id), room.tenant));
    assert_eq!((seat.known_as.as_deref(), seat.expires_at, seat.has_ended), (Some("p-1"), NOW.plus(HOUR), false));
    // Guests may share a name.
    let (other, _) = admit(&world, world.admission(&room, &meeting, "Gus", world.by_new_session())).await;
    assert_eq!(world.store.users(room.tenant, 10).await.unwrap().len(), 2);
    assert_ne!(other.id, admission.user.id);
    // Whoever comes again by the session of this room stays who it is.
    let again = world.admission(&room, &meeting, "Gustav", Entry::Grant { session: id, visitor_until: NOW });
    let (again, session) = admit(&world, again).await;
    assert_eq!((again.id, again.name.as_str()), (admission.user.id, "Gustav"));
    assert_eq!((session.user, session.grants.len()), (again, 0));
}

async fn a_session_is_granted_a_room_and_stays_what_it_is(world: Arc<World>) {
    let owner = world.owner().await;
    let new = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(world.store.create_session(new.clone()).await.unwrap());
    let before = world.store.session(new.id, NOW).await.unwrap().unwrap();
    assert!(before.grants.is_empty());
    let mut names = Vec::new();
    for name in ["plaza", "garden"] {
        let (room, meeting) = quick(&world, name).await;
        let entry = Entry::Grant { session: new.id, visitor_until: NOW };
        let (user, session) = admit(&world, world.admission(&room, &meeting, "Annie", entry)).await;
        assert_eq!(user.name, "Annie");
        assert!(world.find_user(room.tenant, user.id).await.unwrap().guest);
        names.push((name.to_owned(), user));
        assert_eq!(session, world.store.session_by_digest(&new.digest, NOW).await.unwrap().unwrap());
        assert_eq!(Session { grants: Vec::new(), ..session }, before);
        assert_eq!(grants(&world, new.id).await.unwrap(), names);
    }
}

async fn whoever_comes_again_is_the_same_guest_by_another_name(world: Arc<World>) {
    let owner = world.owner().await;
    let new = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(world.store.create_session(new.clone()).await.unwrap());
    let (room, meeting) = quick(&world, "plaza").await;
    let first = world.admission(&room, &meeting, "Annie", Entry::Grant { session: new.id, visitor_until: NOW });
    let second = world.admission(&room, &meeting, "Zo\u{eb}", Entry::Grant { session: new.id, visitor_until: NOW });
    let (annie, _) = admit(&world, first.clone()).await;
    let (zoe, session) = admit(&world, second.clone()).await;
    assert_eq!((zoe.id, zoe.name.as_str(), zoe.kind), (annie.id, "Zo\u{eb}", annie.kind));
    assert_eq!(session.grants.iter().map(|grant| &grant.user).collect::<Vec<_>>(), [&zoe]);
    assert_eq!(world.store.users(room.tenant, 10).await.unwrap().len(), 1);
    // A seat keeps the name under which it was given.
    for (admission, user) in [(first, annie), (second, zoe)] {
        assert_eq!(world.store.seat(&admission.seat.identity).await.unwrap().unwrap().user, user);
    }
    assert_eq!(world.find_user(owner.tenant, owner.user.id).await.unwrap().user, owner.user);
}

async fn a_visitor_reaches_the_room_and_nothing_else(world: Arc<World>) {
    let (room, meeting) = quick(&world, "plaza").await;
    let entry = world.as_visitor();
    let Entry::Visitor { session: id, digest, tenant, user: own, .. } = entry.clone() else { panic!() };
    let (guest, session) = admit(&world, world.admission(&room, &meeting, "Gus", entry)).await;
    assert_eq!((session.id, session.tenant.id, session.tenant.kind), (id, tenant, TenantKind::Visitors));
    assert_eq!((session.user.id, session.user.name.as_str()), (own, "Gus"));
    assert_eq!((session.role, session.rooms.as_deref()), (Role::Member, Some(&[][..])));
    assert_eq!(grants(&world, id).await.unwrap(), [("plaza".into(), guest.clone())]);
    assert_eq!((guest.name.as_str(), guest.id != own), ("Gus", true));
    assert!(world.find_user(tenant, own).await.unwrap().guest);
    // It stays signed in when the room is gone.
    world.store.end_quick_room(room.tenant, NOW, true).await.unwrap();
    let later = world.store.session_by_digest(&digest, NOW.plus(HOUR * 24 * 29)).await.unwrap().unwrap();
    assert_eq!((later.grants.len(), later.rooms), (0, Some(Vec::new())));
    // And comes into the next one by the same session.
    let (next, meeting) = quick(&world, "garden").await;
    let until = NOW.plus(HOUR * 24 * 40);
    let grant = Entry::Grant { session: id, visitor_until: until };
    let (_, renewed) = admit(&world, world.admission(&next, &meeting, "Gus", grant)).await;
    assert_eq!((renewed.grants.len(), renewed.expires_at), (1, until), "it lasts at least as long as it is told");
}

async fn visitors_who_come_at_once_are_of_one_tenant(world: Arc<World>) {
    let (room, meeting) = quick(&world, "plaza").await;
    let coming = (0..20).map(|_| admit(&world, world.admission(&room, &meeting, "Gus", world.as_visitor())));
    let sessions: Vec<_> = join_all(coming).await.into_iter().map(|(_, session)| session).collect();
    assert_eq!(sessions.iter().map(|session| session.tenant.id).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(world.store.users(sessions[0].tenant.id, 100).await.unwrap().len(), 20);
    assert_eq!(world.store.users(room.tenant, 100).await.unwrap().len(), 20);
}

async fn racers_with_one_session_are_one_guest(world: Arc<World>) {
    let owner = world.owner().await;
    let new = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(world.store.create_session(new.clone()).await.unwrap());
    let (room, meeting) = quick(&world, "plaza").await;
    let coming = (0..20).map(|_| {
        admit(&world, world.admission(&room, &meeting, "Ann", Entry::Grant { session: new.id, visitor_until: NOW }))
    });
    let users: BTreeSet<_> = join_all(coming).await.into_iter().map(|(user, _)| user.id).collect();
    assert_eq!(users.len(), 1);
    assert_eq!(world.store.users(room.tenant, 100).await.unwrap().len(), 1);
    assert_eq!(world.store.seats_of_meeting(&meeting.reference, None, 100).await.unwrap().len(), 20);
}

async fn nobody_comes_into_what_is_gone(world: Arc<World>) {
    let owner = world.owner().await;
    let (room, meeting) = quick(&world, "plaza").await;
    let (ended, old_meeting) = quick(&world, "garden").await;
    let (closed, closing) = quick(&world, "cellar").await;
    world.store.end_quick_room(ended.tenant, NOW, true).await.unwrap();
    world.store.abandon_meeting(&closing.reference, NOW).await.unwrap();
    let [signed_out, rotated, expired] =
        [0, 1, 0].map(|hours| (world.session(owner.tenant, owner.user.id, world.digest()), hours));
    for (session, hours) in [&signed_out, &rotated, &expired] {
        let session = meet_store::NewSession { expires_at: NOW.plus(HOUR * *hours), ..session.clone() };
        assert!(world.store.create_session(session).await.unwrap());
    }
    assert!(world.store.end_session(owner.tenant, signed_out.0.id).await.unwrap());
    assert!(world.store.rotate_key(owner.tenant, 0, world.digest(), "mai_new".into(), NOW).await.unwrap().is_some());
    let unknown = SessionId::from_uuid(world.id());
    let grants = [signed_out.0.id, rotated.0.id, expired.0.id, unknown];
    let by_sessions = grants
        .map(|session| world.admission(&room, &meeting, "Gus", Entry::Grant { session, visitor_until: NOW }))
        .into_iter();
    let at = |room: &StoredRoom, meeting: &Meeting| {
        [world.by_new_session(), world.as_visitor()].map(|entry| world.admission(room, meeting, "Gus", entry))
    };
    let own_room = world.make_room(owner.tenant, world.new_room("own")).await;
    let own_meeting = world.meeting(owner.tenant, own_room.room.id).await;
    let elsewhere = [(&ended, &old_meeting), (&closed, &closing), (&room, &own_meeting), (&own_room, &own_meeting)];
    let late = at(&room, &meeting).map(|admission| Admission { now: NOW.plus(HOUR), ..admission });
    for admission in by_sessions.chain(elsewhere.into_iter().flat_map(|(room, meeting)| at(room, meeting))).chain(late)
    {
        let identity = admission.seat.identity.clone();
        assert_eq!(world.store.admit(admission.clone()).await.unwrap(), Admitted::Gone, "{admission:?}");
        // Nothing is written.
        assert_eq!(world.store.seat(identity).await.unwrap(), None);
        assert_eq!(world.find_user(admission.tenant, admission.user.id).await, None);
        match admission.entry {
            Entry::Session { id, .. } => assert_eq!(world.store.session(id, NOW).await.unwrap(), None),
            Entry::Visitor { tenant, .. } => assert_eq!(world.store.tenant(tenant).await.unwrap(), None),
            Entry::Grant { .. } => {}
        }
    }
}

async fn grants_die_with_their_room_and_their_session(world: Arc<World>) {
    let owner = world.owner().await;
    let new = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(world.store.create_session(new.clone()).await.unwrap());
    let mut guests = Vec::new();
    let mut rooms = Vec::new();
    for name in ["plaza", "garden", "cellar"] {
        let (room, meeting) = quick(&world, name).await;
        let admission = world.admission(&room, &meeting, name, Entry::Grant { session: new.id, visitor_until: NOW });
        let identity = admission.seat.identity.clone();
        let (user, _) = admit(&world, admission).await;
        guests.push((identity, user));
        rooms.push(room);
    }
    world.store.end_quick_room(rooms[0].tenant, NOW, true).await.unwrap();
    assert_eq!(grants(&world, new.id).await.unwrap().len(), 2);
    assert!(world.store.delete_room(rooms[1].tenant, rooms[1].room.id, NOW).await.unwrap());
    assert_eq!(grants(&world, new.id).await.unwrap(), [("cellar".into(), guests[2].1.clone())]);
    let ended = async || {
        let seats = world.store.ended_seats(None, 10).await.unwrap();
        seats.into_iter().map(|seat| seat.identity).collect::<Vec<_>>()
    };
    assert_eq!(ended().await, [guests[0].0.clone()]);
    assert!(world.store.end_session(owner.tenant, new.id).await.unwrap());
    assert_eq!(grants(&world, new.id).await, None);
    assert_eq!(ended().await, [guests[0].0.clone(), guests[1].0.clone(), guests[2].0.clone()]);
}

async fn whoever_comes_in_while_the_room_ends_is_found(world: Arc<World>) {
    let (room, meeting) = quick(&world, "plaza").await;
    let coming = (0..30).map(|n| {
        let entry = if n % 2 == 0 { world.by_new_session() } else { world.as_visitor() };
        let admission = world.admission(&room, &meeting, "Gus", entry);
        let identity = admission.seat.identity.clone();
        let admitted = world.store.admit(admission);
        async move { matches!(admitted.await.unwrap(), Admitted::In { .. }).then_some(identity) }
    });
    let ending = async {
        assert!(world.store.end_quick_room(room.tenant, NOW, true).await.unwrap().is_some());
        world.store.ended_seats(None, 100).await.unwrap().into_iter().map(|seat| seat.identity).collect::<BTreeSet<_>>()
    };
    let (came, found) = tokio::join!(join_all(coming), ending);
    assert_eq!(came.into_iter().flatten().collect::<BTreeSet<_>>(), found);
}
