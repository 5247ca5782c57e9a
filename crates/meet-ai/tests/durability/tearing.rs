//! Killed in the midst of the very first start: whatever was half done, the next start makes a whole
//! server of it, with one operator, one welcome room and a key that works.

use rustix::process::Signal;

use crate::{
    chance::{Chance, soaks},
    on_both,
    place::Place,
    server::Server,
    trace::can_trace,
};

on_both!(a_first_start_that_is_killed_anywhere_is_finished_by_the_next);

/// Calls of the system at which something of a first start becomes visible, and how many of each are
/// worth a try.
const MOMENTS: [(&str, u64); 8] = [
    ("openat", 60),
    ("pwrite64", 120),
    ("fsync,fdatasync", 24),
    ("ftruncate", 4),
    ("write", 20),
    ("sendto,writev", 60),
    ("rename", 1),
    ("mkdir,chmod,fchmod,flock", 6),
];

async fn a_first_start_that_is_killed_anywhere_is_finished_by_the_next(place: Place) {
    if !can_trace() {
        return;
    }
    let mut chance = Chance::of("torn first starts");
    for _ in 0..if soaks() { 400 } else { 16 } {
        let (calls, most) = *chance.one_of(&MOMENTS);
        let place = place.another().await;
        let number = 1 + chance.below(most);
        tear(&place, calls, number).await;
        whole(&place, &format!("killed at {calls} number {number}")).await;
    }
}

/// Starts the server and has it killed at a call of the system, or once it is there.
async fn tear(place: &Place, calls: &str, number: u64) {
    let mut command = place.program("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:signal=KILL:when={number}")]);
    command.arg(env!("CARGO_BIN_EXE_meet-ai")).args(["serve", "--listen", "127.0.0.1:0"]);
    match Server::start(command).await {
        Ok(server) => {
            place.signal_holder(Signal::KILL);
            server.end().await;
        }
        Err(ended) => assert!(!ended.said.contains("panicked"), "{}", ended.said),
    }
}

/// Starts the server again and looks whether everything of a first start is there, once.
async fn whole(place: &Place, moment: &str) {
    let started = Server::start(place.command(&["serve", "--listen", "127.0.0.1:0"])).await;
    let server = started.unwrap_or_else(|ended| panic!("{moment}: no start afterwards: {ended:?}"));
    let key = place.key_of(&server.url);
    let caller = server.caller(&key);
    let rooms = caller.get("/api/rooms").await.unwrap().expect(200);
    assert_eq!((rooms.as_array().unwrap().len(), &rooms[0]["name"]), (1, &"welcome".into()), "{moment}: {rooms}");
    let (history, head, _) = caller.history(rooms[0]["id"].as_str().unwrap()).await;
    assert!(head == 7 && history.len() == 7, "{moment}: the welcome is cut off at {head}");
    server.stop().await;
    assert_eq!(place.count("SELECT COUNT(*) FROM api_keys").await, 1, "{moment}: operators");
    assert_eq!(place.count("SELECT COUNT(*) FROM rooms").await, 1, "{moment}: rooms");
    let server = place.serve().await;
    assert!(server.owner_link.is_none(), "{moment}: the first start does not end");
    server.caller(&key).get("/api/keys").await.unwrap().expect(200);
    server.kill().await;
}
