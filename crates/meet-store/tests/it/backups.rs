//! Backups of either database, restored into either.

use std::{fs, sync::Arc};

use meet_api::{ChosenStatus, Message};
use meet_store::{
    Admitted, BackupError, Begun, Location, OpenedQuick, SecretUrl, Store, TenantKind, backup, restore, words,
};

use crate::world::{HOUR, NOW, Owner, Server, World, idempotency};

crate::on_both!(
    a_restored_copy_has_everything_but_nobody_signed_in,
    a_restored_copy_has_no_calls_and_no_quick_rooms,
    a_backup_beside_a_busy_server_is_whole,
    a_backup_is_private_and_overwrites_nothing,
    only_a_backup_is_restored_and_only_into_nothing,
);

/// Epochs that have not been before.
pub(crate) fn fresh() -> impl FnMut() -> String + Send + 'static {
    let mut count = 0;
    move || {
        count += 1;
        format!("fresh {count}")
    }
}

/// Places to restore into: a new directory and, if there is a server, a new database.
pub(crate) async fn places(world: &World) -> Vec<(Location, Option<(Server, String)>)> {
    let mut places = vec![(Location::Sqlite(world.file("restored")), None)];
    if let Some(server) = Server::find() {
        let (name, url) = server.create().await;
        places.push((Location::Postgres(SecretUrl::new(url)), Some((server, name))));
    }
    places
}

async fn check_copy(copy: &Store, owner: &Owner, log: &[Message]) {
    let room = log[0].room_id;
    let (head, epoch) = crate::world::head(copy, owner.tenant, room).await.unwrap();
    assert_eq!((head, epoch.starts_with("fresh ")), (log.len() as u64, true));
    let page = copy.history(owner.tenant, room, meet_store::Page::After(0), 1000).await.unwrap();
    assert_eq!(page, log);
    let tenant = copy.tenant_by_key(&owner.key).await.unwrap().unwrap();
    assert_eq!((tenant.id, tenant.generation), (owner.tenant, 1));
    let found = copy.search(owner.tenant, room, &words("number 7"), None, 0, 10).await.unwrap();
    assert_eq!(found.iter().map(|message| message.seq).collect::<Vec<_>>(), [8]);
    assert_eq!(copy.users(owner.tenant, 10).await.unwrap()[0].user, owner.user);
    assert_eq!(copy.appearance(owner.tenant, owner.user.id).await.unwrap(), Some(ChosenStatus::Invisible.into()));
}

