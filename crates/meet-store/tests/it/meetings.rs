//! Meetings, from the wish to open one until they are forgotten.

use std::sync::Arc;

use futures_util::future::join_all;
use meet_api::{RoomId, TenantId};
use meet_store::{Begun, Meeting};

use crate::world::{HOUR, NOW, World};

crate::on_both!(
    a_room_has_one_open_meeting,
    what_a_crash_left_half_open_gives_way,
    an_opening_that_nobody_is_at_any_more_is_to_be_closed,
    a_meeting_of_another_provider_gives_way,
    a_room_that_is_not_there_gets_no_meeting,
    what_is_opened_too_late_is_kept_to_be_closed,
    meetings_end_with_their_rooms_and_outlive_them,
    a_name_means_the_meeting_that_is_open,
    open_and_closing_meetings_are_listed_by_pages,
    racers_for_a_meeting_leave_one_open,
    forgetting_a_meeting_forgets_its_seats,
);

async fn begin(world: &World, tenant: TenantId, room: RoomId, provider: &str) -> Begun {
    world.store.begin_meeting(tenant, room, provider, world.name(), NOW).await.unwrap()
}

/// The references of the meetings that are to be closed.
async fn closing(world: &World) -> Vec<String> {
    let meetings = world.store.closing_meetings(None, 100).await.unwrap();
    assert!(meetings.iter().all(|meeting| meeting.closing_at.is_some()));
    meetings.into_iter().map(|meeting| meeting.reference).collect()
}

async fn a_room_has_one_open_meeting(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    assert_eq!(world.store.open_meeting_of(room).await.unwrap(), None);
    let begun = begin(&world, owner.tenant, room, "fake").await;
    let Begun::Started(started) = begun else { panic!("{begun:?}") };
    assert_eq!((started.tenant, started.room, started.provider.as_str()), (owner.tenant, room, "fake"));
    assert_eq!((&started.meeting, started.closing_at), (&None, None));
    // Nobody can be let in before it is open.
    assert_eq!(world.store.open_meeting_of(room).await.unwrap(), None);
    assert!(world.store.open_meetings("fake", None, 10).await.unwrap().is_empty());
    assert!(world.store.meeting_opened(&started.reference, "there").await.unwrap());
    let open = Meeting { meeting: Some("there".into()), ..started };
    assert_eq!(begin(&world, owner.tenant, room, "fake").await, Begun::Open(open.clone()));
    assert_eq!(world.store.open_meeting_of(room).await.unwrap(), Some(open.clone()));
    assert_eq!(world.store.meeting_by_name("fake", "there").await.unwrap(), Some(open.clone()));
    assert_eq!(world.store.meeting_by_name("other", "there").await.unwrap(), None);
    assert_eq!(world.store.open_meetings("fake", None, 10).await.unwrap(), [open]);
    assert!(closing(&world).await.is_empty());
}

async fn what_a_crash_left_half_open_gives_way(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let Begun::Started(first) = begin(&world, owner.tenant, room, "fake").await else { panic!() };
    let Begun::Started(second) = begin(&world, owner.tenant, room, "fake").await else { panic!() };
    assert_ne!(first.reference, second.reference);
    assert_eq!(closing(&world).await, [first.reference.as_str()]);
    // The first opening ends after all: its name is kept, so that it can be closed.
    assert!(!world.store.meeting_opened(&first.reference, "late").await.unwrap());
    assert!(world.store.meeting_opened(&second.reference, "there").await.unwrap());
    let late = world.store.meeting_by_name("fake", "late").await.unwrap().unwrap();
    assert_eq!((late.reference, late.closing_at), (first.reference, Some(NOW)));
    assert!(!world.store.meeting_opened("unheard of", "nowhere").await.unwrap());
}

async fn an_opening_that_nobody_is_at_any_more_is_to_be_closed(world: Arc<World>) {
    let owner = world.owner().await;
    let (left, open) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let Begun::Started(left) = begin(&world, owner.tenant, left, "fake").await else { panic!() };
    let Begun::Started(open) = begin(&world, owner.tenant, open, "fake").await else { panic!() };
    assert!(world.store.meeting_opened(&open.reference, "m").await.unwrap());
    world.store.abandon_openings(NOW.minus(HOUR), NOW).await.unwrap();
    assert_eq!(closing(&world).await, [""; 0], "somebody may be at it");
    world.store.abandon_openings(NOW, NOW).await.unwrap();
    assert_eq!(closing(&world).await, [left.reference]);
}

