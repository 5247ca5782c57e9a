//! Calls that LiveKit carries: what a token says, what is believed of what LiveKit tells, and who sees it.

use std::{collections::HashSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use meet_livekit::{ApiKey, UnixSeconds, webhook};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Realtime, Setup,
    calls::{Scene, by_livekit},
    databases, eventually, eventually_ok,
    livekit::{API_KEY, API_SECRET, Refusal, Webhook},
};

/// The moment at which every story begins, in seconds.
const NOW: i64 = 1_770_465_600;

impl Scene {
    /// Sends an event as it is; the status of the answer.
    async fn tell(&self, authorization: Option<&str>, body: &str) -> u16 {
        let caller = self.server.stranger();
        let mut request = caller.request(Method::POST, "/internal/conference/events").body(body.to_owned());
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        caller.send(request).await.status
    }
}

/// An event of somebody who came, `age` seconds old.
fn somebody_came(id: &str, room: &str, age: i64) -> Value {
    json!({
        "event": "participant_joined", "id": id, "createdAt": (NOW - age).to_string(), "room": { "name": room },
        "participant": { "sid": "PA_x", "identity": format!("who-{id}"), "name": "Mallory", "state": "ACTIVE" },
    })
}

/// What a token says, as it stands there.
fn claims(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// Signs an event by a key, as if at that time.
fn sign(key: &ApiKey, body: &Value, at: i64) -> String {
    let token = webhook::sign(key, body.to_string().as_bytes(), UnixSeconds(at), UnixSeconds(at + 300)).unwrap();
    token.into_string()
}

#[tokio::test]
async fn a_token_states_every_grant_by_role_and_type() {
    let Scene { owner, room: audio, .. } = &Scene::new().await;
    let screens = owner.room_as(json!({ "name": "demo", "media": "screenshare" })).await;
    let all = json!(["camera", "microphone", "screen_share", "screen_share_audio"]);
    for (room, sources) in [(audio, json!(["microphone"])), (&screens, all)] {
        let agent = owner.clone().with_header("x-meet-name", "Scribe").with_header("x-meet-kind", "agent");
        let human = owner.clone().with_header("x-meet-name", "Zo%C3%AB");
        let callers = [
            (owner.session("Ann").await, "Ann", "standard", &sources),
            (owner.invite(room, "member", &format!("Bob {room}")).await, "Bob", "standard", &sources),
            (owner.invite(room, "spectator", &format!("Sue {room}")).await, "Sue", "standard", &json!([])),
            (agent, "Scribe", "agent", &sources),
            (human, "Zoë", "standard", &sources),
        ];
        for (caller, name, kind, sources) in callers {
            let answer = caller.ask_for_call(room).await.expect(200);
            assert_eq!(answer["expiresAt"], "2026-02-07T12:10:00.000Z");
            let mut said = claims(answer["token"].as_str().unwrap());
            let identity = said["sub"].take();
            assert!(identity.as_str().unwrap().len() >= 22 && !identity.to_string().contains(name), "{identity}");
            assert!(said["name"].take().as_str().unwrap().starts_with(name), "{said}");
            let may_speak = sources != &json!([]);
            let expected = json!({
                "iss": API_KEY, "sub": null, "name": null, "kind": kind, "nbf": NOW, "exp": NOW + 600,
                "video": {
                    "room": room, "roomJoin": true, "roomAdmin": false, "roomCreate": false, "roomList": false,
                    "roomRecord": false, "canPublish": may_speak, "canPublishSources": sources, "canSubscribe": true,
                    "canPublishData": may_speak, "canUpdateOwnMetadata": false, "canSubscribeMetrics": false,
                    "canManageAgentSession": false, "hidden": false, "recorder": false, "agent": false,
                    "ingressAdmin": false,
                },
            });
            assert_eq!(said, expected, "{name}");
        }
    }
}

#[tokio::test]
async fn an_identity_is_of_one_place_and_tells_nothing() {
    let Scene { owner, room, server, livekit } = &Scene::new().await;
    let ann = owner.session("Ann").await;
    let mut identities = HashSet::new();
    for caller in [&ann, &owner.session("Ann").await, &owner.session("Bob").await] {
        let user = caller.get("/api/session").await.expect(200)["user"]["id"].as_str().unwrap().to_owned();
        for _ in 0..2 {
            let said = claims(&caller.call_token(room).await);
            assert!(!said.to_string().contains(&user) && !said.to_string().contains(caller.token()), "{said}");
            assert!(identities.insert(said["sub"].to_string()));
        }
    }
    let token = ann.call_token(room).await;
    // LiveKit allows a minute for clocks that differ.
    server.clock.advance(Duration::from_mins(11));
    assert_eq!(livekit.join(&token).err(), Some(Refusal::Token), "ten minutes are over");
}

#[tokio::test]
async fn whoever_comes_after_the_end_of_a_room_by_a_token_of_before_is_put_out_again() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        let Scene { owner, room, server, livekit } = &scene;
        let token = owner.session("Ann").await.call_token(room).await;
        livekit.join(&token).unwrap();
        scene.told().await;
        owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
        server.tend(Duration::ZERO).await;
        assert!(livekit.rooms().is_empty());
        for _ in 0..3 {
            livekit.join(&token).unwrap();
            assert_eq!(livekit.rooms().len(), 1, "LiveKit makes a room for whoever holds a token");
            scene.told().await;
            server.tend(Duration::from_mins(2)).await;
            assert!(livekit.rooms().is_empty() && server.app.hub().calls().is_empty());
        }
        livekit.make_no_rooms();
        assert_eq!(livekit.join(&token).err(), Some(Refusal::NoRoom));
    }
}

