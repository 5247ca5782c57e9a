//! Servers whose calls a stand-in carries, and what callers do in calls whoever carries them.

use std::time::Duration;

use meet_livekit::UnixSeconds;
use meet_server::{
    Clock, Config,
    config::{LiveKit, Origin, Provider, RealtimeKit, ServiceUrl, Turnstile},
};
use serde_json::{Value, json};

use super::{
    Answer, Caller, Database, Server, Setup, Socket,
    cloudflare::{API_TOKEN, APP, Cloudflare, TURNSTILE_SECRET},
    livekit::{API_KEY, API_SECRET, LiveKitDouble},
};

/// The host of a page that may call the server.
pub(crate) const SITE: &str = "app.example.org";

/// A stand-in of LiveKit that goes by the server's clock.
pub(crate) async fn livekit_by(clock: &Clock) -> LiveKitDouble {
    let clock = clock.clone();
    LiveKitDouble::start(move || UnixSeconds(clock.now().millis() / 1000)).await
}

/// Lifts what limits a story, and lets the pages of [`SITE`] in.
pub(crate) fn freely(config: &mut Config) {
    config.limits.tokens_per_minute_per_ip = 0;
    config.allowed_origins = vec![Origin::parse(&format!("https://{SITE}")).unwrap()];
}

/// Has LiveKit carry the calls.
pub(crate) fn by_livekit(livekit: &LiveKitDouble) -> impl FnOnce(&mut Config) + use<> {
    let url = livekit.url();
    move |config| {
        freely(config);
        config.conference.provider = Some(Provider::LiveKit);
        config.livekit = LiveKit {
            url: Some(ServiceUrl::parse(&url).unwrap()),
            api_key: Some(API_KEY.to_owned()),
            api_secret: Some(API_SECRET.into()),
        };
    }
}

/// Has Cloudflare carry the calls.
pub(crate) fn by_cloudflare(cloudflare: &Cloudflare) -> impl FnOnce(&mut Config) + use<> {
    let url = cloudflare.base_url();
    move |config| {
        freely(config);
        config.conference.provider = Some(Provider::RealtimeKit);
        config.realtimekit = RealtimeKit {
            base_url: Some(ServiceUrl::parse(&url).unwrap()),
            account_id: None,
            app_id: Some(APP.to_owned()),
            api_token: Some(API_TOKEN.into()),
            preset_name: Some("group_call_participant".to_owned()),
            screenshare_preset_name: Some("group_call_host".to_owned()),
            audio_preset_name: None,
        };
    }
}

/// Has Turnstile look at whoever comes without a room of its own.
pub(crate) fn guarded_by(cloudflare: &Cloudflare) -> impl FnOnce(&mut Config) + use<> {
    let url = cloudflare.verify_url();
    move |config| {
        config.turnstile = Turnstile {
            secret_key: Some(TURNSTILE_SECRET.into()),
            site_key: None,
            verify_url: ServiceUrl::parse(&url).unwrap(),
        };
    }
}

/// A server, the LiveKit that carries its calls, and a room.
pub(crate) struct Scene {
    /// Who carries the calls.
    pub(crate) livekit: LiveKitDouble,
    /// The server, whose clock stands still.
    pub(crate) server: Server,
    /// The bearer of a key.
    pub(crate) owner: Caller,
    /// A room of the same tenant.
    pub(crate) room: String,
}

impl Scene {
    /// All of it on a given database.
    pub(crate) async fn on(database: Database) -> Self {
        let setup = Setup::on(database).manual_clock();
        let livekit = livekit_by(&setup.clock).await;
        let server = setup.with(by_livekit(&livekit)).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        Self { livekit, server, owner, room }
    }

    /// All of it on an SQLite file.
    pub(crate) async fn new() -> Self {
        Self::on(Database::sqlite()).await
    }

    /// Has LiveKit tell what happened, all of which is believed.
    pub(crate) async fn told(&self) {
        let statuses = self.server.hear_all(&self.livekit).await;
        assert!(statuses.iter().all(|status| *status == 204), "{statuses:?}");
    }

