//! Rooms.

use std::sync::Arc;

use futures_util::future::join_all;
use meet_api::{Media, Visibility, text::RoomName};
use meet_store::{Created, DailyLimit, PublicFrom, RoomPatch, TenantKind, WindowState};

use crate::world::{HOUR, NOW, World};

crate::on_both!(
    rooms_are_listed_oldest_first_by_pages_until_they_expire,
    five_rooms_a_day_and_no_more,
    racers_for_the_last_room_of_the_day_make_one,
    a_patch_changes_what_it_names,
    turning_public_shows_what_is_said_from_then_on,
    the_public_list_holds_the_operators_and_the_listed,
    a_deleted_room_is_gone_at_once,
    rooms_whose_time_ended_in_between_are_found_by_pages,
);

async fn rooms_whose_time_ended_in_between_are_found_by_pages(world: Arc<World>) {
    let (owner, other) = (world.owner().await, world.owner().await);
    let make = async |tenant, expires_at| {
        let room = world.new_room("short");
        world.make_room(tenant, meet_store::NewRoom { expires_at, ..room }).await.room.id
    };
    let earlier = make(owner.tenant, Some(NOW)).await;
    let first = make(owner.tenant, Some(NOW.plus(HOUR))).await;
    let second = make(other.tenant, Some(NOW.plus(HOUR * 2))).await;
    let deleted = make(owner.tenant, Some(NOW.plus(HOUR))).await;
    make(owner.tenant, Some(NOW.plus(HOUR * 3))).await;
    make(owner.tenant, None).await;
    assert!(world.store.delete_room(owner.tenant, deleted, NOW).await.unwrap());
    let found = async |from, until, after, limit| world.store.expired_rooms(from, until, after, limit).await.unwrap();
    let (first, second) = ((owner.tenant, first), (other.tenant, second));
    assert_eq!(found(NOW, NOW.plus(HOUR * 2), None, 10).await, [first, second]);
    assert_eq!(found(NOW, NOW.plus(HOUR * 2), None, 1).await, [first]);
    assert_eq!(found(NOW, NOW.plus(HOUR * 2), Some(first.1), 1).await, [second]);
    assert_eq!(found(NOW.minus(HOUR), NOW, None, 10).await, [(owner.tenant, earlier)]);
}

async fn rooms_are_listed_oldest_first_by_pages_until_they_expire(world: Arc<World>) {
    let owner = world.owner().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let mut room = world.new_room(&format!("room {n}"));
        room.expires_at = (n == 2).then(|| NOW.plus(HOUR));
        ids.push(world.make_room(owner.tenant, room).await.room.id);
    }
    let page = async |after, limit, now| -> Vec<_> {
        let rooms = world.store.rooms(owner.tenant, after, limit, now).await.unwrap();
        rooms.into_iter().map(|stored| stored.room.id).collect()
    };
    assert_eq!(page(None, 10, NOW).await, ids);
    assert_eq!(page(Some(ids[1]), 2, NOW).await, ids[2..4]);
    assert_eq!(page(Some(ids[1]), 10, NOW.plus(HOUR)).await, ids[3..]);
    // By its id it is still there, to say that it has expired.
    let expired = world.store.room(owner.tenant, ids[2]).await.unwrap().unwrap();
    assert_eq!(expired.room.expires_at, Some(NOW.plus(HOUR)));
}

async fn five_rooms_a_day_and_no_more(world: Arc<World>) {
    let (owner, other) = (world.owner().await, world.owner().await);
    let limit = Some(DailyLimit { limit: 5 });
    let create = async |tenant, at| {
        let mut room = world.new_room("plaza");
        room.created_at = at;
        world.store.create_room(tenant, room, limit).await.unwrap()
    };
    // The window runs from the first counted room.
    let resets_at = NOW.plus(HOUR * 24);
    for (n, left) in (0..5).zip([4, 3, 2, 1, 0]) {
        let Created::Room(stored, window) = create(owner.tenant, NOW.plus(HOUR * n)).await else { panic!("limited") };
        assert_eq!(window, Some(WindowState { limit: 5, remaining: left, resets_at }));
        // Deleting one gives nothing back.
        assert!(world.store.delete_room(owner.tenant, stored.room.id, NOW).await.unwrap());
    }
    world.purge(NOW.plus(HOUR * 6)).await;
    world.store.rotate_key(owner.tenant, 0, world.digest(), "mai_new1".into(), NOW).await.unwrap().unwrap();
    let refused = Created::Limited(WindowState { limit: 5, remaining: 0, resets_at });
    assert_eq!(create(owner.tenant, resets_at.minus(HOUR)).await, refused);
    assert!(matches!(create(other.tenant, NOW).await, Created::Room(..)));
    let Created::Room(_, Some(window)) = create(owner.tenant, resets_at).await else { panic!("limited") };
    assert_eq!(window, WindowState { limit: 5, remaining: 4, resets_at: resets_at.plus(HOUR * 24) });
    // Without a limit nothing is counted.
    let free = world.store.create_room(owner.tenant, world.new_room("free"), None).await.unwrap();
    assert!(matches!(free, Created::Room(_, None)));
}

async fn racers_for_the_last_room_of_the_day_make_one(world: Arc<World>) {
    let owner = world.owner().await;
    let limit = Some(DailyLimit { limit: 5 });
    let racers = (0..30).map(|_| world.store.create_room(owner.tenant, world.new_room("plaza"), limit));
    let made = join_all(racers).await.into_iter().filter(|made| matches!(made, Ok(Created::Room(..)))).count();
    assert_eq!(made, 5);
    assert_eq!(world.store.rooms(owner.tenant, None, 100, NOW).await.unwrap().len(), 5);
}

