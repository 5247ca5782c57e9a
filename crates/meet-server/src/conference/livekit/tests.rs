//! What the provider asks of LiveKit and what it makes of the answers, against a stand-in.

#[path = "../../../tests/it/support/livekit.rs"]
mod double;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use meet_api::{Media, RoomId};
use meet_livekit::model::Permission;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use uuid::Uuid;

use super::*;
use crate::{clock::Clock, config::ServiceUrl, doctor::Level};
use double::{API_KEY, API_SECRET, Asked, Fault, LiveKitDouble, Refusal as NotIn, Webhook};

/// A provider, the server that it asks, and the clock of both.
struct Scene {
    clock: Clock,
    double: LiveKitDouble,
    livekit: LiveKit,
}

fn settings(url: &str, secret: &str) -> config::LiveKit {
    let url = Some(ServiceUrl::parse(url).unwrap());
    config::LiveKit { url, api_key: Some(API_KEY.into()), api_secret: Some(secret.to_owned().into()) }
}

fn opening(number: u128) -> Opening {
    Opening { room: RoomId::from_uuid(Uuid::from_u128(number)), reference: format!("reference {number}") }
}

fn joining(meeting: &MeetingId, identity: &str, publishing: Publishing) -> Joining {
    Joining {
        meeting: meeting.clone(),
        identity: identity.to_owned(),
        known_as: None,
        name: format!("{identity} ✨"),
        kind: Kind::Human,
        media: Media::Screenshare,
        publishing,
    }
}

fn http_date(time: UnixSeconds) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.0.unsigned_abs()))
}

fn seat(identity: &str) -> Seat {
    Seat { identity: identity.to_owned(), known_as: None }
}

fn track(sid: &str, r#type: TrackType, muted: bool) -> Track {
    Track { sid: sid.to_owned(), r#type, muted, ..Track::default() }
}

impl Scene {
    async fn new() -> Self {
        let clock = Clock::manual("2026-02-07T12:00:00.700Z".parse().unwrap());
        let theirs = clock.clone();
        let double = LiveKitDouble::start(move || seconds(theirs.now())).await;
        double.pretend_date(http_date(seconds(clock.now())));
        let livekit = LiveKit::new(&settings(&double.url(), API_SECRET)).unwrap();
        Self { clock, double, livekit }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn open(&self) -> MeetingId {
        self.livekit.open(&opening(1), self.now()).await.unwrap()
    }

    async fn token(&self, meeting: &MeetingId, identity: &str) -> String {
        let grant = self.livekit.join(&joining(meeting, identity, Publishing::Everything), self.now()).await.unwrap();
        grant.token.expose_secret().to_owned()
    }

    /// Lets somebody come in.
    async fn come(&self, meeting: &MeetingId, identity: &str) {
        let token = self.token(meeting, identity).await;
        self.double.join(&token).unwrap();
    }

    fn hear(&self, webhook: &Webhook) -> Result<Heard, NotHeard> {
        self.livekit.hear(Some(&webhook.authorization), webhook.body.as_bytes(), self.now())
    }

    /// What is told next.
    fn heard(&self) -> Happening {
        let heard = self.hear(&self.double.webhook().unwrap()).unwrap();
        assert_eq!(heard.at.millis(), self.now().millis() / 1000 * 1000);
        heard.happening
    }
}

#[tokio::test]
async fn a_room_is_opened_once_and_found_by_its_id() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    assert_eq!(meeting, MeetingId(opening(1).room.to_string()));
    assert_eq!(scene.open().await, meeting);
    let rooms = scene.double.rooms();
    assert_eq!(rooms.len(), 1);
    let longest = TOKEN_LIFE + LEEWAY;
    for stays in [rooms[0].empty_timeout, rooms[0].departure_timeout] {
        assert!(Duration::from_secs(stays.into()) > longest, "a token may find no room");
    }
    assert_eq!(scene.livekit.find(&opening(1), scene.now()).await, Ok(vec![meeting]));
    assert_eq!(scene.livekit.find(&opening(2), scene.now()).await, Ok(Vec::new()));
    assert_eq!(scene.livekit.client_url(), scene.double.url());
}

#[tokio::test]
async fn each_request_brings_a_token_of_two_minutes_that_allows_this_alone() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    scene.come(&meeting, "anna").await;
    scene.double.publish(&meeting.0, "anna", track("TR_1", TrackType::Audio, false));
    scene.livekit.find(&opening(1), scene.now()).await.unwrap();
    scene.livekit.mute(&meeting, &seat("anna"), scene.now()).await.unwrap();
    scene.livekit.attendees(&meeting, scene.now()).await.unwrap();
    scene.livekit.remove(&meeting, &seat("anna"), scene.now()).await.unwrap();
    scene.livekit.close(&meeting, scene.now()).await.unwrap();
    let create = VideoGrant { room_create: true, ..VideoGrant::default() };
    let list = VideoGrant { room_list: true, ..VideoGrant::default() };
    let admin = VideoGrant { room_admin: true, room: meeting.0.clone(), ..VideoGrant::default() };
    let expected = [
        ("CreateRoom", &create),
        ("ListRooms", &list),
        ("GetParticipant", &admin),
        ("MutePublishedTrack", &admin),
        ("ListParticipants", &admin),
        ("RemoveParticipant", &admin),
        ("DeleteRoom", &create),
    ];
    let asked = scene.double.asked();
    let found: Vec<_> =
        asked.iter().map(|asked| (asked.method.as_str(), asked.claims.video.as_ref().unwrap())).collect();
    assert_eq!(found, expected);
    for Asked { claims, .. } in asked {
        assert_eq!(claims.not_before, seconds(scene.now()));
        assert_eq!(claims.expires_at, claims.not_before.after(Duration::from_mins(2)));
        assert_eq!((claims.identity, claims.name), (String::new(), String::new()));
    }
}