async fn a_meeting_of_another_provider_gives_way(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let old = world.meeting(owner.tenant, room).await;
    let begun = begin(&world, owner.tenant, room, "other").await;
    let Begun::Started(new) = begun else { panic!("{begun:?}") };
    assert_eq!(new.provider, "other");
    assert_eq!(closing(&world).await, [old.reference]);
}

async fn a_room_that_is_not_there_gets_no_meeting(world: Arc<World>) {
    let (owner, other) = (world.owner().await, world.owner().await);
    let mut short = world.new_room("short");
    short.expires_at = Some(NOW);
    let short = world.make_room(owner.tenant, short).await.room.id;
    let deleted = world.room(owner.tenant).await;
    world.meeting(owner.tenant, deleted).await;
    assert!(world.store.delete_room(owner.tenant, deleted, NOW).await.unwrap());
    let room = world.room(owner.tenant).await;
    assert_eq!(begin(&world, owner.tenant, short, "fake").await, Begun::RoomGone);
    assert_eq!(begin(&world, owner.tenant, deleted, "fake").await, Begun::RoomGone);
    assert_eq!(begin(&world, other.tenant, room, "fake").await, Begun::RoomGone);
    assert!(world.store.delete_tenant(owner.tenant, 0, NOW).await.unwrap());
    assert_eq!(begin(&world, owner.tenant, room, "fake").await, Begun::RoomGone);
}

async fn what_is_opened_too_late_is_kept_to_be_closed(world: Arc<World>) {
    let owner = world.owner().await;
    let (room, other) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let Begun::Started(gone) = begin(&world, owner.tenant, room, "fake").await else { panic!() };
    let Begun::Started(left) = begin(&world, owner.tenant, other, "fake").await else { panic!() };
    assert!(world.store.delete_room(owner.tenant, room, NOW).await.unwrap());
    world.store.abandon_meeting(&left.reference, NOW).await.unwrap();
    // The first time counts.
    world.store.abandon_meeting(&left.reference, NOW.plus(HOUR)).await.unwrap();
    for (meeting, name) in [(&gone, "one"), (&left, "two")] {
        assert!(!world.store.meeting_opened(&meeting.reference, name).await.unwrap());
    }
    assert!(world.store.end_meetings(NOW).await.unwrap());
    let closing = world.store.closing_meetings(None, 10).await.unwrap();
    let names: Vec<_> = closing.iter().map(|meeting| (meeting.meeting.as_deref(), meeting.closing_at)).collect();
    assert_eq!(names, [(Some("one"), Some(NOW)), (Some("two"), Some(NOW))]);
}

async fn meetings_end_with_their_rooms_and_outlive_them(world: Arc<World>) {
    let (owner, leaver) = (world.owner().await, world.owner().await);
    let mut short = world.new_room("short");
    short.expires_at = Some(NOW.plus(HOUR));
    let short = world.make_room(owner.tenant, short).await.room.id;
    let (kept, deleted) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let left = world.room(leaver.tenant).await;
    let kept = world.meeting(owner.tenant, kept).await;
    let expiring = world.meeting(owner.tenant, short).await;
    let ending = [world.meeting(owner.tenant, deleted).await, world.meeting(leaver.tenant, left).await];
    assert!(!world.store.end_meetings(NOW).await.unwrap());
    assert!(world.store.delete_room(owner.tenant, deleted, NOW).await.unwrap());
    assert!(world.store.delete_tenant(leaver.tenant, 0, NOW).await.unwrap());
    assert!(world.store.end_meetings(NOW).await.unwrap());
    assert!(!world.store.end_meetings(NOW).await.unwrap());
    assert_eq!(closing(&world).await, ending.each_ref().map(|meeting| meeting.reference.clone()));
    assert!(world.store.end_meetings(NOW.plus(HOUR)).await.unwrap());
    // Nothing but forgetting takes them away.
    world.purge(NOW.plus(HOUR * 1000)).await;
    assert_eq!(world.store.open_meetings("fake", None, 10).await.unwrap(), [kept]);
    assert_eq!(closing(&world).await.len(), 3);
    for meeting in ending.iter().chain([&expiring]) {
        world.store.forget_meeting(&meeting.reference).await.unwrap();
    }
    assert!(closing(&world).await.is_empty());
}