#[tokio::test]
async fn who_comes_and_goes_is_seen_in_the_room_on_its_socket_its_stream_and_the_gateway() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        let Scene { owner, room, livekit, .. } = &scene;
        let ann = owner.session("Ann").await;
        let agent = owner.clone().with_header("x-meet-name", "Scribe").with_header("x-meet-kind", "agent");
        let watcher = owner.session("Wim").await;
        let mut client = Realtime::connect(&watcher).await.0;
        client.subscribe(&watcher, room, json!({})).await;
        let mut socket = scene.watch().await;
        let mut events = owner.stream(&format!("/api/rooms/{room}/events")).await;
        let user = ann.get("/api/session").await.expect(200)["user"]["id"].clone();

        let (first, second) = (ann.call_token(room).await, agent.call_token(room).await);
        assert!(owner.participants(room).await.is_empty(), "a token is not a presence");
        let there = livekit.join(&first).unwrap();
        scene.told().await;
        let seen = json!({ "user": user, "name": "Ann", "kind": "human", "since": "2026-02-07T12:00:00.000Z" });
        assert_eq!(owner.participants(room).await, [seen]);
        livekit.join(&second).unwrap();
        livekit.leave(room, &there.identity);
        scene.told().await;
        assert_eq!(owner.names_in_call(room).await, ["Scribe"]);

        for (event, name, kind) in [("join", "Ann", "human"), ("join", "Scribe", "agent"), ("leave", "Ann", "human")] {
            let frame = socket.expect("call").await;
            assert_eq!((&frame["event"], &frame["name"], &frame["kind"]), (&json!(event), &json!(name), &json!(kind)));
            assert_eq!(events.expect("call").await.data, frame);
            let push = client.push().await;
            assert_eq!((&push["pub"]["data"], &push["pub"]["offset"]), (&frame, &Value::Null), "{push}");
            assert!(name != "Ann" || frame["user"] == user, "{frame}");
        }
    }
}

