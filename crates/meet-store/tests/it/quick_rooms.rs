//! Quick rooms: their names, their number, and their end.

use std::sync::Arc;

use futures_util::future::join_all;
use meet_api::{Media, RoomId};
use meet_store::{OpenedQuick, TenantKind};

use crate::world::{HOUR, NOW, World};

crate::on_both!(
    a_name_stands_for_a_room_and_a_tenant_of_its_own,
    fifty_who_say_one_name_make_one_room,
    there_are_as_many_rooms_as_there_may_be,
    a_quick_room_ends_once_with_all_that_is_in_it,
    of_fifty_one_is_told_that_the_room_has_ended,
    a_tombstone_holds_for_a_day,
    a_name_can_be_free_at_once,
    rooms_whose_time_is_over_are_found,
    a_call_only_ever_gets_more,
);

async fn a_name_stands_for_a_room_and_a_tenant_of_its_own(world: Arc<World>) {
    assert_eq!(world.store.quick_room("plaza").await.unwrap(), None);
    let new = world.new_quick_room("plaza");
    let opened = world.store.open_quick_room(new.clone(), 0).await.unwrap();
    let OpenedQuick::Room(room) = opened else { panic!("{opened:?}") };
    assert_eq!((room.tenant, room.room.id), (new.tenant.id, new.room.id));
    let tenant = world.store.tenant(room.tenant).await.unwrap().unwrap();
    assert_eq!((tenant.kind, tenant.prefix, tenant.generation), (TenantKind::Quick, None, 0));
    let found = world.store.quick_room("plaza").await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.tenant, found.room_id), ("plaza", room.tenant, room.room.id));
    assert_eq!((&found.room, found.ends_at, found.ended_at), (&Some(*room), NOW.plus(HOUR), None));
    assert_eq!(world.store.quick_room("Plaza").await.unwrap(), None);
    // One without an end is a mistake of the program, and leaves nothing behind.
    let mut endless = world.new_quick_room("endless");
    endless.room.expires_at = None;
    let tenant = endless.tenant.id;
    assert!(world.store.open_quick_room(endless, 0).await.is_err());
    assert_eq!(world.store.tenant(tenant).await.unwrap(), None);
}

async fn fifty_who_say_one_name_make_one_room(world: Arc<World>) {
    let opening = (0..50).map(|_| world.store.open_quick_room(world.new_quick_room("plaza"), 3));
    let opened: Vec<_> = join_all(opening).await.into_iter().map(Result::unwrap).collect();
    let rooms: Vec<_> = opened
        .iter()
        .filter_map(|opened| if let OpenedQuick::Room(room) = opened { Some((**room).clone()) } else { None })
        .collect();
    assert_eq!(rooms.len(), 1);
    assert_eq!(opened.iter().filter(|opened| **opened == OpenedQuick::Taken).count(), 49);
    assert_eq!(world.store.quick_room("plaza").await.unwrap().unwrap().room, Some(rooms[0].clone()));
}

async fn there_are_as_many_rooms_as_there_may_be(world: Arc<World>) {
    let names: Vec<_> = (0..50).map(|n| format!("room {n}")).collect();
    let opening = names.iter().map(|name| world.store.open_quick_room(world.new_quick_room(name), 5));
    let opened: Vec<_> = join_all(opening).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(opened.iter().filter(|opened| matches!(opened, OpenedQuick::Room(_))).count(), 5);
    assert_eq!(opened.iter().filter(|opened| **opened == OpenedQuick::Full).count(), 45);
    // A taken name is taken, however full it is.
    let place = opened.iter().position(|opened| matches!(opened, OpenedQuick::Room(_))).unwrap();
    let again = world.store.open_quick_room(world.new_quick_room(&names[place]), 5).await.unwrap();
    assert_eq!(again, OpenedQuick::Taken);
    // A tombstone takes no place, and 0 is no limit.
    let OpenedQuick::Room(room) = &opened[place] else { panic!() };
    assert!(world.store.end_quick_room(room.tenant, NOW, true).await.unwrap().is_some());
    let next = world.store.open_quick_room(world.new_quick_room("next"), 5).await.unwrap();
    assert!(matches!(next, OpenedQuick::Room(_)));
    let full = world.store.open_quick_room(world.new_quick_room("one more"), 5).await.unwrap();
    assert_eq!(full, OpenedQuick::Full);
    world.quick_room("one more").await;
}

async fn a_quick_room_ends_once_with_all_that_is_in_it(world: Arc<World>) {
    let room = world.quick_room("plaza").await;
    let other = world.quick_room("garden").await;
    let meeting = world.meeting(room.tenant, room.room.id).await;
    let ending = (0..20).map(|_| world.store.end_quick_room(room.tenant, NOW, true));
    let names: Vec<_> = join_all(ending).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(names, ["plaza"]);
    assert_eq!(world.store.tenant(room.tenant).await.unwrap(), None);
    assert_eq!(world.store.room(room.tenant, room.room.id).await.unwrap(), None);
    let found = world.store.quick_room("plaza").await.unwrap().unwrap();
    assert_eq!((found.tenant, found.room, found.ended_at), (room.tenant, None, Some(NOW)));
    assert!(world.store.end_meetings(NOW).await.unwrap());
    let closing = world.store.closing_meetings(None, 10).await.unwrap();
    assert_eq!(closing.iter().map(|meeting| &meeting.reference).collect::<Vec<_>>(), [&meeting.reference]);
    // Nobody else's room ends, and nobody's tenant is a quick room.
    assert_eq!(world.store.room(other.tenant, other.room.id).await.unwrap(), Some(other));
    let owner = world.owner().await;
    assert_eq!(world.store.end_quick_room(owner.tenant, NOW, true).await.unwrap(), None);
    assert!(world.store.tenant(owner.tenant).await.unwrap().is_some());
}

