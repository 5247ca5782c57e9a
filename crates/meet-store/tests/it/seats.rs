//! Seats: who was let into a meeting, and whether that still holds.

use std::sync::Arc;

use futures_util::future::join_all;
use meet_api::{Kind, SessionId, User};
use meet_store::{Meeting, NewSeat, Redeemed};

use crate::world::{HOUR, NOW, Owner, World};

crate::on_both!(
    a_seat_is_kept_with_all_that_it_says,
    a_seat_gets_a_new_token_by_the_same_credential_only,
    nobody_is_seated_by_what_has_ended,
    nobody_is_seated_where_the_meeting_ends,
    seats_end_with_their_credential,
    ended_seats_are_listed_by_pages,
    the_seats_of_a_user_by_one_credential_come_newest_first,
    whoever_signs_out_while_being_seated_is_found,
);

/// A meeting in a new room of an owner.
async fn meeting(world: &World, owner: &Owner) -> Meeting {
    let room = world.room(owner.tenant).await;
    world.meeting(owner.tenant, room).await
}

/// A new session of an owner, which is in force.
async fn session(world: &World, owner: &Owner) -> SessionId {
    let new = world.session(owner.tenant, owner.user.id, world.digest());
    assert!(world.store.create_session(new.clone()).await.unwrap());
    new.id
}

/// The identities of the seats whose credential has ended.
async fn ended(world: &World) -> Vec<String> {
    let seats = world.store.ended_seats(None, 100).await.unwrap();
    assert!(seats.iter().all(|seat| seat.has_ended));
    seats.into_iter().map(|seat| seat.identity).collect()
}

async fn keep(world: &World, seat: &NewSeat) -> bool {
    world.store.keep_seat(seat.clone()).await.unwrap()
}

async fn a_seat_is_kept_with_all_that_it_says(world: Arc<World>) {
    let owner = world.owner().await;
    let meeting = meeting(&world, &owner).await;
    let agent = world.user(owner.tenant, "Zo\u{eb}", Kind::Agent).await;
    let session = session(&world, &owner).await;
    let own = world.seat(&meeting, &owner);
    let other = NewSeat {
        known_as: Some("p-1".into()),
        user: agent.clone(),
        session: Some(session),
        expires_at: NOW,
        ..world.seat(&meeting, &owner)
    };
    for seat in [&own, &other] {
        assert!(keep(&world, seat).await);
        let stored = world.store.seat(&seat.identity).await.unwrap().unwrap();
        let read = NewSeat {
            identity: stored.identity,
            reference: stored.reference,
            known_as: stored.known_as,
            user: stored.user,
            holder: stored.holder,
            generation: stored.generation,
            session: stored.session,
            expires_at: stored.expires_at,
        };
        assert_eq!(read, *seat);
        assert_eq!((stored.tenant, stored.room, stored.has_ended), (owner.tenant, meeting.room, false));
        assert_eq!((stored.provider.as_str(), stored.meeting), ("fake", meeting.meeting.clone()));
    }
    let seats = world.store.seats_of_meeting(&meeting.reference, None, 10).await.unwrap();
    assert_eq!(seats.iter().map(|seat| &seat.identity).collect::<Vec<_>>(), [&own.identity, &other.identity]);
    let page = world.store.seats_of_meeting(&meeting.reference, Some(own.identity.clone()), 1).await.unwrap();
    assert_eq!(page.iter().map(|seat| &seat.user).collect::<Vec<_>>(), [&agent]);
    world.store.forget_seat(&own.identity).await.unwrap();
    assert_eq!(world.store.seat(&own.identity).await.unwrap(), None);
    assert!(ended(&world).await.is_empty());
}

