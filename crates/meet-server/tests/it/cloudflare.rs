//! Calls that Cloudflare carries and Turnstile guards: what strangers get when both work, and what is left behind when
//! either does not.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Answer, Database, Server, Setup,
    calls::{SITE, by_cloudflare, guarded_by},
    cloudflare::{API_TOKEN, Cloudflare, Fault, Step},
    databases, eventually, soon,
};

const NOW: &str = "2026-02-07T12:00:00.000Z";

async fn start_on(database: Database) -> (Cloudflare, Server) {
    let cloudflare = Cloudflare::start().await;
    let server = Setup::on(database).manual_clock().with(by_cloudflare(&cloudflare)).start().await;
    (cloudflare, server)
}

async fn start() -> (Cloudflare, Server) {
    start_on(Database::sqlite()).await
}

async fn enter(server: &Server, room: &str, name: &str) -> Answer {
    server.stranger().enter(room, name).await
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap()
}

/// Has the server do what it does now and then.
async fn tend(server: &Server) {
    server.tend(Duration::from_mins(6)).await;
}

/// Tells the server something in the name of whoever signs it.
async fn tell(server: &Server, signature: &str, body: &Value) -> u16 {
    let caller = server.stranger();
    let request = caller.request("POST".parse().unwrap(), "/internal/conference/events");
    caller.send(request.header("rtk-signature", signature).body(body.to_string())).await.status
}

#[tokio::test]
async fn strangers_meet_are_seen_and_are_out_when_the_room_ends() {
    for database in databases().await {
        let (cloudflare, server) = start_on(database).await;
        cloudflare.set_token_expiry(Some(1_770_469_200));
        let ann = enter(&server, "standup", "Ann").await.expect(200);
        let bob = enter(&server, "standup", "Bob").await.expect(200);
        let [meeting] = cloudflare.live_meetings().try_into().unwrap();
        assert_eq!(cloudflare.presets_in_use(&meeting), ["group_call_participant"; 2]);
        assert!(cloudflare.enter(text(&ann, "authToken")) && cloudflare.enter(text(&bob, "authToken")));
        let present = cloudflare.present(&meeting);
        assert!(!present.concat().contains("Ann"), "{present:?} are not to be guessed");

        let joined = json!({
            "event": "meeting.participantJoined", "meeting": { "id": meeting },
            "participant": { "customParticipantId": present[0], "userDisplayName": "Ann", "joinedAt": NOW },
        });
        let signature = cloudflare.sign(joined.to_string().as_bytes());
        assert_eq!(tell(&server, &cloudflare.sign(b"something else"), &joined).await, 403);
        assert_eq!(tell(&server, &signature, &joined).await, 204);
        assert_eq!(tell(&server, &signature, &joined).await, 409);
        let chat = server.stranger().with_token(text(&bob, "chatToken"));
        let room = chat.get(&format!("/api/rooms/{}", text(&bob, "roomId"))).await.expect(200);
        assert_eq!(room["call"]["participants"][0]["name"], "Ann", "{room}");
        cloudflare.rotate_key();
        let ended = json!({ "event": "meeting.ended", "meeting": { "id": meeting, "endedAt": NOW } });
        let signature = cloudflare.sign(ended.to_string().as_bytes());
        assert_eq!(tell(&server, &signature, &ended).await, 403, "a new key is looked for once a minute");
        server.clock.advance(Duration::from_mins(1));
        assert_eq!(tell(&server, &signature, &ended).await, 204);

        server.clock.advance(Duration::from_hours(2));
        let told = enter(&server, "standup", "Cid").await;
        assert_eq!(told.refusal(410), "expired");
        assert!(cloudflare.live_meetings().is_empty() && cloudflare.present(&meeting).is_empty());
        assert!(!cloudflare.enter(text(&ann, "authToken")));
    }
}

#[tokio::test]
async fn a_hundred_first_callers_open_one_meeting() {
    let (cloudflare, server) = start().await;
    let answers = join_all((0..100).map(|n| {
        let server = &server;
        async move { enter(server, "launch", &format!("Guest {n}")).await.expect(200) }
    }));
    let answers = answers.await;
    let [meeting] = cloudflare.live_meetings().try_into().unwrap();
    assert_eq!(cloudflare.steps().iter().filter(|step| **step == Step::CreateMeeting).count(), 1);
    assert!(answers.iter().all(|answer| cloudflare.enter(text(answer, "authToken"))));
    assert_eq!(cloudflare.present(&meeting).len(), 100);
}

