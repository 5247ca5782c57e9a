//! The product's main story on both databases: a key, a room, a message, and everyone sees it once and in order.

use serde_json::json;

use crate::support::{Setup, databases};

#[tokio::test]
async fn what_is_said_over_any_door_arrives_at_every_door_in_one_order() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let mut socket = owner.socket(&room, "?since=0&name=ann").await;
        let mut events = owner.stream(&format!("/api/rooms/{room}/events?since=0")).await;
        socket.expect("hello").await;
        assert_eq!(events.expect("hello").await.data["head_seq"], 0);

        owner.say(&room, "ann", "by post").await;
        socket.send(json!({"type": "message", "content": "by socket", "client_id": "c1"})).await;
        let last = owner.say(&room, "bob", "by post again").await;
        let guest = owner.invite(&room, "member", "Gil").await;
        let body = json!({"content": "as a guest"});
        guest.post_json(&format!("/api/rooms/{room}/messages"), body).await.expect(201);

        let stored = owner.messages(&room, "").await;
        assert_eq!(stored.iter().map(|message| message.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(stored.contains(&last));
        for message in &stored {
            assert_eq!(socket.message().await, *message);
            let event = events.expect("message").await;
            assert_eq!(event.id, Some(message.seq.to_string()));
            assert_eq!(event.data, serde_json::to_value(message).unwrap());
        }
        assert_eq!(guest.messages(&room, "?after_seq=3").await, stored[3..]);
        server.stop().await;
    }
}