/// Whoever looks into the database sees when it was restored.
fn check_mark(location: &Location) {
    const MARK: &str = "SELECT at FROM marks WHERE name = 'restored'";
    if let Location::Sqlite(directory) = location {
        let conn = rusqlite::Connection::open(directory.join("meet-ai.db")).unwrap();
        let at: i64 = conn.query_row(MARK, [], |row| row.get(0)).unwrap();
        assert_eq!(at, NOW.plus(HOUR).millis());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_place_whose_name_is_no_text_is_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(directory.path().join("data"));
    Store::open(&location).await.unwrap().close().await;
    let place = directory.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&place).unwrap();
    let refused = backup(&location, &place.join("backup.db")).await;
    assert!(matches!(refused, Err(BackupError::NotUtf8 { .. })), "{refused:?}");
    let file = directory.path().join("backup.db");
    backup(&location, &file).await.unwrap();
    let refused = restore(&Location::Sqlite(place.clone()), &file, fresh(), NOW).await;
    assert!(matches!(refused, Err(BackupError::NotUtf8 { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

async fn a_restored_copy_has_everything_but_nobody_signed_in(world: Arc<World>) {
    let owner = world.tenant(TenantKind::Operator).await;
    // Numbers of rooms with a gap, which a copy must not close.
    let gone = world.room(owner.tenant).await;
    let room = world.room(owner.tenant).await;
    assert!(world.store.delete_room(owner.tenant, gone, NOW).await.unwrap());
    world.purge(NOW).await;
    let (appender, _) = world.appender();
    for n in 0..10 {
        let mut message = world.message(&owner, room, &format!("number {n}"));
        message.idempotency = Some(idempotency(&n.to_string(), 1));
        appender.append(message).await.unwrap();
    }
    let log = world.log(owner.tenant, room).await;
    assert!(world.store.set_appearance(owner.tenant, owner.user.id, ChosenStatus::Invisible.into()).await.unwrap());
    let secret = world.digest();
    assert!(world.store.create_session(world.session(owner.tenant, owner.user.id, secret)).await.unwrap());
    let invite = world.invite(Some(room), None);
    assert!(world.store.create_invite(owner.tenant, invite.clone()).await.unwrap());

    let file = world.file("backup.db");
    let summary = backup(&world.location, &file).await.unwrap();
    assert_eq!((summary.tenants, summary.rooms, summary.messages), (1, 1, 10));
    assert_eq!(summary.bytes, fs::metadata(&file).unwrap().len());
    for (place, database) in places(&world).await {
        let restored = restore(&place, &file, fresh(), NOW.plus(HOUR)).await.unwrap();
        assert_eq!((restored.tenants, restored.rooms, restored.messages), (1, 1, 10));
        let copy = World::open(place, tempfile::tempdir().unwrap()).await;
        check_copy(&copy.store, &owner, &log).await;
        check_mark(&copy.location);
        assert_eq!(copy.store.session_by_digest(&secret, NOW).await.unwrap(), None);
        let used = copy.store.redeem_invite(&invite.digest, NOW, world.redeem("Bob")).await.unwrap();
        assert_eq!(used, meet_store::Redeemed::Unknown);
        // Life goes on: the next seq, a new room, an idempotency key that is forgotten.
        let (appender, _) = copy.appender();
        let mut again = world.message(&owner, room, "after the restore");
        again.idempotency = Some(idempotency("1", 2));
        assert_eq!(crate::world::stored(appender.append(again).await.unwrap()).seq, 11);
        let next = copy.make_room(owner.tenant, world.new_room("new")).await.room.id;
        copy.say(&appender, &owner, next, "number 7").await;
        let found = copy.store.search(owner.tenant, room, &words("number 7"), None, 0, 10).await.unwrap();
        assert_eq!(found.len(), 1);
        copy.store.close().await;
        if let Some((server, name)) = database {
            server.drop(&name).await;
        }
    }
}

async fn a_restored_copy_has_no_calls_and_no_quick_rooms(world: Arc<World>) {
    let owner = world.owner().await;
    let own = world.room(owner.tenant).await;
    let call = world.meeting(owner.tenant, own).await;
    let seat = world.seat(&call, &owner);
    assert!(world.store.keep_seat(seat.clone()).await.unwrap());
    let room = world.quick_room("plaza").await;
    let meeting = world.meeting(room.tenant, room.room.id).await;
    let admission = world.admission(&room, &meeting, "Gus", world.as_visitor());
    let Admitted::In { session, .. } = world.store.admit(admission).await.unwrap() else { panic!() };
    let file = world.file("backup.db");
    backup(&world.location, &file).await.unwrap();
    for (place, database) in places(&world).await {
        restore(&place, &file, fresh(), NOW).await.unwrap();
        let copy = World::open(place, tempfile::tempdir().unwrap()).await;
        assert!(copy.store.room(owner.tenant, own).await.unwrap().is_some());
        assert_eq!(copy.store.open_meeting_of(own).await.unwrap(), None);
        assert_eq!(copy.store.seat(&seat.identity).await.unwrap(), None);
        assert_eq!(copy.store.quick_room("plaza").await.unwrap(), None);
        assert_eq!(copy.store.session(session.id, NOW).await.unwrap(), None);
        for tenant in [room.tenant, session.tenant.id] {
            assert_eq!(copy.store.tenant(tenant).await.unwrap(), None);
        }
        assert_eq!(copy.store.room(room.tenant, room.room.id).await.unwrap(), None);
        assert!(!copy.store.end_meetings(NOW).await.unwrap());
        copy.purge(NOW).await;
        assert!(copy.store.users(room.tenant, 10).await.unwrap().is_empty());
        // Life goes on: a name, a meeting, a visitor.
        let again = copy.store.open_quick_room(world.new_quick_room("plaza"), 1).await.unwrap();
        let OpenedQuick::Room(again) = again else { panic!("{again:?}") };
        let begun = copy.store.begin_meeting(again.tenant, again.room.id, "fake", world.name(), NOW).await.unwrap();
        let Begun::Started(meeting) = begun else { panic!("{begun:?}") };
        let admission = world.admission(&again, &meeting, "Gus", world.as_visitor());
        let Admitted::In { session: later, .. } = copy.store.admit(admission).await.unwrap() else { panic!() };
        assert_ne!(later.tenant.id, session.tenant.id);
        copy.store.close().await;
        if let Some((server, name)) = database {
            server.drop(&name).await;
        }
    }
}

async fn a_backup_beside_a_busy_server_is_whole(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    let talk = async {
        for n in 0..300 {
            world.say(&appender, &owner, room, &format!("number {n}")).await;
        }
    };
    let file = world.file("busy.db");
    let ((), summary) = tokio::join!(talk, backup(&world.location, &file));
    let summary = summary.unwrap();
    let place = Location::Sqlite(world.file("restored"));
    restore(&place, &file, fresh(), NOW).await.unwrap();
    let copy = World::open(place, tempfile::tempdir().unwrap()).await;
    let log = copy.log(owner.tenant, room).await;
    assert!(log.iter().map(|message| message.seq).eq(1..=summary.messages));
    assert_eq!(crate::world::head(&copy.store, owner.tenant, room).await.unwrap().0, summary.messages);
    copy.store.close().await;
}

async fn a_backup_is_private_and_overwrites_nothing(world: Arc<World>) {
    world.owner().await;
    let file = world.file("backup.db");
    backup(&world.location, &file).await.unwrap();
    let again = backup(&world.location, &file).await;
    assert!(matches!(again, Err(BackupError::Exists { .. })), "{again:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Nothing unfinished is left lying about.
    let names: Vec<_> = fs::read_dir(world.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("partial")), "{names:?}");
}

async fn only_a_backup_is_restored_and_only_into_nothing(world: Arc<World>) {
    world.owner().await;
    let file = world.file("backup.db");
    backup(&world.location, &file).await.unwrap();
    let full = restore(&world.location, &file, fresh(), NOW).await;
    assert!(matches!(full, Err(BackupError::NotEmpty)), "{full:?}");

    let place = Location::Sqlite(world.file("restored"));
    let missing = restore(&place, &world.file("nothing.db"), fresh(), NOW).await;
    assert!(matches!(missing, Err(BackupError::File { .. })), "{missing:?}");
    let letter = world.file("letter.db");
    fs::write(&letter, "dear grandmother ".repeat(500)).unwrap();
    let other = restore(&place, &letter, fresh(), NOW).await;
    assert!(matches!(other, Err(BackupError::NotABackup { .. })), "{other:?}");
    let foreign = world.file("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE api_keys (id)").unwrap();
    let other = restore(&place, &foreign, fresh(), NOW).await;
    assert!(matches!(other, Err(BackupError::NotABackup { .. })), "{other:?}");
    let later = world.file("later.db");
    fs::copy(&file, &later).unwrap();
    let conn = rusqlite::Connection::open(&later).unwrap();
    conn.execute_batch("INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')")
        .unwrap();
    drop(conn);
    let newer = restore(&place, &later, fresh(), NOW).await;
    assert!(matches!(newer, Err(BackupError::NewerSchema { found: 99, known: 4 })), "{newer:?}");

    // An empty database gives way.
    Store::open(&place).await.unwrap().close().await;
    restore(&place, &file, fresh(), NOW).await.unwrap();
    let nowhere = backup(&Location::Sqlite(world.file("nowhere")), &world.file("b.db")).await;
    assert!(matches!(nowhere, Err(BackupError::NothingThere { .. })), "{nowhere:?}");
    assert!(!world.file("nowhere").exists());
}