#[tokio::test]
async fn a_meeting_that_failed_to_open_leaves_nothing_behind() {
    let (cloudflare, server) = start().await;
    let faults = [
        Fault::Status(500, 1),
        Fault::Status(429, 1),
        Fault::Status(401, 10_000),
        Fault::Status(200, 1),
        Fault::Says(200, "<html>".to_owned()),
        Fault::Cut,
        Fault::CutAfter,
        Fault::CutAmid,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let name = format!("room {number}");
        cloudflare.fail(Step::CreateMeeting, fault);
        let answer = enter(&server, &name, "Ann").await;
        assert_eq!(answer.status, 502, "{name}");
        let told = String::from_utf8(answer.body.clone()).unwrap();
        assert!(!told.contains(API_TOKEN) && !told.contains("127.0.0.1"), "{told}");
        assert!(cloudflare.fault_is_spent(Step::CreateMeeting));
        tend(&server).await;
        assert_eq!(cloudflare.live_meetings(), [""; 0], "{name}");
        enter(&server, &name, "Ann").await.expect(200);
        assert_eq!(cloudflare.live_meetings().len(), 1, "{name}");
        server.clock.advance(Duration::from_hours(2));
        tend(&server).await;
        assert_eq!(cloudflare.live_meetings(), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn no_token_leaves_when_the_second_step_fails_and_the_meeting_stays_the_rooms() {
    let (cloudflare, server) = start().await;
    for (number, fault) in [Fault::Status(503, 1), Fault::CutAfter, Fault::CutAmid].into_iter().enumerate() {
        let name = format!("room {number}");
        cloudflare.fail(Step::AddParticipant, fault);
        let answer = enter(&server, &name, "Ann").await;
        assert!(answer.status == 502 && answer.json().get("authToken").is_none(), "{name}");
        let meetings = cloudflare.live_meetings();
        let ann = enter(&server, &name, "Ann").await.expect(200);
        assert_eq!((cloudflare.live_meetings(), meetings.len()), (meetings, number + 1));
        assert!(cloudflare.enter(text(&ann, "authToken")));
    }
    server.clock.advance(Duration::from_hours(2));
    cloudflare.fail(Step::UpdateMeeting, Fault::Status(500, 1));
    cloudflare.fail(Step::KickAll, Fault::Cut);
    for _ in 0..3 {
        tend(&server).await;
    }
    eventually("all meetings to be closed", || cloudflare.live_meetings().is_empty()).await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_one_meeting_at_most() {
    let (cloudflare, server) = start().await;
    for (number, step) in [Step::CreateMeeting, Step::AddParticipant].into_iter().enumerate() {
        let name = format!("room {number}");
        let mut held = cloudflare.hold(step);
        tokio::select! {
            answer = enter(&server, &name, "Ann") => panic!("answered with {}", answer.status),
            () = soon("the step", held.reached()) => {}
        }
        drop(held);
        let bob = enter(&server, &name, "Bob").await.expect(200);
        assert!(cloudflare.enter(text(&bob, "authToken")));
        assert_eq!(cloudflare.live_meetings().len(), number + 1, "{name}");
    }
}

/// What a visitor is answered who shows this token.
async fn show(server: &Server, token: Option<&str>) -> (u16, String) {
    let body = json!({ "room": "standup", "name": "Ann", "turnstileToken": token });
    let page = server.stranger().with_header("origin", &format!("https://{SITE}"));
    let answer = page.post_json("/api/token", body).await;
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn nobody_comes_in_without_passing_turnstile() {
    let cloudflare = Cloudflare::start().await;
    let setup = Setup::new().manual_clock().with(by_cloudflare(&cloudflare));
    let server = setup.with(guarded_by(&cloudflare)).start().await;
    let failed = (403, "Turnstile verification failed".to_owned());
    for missing in [None, Some("")] {
        assert_eq!(show(&server, missing).await, (403, "Turnstile verification required".to_owned()));
    }
    assert!(cloudflare.steps().is_empty(), "there is nothing to ask about");
    assert_eq!(show(&server, Some(&cloudflare.solve("evil.example"))).await, failed);
    assert_eq!(show(&server, Some("made up")).await, failed);
    assert_eq!(show(&server, Some(&"x".repeat(2049))).await, failed);
    for down in [Fault::Says(200, "<html>".to_owned()), Fault::Says(400, String::new())] {
        cloudflare.fail(Step::Siteverify, down);
        assert_eq!(show(&server, Some(&cloudflare.solve(SITE))).await, failed);
    }
    for _ in 0..2 {
        cloudflare.fail(Step::Siteverify, Fault::Cut);
    }
    assert_eq!(show(&server, Some(&cloudflare.solve(SITE))).await, failed);
    assert!(cloudflare.live_meetings().is_empty(), "for none of them anything was made");
    cloudflare.asked();

    let token = cloudflare.solve(SITE);
    assert_eq!(show(&server, Some(&token)).await, (200, String::new()));
    let asked = cloudflare.asked();
    assert!(asked[0].step == Step::Siteverify && asked[0].body.contains("&remoteip=127.0.0.1"), "{asked:?}");
    assert_eq!(show(&server, Some(&token)).await, failed, "a token is good once");
    cloudflare.fail(Step::Siteverify, Fault::Status(500, 1));
    assert_eq!(show(&server, Some(&cloudflare.solve(SITE))).await, (200, String::new()), "a stumble is forgiven");
}

#[tokio::test]
async fn without_a_secret_turnstile_is_not_asked() {
    let (cloudflare, server) = start().await;
    assert_eq!(show(&server, Some("made up")).await, (200, String::new()));
    assert!(!cloudflare.steps().contains(&Step::Siteverify));
}

#[tokio::test]
async fn an_app_without_the_preset_lets_nobody_in_and_says_nothing_of_it() {
    let (cloudflare, server) = start().await;
    cloudflare.set_presets(&["another"]);
    let other = cloudflare.add_meeting("of somebody else", false);
    let answer = enter(&server, "standup", "Ann").await;
    assert!(answer.status == 502 && !String::from_utf8(answer.body).unwrap().contains("preset"));
    server.clock.advance(Duration::from_hours(2));
    tend(&server).await;
    assert_eq!(cloudflare.live_meetings(), [other], "other meetings of the app are left alone");
}

#[tokio::test]
async fn looking_for_a_meeting_whose_answer_was_lost_disturbs_nobody_in_the_one_that_followed() {
    for database in databases().await {
        let (cloudflare, server) = start_on(database).await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let ann = owner.session("Ann").await;
        cloudflare.fail(Step::CreateMeeting, Fault::CutAfter);
        assert_eq!(ann.ask_for_call(&room).await.refusal(502), "provider_failed");
        assert_eq!(cloudflare.live_meetings().len(), 1, "it was opened all the same");
        assert!(cloudflare.enter(&ann.call_token(&room).await));
        tend(&server).await;
        assert_eq!(owner.names_in_call(&room).await, ["Ann"]);
        let mut events = owner.stream(&format!("/api/rooms/{room}/events?since=0")).await;
        events.expect("hello").await;
        for _ in 0..4 {
            tend(&server).await;
        }
        assert_eq!(cloudflare.live_meetings().len(), 1, "the one without an answer is closed");
        owner.say(&room, "ann", "nothing happened in the call").await;
        assert_eq!(events.next().await.unwrap().name, "message");
        assert_eq!(owner.names_in_call(&room).await, ["Ann"]);
    }
}

#[tokio::test]
async fn an_opening_that_a_crash_cut_off_is_looked_for_by_itself() {
    for database in databases().await {
        let (cloudflare, server) = start_on(database).await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let (store, now) = (server.app.store(), server.clock.now());
        let id = owner.get("/api/keys").await.expect(200)["id"].as_str().unwrap().parse().unwrap();
        store.begin_meeting(id, room.parse().unwrap(), "realtimekit", "cut-off", now).await.unwrap();
        cloudflare.add_meeting("meet-ai cut-off", false);
        tend(&server).await;
        eventually("the meeting to be closed", || cloudflare.live_meetings().is_empty()).await;
    }
}