async fn a_seat_gets_a_new_token_by_the_same_credential_only(world: Arc<World>) {
    let owner = world.owner().await;
    let (here, there) = (meeting(&world, &owner).await, meeting(&world, &owner).await);
    let (one, two) = (session(&world, &owner).await, session(&world, &owner).await);
    let seat = NewSeat { session: Some(one), ..world.seat(&here, &owner) };
    assert!(keep(&world, &seat).await);
    let later = NewSeat { known_as: Some("p-2".into()), expires_at: NOW.plus(HOUR * 2), ..seat.clone() };
    assert!(keep(&world, &later).await);
    let bob = world.user(owner.tenant, "Bob", Kind::Human).await;
    for other in [
        NewSeat { session: Some(two), ..seat.clone() },
        NewSeat { session: None, ..seat.clone() },
        NewSeat { user: bob, ..seat.clone() },
        NewSeat { reference: there.reference, ..seat.clone() },
    ] {
        assert!(!keep(&world, &other).await, "{other:?}");
    }
    let stored = world.store.seat(&seat.identity).await.unwrap().unwrap();
    assert_eq!((stored.session, stored.user, stored.reference), (Some(one), owner.user.clone(), here.reference));
    assert_eq!((stored.known_as.as_deref(), stored.expires_at), (Some("p-2"), NOW.plus(HOUR * 2)));
}

async fn nobody_is_seated_by_what_has_ended(world: Arc<World>) {
    let owner = world.owner().await;
    let meeting = meeting(&world, &owner).await;
    let signed_out = session(&world, &owner).await;
    assert!(world.store.end_session(owner.tenant, signed_out).await.unwrap());
    let rotated = session(&world, &owner).await;
    let seat = world.seat(&meeting, &owner);
    assert!(!keep(&world, &NewSeat { session: Some(signed_out), ..seat.clone() }).await);
    assert!(!keep(&world, &NewSeat { generation: 1, ..seat.clone() }).await);
    assert!(world.store.rotate_key(owner.tenant, 0, world.digest(), "mai_new".into(), NOW).await.unwrap().is_some());
    assert!(!keep(&world, &seat).await);
    assert!(!keep(&world, &NewSeat { session: Some(rotated), ..seat.clone() }).await);
    let renewed = NewSeat { generation: 1, ..seat };
    assert!(keep(&world, &renewed).await);
    assert!(world.store.delete_tenant(owner.tenant, 1, NOW).await.unwrap());
    assert!(!keep(&world, &NewSeat { identity: world.name(), ..renewed }).await);
}

async fn nobody_is_seated_where_the_meeting_ends(world: Arc<World>) {
    let owner = world.owner().await;
    let (closing, forgotten) = (meeting(&world, &owner).await, meeting(&world, &owner).await);
    let seat = world.seat(&closing, &owner);
    assert!(keep(&world, &seat).await);
    world.store.abandon_meeting(&closing.reference, NOW).await.unwrap();
    world.store.forget_meeting(&forgotten.reference).await.unwrap();
    assert!(!keep(&world, &seat).await);
    for meeting in [&closing, &forgotten] {
        assert!(!keep(&world, &world.seat(meeting, &owner)).await);
    }
    assert_eq!(world.store.seats_of_meeting(&closing.reference, None, 10).await.unwrap().len(), 1);
}

async fn seats_end_with_their_credential(world: Arc<World>) {
    let owner = world.owner().await;
    let meeting = meeting(&world, &owner).await;
    let invite = world.invite(Some(meeting.room), None);
    assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());
    let guest = world.store.redeem_invite(&invite.digest, NOW, world.redeem("Gus")).await.unwrap();
    let Redeemed::Session(guest) = guest else { panic!("{guest:?}") };
    let signed_in = session(&world, &owner).await;
    let seats = [Some(signed_in), Some(guest.id), None].map(|session| {
        let user = if session == Some(guest.id) { guest.user.clone() } else { owner.user.clone() };
        NewSeat { user, session, ..world.seat(&meeting, &owner) }
    });
    for seat in &seats {
        assert!(keep(&world, seat).await);
    }
    let [own, guests, bare] = seats.each_ref().map(|seat| seat.identity.clone());
    assert!(ended(&world).await.is_empty());
    assert!(world.store.end_session(owner.tenant, signed_in).await.unwrap());
    assert_eq!(ended(&world).await, std::slice::from_ref(&own));
    assert!(world.store.seat(&own).await.unwrap().unwrap().has_ended);
    assert!(world.store.revoke_invite(owner.tenant, invite.id).await.unwrap().is_some());
    assert_eq!(ended(&world).await, [own.clone(), guests.clone()]);
    world.store.forget_seat(&own).await.unwrap();
    assert!(world.store.rotate_key(owner.tenant, 0, world.digest(), "mai_new".into(), NOW).await.unwrap().is_some());
    assert_eq!(ended(&world).await, [guests, bare]);

    // A session may be of another tenant than the one that lets it in: it ends with either.
    let (host, visitor) = (world.owner().await, world.owner().await);
    let open = self::meeting(&world, &host).await;
    let foreign = NewSeat { session: Some(session(&world, &visitor).await), ..world.seat(&open, &host) };
    assert!(keep(&world, &foreign).await);
    assert!(!ended(&world).await.contains(&foreign.identity));
    assert!(world.store.delete_tenant(visitor.tenant, 0, NOW).await.unwrap());
    assert!(ended(&world).await.contains(&foreign.identity));
    let bare = world.seat(&open, &host);
    assert!(keep(&world, &bare).await);
    assert!(world.store.delete_tenant(host.tenant, 0, NOW).await.unwrap());
    assert!(ended(&world).await.contains(&bare.identity));
}