#[tokio::test]
async fn what_livekit_did_not_sign_now_is_refused_and_changes_nothing() {
    let scene = Scene::new().await;
    let Scene { owner, room, server, livekit } = &scene;
    livekit.join(&owner.session("Ann").await.call_token(room).await).unwrap();
    scene.told().await;
    let before = owner.participants(room).await;
    let key = ApiKey::new(API_KEY, API_SECRET.as_bytes()).unwrap();
    let strangers = [
        ApiKey::new(API_KEY, b"another-secret-of-thirty-two-bytes").unwrap(),
        ApiKey::new("APIother", API_SECRET.as_bytes()).unwrap(),
    ];
    let body = somebody_came("EV_forged", room, 0);
    let text = body.to_string();
    let left = livekit.participants(room).remove(0).identity;
    let leaving = json!({
        "event": "participant_left", "id": "EV_left", "createdAt": NOW.to_string(), "room": { "name": room },
        "participant": { "sid": "PA_1", "identity": left, "state": "DISCONNECTED" },
    });
    for stranger in &strangers {
        assert_eq!(scene.tell(Some(&sign(stranger, &body, NOW)), &text).await, 403);
        assert_eq!(scene.tell(Some(&sign(stranger, &leaving, NOW)), &leaving.to_string()).await, 403);
    }
    assert_eq!(scene.tell(None, &text).await, 403);
    assert_eq!(scene.tell(Some(""), &text).await, 403);
    assert_eq!(scene.tell(Some("junk"), &text).await, 403);
    assert_eq!(scene.tell(Some(&sign(&key, &leaving, NOW)), &text).await, 403, "the signature of another body");
    let access = owner.session("Eve").await.call_token(room).await;
    assert_eq!(scene.tell(Some(&access), &text).await, 403, "a token of a call signs nothing");
    assert_eq!(scene.tell(Some(&sign(&key, &body, NOW - 900)), &text).await, 403, "the signature is too old");
    assert_eq!(scene.tell(Some(&sign(&key, &body, NOW + 900)), &text).await, 403, "the signature is of the future");
    for age in [301, -61] {
        let body = somebody_came("EV_untimely", room, age);
        assert_eq!(scene.tell(Some(&sign(&key, &body, NOW)), &body.to_string()).await, 403, "{age} seconds old");
    }
    for malformed in [json!({}), json!({ "event": "participant_joined", "id": "EV_1", "createdAt": NOW.to_string() })] {
        assert_eq!(scene.tell(Some(&sign(&key, &malformed, NOW)), &malformed.to_string()).await, 400);
    }
    assert_eq!(owner.participants(room).await, before);
    assert_eq!(livekit.rooms().len(), 1);
    let mut socket = scene.watch().await;

    // The real one counts, once.
    let signature = sign(&key, &body, NOW);
    assert_eq!(scene.tell(Some(&signature), &text).await, 204);
    assert_eq!(socket.expect("call").await["name"], "Mallory");
    for again in [signature, sign(&key, &body, NOW + 1)] {
        assert_eq!(scene.tell(Some(&again), &text).await, 409);
    }
    assert_eq!(owner.participants(room).await.len(), 2);
    owner.say(room, "ann", "nothing else was told").await;
    socket.expect("message").await;
    server.clock.advance(Duration::from_mins(20));
    assert_eq!(scene.tell(Some(&sign(&key, &body, NOW)), &text).await, 403, "too old by now");
}

#[tokio::test]
async fn a_webhook_that_is_sent_again_is_told_once() {
    let scene = Scene::new().await;
    let Scene { owner, room, livekit, .. } = &scene;
    livekit.join(&owner.session("Ann").await.call_token(room).await).unwrap();
    let mut webhooks = Vec::new();
    while let Some(webhook) = livekit.webhook() {
        webhooks.push(webhook);
    }
    for again in [false, true] {
        for Webhook { body, authorization } in &webhooks {
            // Of what changes nothing it does not matter how often it is told.
            let expected: &[u16] = match (again, body.contains("participant_joined")) {
                (false, _) => &[204],
                (true, true) => &[409],
                (true, false) => &[204, 409],
            };
            assert!(expected.contains(&scene.tell(Some(authorization), body).await), "{body}");
        }
    }
    assert_eq!(owner.names_in_call(room).await, ["Ann"]);
}

#[tokio::test]
async fn rooms_of_others_at_the_same_livekit_are_left_alone() {
    let scene = Scene::new().await;
    let Scene { owner, room, server, livekit } = &scene;
    let key = ApiKey::new(API_KEY, API_SECRET.as_bytes()).unwrap();
    let strangers = meet_livekit::Claims {
        identity: "somebody".to_owned(),
        name: "Somebody".to_owned(),
        not_before: UnixSeconds(NOW),
        expires_at: UnixSeconds(NOW + 3600),
        video: Some(meet_livekit::VideoGrant {
            room: "party".to_owned(),
            room_join: true,
            ..meet_livekit::VideoGrant::default()
        }),
        ..meet_livekit::Claims::default()
    };
    livekit.join(key.sign(&strangers).unwrap().as_str()).unwrap();
    for foreign in ["party", "0197f000-0000-7000-8000-000000000000", ""] {
        let body = somebody_came(&format!("EV_{foreign}"), foreign, 0);
        let status = scene.tell(Some(&sign(&key, &body, NOW)), &body.to_string()).await;
        assert_eq!(status, if foreign.is_empty() { 400 } else { 204 });
    }
    scene.told().await;
    owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
    server.tend(Duration::from_mins(6)).await;
    assert!(server.app.hub().calls().is_empty());
    assert_eq!(livekit.participants("party").len(), 1);
    let asked = livekit.asked();
    assert!(asked.iter().all(|asked| !asked.body.to_string().contains("party")), "{asked:?}");
}