#[tokio::test]
async fn a_token_says_who_comes_where_for_ten_minutes_and_every_right_of_its_bearer() {
    let scene = Scene::new().await;
    let meeting = MeetingId(opening(1).room.to_string());
    let screens = vec![Source::Camera, Source::Microphone, Source::ScreenShare, Source::ScreenShareAudio];
    for (publishing, kind, can_publish, can_send) in [
        (Publishing::Nothing, Kind::Human, vec![], false),
        (Publishing::Microphone, Kind::Agent, vec![Source::Microphone], true),
        (Publishing::Everything, Kind::Human, screens, true),
    ] {
        let joining = Joining { kind, ..joining(&meeting, "anna", publishing) };
        let Grant { token, expires_at, known_as } = scene.livekit.join(&joining, scene.now()).await.unwrap();
        assert_eq!((expires_at.to_string().as_str(), known_as), ("2026-02-07T12:10:00.000Z", None));
        let payload = token.expose_secret().split('.').nth(1).unwrap();
        let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let can_publish: Vec<_> = can_publish.into_iter().map(Source::as_str).collect();
        let kind = if kind == Kind::Agent { "agent" } else { "standard" };
        let expected = json!({
            "iss": API_KEY, "sub": "anna", "nbf": 1_770_465_600, "exp": 1_770_466_200, "name": "anna ✨", "kind": kind,
            "video": {
                "room": meeting.0, "roomJoin": true, "roomAdmin": false, "roomCreate": false, "roomList": false,
                "roomRecord": false, "canPublish": !can_publish.is_empty(), "canPublishSources": can_publish,
                "canSubscribe": true, "canPublishData": can_send, "canUpdateOwnMetadata": false,
                "canSubscribeMetrics": false, "canManageAgentSession": false, "hidden": false, "recorder": false,
                "agent": false, "ingressAdmin": false,
            },
        });
        assert_eq!(payload, expected);
    }
    assert!(scene.double.asked().is_empty(), "a token needs no request");
}