async fn of_fifty_one_is_told_that_the_room_has_ended(world: Arc<World>) {
    let room = world.quick_room("plaza").await;
    assert!(!world.store.take_tombstone("plaza", NOW).await.unwrap());
    world.store.end_quick_room(room.tenant, NOW, true).await.unwrap();
    // Until somebody is told, the name is not free.
    let opened = world.store.open_quick_room(world.new_quick_room("plaza"), 0).await.unwrap();
    assert_eq!(opened, OpenedQuick::Taken);
    let told = join_all((0..50).map(|_| world.store.take_tombstone("plaza", NOW))).await;
    assert_eq!(told.into_iter().filter(|told| *told.as_ref().unwrap()).count(), 1);
    let next = world.quick_room("plaza").await;
    assert_ne!(next.tenant, room.tenant);
    assert!(!world.store.take_tombstone("plaza", NOW).await.unwrap());
}

async fn a_tombstone_holds_for_a_day(world: Arc<World>) {
    for name in ["plaza", "garden"] {
        let room = world.quick_room(name).await;
        world.store.end_quick_room(room.tenant, NOW, true).await.unwrap();
    }
    assert!(!world.store.take_tombstone("plaza", NOW.plus(HOUR * 24)).await.unwrap());
    let mut late = world.new_quick_room("plaza");
    late.room.created_at = NOW.plus(HOUR * 24);
    late.room.expires_at = Some(NOW.plus(HOUR * 26));
    assert!(matches!(world.store.open_quick_room(late, 0).await.unwrap(), OpenedQuick::Room(_)));
    world.purge(NOW.plus(HOUR * 23)).await;
    assert!(world.store.quick_room("garden").await.unwrap().is_some());
    world.purge(NOW.plus(HOUR * 24)).await;
    assert_eq!(world.store.quick_room("garden").await.unwrap(), None);
    assert!(world.store.quick_room("plaza").await.unwrap().is_some());
}

async fn a_name_can_be_free_at_once(world: Arc<World>) {
    let room = world.quick_room("plaza").await;
    assert_eq!(world.store.end_quick_room(room.tenant, NOW, false).await.unwrap().as_deref(), Some("plaza"));
    assert_eq!(world.store.end_quick_room(room.tenant, NOW, false).await.unwrap(), None);
    assert_eq!(world.store.quick_room("plaza").await.unwrap(), None);
    assert_eq!(world.store.room(room.tenant, room.room.id).await.unwrap(), None);
    world.quick_room("plaza").await;
}

async fn rooms_whose_time_is_over_are_found(world: Arc<World>) {
    let mut made = Vec::new();
    for (name, hours) in [("late", 3), ("early", 1), ("middle", 2)] {
        let mut new = world.new_quick_room(name);
        new.room.expires_at = Some(NOW.plus(HOUR * hours));
        made.push((new.tenant.id, new.room.id, name.to_owned()));
        assert!(matches!(world.store.open_quick_room(new, 0).await.unwrap(), OpenedQuick::Room(_)));
    }
    let over = async |hours, limit| world.store.quick_rooms_that_ended(NOW.plus(HOUR * hours), limit).await.unwrap();
    let [late, early, middle] = <[_; 3]>::try_from(made).unwrap();
    assert!(over(0, 10).await.is_empty());
    assert_eq!(over(2, 10).await, [early.clone(), middle.clone()]);
    assert_eq!(over(2, 1).await, std::slice::from_ref(&early));
    world.store.end_quick_room(early.0, NOW.plus(HOUR * 2), true).await.unwrap();
    // It is to be ended even if its tenant went another way.
    assert!(world.store.delete_tenant(middle.0, 0, NOW.plus(HOUR * 2)).await.unwrap());
    world.purge(NOW.plus(HOUR * 2)).await;
    assert_eq!(over(3, 10).await, [middle.clone(), late]);
    let ended = world.store.end_quick_room(middle.0, NOW.plus(HOUR * 2), true).await.unwrap();
    assert_eq!(ended.as_deref(), Some("middle"));
}

async fn a_call_only_ever_gets_more(world: Arc<World>) {
    let room = world.quick_room("plaza").await;
    let ask = async |tenant, room: RoomId, screenshare, bot| {
        let room = world.store.negotiate(tenant, room, screenshare, bot).await.unwrap();
        room.map(|room| (room.room.media, room.room.bot_enabled))
    };
    let (tenant, id) = (room.tenant, room.room.id);
    assert_eq!(ask(tenant, id, false, false).await, Some((Media::Audio, false)));
    assert_eq!(ask(tenant, id, false, true).await, Some((Media::Audio, true)));
    assert_eq!(ask(tenant, id, true, false).await, Some((Media::Screenshare, true)));
    assert_eq!(ask(tenant, id, false, false).await, Some((Media::Screenshare, true)));
    let other = world.owner().await;
    assert_eq!(ask(other.tenant, id, true, true).await, None);
    world.store.end_quick_room(tenant, NOW, true).await.unwrap();
    assert_eq!(ask(tenant, id, true, true).await, None);
}
