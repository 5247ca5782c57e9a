//! Opening a database, and what stands in the way.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    sync::Arc,
};

use futures_util::future::join_all;
use meet_api::ChosenStatus;
use meet_store::{BackupError, Inspection, Location, OpenError, SecretUrl, Store, StoreError, backup, inspect};

use crate::world::{NOW, Server, World, run};

crate::on_both!(the_database_says_that_it_is_durable, a_database_opens_again_with_all_that_was_in_it,);

async fn the_database_says_that_it_is_durable(world: Arc<World>) {
    let Inspection { durability, disk } = inspect(&world.location).await.unwrap();
    assert!(durability.durable, "{durability:?}");
    world.store.ping().await.unwrap();
    assert_eq!(world.store.disk().is_some(), durability.engine == "sqlite");
    assert_eq!(disk.map(|disk| disk.total), world.store.disk().map(|disk| disk.total));
    if durability.engine == "sqlite" {
        assert_eq!(journal(&world.location).await, "wal");
    }
}

async fn a_database_opens_again_with_all_that_was_in_it(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    world.say(&appender, &owner, room, "remember me").await;
    world.store.close().await;
    let again = Store::open(&world.location).await.unwrap();
    assert_eq!(crate::world::head(&again, owner.tenant, room).await, Some((1, "e1".into())));
    again.close().await;
}

