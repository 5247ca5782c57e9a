//! Calls that RealtimeKit carries: one meeting for a room however many come at once, presets by what a room carries, and
//! new tokens for those who never came.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use meet_server::config::RealtimeKit;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, Caller, Setup,
    calls::{Kit, by_cloudflare},
    cloudflare::{API_TOKEN, APP, Cloudflare, Fault, Step},
    databases,
};

/// The moment at which every story begins, in seconds.
const NOW: i64 = 1_770_465_600;

/// Sets a meeting INACTIVE, as somebody with access to the same app may.
async fn close_elsewhere(cloudflare: &Cloudflare, meeting: &str) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/{APP}/meetings/{meeting}", cloudflare.base_url());
    let request = http.request(Method::PATCH, url).bearer_auth(API_TOKEN).json(&json!({ "status": "INACTIVE" }));
    assert_eq!(request.send().await.unwrap().status(), 200);
    cloudflare.steps();
}

fn token_of(answer: &Answer) -> String {
    let answer = answer.expect(200);
    let token = [&answer["token"], &answer["authToken"]].into_iter().find_map(Value::as_str);
    token.unwrap().to_owned()
}

/// By which steps tokens were asked for since the last look.
fn tokens_asked_for(cloudflare: &Cloudflare) -> Vec<Step> {
    let gives_token = |step: &Step| matches!(step, Step::RefreshToken | Step::AddParticipant);
    cloudflare.steps().into_iter().filter(gives_token).collect()
}

/// Takes the calls of a hundred, and lets the meeting be opened once the first is on its way.
async fn at_once(kit: &Kit, calls: impl IntoIterator<Item = impl Future<Output = Answer>>) {
    let mut held = kit.cloudflare.hold(Step::CreateMeeting);
    let release = async {
        held.reached().await;
        drop(held);
    };
    let (answers, ()) = tokio::join!(join_all(calls), release);
    let tokens: HashSet<_> = answers.iter().map(token_of).collect();
    assert_eq!(tokens.len(), 100);
    assert_eq!(kit.cloudflare.live_meetings().len(), 1);
    assert_eq!(kit.cloudflare.steps().iter().filter(|step| **step == Step::CreateMeeting).count(), 1);
    assert!(tokens.iter().all(|token| kit.cloudflare.enter(token)));
    kit.assert_books_balance().await;
}

#[tokio::test]
async fn a_hundred_members_at_once_are_in_one_meeting() {
    for database in databases().await {
        let kit = Kit::on(database).await;
        let caller = |n| kit.owner.clone().with_header("x-meet-name", &format!("member-{n}"));
        let callers: Vec<Caller> = (0..100).map(caller).collect();
        at_once(&kit, callers.iter().map(|caller| caller.ask_for_call(&kit.room))).await;
    }
}

#[tokio::test]
async fn a_hundred_strangers_at_once_are_in_one_meeting() {
    for database in databases().await {
        let kit = Kit::on(database).await;
        let names: Vec<_> = (0..100).map(|n| format!("stranger-{n}")).collect();
        at_once(&kit, names.iter().map(|name| kit.owner.enter("launch", name))).await;
    }
}

#[tokio::test]
async fn of_a_hundred_callers_at_the_instant_of_expiry_one_is_told_and_the_others_meet() {
    for database in databases().await {
        let kit = Kit::on(database).await;
        let Kit { cloudflare, server, owner, .. } = &kit;
        let before = owner.enter("standup", "Ann").await.expect(200);
        assert!(cloudflare.enter(before["authToken"].as_str().unwrap()));
        let first = cloudflare.live_meetings();
        server.clock.advance(Duration::from_hours(2));
        let sweeping = async {
            server.app.sweep().await.unwrap();
            server.app.tend_calls().await.unwrap();
        };
        let names: Vec<_> = (0..100).map(|n| format!("stranger-{n}")).collect();
        let (answers, ()) = tokio::join!(join_all(names.iter().map(|name| owner.enter("standup", name))), sweeping);
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!((statuses[98], statuses[99]), (200, 410));
        let live = cloudflare.live_meetings();
        assert!(live.len() == 1 && live != first, "{live:?}");
        assert!(cloudflare.present(&first[0]).is_empty());
        kit.assert_books_balance().await;
    }
}

#[tokio::test]
async fn a_meeting_that_somebody_else_closed_is_replaced_for_the_next_caller() {
    let kit = Kit::new().await;
    let Kit { cloudflare, owner, room, .. } = &kit;
    let ann = owner.session("Ann").await;
    for n in 0..3 {
        ann.call_token(room).await;
        let live = cloudflare.live_meetings();
        assert_eq!(live.len(), 1);
        close_elsewhere(cloudflare, &live[0]).await;
        let token = if n == 2 {
            // A meeting of which RealtimeKit knows nothing any more is as good as closed.
            let gone = json!({ "success": false, "error": { "code": 404 } }).to_string();
            cloudflare.fail(Step::AddParticipant, Fault::Says(404, gone));
            ann.call_token(room).await
        } else {
            ann.call_token(room).await
        };
        assert!(cloudflare.enter(&token));
        kit.settle().await;
        let new = cloudflare.live_meetings();
        assert!(new.len() == 1 && new != live, "{live:?} {new:?}");
        kit.assert_books_balance().await;
    }
    owner.enter("standup", "Ann").await.expect(200);
    let own = cloudflare.live_meetings();
    for meeting in &own {
        close_elsewhere(cloudflare, meeting).await;
    }
    let bob = owner.enter("standup", "Bob").await;
    assert!(cloudflare.enter(&token_of(&bob)));
    kit.settle().await;
    assert_eq!(cloudflare.live_meetings().len(), 1);
}