async fn a_name_means_the_meeting_that_is_open(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    // A provider may know a meeting by its room, whose next one then has the same name.
    for _ in 0..2 {
        let Begun::Started(meeting) = begin(&world, owner.tenant, room, "fake").await else { panic!() };
        assert!(world.store.meeting_opened(&meeting.reference, "the room's").await.unwrap());
        let found = world.store.meeting_by_name("fake", "the room's").await.unwrap().unwrap();
        assert_eq!((found.reference.as_str(), found.closing_at), (meeting.reference.as_str(), None));
        world.store.abandon_meeting(&meeting.reference, NOW).await.unwrap();
    }
    let found = world.store.meeting_by_name("fake", "the room's").await.unwrap().unwrap();
    assert_eq!(found.closing_at, Some(NOW));
}

async fn open_and_closing_meetings_are_listed_by_pages(world: Arc<World>) {
    let owner = world.owner().await;
    let mut references = Vec::new();
    for _ in 0..5 {
        let room = world.room(owner.tenant).await;
        references.push(world.meeting(owner.tenant, room).await.reference);
    }
    let page = async |after: Option<&str>, is_closing: bool| {
        let after = after.map(str::to_owned);
        let page = if is_closing {
            world.store.closing_meetings(after, 2).await
        } else {
            world.store.open_meetings("fake", after, 2).await
        };
        page.unwrap().into_iter().map(|meeting| meeting.reference).collect::<Vec<_>>()
    };
    for is_closing in [false, true] {
        assert_eq!(page(None, is_closing).await, references[..2]);
        assert_eq!(page(Some(&references[1]), is_closing).await, references[2..4]);
        assert_eq!(page(Some(&references[3]), is_closing).await, references[4..]);
        assert!(page(Some(&references[4]), is_closing).await.is_empty());
        for reference in &references {
            world.store.abandon_meeting(reference, NOW).await.unwrap();
        }
    }
    assert!(page(None, false).await.is_empty());
}

async fn racers_for_a_meeting_leave_one_open(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let begun = join_all((0..20).map(|_| begin(&world, owner.tenant, room, "fake"))).await;
    assert!(begun.iter().all(|begun| matches!(begun, Begun::Started(_))));
    assert_eq!(closing(&world).await.len(), 19);
    let mut opened = 0;
    for begun in begun {
        let Begun::Started(meeting) = begun else { continue };
        opened += u32::from(world.store.meeting_opened(&meeting.reference, &meeting.reference).await.unwrap());
    }
    assert_eq!(opened, 1);
    let open = world.store.open_meeting_of(room).await.unwrap().unwrap();
    let begun = join_all((0..20).map(|_| begin(&world, owner.tenant, room, "fake"))).await;
    assert!(begun.into_iter().all(|begun| begun == Begun::Open(open.clone())));
}

async fn forgetting_a_meeting_forgets_its_seats(world: Arc<World>) {
    let owner = world.owner().await;
    let rooms = [world.room(owner.tenant).await, world.room(owner.tenant).await];
    let (gone, kept) = (world.meeting(owner.tenant, rooms[0]).await, world.meeting(owner.tenant, rooms[1]).await);
    let (lost, held) = (world.seat(&gone, &owner), world.seat(&kept, &owner));
    for seat in [&lost, &held] {
        assert!(world.store.keep_seat(seat.clone()).await.unwrap());
    }
    world.store.forget_meeting(&gone.reference).await.unwrap();
    assert_eq!(world.store.seat(&lost.identity).await.unwrap(), None);
    assert!(world.store.seat(&held.identity).await.unwrap().is_some());
    assert_eq!(world.store.meeting_by_name("fake", gone.meeting.unwrap()).await.unwrap(), None);
}
