//! Copied under load: a backup made beside a running server is a moment of it, whole.

use std::path::Path;

use serde_json::{Value, json};
use tokio::{sync::mpsc::unbounded_channel, task::JoinSet};

use crate::{
    chance::Chance,
    load::{Moment, Writer, judge},
    on_both,
    place::Place,
    server::soon,
};

on_both!(a_backup_made_under_load_restores_to_a_moment_of_the_server);

async fn a_backup_made_under_load_restores_to_a_moment_of_the_server(place: Place) {
    let mut chance = Chance::of("backed up under load");
    let server = place.serve().await;
    let key = place.key_of(&server.url);
    let caller = server.caller(&key);
    let rooms = [caller.new_room("one").await, caller.new_room("two").await];
    let signed_in = caller.post("/api/session", &json!({ "key": key, "name": "Ann" })).await.unwrap().expect(201);
    let session = signed_in["token"].as_str().unwrap();
    let epochs = [caller.history(&rooms[0]).await.2, caller.history(&rooms[1]).await.2];
    let (tell, mut moments) = unbounded_channel();
    // These are done before the backup begins: it must have all of theirs.
    let before = Writer::several(1, &rooms, &mut chance).pop().unwrap();
    let before = before.write_some(&caller, 50).await;
    let mut writing: JoinSet<_> = Writer::several(9, &rooms, &mut chance)
        .into_iter()
        .map(|writer| writer.named("other").write(caller.clone(), tell.clone()))
        .collect();
    let mut acknowledged = 0;
    while acknowledged < 50 {
        acknowledged += u32::from(soon("the load", moments.recv()).await == Some(Moment::Acknowledged));
    }
    let file = place.file("copy.backup");
    place.ok(&["backup", file.to_str().unwrap()]).await;
    server.kill().await;
    while let Some(writer) = soon("a writer to notice", writing.join_next()).await {
        writer.unwrap();
    }
    let original = place.serve().await;
    let whole = histories(&original.caller(&key), &rooms).await;
    original.stop().await;

    let restored = place.another().await;
    restored.ok(&["restore", file.to_str().unwrap()]).await;
    assert_restored(&restored, &file).await;
    let server = restored.serve().await;
    assert!(server.owner_link.is_none(), "a restored copy has its owner");
    let caller = server.caller(&key);
    for ((room, epoch), whole) in rooms.iter().zip(epochs).zip(whole) {
        let (history, head, new_epoch) = caller.history(room).await;
        judge(room, &history, head, std::slice::from_ref(&before));
        assert!(whole.starts_with(&history), "the copy is not a beginning of the original");
        assert_ne!(new_epoch, epoch, "old cursors must not be believed");
        let refused = caller.get(&format!("/api/rooms/{room}/messages?after_seq=1&epoch={epoch}")).await.unwrap();
        assert_eq!((refused.status, refused.code()), (400, "unknown_cursor"));
        let said = caller.say(room, "scout", "life goes on", "again").await.unwrap().expect(201);
        assert_eq!(said["seq"].as_u64(), Some(head + 1));
    }
    before.is_found(&caller).await;
    let ended = server.caller(session).get("/api/session").await.unwrap();
    assert_eq!((ended.status, ended.code()), (401, "invalid_key"));
    server.stop().await;
}

/// What was said in each of the rooms.
async fn histories(caller: &crate::caller::Caller, rooms: &[String]) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for room in rooms {
        all.push(caller.history(room).await.0);
    }
    all
}

/// A second restore is refused, as the database is not empty any more.
async fn assert_restored(place: &Place, file: &Path) {
    let said = place.refused(&["restore", file.to_str().unwrap()]).await;
    assert!(said.contains("not empty"), "{said}");
}