#[tokio::test]
async fn what_no_webhook_told_is_found_out() {
    let scene = Scene::new().await;
    let Scene { owner, room, server, livekit } = &scene;
    let (ann, bob) = (owner.session("Ann").await, owner.session("Bob").await);
    let there = livekit.join(&ann.call_token(room).await).unwrap();
    livekit.join(&bob.call_token(room).await).unwrap();
    while livekit.webhook().is_some() {}
    let mut socket = scene.watch().await;
    server.tend(Duration::from_secs(10)).await;
    let came: HashSet<_> =
        [socket.expect("call").await, socket.expect("call").await].map(|told| told["name"].to_string()).into();
    assert_eq!((came.len(), owner.names_in_call(room).await.len()), (2, 2));
    livekit.leave(room, &there.identity);
    while livekit.webhook().is_some() {}
    server.tend(Duration::from_secs(10)).await;
    assert_eq!(socket.expect("call").await["event"], "leave");
    assert_eq!(owner.names_in_call(room).await, ["Bob"]);
    // Nobody is left, and of that too nothing is told.
    for participant in livekit.participants(room) {
        livekit.leave(room, &participant.identity);
    }
    server.tend(Duration::from_secs(10)).await;
    assert!(owner.participants(room).await.is_empty());
}

#[tokio::test]
async fn a_user_with_two_devices_is_there_once_until_the_last_leaves() {
    let scene = Scene::new().await;
    let Scene { owner, room, server, livekit } = &scene;
    let ann = owner.session("Ann").await;
    let mut socket = scene.watch().await;
    let (phone, laptop) = (ann.call_token(room).await, ann.call_token(room).await);
    let phone = livekit.join(&phone).unwrap();
    scene.told().await;
    assert_eq!(socket.expect("call").await["event"], "join");
    server.clock.advance(Duration::from_secs(30));
    let laptop = livekit.join(&laptop).unwrap();
    scene.told().await;
    assert_eq!((scene.there().len(), owner.names_in_call(room).await.len()), (2, 1));
    assert_eq!(owner.participants(room).await[0]["since"], "2026-02-07T12:00:00.000Z", "since the first came");
    livekit.leave(room, &phone.identity);
    scene.told().await;
    assert_eq!(owner.names_in_call(room).await, ["Ann"]);
    owner.say(room, "x", "of the second device nothing was told").await;
    socket.expect("message").await;
    livekit.leave(room, &laptop.identity);
    scene.told().await;
    assert_eq!(socket.expect("call").await["event"], "leave");
    assert!(owner.participants(room).await.is_empty());
}

#[tokio::test]
async fn after_a_restart_it_is_known_who_is_there_and_what_ended_meanwhile_is_closed() {
    for database in databases().await {
        let Scene { owner, room, server, livekit } = Scene::on(database).await;
        let short = owner.room_as(json!({ "name": "short", "expires_in": 60 })).await;
        let deleted = owner.room("deleted").await;
        let (ann, bob) = (owner.session("Ann").await, owner.session("Bob").await);
        let there = livekit.join(&ann.call_token(&room).await).unwrap();
        let bobs = bob.call_token(&room).await;
        for room in [&short, &deleted] {
            livekit.join(&ann.call_token(room).await).unwrap();
        }
        assert_eq!(server.hear_all(&livekit).await, [204; 6]);
        owner.delete(&format!("/api/rooms/{deleted}")).await.expect(204);
        let key = owner.token().to_owned();
        let clock = server.clock.clone();
        let database = server.stop().await;

        livekit.leave(&room, &there.identity);
        livekit.join(&bobs).unwrap();
        while livekit.webhook().is_some() {}
        clock.advance(Duration::from_secs(61));
        let mut setup = Setup::on(database).with(by_livekit(&livekit));
        setup.clock = clock;
        let server = setup.start().await;
        let owner = server.stranger().with_token(&key);
        let seen = || async { owner.names_in_call(&room).await == ["Bob"] };
        eventually_ok("the call to be known again", seen).await;
        let open = || livekit.rooms().into_iter().map(|room| room.name).collect::<Vec<_>>();
        eventually("what ended to be closed", || open() == [room.as_str()]).await;
        eventually("nobody to be anywhere else", || server.app.hub().calls().len() == 1).await;
    }
}