#[tokio::test]
async fn a_token_opens_its_room_until_it_ends_and_no_other_key_makes_one() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    let token = scene.token(&meeting, "anna").await;
    assert!(scene.double.join(&token).is_ok());
    let stranger = LiveKit::new(&settings(&scene.double.url(), "another-secret-of-thirty-two-bytes")).unwrap();
    let forged = stranger.join(&joining(&meeting, "eve", Publishing::Nothing), scene.now()).await.unwrap();
    assert_eq!(scene.double.join(forged.token.expose_secret()), Err(NotIn::Token));
    scene.clock.advance(TOKEN_LIFE + LEEWAY);
    assert_eq!(scene.double.join(&token), Err(NotIn::Token));
}

#[tokio::test]
async fn who_is_in_the_room_is_told_with_name_kind_and_time() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    assert_eq!(scene.livekit.attendees(&meeting, scene.now()).await, Ok(Vec::new()));
    scene.come(&meeting, "anna").await;
    let agent = Joining { kind: Kind::Agent, ..joining(&meeting, "bot", Publishing::Microphone) };
    let agent = scene.livekit.join(&agent, scene.now()).await.unwrap();
    scene.double.join(agent.token.expose_secret()).unwrap();
    let since: Timestamp = "2026-02-07T12:00:00.000Z".parse().unwrap();
    let attendee = |identity: &str, kind| Attendee {
        identity: identity.to_owned(),
        name: format!("{identity} ✨"),
        kind,
        since: Some(since),
    };
    let expected = vec![attendee("anna", Kind::Human), attendee("bot", Kind::Agent)];
    assert_eq!(scene.livekit.attendees(&meeting, scene.now()).await, Ok(expected));
    scene.double.change(&meeting.0, "anna", |anna| anna.joined_at = UnixSeconds(0));
    let attendees = scene.livekit.attendees(&meeting, scene.now()).await.unwrap();
    assert_eq!((attendees[0].since, attendees[1].since), (None, Some(since)));
}

#[tokio::test]
async fn who_nobody_sees_who_carries_streams_and_who_is_not_there_yet_is_no_attendee() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    scene.come(&meeting, "anna").await;
    let default = Participant { identity: "anna".into(), state: ParticipantState::Joined, ..Participant::default() };
    let hidden = Permission { hidden: true, recorder: false };
    let recorder = Permission { hidden: false, recorder: true };
    let kind = |kind| Participant { kind, ..default.clone() };
    let state = |state| Participant { state, ..default.clone() };
    let permission = |permission| Participant { permission, ..default.clone() };
    for (participant, is_attendee) in [
        (kind(model::Kind::Standard), true),
        (kind(model::Kind::Agent), true),
        (kind(model::Kind::Sip), true),
        (kind(model::Kind::Connector), true),
        (kind(model::Kind::Ingress), false),
        (kind(model::Kind::Egress), false),
        (kind(model::Kind::Bridge), false),
        (state(ParticipantState::Joining), false),
        (state(ParticipantState::Active), true),
        (state(ParticipantState::Disconnected), false),
        (permission(hidden), false),
        (permission(recorder), false),
        (Participant { identity: String::new(), ..default.clone() }, false),
    ] {
        let shown = format!("{participant:?}");
        scene.double.change(&meeting.0, "anna", |anna| *anna = participant);
        let attendees = scene.livekit.attendees(&meeting, scene.now()).await.unwrap();
        assert_eq!(attendees.len(), usize::from(is_attendee), "{shown}");
    }
}

#[tokio::test]
async fn closing_throws_everybody_out_and_a_token_of_before_finds_no_room_where_none_is_made_by_itself() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    let token = scene.token(&meeting, "anna").await;
    scene.double.join(&token).unwrap();
    scene.double.make_no_rooms();
    scene.livekit.close(&meeting, scene.now()).await.unwrap();
    assert!(scene.double.rooms().is_empty());
    assert_eq!(scene.double.join(&token), Err(NotIn::NoRoom));
    assert_eq!(scene.livekit.close(&meeting, scene.now()).await, Err(Failure::Gone));
}