async fn ended_seats_are_listed_by_pages(world: Arc<World>) {
    let owner = world.owner().await;
    let meeting = meeting(&world, &owner).await;
    let mut identities = Vec::new();
    for _ in 0..5 {
        let seat = world.seat(&meeting, &owner);
        assert!(keep(&world, &seat).await);
        identities.push(seat.identity);
    }
    assert!(world.store.delete_tenant(owner.tenant, 0, NOW).await.unwrap());
    let mut found = Vec::new();
    while found.len() < 5 {
        let page = world.store.ended_seats(found.last().cloned(), 2).await.unwrap();
        assert!(!page.is_empty() && page.len() <= 2);
        found.extend(page.into_iter().map(|seat| seat.identity));
    }
    assert_eq!(found, identities);
    assert!(world.store.ended_seats(found.pop(), 2).await.unwrap().is_empty());
}

async fn the_seats_of_a_user_by_one_credential_come_newest_first(world: Arc<World>) {
    let owner = world.owner().await;
    let (here, there) = (meeting(&world, &owner).await, meeting(&world, &owner).await);
    let bob = world.user(owner.tenant, "Bob", Kind::Human).await;
    let signed_in = session(&world, &owner).await;
    let mut identities = Vec::new();
    for n in 0..25 {
        let seat = NewSeat { expires_at: NOW.plus(HOUR * n), ..world.seat(&here, &owner) };
        assert!(keep(&world, &seat).await);
        identities.insert(0, seat.identity);
    }
    for seat in [
        NewSeat { session: Some(signed_in), ..world.seat(&here, &owner) },
        NewSeat { user: bob.clone(), ..world.seat(&here, &owner) },
        world.seat(&there, &owner),
    ] {
        assert!(keep(&world, &seat).await);
    }
    let of = async |user: &User, session| {
        let seats = world.store.seats_of_user(&here.reference, user.id, session).await.unwrap();
        seats.into_iter().map(|seat| seat.identity).collect::<Vec<_>>()
    };
    assert_eq!(of(&owner.user, None).await, identities[..20]);
    assert_eq!(of(&owner.user, Some(signed_in)).await.len(), 1);
    assert_eq!(of(&bob, None).await.len(), 1);
    assert!(of(&bob, Some(signed_in)).await.is_empty());
    assert!(world.store.rotate_key(owner.tenant, 0, world.digest(), "mai_new".into(), NOW).await.unwrap().is_some());
    assert!(of(&owner.user, None).await.is_empty());
}

async fn whoever_signs_out_while_being_seated_is_found(world: Arc<World>) {
    let owner = world.owner().await;
    let meeting = meeting(&world, &owner).await;
    let races = (0..40).map(|_| async {
        let session = session(&world, &owner).await;
        let seat = NewSeat { session: Some(session), ..world.seat(&meeting, &owner) };
        let looking = async {
            assert!(world.store.end_session(owner.tenant, session).await.unwrap());
            // Whoever looks after the end finds all that was let in before it.
            ended(&world).await
        };
        let (kept, found) = tokio::join!(keep(&world, &seat), looking);
        assert_eq!(found.contains(&seat.identity), kept);
        assert_eq!(world.store.seat(&seat.identity).await.unwrap().is_some(), kept);
    });
    join_all(races).await;
}
