//! Saying something: whose name it is under, what it answers, and what every transport shows of it.

use serde_json::{Value, json};

use crate::support::{Server, Setup, databases};

#[tokio::test]
async fn a_message_says_who_wrote_it_whatever_its_text_or_fields_claim() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let forged = json!({
            "sender": "ann", "content": "hi", "user": "01900000-0000-7000-8000-000000000001", "seq": 99,
            "id": "01900000-0000-7000-8000-000000000001", "created_at": "1999-01-01T00:00:00.000Z",
        });
        let said = owner.post_json(&format!("/api/rooms/{room}/messages"), forged).await.expect(201);
        assert_ne!(said["user"], "01900000-0000-7000-8000-000000000001");
        assert_ne!(said["id"], "01900000-0000-7000-8000-000000000001");
        assert_eq!(
            (&said["seq"], &said["sender_type"], &said["type"]),
            (&json!(1), &json!("human"), &json!("message"))
        );
        assert_eq!((&said["room_id"], &said["roomId"]), (&json!(room), &json!(room)));
        assert_ne!(said["created_at"], "1999-01-01T00:00:00.000Z");
    }
}

#[tokio::test]
async fn a_name_of_one_kind_is_one_user_over_every_door() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let by_post = owner.say(&room, "ann", "one").await;
        let session = owner.session("Ann").await;
        let path = format!("/api/rooms/{room}/messages");
        let by_session = session.post_json(&path, json!({ "content": "two" })).await.expect(201);
        assert_eq!(by_session["user"], json!(by_post.user));
        let mut socket = owner.socket(&room, "?name=ann").await;
        socket.send(json!({ "content": "three" })).await;
        assert_eq!(socket.message().await.user, by_post.user);
        let agent = json!({ "sender": "ann", "sender_type": "agent", "content": "four" });
        let by_agent = owner.post_json(&path, agent).await.expect(201);
        assert_ne!(by_agent["user"], json!(by_post.user));
        assert_eq!(by_agent["sender_type"], "agent");
    }
}

#[tokio::test]
async fn a_session_speaks_as_itself_by_post_and_by_frame() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        owner.say(&room, "boss", "I own this").await;
        let guest = owner.invite(&room, "member", "Gil").await;
        let session = owner.session("ann").await;
        let path = format!("/api/rooms/{room}/messages");
        for caller in [&guest, &session] {
            let mut socket = caller.socket(&room, "").await;
            for spoof in [
                json!({ "sender": "boss", "content": "send the money" }),
                json!({ "sender": "BOSS", "content": "send the money" }),
                json!({ "sender_type": "agent", "content": "send the money" }),
                json!({ "sender": "someone new", "content": "send the money" }),
            ] {
                assert_eq!(caller.post_json(&path, spoof.clone()).await.refusal(403), "forbidden", "{spoof}");
                socket.send(&spoof).await;
                assert_eq!(socket.expect("error").await["code"], "forbidden", "{spoof}");
            }
        }
        assert_eq!(owner.messages(&room, "").await.len(), 1);
        let own = guest.post_json(&path, json!({ "sender": "gil", "content": "me" })).await.expect(201);
        assert_eq!(own["sender"], "Gil", "its name is written as it signed in");
        // On the socket neither name nor kind of the URL changes who a session is.
        let mut socket = guest.socket(&room, "?name=boss&kind=agent").await;
        socket.send(json!({ "content": "still me" })).await;
        let heard = socket.message().await;
        assert_eq!(
            (heard.sender.as_str(), json!(heard.user), heard.sender_type.as_str()),
            ("Gil", own["user"].clone(), "human")
        );
    }
}

#[tokio::test]
async fn sender_and_content_are_required_of_a_key() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    for body in [
        json!({}),
        json!({ "sender": "ann" }),
        json!({ "content": "hi" }),
        json!({ "sender": "", "content": "" }),
        json!({ "sender": " ", "content": "hi" }),
        json!({ "sender": null, "content": null }),
    ] {
        let answer = owner.post_json(&format!("/api/rooms/{room}/messages"), body.clone()).await;
        assert_eq!(answer.refusal(400), "invalid_request", "{body}");
        assert_eq!(answer.json()["error"], "sender and content are required", "{body}");
    }
}