#[tokio::test]
async fn whoever_is_removed_is_out_and_its_tokens_are_revoked() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    assert_eq!(scene.livekit.remove(&meeting, &seat("anna"), scene.now()).await, Err(Failure::Gone));
    let token = scene.token(&meeting, "anna").await;
    scene.double.join(&token).unwrap();
    scene.livekit.remove(&meeting, &seat("anna"), scene.now()).await.unwrap();
    assert!(scene.double.participants(&meeting.0).is_empty());
    assert!(scene.double.join(&token).is_ok(), "a server of one's own takes a token until it ends");

    scene.double.revoke_tokens();
    scene.livekit.remove(&meeting, &seat("anna"), scene.now()).await.unwrap();
    assert_eq!(scene.double.join(&token), Err(NotIn::Revoked));
    assert!(scene.double.join(&scene.token(&meeting, "anna again").await).is_ok(), "another stay is another identity");
    // A token of a moment later may come of a clock that is ahead.
    scene.clock.advance(Duration::from_secs(59));
    assert_eq!(scene.double.join(&scene.token(&meeting, "anna").await), Err(NotIn::Revoked));
    scene.clock.advance(Duration::from_secs(1));
    assert!(scene.double.join(&scene.token(&meeting, "anna").await).is_ok());
}

#[tokio::test]
async fn muting_silences_what_is_heard_and_touches_nothing_else() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    assert_eq!(scene.livekit.mute(&meeting, &seat("anna"), scene.now()).await, Err(Failure::Gone));
    scene.come(&meeting, "anna").await;
    scene.livekit.mute(&meeting, &seat("anna"), scene.now()).await.unwrap();
    for track in [
        track("TR_microphone", TrackType::Audio, false),
        track("TR_silent", TrackType::Audio, true),
        track("TR_camera", TrackType::Video, false),
        track("TR_screen_audio", TrackType::Audio, false),
    ] {
        scene.double.publish(&meeting.0, "anna", track);
    }
    scene.double.asked();
    scene.livekit.mute(&meeting, &seat("anna"), scene.now()).await.unwrap();
    let asked = scene.double.asked();
    let muted: Vec<_> = asked.iter().filter_map(|asked| asked.body["trackSid"].as_str()).collect();
    assert_eq!(muted, ["TR_microphone", "TR_screen_audio"]);
    let tracks = scene.double.participants(&meeting.0).remove(0).tracks;
    assert!(tracks.iter().all(|track| track.muted == (track.r#type == TrackType::Audio)), "{tracks:?}");
}

#[tokio::test]
async fn who_comes_and_goes_and_the_end_of_a_room_are_heard() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    let started = scene.hear(&scene.double.webhook().unwrap()).unwrap();
    assert_eq!((started.meeting, started.happening), (meeting.clone(), Happening::Other));
    scene.come(&meeting, "anna").await;
    let came = scene.heard();
    let Happening::Came(anna) = &came else { panic!("{came:?}") };
    assert_eq!((anna.identity.as_str(), anna.name.as_str(), anna.kind), ("anna", "anna ✨", Kind::Human));
    assert!(scene.double.leave(&meeting.0, "anna"));
    let left = Happening::Left { identity: "anna".to_owned() };
    assert_eq!(scene.heard(), left);
    scene.come(&meeting, "anna").await;
    scene.livekit.close(&meeting, scene.now()).await.unwrap();
    assert_eq!([scene.heard(), scene.heard(), scene.heard()], [came, left, Happening::Ended]);

    let meeting = scene.open().await;
    scene.come(&meeting, "bea").await;
    scene.double.change(&meeting.0, "bea", |bea| bea.state = ParticipantState::Joined);
    assert!(scene.double.leave(&meeting.0, "bea"));
    let told: Vec<_> = std::iter::from_fn(|| scene.double.webhook()).collect();
    let aborted = told.last().unwrap();
    assert!(aborted.body.contains("participant_connection_aborted"), "{aborted:?}");
    assert_eq!(scene.hear(aborted).unwrap().happening, Happening::Left { identity: "bea".to_owned() });

    let event = |event: &str, participant: &Value| {
        let now = seconds(scene.now()).0.to_string();
        let body = json!({ "event": event, "id": "EV_x", "createdAt": now, "room": { "name": meeting.0 },
            "participant": participant, "track": { "sid": "TR_1" } });
        scene.hear(&scene.double.sign(&body)).map(|heard| heard.happening)
    };
    for recorder in
        [json!({ "identity": "x", "kind": "EGRESS" }), json!({ "identity": "x", "permission": { "hidden": true } })]
    {
        for happening in ["participant_joined", "participant_left"] {
            assert_eq!(event(happening, &recorder), Ok(Happening::Other), "{happening} {recorder}");
        }
    }
    for other in ["track_published", "track_unpublished", "egress_started", "of the future"] {
        assert_eq!(event(other, &json!({ "identity": "anna" })), Ok(Happening::Other), "{other}");
    }
}

#[tokio::test]
async fn an_event_is_believed_by_its_signature_for_five_minutes() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    let event = scene.double.webhook().unwrap();
    let forged = |heard: Result<Heard, NotHeard>| matches!(heard, Err(NotHeard::Forged(_)));
    assert!(forged(scene.livekit.hear(None, event.body.as_bytes(), scene.now())));
    assert!(forged(scene.hear(&Webhook { body: event.body.replace("started", "ended"), ..event.clone() })));
    let token = scene.token(&meeting, "anna").await;
    assert!(forged(scene.hear(&Webhook { authorization: token, ..event.clone() })), "a token signs no event");
    let first = scene.hear(&event).unwrap();
    scene.clock.advance(MAX_EVENT_AGE);
    assert_eq!(scene.hear(&event).unwrap().id, first.id, "the same event has the same id");
    scene.clock.advance(Duration::from_secs(1));
    assert!(forged(scene.hear(&event)));
    let now = seconds(scene.now()).0.to_string();
    for body in [
        json!({}),
        json!({ "event": "room_finished", "id": "EV_1", "createdAt": now, "room": {} }),
        json!({ "event": "room_finished", "id": "EV_1", "createdAt": now }),
        json!({ "event": "participant_joined", "id": "EV_1", "createdAt": now, "room": { "name": "r" } }),
    ] {
        assert_eq!(scene.hear(&scene.double.sign(&body)), Err(NotHeard::Malformed), "{body}");
    }
}

