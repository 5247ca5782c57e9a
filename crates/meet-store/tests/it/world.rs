//! What the stories need: a database of their own, and people, rooms and messages in it.

use std::{
    env,
    future::Future,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use meet_api::{
    InviteId, Kind, Media, Message, MessageId, Role, RoomId, SessionId, TenantId, Timestamp, User, UserId, Visibility,
    text::{ClientId, Content, RoomName, UserName},
};
use meet_store::{
    Admission, AppendOutcome, Appended, Appender, Begun, Caps, Committed, Created, Digest, Ensured, Entry, GuestSeat,
    Idempotency, Location, Meeting, NewInvite, NewMessage, NewQuickRoom, NewRoom, NewSeat, NewSession, NewTenant,
    NewUser, OpenedQuick, Page, Redeem, SecretUrl, Store, StoredRoom, StoredUser, TenantKind,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// When the stories begin.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// A database of its own for one story.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) location: Location,
    pub(crate) directory: TempDir,
    ids: AtomicU64,
}

/// A tenant with a user and the digest of its key.
pub(crate) struct Owner {
    pub(crate) tenant: TenantId,
    pub(crate) key: Digest,
    pub(crate) user: User,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

/// Runs a story on a file of SQLite.
pub(crate) fn on_sqlite<F: Future<Output = ()>>(story: fn(Arc<World>) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(directory.path().join("data"));
    runtime().block_on(async {
        let world = World::open(location, directory).await;
        story(Arc::clone(&world)).await;
        world.store.close().await;
    });
}

/// Runs a story on a new database of Postgres, if there is one.
pub(crate) fn on_postgres<F: Future<Output = ()>>(story: fn(Arc<World>) -> F) {
    let Some(server) = Server::find() else { return };
    runtime().block_on(async {
        let (name, url) = server.create().await;
        let location = Location::Postgres(SecretUrl::new(url));
        let world = World::open(location, tempfile::tempdir().unwrap()).await;
        story(Arc::clone(&world)).await;
        world.store.close().await;
        server.drop(&name).await;
    });
}

/// A server of Postgres where databases can be made.
pub(crate) struct Server(String);

impl Server {
    /// The server, unless there is none and nobody insists.
    pub(crate) fn find() -> Option<Self> {
        match env::var("MEET_AI_TEST_POSTGRES") {
            Ok(url) if !url.is_empty() => Some(Self(url)),
            _ if env::var("CI").is_ok_and(|value| value == "true") => {
                panic!("MEET_AI_TEST_POSTGRES is not set, and CI may not skip Postgres")
            }
            _ => {
                println!("skipped: MEET_AI_TEST_POSTGRES is not set");
                None
            }
        }
    }

    /// Runs one statement on the server's own database.
    pub(crate) async fn run(&self, sql: &str) {
        run(&self.0, sql).await;
    }

    /// Makes an empty database; its name and its URL.
    pub(crate) async fn create(&self) -> (String, String) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("meet_ai_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("DROP DATABASE IF EXISTS {name}")).await;
        self.run(&format!("CREATE DATABASE {name}")).await;
        let (start, _) = self.0.rsplit_once('/').unwrap();
        let url = format!("{start}/{name}");
        (name, url)
    }

    /// Drops a database.
    pub(crate) async fn drop(&self, name: &str) {
        self.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
}

/// Runs one statement on a database of Postgres.
pub(crate) async fn run(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let work = async move { client.batch_execute(sql).await };
    let (done, _) = tokio::join!(work, connection);
    done.unwrap();
}

impl World {
    pub(crate) async fn open(location: Location, directory: TempDir) -> Arc<Self> {
        let store = Store::open(&location).await.unwrap();
        Arc::new(Self { store, location, directory, ids: AtomicU64::new(1) })
    }

    /// A new id, greater than those before.
    pub(crate) fn id(&self) -> Uuid {
        let number = u128::from(self.ids.fetch_add(1, Ordering::Relaxed));
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | number)
    }

    /// The digest of a new secret.
    pub(crate) fn digest(&self) -> Digest {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut digest = [0xd1; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        Digest(digest)
    }

    /// A file in the story's directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn tenant(&self, kind: TenantKind) -> Owner {
        let (tenant, key) = (TenantId::from_uuid(self.id()), self.digest());
        let new = NewTenant { id: tenant, kind, key: Some((key, "mai_abcd".into())), created_at: NOW };
        self.store.create_tenant(new).await.unwrap();
        let user = self.user(tenant, "Ann", Kind::Human).await;
        Owner { tenant, key, user }
    }

    pub(crate) async fn owner(&self) -> Owner {
        self.tenant(TenantKind::Key).await
    }

    pub(crate) fn new_user(&self, name: &str, kind: Kind) -> NewUser {
        NewUser { id: UserId::from_uuid(self.id()), name: UserName::parse("name", name).unwrap(), kind }
    }

    pub(crate) async fn user(&self, tenant: TenantId, name: &str, kind: Kind) -> User {
        match self.store.ensure_user(tenant, self.new_user(name, kind), NOW).await.unwrap() {
            Ensured::User(user) => user,
            Ensured::NameTaken => panic!("{name} is taken"),
        }
    }

    /// A user of the tenant, if it is one.
    pub(crate) async fn find_user(&self, tenant: TenantId, user: UserId) -> Option<StoredUser> {
        let users = self.store.users(tenant, 1000).await.unwrap();
        users.into_iter().find(|stored| stored.user.id == user)
    }

    pub(crate) fn new_room(&self, name: &str) -> NewRoom {
        NewRoom {
            id: RoomId::from_uuid(self.id()),
            name: RoomName::parse(name).unwrap(),
            visibility: Visibility::Private,
            media: Media::Audio,
            bot_enabled: false,
            listed: false,
            epoch: "e1".into(),
            created_at: NOW,
            expires_at: None,
            agent_budget: 0,
            agent_share: 0,
        }
    }

    pub(crate) async fn make_room(&self, tenant: TenantId, room: NewRoom) -> StoredRoom {
        match self.store.create_room(tenant, room, None).await.unwrap() {
            Created::Room(room, None) => *room,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn room(&self, tenant: TenantId) -> RoomId {
        self.make_room(tenant, self.new_room("plaza")).await.room.id
    }

    pub(crate) fn message(&self, owner: &Owner, room: RoomId, content: &str) -> NewMessage {
        NewMessage {
            id: MessageId::from_uuid(self.id()),
            tenant: owner.tenant,
            room,
            user: owner.user.id,
            sender: UserName::parse("sender", &owner.user.name).unwrap(),
            sender_type: owner.user.kind,
            content: Content::parse(content.into(), 32_768).unwrap(),
            reply_to: None,
            idempotency: None,
            created_at: NOW,
            judged_at: NOW,
            caps: Caps::default(),
            mentions: Vec::new(),
        }
    }

    pub(crate) fn session(&self, tenant: TenantId, user: UserId, digest: Digest) -> NewSession {
        NewSession {
            id: SessionId::from_uuid(self.id()),
            digest,
            tenant,
            generation: 0,
            user,
            role: Role::Owner,
            rooms: None,
            invite: None,
            expires_at: NOW.plus(HOUR),
            created_at: NOW,
        }
    }

    pub(crate) fn invite(&self, room: Option<RoomId>, max_uses: Option<u64>) -> NewInvite {
        NewInvite {
            id: InviteId::from_uuid(self.id()),
            digest: self.digest(),
            generation: 0,
            room,
            role: if room.is_some() { Role::Member } else { Role::Owner },
            expires_at: NOW.plus(HOUR),
            max_uses,
            created_at: NOW,
        }
    }

    pub(crate) fn redeem(&self, name: &str) -> Redeem {
        let session = (SessionId::from_uuid(self.id()), self.digest(), NOW.plus(HOUR));
        Redeem { new_user: self.new_user(name, Kind::Human), session }
    }

    /// A quick room that ends in an hour.
    pub(crate) fn new_quick_room(&self, name: &str) -> NewQuickRoom {
        let tenant =
            NewTenant { id: TenantId::from_uuid(self.id()), kind: TenantKind::Quick, key: None, created_at: NOW };
        let mut room = self.new_room(name);
        room.expires_at = Some(NOW.plus(HOUR));
        NewQuickRoom { name: name.into(), tenant, room }
    }

    pub(crate) async fn quick_room(&self, name: &str) -> StoredRoom {
        match self.store.open_quick_room(self.new_quick_room(name), 0).await.unwrap() {
            OpenedQuick::Room(room) => *room,
            other => panic!("{other:?}"),
        }
    }

    /// A text that is not used before.
    pub(crate) fn name(&self) -> String {
        self.id().to_string()
    }

    /// The meeting of a room, opened at its provider.
    pub(crate) async fn meeting(&self, tenant: TenantId, room: RoomId) -> Meeting {
        let begun = self.store.begin_meeting(tenant, room, "fake", self.name(), NOW).await.unwrap();
        let Begun::Started(meeting) = begun else { panic!("{begun:?}") };
        let name = format!("at the provider {}", meeting.reference);
        assert!(self.store.meeting_opened(&meeting.reference, &name).await.unwrap());
        Meeting { meeting: Some(name), ..meeting }
    }

    /// A seat of an owner by its bare key.
    pub(crate) fn seat(&self, meeting: &Meeting, owner: &Owner) -> NewSeat {
        NewSeat {
            identity: self.name(),
            reference: meeting.reference.clone(),
            known_as: None,
            user: owner.user.clone(),
            holder: owner.tenant,
            generation: 0,
            session: None,
            expires_at: NOW.plus(HOUR),
        }
    }

    /// Somebody who wants into a quick room.
    pub(crate) fn admission(&self, room: &StoredRoom, meeting: &Meeting, name: &str, entry: Entry) -> Admission {
        let seat = GuestSeat {
            identity: self.name(),
            reference: meeting.reference.clone(),
            known_as: None,
            expires_at: NOW.plus(HOUR),
        };
        Admission {
            tenant: room.tenant,
            room: room.room.id,
            user: self.new_user(name, Kind::Human),
            seat,
            entry,
            now: NOW,
            expires_at: NOW.plus(HOUR),
        }
    }

    pub(crate) fn by_new_session(&self) -> Entry {
        Entry::Session { id: SessionId::from_uuid(self.id()), digest: self.digest() }
    }

    pub(crate) fn as_visitor(&self) -> Entry {
        Entry::Visitor {
            session: SessionId::from_uuid(self.id()),
            digest: self.digest(),
            expires_at: NOW.plus(HOUR * 24 * 30),
            tenant: TenantId::from_uuid(self.id()),
            user: UserId::from_uuid(self.id()),
        }
    }

    /// An appender that publishes into a list.
    pub(crate) fn appender(&self) -> (Appender, Published) {
        let published = Published::default();
        let sink = published.clone();
        let (appender, task) = Appender::start(self.store.clone(), move |committed: &Committed| {
            sink.0.lock().unwrap().extend_from_slice(&committed.stored);
        });
        #[expect(clippy::disallowed_methods, reason = "the story owns the runtime, which ends the task")]
        tokio::spawn(task);
        (appender, published)
    }

    /// Stores one message, which must succeed.
    pub(crate) async fn say(&self, appender: &Appender, owner: &Owner, room: RoomId, content: &str) -> Arc<Message> {
        stored(appender.append(self.message(owner, room, content)).await.unwrap())
    }

    /// All messages of a room, by pages.
    pub(crate) async fn log(&self, tenant: TenantId, room: RoomId) -> Vec<Message> {
        let mut log: Vec<Message> = Vec::new();
        loop {
            let after = log.last().map_or(0, |message| message.seq);
            let page = self.store.history(tenant, room, Page::After(after), 1000).await.unwrap();
            if page.is_empty() {
                return log;
            }
            log.extend(page);
        }
    }

    /// Purges until nothing is left to purge; how many slices it took.
    pub(crate) async fn purge(&self, now: Timestamp) -> usize {
        let mut slices = 0;
        while self.store.purge_slice(now).await.unwrap() {
            slices += 1;
        }
        slices
    }
}

/// What an appender has published.
#[derive(Clone, Default)]
pub(crate) struct Published(Arc<std::sync::Mutex<Vec<Appended>>>);

impl Published {
    pub(crate) fn all(&self) -> Vec<Appended> {
        self.0.lock().unwrap().clone()
    }
}

/// The message of an outcome that stored it.
pub(crate) fn stored(outcome: AppendOutcome) -> Arc<Message> {
    match outcome {
        AppendOutcome::Stored(message) => message,
        other => panic!("not stored: {other:?}"),
    }
}

/// An idempotency key for a body that is told by a number.
pub(crate) fn idempotency(key: &str, body: u8) -> Idempotency {
    Idempotency { key: ClientId::parse("client_id", key).unwrap(), body: Digest([body; 32]) }
}

/// A room's newest `seq` and its epoch.
pub(crate) async fn head(store: &Store, tenant: TenantId, room: RoomId) -> Option<(u64, String)> {
    let stored = store.room(tenant, room).await.unwrap()?;
    Some((stored.room.head_seq, stored.room.epoch))
}
