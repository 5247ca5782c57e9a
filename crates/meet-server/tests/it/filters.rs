//! `exclude` and `mentions`: the same on every transport, and a reader always knows where it stands.

use futures_util::future::join_all;
use meet_api::Message;
use serde_json::json;

use crate::support::{Caller, Reader, Server, Setup, databases, eventually, soon};

/// What a room holds for these tests; gives the log.
async fn talk(owner: &Caller, room: &str) -> Vec<Message> {
    let mut log = Vec::new();
    for (sender, content) in [
        ("Ann", "hello everyone"),
        ("Ann Lee", "@bob look"),
        ("bob", "@ann lee yes, and mail me at bob@ann"),
        ("ANN", "(@Bob!)"),
        ("zoë", "@Bobby is somebody else"),
        ("Bobby", "@ann @bob"),
    ] {
        log.push(owner.say(room, sender, content).await);
    }
    log
}

#[tokio::test]
async fn a_filter_leaves_out_the_same_on_every_transport() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        // So that the names are known from the beginning.
        talk(&owner, &room).await;
        for (query, wanted) in [
            ("exclude=ann", vec![2, 3, 5, 6]),
            ("exclude=ANN%20LEE", vec![1, 3, 4, 5, 6]),
            ("mentions=bob", vec![2, 4, 6]),
            ("mentions=Ann", vec![6]),
            ("mentions=ann%20lee", vec![3]),
            ("mentions=bob&exclude=bobby", vec![2, 4]),
            ("mentions=zo%C3%AB", vec![]),
            ("for=bob", vec![1, 2, 4, 6]),
            ("for=ann", vec![6]),
            ("for=zo%C3%AB", vec![1]),
            ("for=nobody-yet&exclude=ann", vec![]),
        ] {
            let place = owner.room("another").await;
            let socket = owner.socket(&place, &format!("?since=0&{query}")).await;
            let plain = owner.socket(&place, &format!("?{query}")).await;
            let stream = owner.stream(&format!("/api/rooms/{place}/events?since=0&{query}")).await;
            let log = talk(&owner, &place).await;
            let wanted: Vec<_> = log.iter().filter(|message| wanted.contains(&message.seq)).cloned().collect();
            assert_eq!(owner.messages(&place, &format!("?{query}")).await, wanted, "{query}");
            let again = owner.socket(&place, &format!("?since=0&{query}")).await;
            for mut reader in [socket, plain, again].map(Reader::from).into_iter().chain([Reader::from(stream)]) {
                for message in &wanted {
                    assert_eq!(reader.message().await, *message, "{query}");
                }
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_filtered_long_poll_waits_on_when_something_else_is_said() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let (caller, path) = (owner.clone(), format!("/api/rooms/{room}/messages?wait=60&mentions=bob"));
    let poll = tokio::task::spawn(async move { caller.get(&path).await });
    eventually("the poll to wait", || server.app.hub().connections() == 1).await;
    for n in 0..20 {
        owner.say(&room, "ann", &format!("number {n}")).await;
    }
    let said = owner.say(&room, "ann", "@bob").await;
    assert_eq!(soon("the poll", poll).await.unwrap().expect(200), json!([said]));
}

#[tokio::test]
async fn a_filtered_reader_is_told_where_it_stands_after_five_hundred_left_out() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let socket = owner.socket(&room, "?since=0&mentions=bob").await;
        let stream = owner.stream(&format!("/api/rooms/{room}/events?since=0&mentions=bob")).await;
        let mut plain = owner.socket(&room, "?mentions=bob").await;
        let mut readers = [Reader::from(socket), Reader::from(stream)];
        for reader in &mut readers {
            reader.expect("hello").await;
        }
        let contents: Vec<_> = (0..550).map(|n| format!("number {n}")).collect();
        join_all(contents.iter().map(|content| owner.say(&room, "ann", content))).await;
        for reader in &mut readers {
            let event = reader.next().await;
            assert_eq!(event.name, "position");
            let seq = event.data["seq"].as_u64().unwrap();
            assert!((500..=550).contains(&seq), "{seq}");
            if let Reader::Stream(_) = reader {
                assert_eq!(event.id, Some(seq.to_string()));
            }
        }
        let said = owner.say(&room, "ann", "@bob").await;
        assert_eq!(plain.next().await.unwrap(), json!(said), "without a cursor come messages only");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_filtered_reader_of_a_busy_room_comes_back_without_a_resync() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let query = "mentions=bob";
        let mut socket = owner.socket(&room, &format!("?since=0&{query}")).await;
        let mut events = owner.stream(&format!("/api/rooms/{room}/events?since=0&{query}")).await;
        socket.expect("hello").await;
        // One heard message after each lot has the readers look into the store.
        for _ in 0..4 {
            server.store_unheard(&owner, &room, "scribe", 4_999).await;
            owner.say(&room, "ann", "nothing for Bob").await;
        }
        let (mut by_socket, mut by_event) = (0, String::new());
        while by_socket < 19_500 {
            by_socket = socket.expect("position").await["seq"].as_u64().unwrap();
        }
        while by_event.parse::<u64>().unwrap_or(0) < 19_500 {
            by_event = events.expect("position").await.id.unwrap();
        }
        drop((socket, events));
        let said = owner.say(&room, "ann", "@bob, at last").await;
        let socket = owner.socket(&room, &format!("?since={by_socket}&{query}")).await;
        let resuming = owner.clone().with_header("last-event-id", &by_event);
        let stream = resuming.stream(&format!("/api/rooms/{room}/events?since=0&{query}")).await;
        for mut reader in [Reader::from(socket), Reader::from(stream)] {
            reader.expect("hello").await;
            assert_eq!(reader.message().await, said);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn whoever_filters_by_a_name_is_not_sent_its_own_words() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let scout = owner.guest(&room, "scout", "agent").await;
    let path = format!("/api/rooms/{room}/messages");
    scout.post_json(&path, json!({ "content": "I am @scout, and this is for everyone" })).await.expect(201);
    owner.say(&room, "Ann", "welcome").await;
    owner.say(&room, "Ann", "@scout?").await;
    let seqs = async |caller: &Caller, query: &str| {
        caller.messages(&room, query).await.iter().map(|message| message.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(&scout, "?mentions=scout").await, [3]);
    assert_eq!(seqs(&scout, "?for=scout").await, [2, 3]);
    assert_eq!(seqs(&scout, "?for=ann").await, [2], "by user, whatever the name that it filters by");
    assert_eq!(seqs(&owner, "?for=scout").await, [2, 3], "a key speaks for all of its names");
    let both = owner.get(&format!("{path}?for=scout&mentions=ann")).await;
    assert_eq!(both.refusal(400), "invalid_request");
}

#[tokio::test]
async fn a_reader_that_filters_knows_of_names_that_come_later() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let mut socket = owner.socket(&room, "?since=0&for=scout&name=scout&kind=agent").await;
    socket.expect("hello").await;
    owner.say(&room, "Ann", "@newcomer, are you there?").await;
    assert_eq!(socket.message().await.seq, 1, "nobody has that name yet");
    owner.say(&room, "newcomer", "I am").await;
    assert_eq!(socket.message().await.seq, 2);
    owner.say(&room, "Ann", "@newcomer, good").await;
    owner.say(&room, "Ann", "@scout, too").await;
    assert_eq!(socket.message().await.seq, 4);
}