#[tokio::test]
async fn a_reply_answers_a_message_of_its_own_room_and_every_other_id_is_equally_unknown() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (owner, other) = (server.new_tenant().await, server.new_tenant().await);
        let (room, second) = (owner.room("planning").await, owner.room("second").await);
        let foreign_room = other.room("elsewhere").await;
        let first = owner.say(&room, "ann", "one").await;
        let in_second = owner.say(&second, "ann", "two").await;
        let foreign = other.say(&foreign_room, "bob", "three").await;
        let path = format!("/api/rooms/{room}/messages");
        let reply = |to: &str| json!({ "sender": "ann", "content": "yes", "reply_to": to });
        let answered = owner.post_json(&path, reply(&first.id.to_string())).await.expect(201);
        assert_eq!(answered["reply_to"], json!(first.id));
        let mut bodies = Vec::new();
        let mut socket = owner.socket(&room, "?name=ann").await;
        for to in [
            foreign.id.to_string(),
            in_second.id.to_string(),
            "01900000-0000-7000-8000-000000000001".to_owned(),
            "junk".to_owned(),
        ] {
            let refused = owner.post_json(&path, reply(&to)).await;
            assert_eq!(refused.refusal(400), "unknown_cursor", "{to}");
            bodies.push(refused.body);
            socket.send(reply(&to)).await;
            assert_eq!(socket.expect("error").await["code"], "unknown_cursor");
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        assert_eq!(owner.messages(&room, "").await.len(), 2);
    }
}

#[tokio::test]
async fn a_body_without_content_type_is_json_with_a_key_and_refused_with_a_cookie() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let path = format!("/api/rooms/{room}/messages");
    let body = json!({ "sender": "ann", "content": "hi" }).to_string();
    for content_type in
        [None, Some("application/x-www-form-urlencoded"), Some("text/plain"), Some("application/json; charset=utf-8")]
    {
        let caller = content_type.map_or(owner.clone(), |kind| owner.clone().with_header("content-type", kind));
        caller.post(&path, body.clone()).await.expect(201);
        let browser = owner.browser("ann").await;
        let caller = content_type.map_or(browser.clone(), |kind| browser.with_header("content-type", kind));
        let answer = caller.post(&path, body.clone()).await;
        if content_type.is_some_and(|kind| kind.starts_with("application/json")) {
            answer.expect(201);
        } else {
            assert_eq!(answer.refusal(415), "unsupported_media_type", "{content_type:?}");
        }
    }
}

#[tokio::test]
async fn a_stranger_in_a_public_room_reads_and_never_writes() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "open", "visibility": "public" })).await;
        owner.say(&room, "ann", "hello all").await;
        let path = format!("/api/rooms/{room}/messages");
        for caller in [server.new_tenant().await, server.operator(), server.new_tenant().await.session("eve").await] {
            assert_eq!(caller.messages(&room, "").await.len(), 1);
            let body = json!({ "sender": "eve", "content": "spam" });
            assert_eq!(caller.post_json(&path, body.clone()).await.refusal(403), "read_only");
            let mut socket = caller.socket(&room, "?name=eve").await;
            socket.send(&body).await;
            assert_eq!(socket.expect("error").await["code"], "read_only");
        }
        let nobody = server.stranger();
        assert_eq!(
            nobody.post_json(&path, json!({ "sender": "eve", "content": "spam" })).await.refusal(401),
            "missing_key"
        );
        let mut socket = nobody.socket(&room, "").await;
        socket.send(json!({ "sender": "eve", "content": "spam", "client_id": "c" })).await;
        let refusal = socket.expect("error").await;
        assert_eq!((&refusal["code"], &refusal["client_id"]), (&json!("read_only"), &json!("c")));
        assert_eq!(owner.messages(&room, "").await.len(), 1);
        assert_eq!(owner.get(&format!("/api/rooms/{room}")).await.expect(200)["head_seq"], Value::from(1));
    }
}
