//! Readers that take nothing of what they missed, and what they cost the server.

use crate::{caller::Stuck, on_both, place::Place, server::Server};

on_both!(two_hundred_readers_that_take_nothing_of_a_long_past_cost_little_memory);

/// How many readers, and how much each may cost the process: what is under way to it, with some room.
const STUCK: usize = 200;
const BYTES_EACH: u64 = 1024 * 1024;

async fn two_hundred_readers_that_take_nothing_of_a_long_past_cost_little_memory(place: Place) {
    let server = place.serve().await;
    let caller = server.caller(&place.key_of(&server.url));
    let room = caller.new_room("long").await;
    let long = "x".repeat(32_000);
    for n in 0..120 {
        caller.say(&room, "ann", &long, &format!("long {n}")).await.unwrap().expect(201);
    }
    let before = most_memory(&server);
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(Stuck::open(&caller, &room, 0).await);
    }
    for line in &stuck {
        line.is_written_to().await;
    }
    // The page that is to be caught up with takes 3 MB, and each of them would hold one of its own.
    let more = most_memory(&server) - before;
    assert!(more < STUCK as u64 * BYTES_EACH, "{STUCK} readers took {more} bytes");
    caller.get(&format!("/api/rooms/{room}")).await.unwrap().expect(200);
    server.stop().await;
}

/// The most memory that a server ever took, in bytes.
fn most_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
