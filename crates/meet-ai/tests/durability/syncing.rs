//! The sync before the acknowledgement. Killing a process cannot show it, as what it wrote lives on in
//! the system's memory; the order of its calls to the system can.

use std::{io::Write as _, net::TcpListener};

use serde_json::json;

use crate::{
    on_both,
    place::Place,
    server::Server,
    trace::{OPTIONS, can_trace, is_synced_before_the_answer, read},
};

const MARKER: &str = "marker5f21c9";
/// Tells the stand-in below how to commit.
const STAND_IN: &str = "DURABILITY_STAND_IN";

on_both!(doctor_reads_back_that_commits_are_synced);

#[tokio::test]
async fn a_message_is_synced_to_the_disk_before_it_is_acknowledged() {
    if !can_trace() {
        return;
    }
    let place = Place::sqlite();
    let trace = place.file("trace");
    let mut command = place.program("strace");
    command.args(OPTIONS).arg("-o").arg(&trace).arg(env!("CARGO_BIN_EXE_meet-ai"));
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let server = Server::start(command).await.unwrap();
    let caller = server.caller(&place.key_of(&server.url));
    let room = caller.new_room("traced").await;
    // Once the key's use is noted, nothing else is written than what is asked for here.
    while caller.get("/api/keys").await.unwrap().expect(200)["last_used"].is_null() {}
    caller.say(&room, "scout", "the user is known from here on", "first").await.unwrap().expect(201);
    caller.say(&room, "scout", MARKER, "second").await.unwrap().expect(201);
    place.signal_holder(rustix::process::Signal::TERM);
    let ended = server.end().await;
    assert!(ended.status.success(), "{ended:?}");
    is_synced_before_the_answer(&read(&trace), "/meet-ai.db-wal", MARKER).unwrap();
}

#[tokio::test]
async fn a_database_that_syncs_too_rarely_is_found_out() {
    if !can_trace() {
        return;
    }
    for (synchronous, is_innocent) in [("FULL", true), ("NORMAL", false), ("OFF", false)] {
        let place = Place::sqlite();
        let trace = place.file("trace");
        let mut command = place.program("strace");
        command.args(OPTIONS).arg("-o").arg(&trace).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "syncing::a_stand_in_for_the_server", "--ignored"]).env(STAND_IN, synchronous);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let verdict = is_synced_before_the_answer(&read(&trace), "/stand-in.db-wal", MARKER);
        assert_eq!(verdict.is_ok(), is_innocent, "{synchronous}: {verdict:?}");
    }
}

/// Stores a row and answers as the server does, with commits that are synced as it is told.
#[test]
#[ignore = "runs under strace, started by its neighbour"]
fn a_stand_in_for_the_server() {
    let Ok(synchronous) = std::env::var(STAND_IN) else { return };
    let database = rusqlite::Connection::open("stand-in.db").unwrap();
    database.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    database.pragma_update(None, "synchronous", synchronous).unwrap();
    database.execute_batch("CREATE TABLE messages (content TEXT)").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut answering, _) = listener.accept().unwrap();
    database.execute("INSERT INTO messages VALUES (?1)", [MARKER]).unwrap();
    answering.write_all(format!("HTTP/1.1 201 Created\r\n\r\n{}", json!({ "content": MARKER })).as_bytes()).unwrap();
}

async fn doctor_reads_back_that_commits_are_synced(place: Place) {
    let server = place.serve().await;
    let told = place.ok(&["doctor"]).await;
    let settings = match place.postgres {
        None => "sqlite answers (journal_mode=wal)",
        Some(_) => "postgres answers (fsync=on, synchronous_commit=on, full_page_writes=on)",
    };
    assert!(told.contains(settings), "{told}");
    server.stop().await;
}
