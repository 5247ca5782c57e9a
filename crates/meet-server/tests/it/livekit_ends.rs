//! Calls that LiveKit carries, when a right ends: whoever had it is put out, also when it comes back by a token of
//! before, and nobody else is.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    Caller, Setup,
    calls::{Scene, by_livekit},
    databases,
    livekit::{Fault, Refusal},
};

/// A quarter of an hour, after which no token of before holds.
const LATER: Duration = Duration::from_mins(15);

/// By what somebody loses the right to be in the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The tenant's key is another one now.
    Rotated,
    /// It signed out.
    SignedOut,
    /// Its invite was revoked.
    Revoked,
    /// The room's time is over.
    Expired,
    /// The room was deleted.
    Deleted,
    /// The key was deleted, and all with it.
    KeyDeleted,
}

/// Who is in the calls.
struct People {
    /// A session of the key.
    ann: Caller,
    /// Another one.
    bob: Caller,
    /// A guest by an invite.
    gil: Caller,
    /// The invite of the guest.
    invite: String,
}

impl People {
    async fn of(scene: &Scene) -> Self {
        let Scene { owner, room, .. } = scene;
        let path = format!("/api/rooms/{room}/invites");
        let invite = owner.post_json(&path, json!({ "role": "member" })).await.expect(201);
        let body = json!({ "invite": invite["token"], "name": "Gil" });
        let guest = owner.stranger().post_json("/api/session", body).await.expect(201);
        let gil = owner.stranger().with_token(guest["token"].as_str().unwrap());
        let invite = invite["id"].as_str().unwrap().to_owned();
        Self { ann: owner.session("Ann").await, bob: owner.session("Bob").await, gil, invite }
    }

