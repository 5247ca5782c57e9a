//! A server that was put back from a backup: nobody misses a message, nobody comes in by what had ended.

use meet_server::backup::{backup, restore};
use serde_json::{Value, json};

use crate::support::{Caller, Setup, databases};

async fn talk(caller: &Caller, room: &str, count: usize, what: &str) {
    for n in 0..count {
        caller.say(room, "ann", &format!("{what} {n}")).await;
    }
}

/// Reads a room of which 300 messages were kept, while 300 more are said, as one who had seen 500 of it.
async fn read_on_from_500(owner: &Caller, room: &str, old_epoch: &str, epoch: &str) {
    // A cursor above the head, before and with the epoch that it belongs to.
    let path = format!("/api/rooms/{room}/messages");
    assert_eq!(owner.get(&format!("{path}?after_seq=500")).await.refusal(400), "unknown_cursor");
    talk(owner, room, 300, "new").await;
    for wait in ["", "&wait=30"] {
        let stale = owner.get(&format!("{path}?after_seq=500&epoch={old_epoch}{wait}")).await;
        assert_eq!(stale.refusal(400), "unknown_cursor");
    }
    let full: Vec<String> = owner.messages(room, "?limit=1000").await.into_iter().map(|m| m.content).collect();
    assert_eq!(full.len(), 600);
    assert!(!full.iter().any(|content| content.starts_with("lost")));
    let mut socket = owner.socket(room, &format!("?since=500&epoch={old_epoch}")).await;
    let resync = socket.expect("resync").await;
    assert_eq!((&resync["head_seq"], &resync["epoch"]), (&json!(600), &json!(epoch)));
    let mut events = owner.stream(&format!("/api/rooms/{room}/events?since=500&epoch={old_epoch}")).await;
    assert_eq!(events.expect("resync").await.data["epoch"], json!(epoch));
    let above = owner.clone().with_header("last-event-id", "5000");
    assert_eq!(above.stream(&format!("/api/rooms/{room}/events")).await.expect("resync").await.data["head_seq"], 600);
    let said = owner.say(room, "ann", "live").await;
    assert_eq!((socket.message().await, json!(said)), (said.clone(), events.expect("message").await.data));
}

#[tokio::test]
async fn a_reader_that_was_ahead_of_the_backup_ends_with_the_full_log_on_every_transport() {
    for database in databases().await {
        let restored = database.another().await;
        let file = database.directory().join("copy.db");
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        talk(&owner, &room, 300, "kept").await;
        backup(server.app.config(), &file).await.unwrap();
        talk(&owner, &room, 300, "lost").await;
        let session = owner.session("bob").await;
        let guest = owner.invite(&room, "member", "Gil").await;
        let invites = format!("/api/rooms/{room}/invites");
        let invite = owner.post_json(&invites, json!({ "role": "member" })).await.expect(201);
        let old_epoch =
            owner.get(&format!("/api/rooms/{room}")).await.expect(200)["epoch"].as_str().unwrap().to_owned();
        assert_eq!(owner.messages(&room, "?after_seq=499&limit=1").await[0].seq, 500);
        // The file lies beside the old database.
        let _old = server.stop().await;

        let setup = Setup::on(restored);
        let summary = restore(&setup.configured(), &file, &setup.clock).await.unwrap();
        assert_eq!(summary.messages, 300);
        let server = setup.start().await;
        assert_eq!(server.operator, None);
        let owner = server.stranger().with_token(owner.token());
        let shown = owner.get(&format!("/api/rooms/{room}")).await.expect(200);
        assert_eq!(shown["head_seq"], 300);
        let epoch = shown["epoch"].as_str().unwrap().to_owned();
        assert_ne!(epoch, old_epoch);

        read_on_from_500(&owner, &room, &old_epoch, &epoch).await;

        // What was signed in or invited is over; the key is not.
        for ended in [&session, &guest] {
            let ended = server.stranger().with_token(ended.token());
            assert_eq!(ended.get(&format!("/api/rooms/{room}/messages")).await.refusal(401), "invalid_key");
        }
        let body = json!({ "invite": invite["token"], "name": "late" });
        assert_eq!(server.stranger().post_json("/api/session", body).await.refusal(410), "expired");
        assert_eq!(owner.get(&invites).await.expect(200), json!([]));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_session_from_before_the_backup_ends_too_and_its_user_signs_in_again() {
    for database in databases().await {
        let restored = database.another().await;
        let file = database.directory().join("copy.db");
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let session = owner.session("bob").await;
        let user = session.get("/api/session").await.expect(200)["user"].clone();
        let invites = format!("/api/rooms/{room}/invites");
        let invite: Value = owner.post_json(&invites, json!({ "role": "member" })).await.expect(201);
        backup(server.app.config(), &file).await.unwrap();
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        for secret in [owner.token(), session.token(), invite["token"].as_str().unwrap()] {
            assert!(!text.contains(secret), "a backup holds no secret");
        }
        let _old = server.stop().await;
        let setup = Setup::on(restored);
        restore(&setup.configured(), &file, &setup.clock).await.unwrap();
        let server = setup.start().await;
        let (owner, session) =
            (server.stranger().with_token(owner.token()), server.stranger().with_token(session.token()));
        assert_eq!(session.get("/api/session").await.refusal(401), "invalid_key");
        let body = json!({ "invite": invite["token"], "name": "late" });
        assert_eq!(server.stranger().post_json("/api/session", body).await.refusal(410), "expired");
        assert_eq!(owner.session("bob").await.get("/api/session").await.expect(200)["user"], user);
    }
}