    /// A socket of the room that is told of calls.
    pub(crate) async fn watch(&self) -> Socket {
        let mut socket = self.owner.socket(&self.room, "?since=0").await;
        socket.expect("hello").await;
        socket
    }

    /// Who is in the room at LiveKit, by name.
    pub(crate) fn there(&self) -> Vec<String> {
        self.livekit.participants(&self.room).into_iter().map(|participant| participant.name).collect()
    }
}

impl Caller {
    /// Asks for a token for a room's call.
    pub(crate) async fn ask_for_call(&self, room: &str) -> Answer {
        self.post_json("/realtime/conference-token", json!({ "spaceId": room })).await
    }

    /// A token for a room's call.
    pub(crate) async fn call_token(&self, room: &str) -> String {
        self.ask_for_call(room).await.expect(200)["token"].as_str().unwrap().to_owned()
    }

    /// Asks for a way into the room of a name, as a page of [`SITE`].
    pub(crate) async fn enter(&self, room: &str, name: &str) -> Answer {
        let page = self.stranger().with_header("origin", &format!("https://{SITE}"));
        page.post_json("/api/token", json!({ "room": room, "name": name })).await
    }

    /// Who is in a room's call, as the room says.
    pub(crate) async fn participants(&self, room: &str) -> Vec<Value> {
        let room = self.get(&format!("/api/rooms/{room}")).await.expect(200);
        room["call"]["participants"].as_array().unwrap().clone()
    }

    /// The names of those who are in a room's call.
    pub(crate) async fn names_in_call(&self, room: &str) -> Vec<String> {
        let participants = self.participants(room).await;
        participants.iter().map(|participant| participant["name"].as_str().unwrap().to_owned()).collect()
    }
}

impl Server {
    /// Has the server do what it does now and then, `later` than now, until what is done needs nothing more.
    pub(crate) async fn tend(&self, later: Duration) {
        self.clock.advance(later);
        self.app.tend_calls().await.unwrap();
    }

    /// Where the provider tells what happens.
    pub(crate) fn events_url(&self) -> String {
        format!("http://{}/internal/conference/events", self.address)
    }

    /// Sends what LiveKit has to tell; the statuses of the answers.
    pub(crate) async fn hear_all(&self, livekit: &LiveKitDouble) -> Vec<u16> {
        livekit.deliver(&self.events_url()).await
    }
}

/// A server, the Cloudflare that carries its calls, and a room.
pub(crate) struct Kit {
    /// Who carries the calls.
    pub(crate) cloudflare: Cloudflare,
    /// The server, whose clock stands still.
    pub(crate) server: Server,
    /// The bearer of a key.
    pub(crate) owner: Caller,
    /// A room of the same tenant.
    pub(crate) room: String,
}

impl Kit {
    /// All of it on a given database.
    pub(crate) async fn on(database: Database) -> Self {
        let cloudflare = Cloudflare::start().await;
        let server = Setup::on(database).manual_clock().with(by_cloudflare(&cloudflare)).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        Self { cloudflare, server, owner, room }
    }

    /// All of it on an SQLite file.
    pub(crate) async fn new() -> Self {
        Self::on(Database::sqlite()).await
    }

    /// Has the server do what is left to be done after failures, until nothing is.
    pub(crate) async fn settle(&self) {
        for _ in 0..4 {
            self.server.tend(Duration::from_mins(6)).await;
        }
    }

    /// Asserts that the meetings which somebody could join are those of the records.
    pub(crate) async fn assert_books_balance(&self) {
        assert_books_balance(&self.server, &self.cloudflare).await;
    }
}

/// Asserts that the meetings which somebody could join are those on record of rooms that are still there.
pub(crate) async fn assert_books_balance(server: &Server, cloudflare: &Cloudflare) {
    let store = server.app.store();
    let on_record = store.open_meetings(Provider::RealtimeKit.as_str(), None, 1000).await.unwrap();
    let mut known = Vec::new();
    for meeting in on_record {
        let of_room = store.open_meeting_of(meeting.room).await.unwrap();
        assert_eq!(of_room.as_ref(), Some(&meeting), "a room has one meeting");
        known.extend(meeting.meeting);
    }
    known.sort();
    assert_eq!(cloudflare.live_meetings(), known);
}