async fn a_patch_changes_what_it_names(world: Arc<World>) {
    let owner = world.owner().await;
    let before = world.make_room(owner.tenant, world.new_room("plaza")).await;
    let id = before.room.id;
    let same = world.store.update_room(owner.tenant, id, RoomPatch::default()).await.unwrap().unwrap();
    assert_eq!(same, before);
    let patch = RoomPatch {
        name: Some(RoomName::parse("forum").unwrap()),
        media: Some(Media::Screenshare),
        expires_at: Some(Some(NOW.plus(HOUR))),
        ..RoomPatch::default()
    };
    let after = world.store.update_room(owner.tenant, id, patch).await.unwrap().unwrap();
    assert_eq!((after.room.name.as_str(), after.room.media), ("forum", Media::Screenshare));
    assert_eq!((after.room.bot_enabled, after.room.expires_at), (false, Some(NOW.plus(HOUR))));
    assert_eq!((after.room.visibility, after.room.epoch.as_str()), (Visibility::Private, "e1"));
    let patch = RoomPatch { expires_at: Some(None), ..RoomPatch::default() };
    let after = world.store.update_room(owner.tenant, id, patch).await.unwrap().unwrap();
    assert_eq!(after.room.expires_at, None);
    assert_eq!(world.store.room(owner.tenant, id).await.unwrap().unwrap(), after);
}

async fn turning_public_shows_what_is_said_from_then_on(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    for _ in 0..3 {
        world.say(&appender, &owner, room, "inside").await;
    }
    assert_eq!(world.store.public_room(room).await.unwrap(), None);
    let patch = |visibility, public_from| RoomPatch {
        visibility: Some(visibility),
        public_from: Some(public_from),
        ..RoomPatch::default()
    };
    let open = patch(Visibility::Public, PublicFrom::Head);
    let opened = world.store.update_room(owner.tenant, room, open).await.unwrap().unwrap();
    assert_eq!((opened.public_from, opened.room.head_seq), (3, 3));
    assert_eq!(world.store.public_room(room).await.unwrap(), Some(opened));
    // Public already: what strangers may read stays. Closed meanwhile: it begins anew.
    world.say(&appender, &owner, room, "outside").await;
    let open = patch(Visibility::Public, PublicFrom::Head);
    let same = world.store.update_room(owner.tenant, room, open.clone()).await.unwrap().unwrap();
    assert_eq!((same.public_from, same.room.head_seq), (3, 4));
    let close = RoomPatch { visibility: Some(Visibility::Private), ..RoomPatch::default() };
    world.store.update_room(owner.tenant, room, close).await.unwrap().unwrap();
    assert_eq!(world.store.update_room(owner.tenant, room, open).await.unwrap().unwrap().public_from, 4);
    let all = patch(Visibility::Public, PublicFrom::Start);
    assert_eq!(world.store.update_room(owner.tenant, room, all).await.unwrap().unwrap().public_from, 0);
}

async fn the_public_list_holds_the_operators_and_the_listed(world: Arc<World>) {
    let (operator, owner) = (world.tenant(TenantKind::Operator).await, world.owner().await);
    let make = async |tenant, visibility, listed, expires_at| {
        let mut room = world.new_room("hall");
        (room.visibility, room.listed, room.expires_at) = (visibility, listed, expires_at);
        world.make_room(tenant, room).await.room.id
    };
    let welcome = make(operator.tenant, Visibility::Public, false, None).await;
    make(operator.tenant, Visibility::Private, true, None).await;
    let listed = make(owner.tenant, Visibility::Public, true, None).await;
    let unlisted = make(owner.tenant, Visibility::Public, false, None).await;
    let short = make(operator.tenant, Visibility::Public, false, Some(NOW.plus(HOUR))).await;
    let page = async |after, limit, now| -> Vec<_> {
        let rooms = world.store.public_rooms(after, limit, now).await.unwrap();
        rooms.into_iter().map(|stored| stored.room.id).collect()
    };
    assert_eq!(page(None, 10, NOW).await, [welcome, listed, short]);
    assert_eq!(page(Some(welcome), 1, NOW).await, [listed]);
    assert_eq!(page(None, 10, NOW.plus(HOUR)).await, [welcome, listed]);
    // Whoever has the id of a public room may read it.
    assert_eq!(world.store.public_room(unlisted).await.unwrap().unwrap().tenant, owner.tenant);
    assert!(world.store.delete_tenant(owner.tenant, 0, NOW).await.unwrap());
    assert_eq!(world.store.public_room(listed).await.unwrap(), None);
    assert_eq!(page(None, 10, NOW).await, [welcome, short]);
}

async fn a_deleted_room_is_gone_at_once(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    let message = world.say(&appender, &owner, room, "hello").await;
    assert!(world.store.delete_room(owner.tenant, room, NOW).await.unwrap());
    assert!(!world.store.delete_room(owner.tenant, room, NOW).await.unwrap());
    assert_eq!(world.store.room(owner.tenant, room).await.unwrap(), None);
    assert_eq!(world.store.rooms(owner.tenant, None, 10, NOW).await.unwrap(), []);
    assert_eq!(world.log(owner.tenant, room).await, []);
    assert_eq!(crate::world::head(&world.store, owner.tenant, room).await, None);
    assert_eq!(world.store.message_seq(owner.tenant, room, message.id).await.unwrap(), None);
    let found = world.store.search(owner.tenant, room, &["hello".into()], None, 0, 10).await.unwrap();
    assert_eq!(found, []);
}