#[tokio::test]
async fn the_directory_and_its_file_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("a/b");
    let store = Store::open(&Location::Sqlite(data.clone())).await.unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        for entry in fs::read_dir(&data).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }
    store.close().await;
    // Closed in order, nothing but the file is left.
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_said() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "in the way").unwrap();
    let opened = Store::open(&Location::Sqlite(directory.path().join("file/data"))).await;
    assert!(matches!(opened, Err(OpenError::NotWritable { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("meet-ai.db");
    let junk = "this is a letter to my grandmother, and no database. ".repeat(100);
    fs::write(&file, &junk).unwrap();
    let location = Location::Sqlite(directory.path().to_owned());
    for opened in [Store::open(&location).await.map(drop), inspect(&location).await.map(drop)] {
        assert!(matches!(&opened, Err(OpenError::NotADatabase { path }) if *path == file), "{opened:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), junk);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(directory.path().to_owned());
    Store::open(&location).await.unwrap().close().await;
    let file = directory.path().join("meet-ai.db");
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute_batch("INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')")
        .unwrap();
    conn.close().unwrap();
    let before = fs::read(&file).unwrap();
    let opened = Store::open(&location).await;
    assert!(matches!(opened, Err(OpenError::NewerSchema { found: 99, known: 4 })), "{opened:?}");
    assert!(fs::read(&file).unwrap() == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_of_postgres_is_refused_and_two_that_start_at_once_agree() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    let location = Location::Postgres(SecretUrl::new(url.clone()));
    let stores = join_all((0..4).map(|_| Store::open(&location))).await;
    for store in stores {
        let store = store.unwrap();
        store.ping().await.unwrap();
        store.close().await;
    }
    run(&url, "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')").await;
    let opened = Store::open(&location).await;
    assert!(matches!(opened, Err(OpenError::NewerSchema { found: 99, known: 4 })), "{opened:?}");
    server.drop(&name).await;
}

/// Makes a database one of the time when users had no status and rooms no calls.
const FIRST: &str = "DROP TABLE session_grants; DROP TABLE quick_rooms; DROP TABLE seats; DROP TABLE meetings; \
                     DROP INDEX idx_keys_visitors; DROP TABLE read_marks; DROP TABLE mentions; DROP INDEX idx_users_known; \
                     ALTER TABLE users DROP COLUMN status; ALTER TABLE users DROP COLUMN about; \
                     ALTER TABLE rooms DROP COLUMN agent_budget; ALTER TABLE rooms DROP COLUMN agent_share; \
                     ALTER TABLE rooms DROP COLUMN agents_paused; ALTER TABLE rooms DROP COLUMN person_seq; \
                     DELETE FROM refinery_schema_history WHERE version > 1";

/// Has `age` make a database an old one, and opens it again.
async fn check_renewal(location: Location, age: impl AsyncFnOnce()) {
    let world = World::open(location, tempfile::tempdir().unwrap()).await;
    let owner = world.owner().await;
    world.store.close().await;
    age().await;
    let again = Store::open(&world.location).await.unwrap();
    assert_eq!(again.users(owner.tenant, 10).await.unwrap()[0].user, owner.user);
    assert_eq!(again.appearance(owner.tenant, owner.user.id).await.unwrap(), Some(ChosenStatus::Online.into()));
    again.close().await;
}

#[tokio::test]
async fn a_database_of_before_there_was_a_status_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("meet-ai.db");
    check_renewal(Location::Sqlite(directory.path().to_owned()), async || {
        rusqlite::Connection::open(file).unwrap().execute_batch(FIRST).unwrap();
    })
    .await;
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    check_renewal(Location::Postgres(SecretUrl::new(url.clone())), async || run(&url, FIRST).await).await;
    server.drop(&name).await;
}

/// What everything in a directory is called and holds.
fn contents(directory: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
}

#[tokio::test]
async fn looking_at_a_file_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    // A name that has to be written otherwise in an address.
    let data = directory.path().join("50% of #1?");
    let location = Location::Sqlite(data.clone());
    for looked in [inspect(&location).await.map(drop), Store::open_existing(&location).await.map(drop)] {
        assert!(matches!(looked, Err(OpenError::NothingThere { .. })), "{looked:?}");
    }
    assert!(!data.exists());
    Store::open(&location).await.unwrap().close().await;
    let before = contents(&data);
    assert_eq!(journal(&location).await, "wal");
    assert_eq!(contents(&data), before);

    let conn = rusqlite::Connection::open(data.join("meet-ai.db")).unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).unwrap();
    // As it is restored, until a server opens it.
    assert_eq!(journal(&location).await, "rollback");
    conn.execute_batch(OLDER).unwrap();
    drop(conn);
    let before = contents(&data);
    for looked in [inspect(&location).await.map(drop), Store::open_existing(&location).await.map(drop)] {
        assert!(matches!(looked, Err(OpenError::OlderSchema { found: 0, known: 4 })), "{looked:?}");
    }
    assert!(contents(&data)[OsStr::new("meet-ai.db")] == before[OsStr::new("meet-ai.db")]);
}

/// What looking at a file of SQLite says of its journal, and that it says nothing else.
async fn journal(location: &Location) -> String {
    let durability = inspect(location).await.unwrap().durability;
    assert!(durability.durable, "{durability:?}");
    let [(name, journal)] = <[_; 1]>::try_from(durability.settings).unwrap();
    assert_eq!(name, "journal_mode");
    journal
}

/// Makes a database one of the time before there were versions.
const OLDER: &str = "DELETE FROM refinery_schema_history";

#[tokio::test]
async fn looking_and_backing_up_change_nothing_in_postgres() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    let location = Location::Postgres(SecretUrl::new(url.clone()));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.db");
    for older in [false, true] {
        if older {
            Store::open(&location).await.unwrap().close().await;
            run(&url, OLDER).await;
        }
        let backed_up = backup(&location, &file).await.map_err(|error| match error {
            BackupError::Open(error) => error,
            other => panic!("{other:?}"),
        });
        let looked = [inspect(&location).await.map(drop), Store::open_existing(&location).await.map(drop)];
        for looked in looked.into_iter().chain([backed_up.map(drop)]) {
            let expected = match &looked {
                Err(OpenError::NothingThere { .. }) => !older,
                Err(OpenError::OlderSchema { found: 0, known: 4 }) => older,
                _ => false,
            };
            assert!(expected, "{looked:?}");
        }
        assert!(!file.exists());
        let untouched = if older {
            "SELECT 1 / CASE WHEN EXISTS (SELECT 1 FROM refinery_schema_history) THEN 0 ELSE 1 END"
        } else {
            "SELECT 1 / CASE WHEN EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'public') THEN 0 ELSE 1 END"
        };
        run(&url, untouched).await;
    }
    server.drop(&name).await;
}

#[tokio::test]
async fn a_postgres_that_syncs_no_commits_is_found_out() {
    let Some(server) = Server::find() else { return };
    let (name, url) = server.create().await;
    Store::open(&Location::Postgres(SecretUrl::new(url.clone()))).await.unwrap().close().await;
    let careless = SecretUrl::new(format!("{url}?options=-c%20synchronous_commit%3Doff"));
    let durability = inspect(&Location::Postgres(careless)).await.unwrap().durability;
    assert!(!durability.durable, "{durability:?}");
    server.drop(&name).await;
}

#[tokio::test]
async fn a_url_is_never_shown() {
    let url = SecretUrl::new("postgres://ann:hunter2@localhost:1/nothing");
    assert_eq!(format!("{url:?}"), "***");
    for url in ["postgres://ann:hunter2@127.0.0.1:1/nothing", "postgres://ann:hunter2@127.0.0.1:1/x?nonsense=hunter2"] {
        let error = Store::open(&Location::Postgres(SecretUrl::new(url))).await.unwrap_err();
        let mut shown = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            shown.push_str(&next.to_string());
            cause = next.source();
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// A full disk: needs the right to mount a small file system.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_messages_and_reading_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(directory.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        println!("skipped: this user may not mount a small file system");
        return;
    }
    let place = directory.path().to_owned();
    let world = World::open(Location::Sqlite(place.join("data")), tempfile::tempdir().unwrap()).await;
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, published) = world.appender();
    let text = "all work and no play ".repeat(1000);
    let mut kept = 0;
    let error = loop {
        match appender.append(world.message(&owner, room, &text)).await {
            Ok(outcome) => {
                kept += 1;
                assert_eq!(crate::world::stored(outcome).seq, kept);
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let log = world.log(owner.tenant, room).await;
    assert!(log.iter().map(|message| message.seq).eq(1..=kept));
    assert_eq!(published.all().len(), log.len());
    assert_eq!(crate::world::head(&world.store, owner.tenant, room).await, Some((kept, "e1".into())));
    let _ = world.store.purge_slice(NOW).await;
    world.store.close().await;
    let unmounted = std::process::Command::new("umount").arg(&place).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
}