    /// Brings an end about.
    async fn end(&self, scene: &Scene, end: End) {
        let Scene { owner, room, server, .. } = scene;
        match end {
            End::Rotated => drop(owner.post("/api/keys/rotate", "").await.expect(201)),
            End::SignedOut => drop(self.ann.delete("/api/session").await.expect(204)),
            End::Revoked => drop(owner.delete(&format!("/api/invites/{}", self.invite)).await.expect(204)),
            End::Expired => {
                let body = json!({ "expires_in": 30 });
                owner.patch(&format!("/api/rooms/{room}"), body).await.expect(200);
                server.clock.advance(Duration::from_secs(30));
            }
            End::Deleted => drop(owner.delete(&format!("/api/rooms/{room}")).await.expect(204)),
            End::KeyDeleted => drop(owner.delete("/api/keys").await.expect(204)),
        }
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// Has everybody come again by the token of before, which LiveKit takes for as long as it holds, and asserts that only
/// those stay who may.
async fn come_back(scene: &Scene, tokens: &[String], stay: &[&str], why: &str) {
    let Scene { server, livekit, .. } = scene;
    for is_told in [true, false] {
        for token in tokens {
            assert_ne!(livekit.join(token).err(), Some(Refusal::Revoked));
        }
        assert_eq!(sorted(scene.there()), ["Ann", "Bob", "Gil", "Key"], "{why}");
        if is_told {
            scene.told().await;
        }
        while livekit.webhook().is_some() {}
        server.tend(Duration::from_secs(10)).await;
        server.tend(Duration::ZERO).await;
        // A room that is gone is looked at no more by itself: a webhook has to tell.
        if is_told || !stay.is_empty() {
            assert_eq!(sorted(scene.there()), stay, "{why}, told: {is_told}");
        }
        while livekit.webhook().is_some() {}
    }
    // No token of before holds any more, and whoever still is there by one is put out unasked.
    for _ in 0..2 {
        server.tend(LATER).await;
    }
    assert_eq!(sorted(scene.there()), stay, "{why}");
}

#[tokio::test]
async fn whoever_loses_its_right_is_put_out_and_nobody_else() {
    let rows: [(End, &[&str]); 6] = [
        (End::Rotated, &[]),
        (End::SignedOut, &["Bob", "Gil", "Key"]),
        (End::Revoked, &["Ann", "Bob", "Key"]),
        (End::Expired, &[]),
        (End::Deleted, &[]),
        (End::KeyDeleted, &[]),
    ];
    for (end, stay) in rows {
        for database in databases().await {
            let scene = Scene::on(database).await;
            let Scene { owner, room, server, livekit } = &scene;
            let people = People::of(&scene).await;
            let bare = owner.clone().with_header("x-meet-name", "Key");
            let mut tokens = Vec::new();
            for caller in [&people.ann, &people.bob, &people.gil, &bare] {
                tokens.push(caller.call_token(room).await);
                livekit.join(tokens.last().unwrap()).unwrap();
            }
            let other = server.new_tenant().await;
            let elsewhere = other.room("planning").await;
            livekit.join(&other.session("Ann").await.call_token(&elsewhere).await).unwrap();
            scene.told().await;

            people.end(&scene, end).await;
            server.tend(Duration::ZERO).await;
            assert_eq!(sorted(scene.there()), stay, "{end:?}");
            scene.told().await;
            come_back(&scene, &tokens, stay, &format!("{end:?}")).await;
            assert_eq!(livekit.participants(&elsewhere).len(), 1, "{end:?}: another tenant's call goes on");
            assert_eq!(other.names_in_call(&elsewhere).await, ["Ann"]);
            if !stay.is_empty() {
                assert_eq!(sorted(owner.names_in_call(room).await), stay, "{end:?}");
            }
        }
    }
}

#[tokio::test]
async fn where_livekit_can_revoke_tokens_nobody_comes_back() {
    let scene = Scene::new().await;
    let Scene { owner, room, server, livekit } = &scene;
    livekit.revoke_tokens();
    let ann = owner.session("Ann").await;
    let token = ann.call_token(room).await;
    livekit.join(&token).unwrap();
    ann.delete("/api/session").await.expect(204);
    server.tend(Duration::ZERO).await;
    assert_eq!(livekit.join(&token).err(), Some(Refusal::Revoked));
    // The same person with a new session is let in at once.
    livekit.join(&owner.session("Ann").await.call_token(room).await).unwrap();
}

#[tokio::test]
async fn a_token_that_never_was_used_is_no_way_in_after_the_end_of_its_session() {
    let scene = Scene::new().await;
    let Scene { owner, room, server, livekit } = &scene;
    let ann = owner.session("Ann").await;
    let token = ann.call_token(room).await;
    ann.delete("/api/session").await.expect(204);
    server.tend(Duration::ZERO).await;
    livekit.join(&token).unwrap();
    scene.told().await;
    assert!(owner.participants(room).await.is_empty(), "nobody is shown who has no right");
    server.tend(Duration::ZERO).await;
    assert!(scene.there().is_empty());
    server.tend(LATER).await;
    assert_eq!(livekit.join(&token).err(), Some(Refusal::Token));
    // Long after the end of the last token nothing of it is left to be done.
    server.tend(LATER).await;
    livekit.asked();
    server.tend(LATER).await;
    assert!(livekit.asked().iter().all(|asked| asked.method != "RemoveParticipant"));
}

#[tokio::test]
async fn what_livekit_fails_at_is_done_later() {
    let faults = || {
        [
            Fault::Refused(StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"),
            Fault::Refused(StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Fault::Refused(StatusCode::UNAUTHORIZED, "unauthenticated"),
            Fault::Page(StatusCode::NOT_FOUND),
            Fault::Junk("junk"),
            Fault::Cut,
        ]
    };
    let (first, second) = (faults(), faults());
    for (removing, closing) in first.into_iter().zip(second) {
        let scene = Scene::new().await;
        let Scene { owner, room, server, livekit } = &scene;
        let (ann, bob) = (owner.session("Ann").await, owner.session("Bob").await);
        for caller in [&ann, &bob] {
            livekit.join(&caller.call_token(room).await).unwrap();
        }
        scene.told().await;
        livekit.fail(removing);
        ann.delete("/api/session").await.expect(204);
        for _ in 0..3 {
            server.tend(Duration::from_mins(1)).await;
        }
        assert_eq!(scene.there(), ["Bob"]);
        livekit.fail(closing);
        owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
        for _ in 0..3 {
            server.tend(Duration::from_mins(1)).await;
        }
        assert!(livekit.rooms().is_empty());
    }
}

#[tokio::test]
async fn without_livekit_nobody_gets_a_token_and_with_it_everybody_again() {
    let scene = Scene::new().await;
    let Scene { owner, room, server, livekit } = &scene;
    let ann = owner.session("Ann").await;
    for fault in [
        Fault::Refused(StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"),
        Fault::Refused(StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        Fault::Refused(StatusCode::UNAUTHORIZED, "unauthenticated"),
        Fault::Page(StatusCode::NOT_FOUND),
        Fault::Junk("{\"name\": \"another\"}"),
        Fault::Junk("junk"),
        Fault::Cut,
    ] {
        let shown = format!("{fault:?}");
        livekit.fail(fault);
        let answer = ann.ask_for_call(room).await;
        assert_eq!(answer.refusal(502), "provider_failed", "{shown}");
        assert!(answer.json().get("token").is_none());
        livekit.join(&ann.call_token(room).await).unwrap();
        owner.enter(&shown, "Eve").await.expect(200);
    }
    let before = livekit.rooms().len();
    for fault in [Fault::Junk("junk"), Fault::Cut] {
        livekit.fail(fault);
        assert_eq!(owner.enter("half made", "Eve").await.refusal(502), "provider_failed");
        server.tend(Duration::from_mins(1)).await;
        assert_eq!(livekit.rooms().len(), before, "what may have been opened is closed");
    }
    owner.enter("half made", "Eve").await.expect(200);
}

#[tokio::test]
async fn after_a_restart_whoever_lost_its_right_meanwhile_is_still_put_out() {
    let Scene { owner, room, server, livekit } = Scene::new().await;
    let (ann, bob) = (owner.session("Ann").await, owner.session("Bob").await);
    let (token, there) = (ann.call_token(&room).await, bob.call_token(&room).await);
    livekit.join(&token).unwrap();
    livekit.join(&there).unwrap();
    livekit.fail(Fault::Refused(StatusCode::INTERNAL_SERVER_ERROR, "internal"));
    ann.delete("/api/session").await.expect(204);
    let (clock, database) = (server.clock.clone(), server.stop().await);
    let mut setup = Setup::on(database).with(by_livekit(&livekit));
    setup.clock = clock;
    let server = setup.start().await;
    server.tend(Duration::from_mins(1)).await;
    let names: Vec<Value> = livekit.participants(&room).into_iter().map(|there| json!(there.name)).collect();
    assert_eq!(names, ["Bob"]);
    livekit.join(&token).unwrap();
    assert!(server.hear_all(&livekit).await.iter().all(|status| *status == 204));
    server.tend(Duration::ZERO).await;
    assert_eq!(livekit.participants(&room).len(), 1);
}
