//! Killed under load, again and again: nothing that was acknowledged is lost, doubled or moved.

use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
};

use crate::{
    chance::{Chance, soaks},
    load::{Moment, Reader, Writer, judge_all},
    on_both,
    place::Place,
    server::{Server, soon},
};

on_both!(a_server_that_is_killed_twenty_times_keeps_what_it_acknowledged);

async fn a_server_that_is_killed_twenty_times_keeps_what_it_acknowledged(place: Place) {
    let mut chance = Chance::of("killed under load");
    let server = place.serve().await;
    let key = place.key_of(&server.url);
    let rooms = [server.caller(&key).new_room("one").await, server.caller(&key).new_room("two").await];
    server.kill().await;
    let mut writers = Writer::several(10, &rooms, &mut chance);
    let mut readers: Vec<_> = rooms.iter().map(|room| Reader::of(room)).collect();
    for _ in 0..if soaks() { 1000 } else { 20 } {
        let server = place.serve().await;
        (writers, readers) = round(server, &key, writers, readers, 1 + chance.below(200)).await;
    }
    let server = place.serve().await;
    Box::pin(judge_all(&server.caller(&key), &mut writers, &mut readers)).await;
    let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged.len()).sum();
    assert!(acknowledged > 100, "too little load to tell anything: {acknowledged}");
    println!("{acknowledged} messages were acknowledged");
    server.stop().await;
}

/// Loads a server until so many moments have passed, kills it, and gives everybody back.
async fn round(
    server: Server,
    key: &str,
    writers: Vec<Writer>,
    readers: Vec<Reader>,
    moments: u64,
) -> (Vec<Writer>, Vec<Reader>) {
    let caller = server.caller(key);
    let (tell, mut heard) = unbounded_channel();
    let mut reading: JoinSet<_> = readers.into_iter().map(|reader| reader.read(caller.clone())).collect();
    let mut writing: JoinSet<_> =
        writers.into_iter().map(|writer| writer.write(caller.clone(), tell.clone())).collect();
    pass(&mut heard, moments).await;
    server.kill().await;
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    while let Some(writer) = soon("a writer to notice", writing.join_next()).await {
        writers.push(writer.unwrap());
    }
    while let Some(reader) = soon("a reader to notice", reading.join_next()).await {
        readers.push(reader.unwrap());
    }
    (writers, readers)
}

/// Lets so many moments pass.
async fn pass(heard: &mut UnboundedReceiver<Moment>, moments: u64) {
    for _ in 0..moments {
        soon("the load", heard.recv()).await.expect("writers write");
    }
}
