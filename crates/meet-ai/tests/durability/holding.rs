//! One server for one directory and for one database: the second is told so and leaves, and what only
//! looks or copies may run beside.

use crate::{chance::skip, on_both, place::Place, server::soon};

on_both!(the_commands_beside_a_server_are_let_in_and_a_second_server_is_not);

async fn the_commands_beside_a_server_are_let_in_and_a_second_server_is_not(place: Place) {
    let server = place.serve().await;
    let key = place.key_of(&server.url);
    let said = place.refused(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("another meet-ai") && said.contains("--data-dir"), "{said}");
    let link = place.ok(&["owner-link"]).await;
    assert!(link.starts_with(&server.url), "{link}");
    place.ok(&["doctor"]).await;
    place.ok(&["backup", place.file("copy.backup").to_str().unwrap()]).await;
    let room = server.caller(&key).new_room("still here").await;
    server.caller(&key).say(&room, "scout", "hello", "one").await.unwrap().expect(201);
    server.kill().await;
    // What a killed process held is free at once.
    place.serve().await.stop().await;
}

#[tokio::test]
async fn two_servers_never_share_a_postgres() {
    let Some(place) = on_postgres().await else { return };
    let elsewhere = place.beside();
    let server = place.serve().await;
    let key = place.key_of(&server.url);
    let room = server.caller(&key).new_room("one").await;
    let backup = place.file("copy.backup");
    elsewhere.ok(&["backup", backup.to_str().unwrap()]).await;
    for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["restore", backup.to_str().unwrap()]] {
        let said = elsewhere.refused(args).await;
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("another meet-ai") && said.contains("MEET_AI_DATABASE_URL"), "{said}");
        assert!(!said.contains("postgres://"), "{said}");
    }
    elsewhere.ok(&["owner-link"]).await;
    server.kill().await;
    let successor = elsewhere.serve().await;
    successor.caller(&key).say(&room, "scout", "hello", "one").await.unwrap().expect(201);
    successor.stop().await;
}

#[tokio::test]
async fn a_server_whose_database_was_taken_over_stops_serving() {
    let Some(place) = on_postgres().await else { return };
    let elsewhere = place.beside();
    let server = place.serve().await;
    let key = place.key_of(&server.url);
    let room = server.caller(&key).new_room("one").await;
    // As after a broken line: the database no longer sees whoever held it, and somebody else comes.
    let successor = loop {
        place.end_holders().await;
        let command = elsewhere.command(&["serve", "--listen", "127.0.0.1:0"]);
        if let Ok(successor) = crate::server::Server::start(command).await {
            break successor;
        }
        server.caller(&key).say(&room, "scout", "held again", "one").await.unwrap().expect(201);
    };
    let ended = soon("the first server to leave", server.end()).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.said);
    assert!(ended.said.contains("another meet-ai"), "{}", ended.said);
    successor.caller(&key).say(&room, "scout", "hello", "two").await.unwrap().expect(201);
    successor.stop().await;
}

/// A place on Postgres, if there is one.
async fn on_postgres() -> Option<Place> {
    match std::env::var("MEET_AI_TEST_POSTGRES") {
        Ok(server) if !server.is_empty() => Some(Place::postgres(&server).await),
        _ => {
            skip("MEET_AI_TEST_POSTGRES is not set");
            None
        }
    }
}