#[tokio::test]
async fn an_event_arrives_as_it_was_signed() {
    let scene = Scene::new().await;
    let (double, now) = (scene.double, scene.clock.now());
    let meeting = scene.livekit.open(&opening(1), now).await.unwrap();
    let livekit = Arc::new(scene.livekit);
    let receive = async move |headers: HeaderMap, body: String| {
        let signature = headers.get("authorization").and_then(|value| value.to_str().ok());
        let heard = livekit.hear(signature, body.as_bytes(), now);
        heard.map_or(StatusCode::UNAUTHORIZED, |_| StatusCode::NO_CONTENT)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, Router::new().route("/hook", post(receive))).await.unwrap() });
    assert!(!double.leave(&meeting.0, "nobody"));
    assert_eq!(double.deliver(&url).await, [204]);
    assert_eq!(double.deliver(&url).await, Vec::<u16>::new());
}

#[tokio::test]
async fn a_refusal_is_told_by_what_it_means_and_by_nothing_that_livekit_said() {
    let scene = Scene::new().await;
    let meeting = scene.open().await;
    let refused = |why: &str| Failure::Refused(why.to_owned());
    let unknown = |what: &str| Failure::Unknown(what.to_owned());
    let key = || refused("the API key does not hold");
    let cases = [
        (Fault::Refused(StatusCode::NOT_FOUND, "not_found"), Failure::Gone),
        (Fault::Refused(StatusCode::UNAUTHORIZED, "unauthenticated"), key()),
        (Fault::Refused(StatusCode::FORBIDDEN, "permission_denied"), refused("the API key does not allow it")),
        (Fault::Refused(StatusCode::BAD_REQUEST, "invalid_argument"), refused("the request makes no sense to it")),
        (Fault::Refused(StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"), Failure::Busy),
        (Fault::Refused(StatusCode::NOT_FOUND, "bad_route"), unknown("status 404")),
        (Fault::Refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable"), unknown("status 503")),
        (Fault::Refused(StatusCode::INTERNAL_SERVER_ERROR, "not_found"), unknown("status 500")),
        (Fault::Page(StatusCode::UNAUTHORIZED), key()),
        (Fault::Page(StatusCode::NOT_FOUND), unknown("status 404")),
        (Fault::Page(StatusCode::FOUND), unknown("status 302")),
        (Fault::Page(StatusCode::BAD_GATEWAY), unknown("status 502")),
        (Fault::Page(StatusCode::OK), unknown("its answer makes no sense")),
        (Fault::Junk("7"), unknown("its answer makes no sense")),
        (Fault::Junk("{\"participants\":7}"), unknown("its answer makes no sense")),
        (Fault::Cut, unknown("the connection was cut")),
    ];
    for (fault, expected) in cases {
        let shown = format!("{fault:?}");
        scene.double.fail(fault);
        assert_eq!(scene.livekit.attendees(&meeting, scene.now()).await, Err(expected), "{shown}");
    }
    // LiveKit repeats the token in this one.
    let stranger = LiveKit::new(&settings(&scene.double.url(), "another-secret-of-thirty-two-bytes")).unwrap();
    assert_eq!(stranger.attendees(&meeting, scene.now()).await, Err(key()));
    assert!(scene.livekit.attendees(&meeting, scene.now()).await.is_ok(), "nothing is left of it");
}

#[tokio::test]
async fn a_room_whose_opening_got_no_answer_is_found() {
    let scene = Scene::new().await;
    for (number, fault) in [(1, Fault::Cut), (2, Fault::Junk("{}")), (3, Fault::Junk("{\"name\":\"another\"}"))] {
        let opening = opening(number);
        scene.double.fail(fault);
        let opened = scene.livekit.open(&opening, scene.now()).await;
        assert!(matches!(opened, Err(Failure::Unknown(_))), "{opened:?}");
        let found = scene.livekit.find(&opening, scene.now()).await;
        assert_eq!(found, Ok(vec![MeetingId(opening.room.to_string())]));
    }
    let held = scene.double.hold();
    let opening = opening(4);
    let now = scene.now();
    let look = async {
        held.arrived.await.unwrap();
        scene.livekit.find(&opening, now).await
    };
    let (opened, found) = tokio::join!(scene.livekit.open(&opening, now), async {
        let found = look.await;
        held.release.send(()).unwrap();
        found
    });
    assert_eq!((opened.map(|meeting| vec![meeting]), found.is_ok()), (found.clone(), true));
}

#[tokio::test]
async fn a_room_has_the_places_that_it_was_opened_with() {
    let scene = Scene::new().await;
    let name = opening(1).room.to_string();
    let request = CreateRoom { name: name.clone(), max_participants: 1, ..CreateRoom::default() };
    scene.livekit.ask(&request, scene.now()).await.unwrap();
    let meeting = MeetingId(name);
    scene.come(&meeting, "anna").await;
    let token = scene.token(&meeting, "bea").await;
    assert_eq!(scene.double.join(&token), Err(NotIn::Full));
}

#[tokio::test]
async fn settings_that_are_missing_or_empty_are_named() {
    let whole = settings("wss://livekit.example.org/", API_SECRET);
    assert_eq!(LiveKit::new(&whole).unwrap().client_url(), "wss://livekit.example.org");
    let without_secret = config::LiveKit { api_secret: None, ..whole.clone() };
    for (settings, named) in [
        (config::LiveKit { url: None, ..whole.clone() }, "MEET_AI_LIVEKIT__URL"),
        (config::LiveKit { api_key: None, ..whole.clone() }, "MEET_AI_LIVEKIT__API_KEY"),
        (without_secret, "MEET_AI_LIVEKIT__API_SECRET"),
        (config::LiveKit { api_key: Some(String::new()), ..whole }, "MEET_AI_LIVEKIT__API_KEY"),
    ] {
        let error = LiveKit::new(&settings).err().unwrap();
        assert!(error.starts_with(named), "{error}");
    }
}

/// The levels of what is found, and the words of the last.
async fn inspected(livekit: &LiveKit, now: Timestamp) -> (Vec<Level>, String) {
    let findings = livekit.inspect(now).await;
    let last = findings.last().unwrap();
    let words = format!("{}; {}", last.state, last.fix.clone().unwrap_or_default());
    assert!(!words.contains(API_SECRET) && !words.contains("eyJ"), "{words}");
    (findings.iter().map(|finding| finding.level).collect(), words)
}

#[tokio::test]
async fn the_doctor_says_which_setting_is_at_fault() {
    let scene = Scene::new().await;
    let (levels, words) = inspected(&scene.livekit, scene.now()).await;
    assert_eq!(levels, [Level::Ok], "{words}");
    let stranger = LiveKit::new(&settings(&scene.double.url(), "another-secret-of-thirty-two-bytes")).unwrap();
    scene.double.fail(Fault::Refused(StatusCode::FORBIDDEN, "permission_denied"));
    // The fault is of the first request.
    for livekit in [&scene.livekit, &stranger] {
        let (levels, words) = inspected(livekit, scene.now()).await;
        assert_eq!(levels, [Level::Fail], "{words}");
        assert!(words.contains("MEET_AI_LIVEKIT__API_KEY") && words.contains("MEET_AI_LIVEKIT__API_SECRET"), "{words}");
    }
    scene.double.fail(Fault::Refused(StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"));
    assert_eq!(inspected(&scene.livekit, scene.now()).await.0, [Level::Warn]);
    scene.double.fail(Fault::Page(StatusCode::NOT_FOUND));
    let (levels, words) = inspected(&scene.livekit, scene.now()).await;
    assert_eq!((levels, words.contains("MEET_AI_LIVEKIT__URL")), (vec![Level::Fail], true), "{words}");

    // A port that was free a moment ago has nobody who listens.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = LiveKit::new(&settings(&format!("http://{free}"), API_SECRET)).unwrap();
    let (levels, words) = inspected(&nobody, scene.now()).await;
    assert_eq!((levels, words.contains("MEET_AI_LIVEKIT__URL")), (vec![Level::Fail], true), "{words}");
}

#[tokio::test]
async fn the_doctor_says_when_the_clocks_are_apart() {
    let scene = Scene::new().await;
    for (apart, levels) in [(29, vec![Level::Ok]), (31, vec![Level::Ok, Level::Warn])] {
        for theirs in [seconds(scene.now()).0 - apart, seconds(scene.now()).0 + 1 + apart] {
            scene.double.pretend_date(http_date(UnixSeconds(theirs)));
            let (found, words) = inspected(&scene.livekit, scene.now()).await;
            assert_eq!((found, words.contains("31 seconds apart")), (levels.clone(), apart == 31), "{words}");
        }
    }
    scene.double.pretend_date("soon".to_owned());
    assert_eq!(inspected(&scene.livekit, scene.now()).await.0, [Level::Ok]);
}

#[test]
fn the_doctor_says_when_tokens_go_over_a_network_in_the_open() {
    for (url, is_readable) in [
        ("ws://livekit.example.org", true),
        ("http://192.0.2.7:7880/path", true),
        ("wss://livekit.example.org", false),
        ("https://192.0.2.7", false),
        ("ws://localhost:7880", false),
        ("http://127.0.0.1:7880", false),
        ("ws://[::1]:7880", false),
    ] {
        let finding = LiveKit::new(&settings(url, API_SECRET)).unwrap().readable_on_the_way();
        assert_eq!(finding.is_some_and(|finding| finding.level == Level::Warn), is_readable, "{url}");
    }
}