#[tokio::test]
async fn what_a_room_carries_decides_on_the_preset() {
    let named = |name: Option<&str>| name.map(str::to_owned);
    let (all, screens, sound) = ("group_call_participant", "group_call_host", "audio_only");
    for (presets, of_audio, of_screens) in [
        ((Some(all), Some(screens), Some(sound)), sound, screens),
        ((Some(all), None, None), all, all),
        ((Some(all), Some(screens), None), all, screens),
        ((Some(all), None, Some(sound)), sound, all),
        ((None, Some(screens), Some(sound)), sound, screens),
    ] {
        let cloudflare = Cloudflare::start().await;
        let setup = Setup::new().manual_clock().with(by_cloudflare(&cloudflare)).with(|config| {
            let settings = std::mem::take(&mut config.realtimekit);
            config.realtimekit = RealtimeKit {
                preset_name: named(presets.0),
                screenshare_preset_name: named(presets.1),
                audio_preset_name: named(presets.2),
                ..settings
            };
        });
        let server = setup.start().await;
        let owner = server.new_tenant().await;
        let preset_of_last = || {
            let live = cloudflare.live_meetings();
            cloudflare.presets_in_use(live.last().unwrap()).pop().unwrap()
        };
        let room = owner.room("planning").await;
        owner.invite(&room, "member", "Bob").await.call_token(&room).await;
        assert_eq!(preset_of_last(), of_audio);
        let agent = owner.clone().with_header("x-meet-name", "Scribe").with_header("x-meet-kind", "agent");
        agent.call_token(&room).await;
        assert_eq!(preset_of_last(), of_audio, "agents are as others are");
        owner.patch(&format!("/api/rooms/{room}"), json!({ "media": "screenshare" })).await.expect(200);
        agent.call_token(&room).await;
        assert_eq!(preset_of_last(), of_screens, "from now on");
        let sue = owner.invite(&room, "spectator", "Sue").await;
        cloudflare.steps();
        assert_eq!(sue.ask_for_call(&room).await.refusal(403), "forbidden");
        assert!(cloudflare.steps().is_empty(), "no preset is for listening alone");
        owner.enter("red", "Ann").await.expect(200);
        assert_eq!(preset_of_last(), of_audio);
    }
}

#[tokio::test]
async fn whoever_never_came_gets_a_new_token_for_the_same_place() {
    let kit = Kit::new().await;
    let Kit { cloudflare, server, owner, room } = &kit;
    let ann = owner.session("Ann").await;
    cloudflare.set_token_expiry(Some(NOW + 3600));
    let first = ann.ask_for_call(room).await.expect(200);
    assert_eq!(first["expiresAt"], "2026-02-07T13:00:00.000Z", "as the token itself says");
    let asks = || tokens_asked_for(cloudflare);
    asks();
    ann.call_token(room).await;
    assert_eq!(asks(), [Step::AddParticipant], "a token that holds may be in use");

    server.clock.advance(Duration::from_hours(1));
    cloudflare.set_token_expiry(Some(NOW + 7200));
    let token = ann.call_token(room).await;
    assert_eq!(asks(), [Step::RefreshToken]);
    let [meeting] = cloudflare.live_meetings().try_into().unwrap();
    assert_eq!(cloudflare.presets_in_use(&meeting).len(), 2);
    // Another session, another person and another device are other places.
    for other in [&owner.session("Ann").await, &owner.session("Bob").await] {
        other.call_token(room).await;
        assert_eq!(asks(), [Step::AddParticipant]);
    }
    assert!(cloudflare.enter(&token));
    server.tend(Duration::from_secs(10)).await;
    assert_eq!(owner.names_in_call(room).await, ["Ann"]);
    server.clock.advance(Duration::from_hours(1));
    cloudflare.set_token_expiry(None);
    cloudflare.steps();
    ann.call_token(room).await;
    assert_eq!(asks(), [Step::RefreshToken], "of the place where nobody sits");
    ann.call_token(room).await;
    assert_eq!(asks(), [Step::AddParticipant], "of the one where it sits nobody else gets a token");
}

#[tokio::test]
async fn a_place_that_is_gone_is_given_anew() {
    let kit = Kit::new().await;
    let Kit { cloudflare, server, owner, room } = &kit;
    let ann = owner.session("Ann").await;
    ann.call_token(room).await;
    server.clock.advance(Duration::from_hours(1));
    let gone = json!({ "success": false, "error": { "code": 404 } }).to_string();
    cloudflare.fail(Step::RefreshToken, Fault::Says(404, gone));
    cloudflare.steps();
    assert!(cloudflare.enter(&ann.call_token(room).await));
    assert_eq!(tokens_asked_for(cloudflare), [Step::RefreshToken, Step::AddParticipant]);
    // It is kept as the new one, which can be thrown out.
    ann.delete("/api/session").await.expect(204);
    server.tend(Duration::ZERO).await;
    let [meeting] = cloudflare.live_meetings().try_into().unwrap();
    assert!(cloudflare.present(&meeting).is_empty() && cloudflare.presets_in_use(&meeting).len() == 1);
}
