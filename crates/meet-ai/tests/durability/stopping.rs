//! Told to stop under load: in order, in time, and without losing anything.

use rustix::process::Signal;
use tokio::{sync::mpsc::unbounded_channel, task::JoinSet};

use crate::{
    chance::Chance,
    load::{Moment, Reader, Writer, judge_all},
    on_both,
    place::Place,
    server::soon,
};

on_both!(a_server_that_is_told_to_stop_under_load_finishes_what_it_took);

/// How long a server may take to stop, whatever it is doing.
const TIME_TO_STOP: std::time::Duration = std::time::Duration::from_secs(10);

async fn a_server_that_is_told_to_stop_under_load_finishes_what_it_took(place: Place) {
    let mut chance = Chance::of("stopped under load");
    let server = place.serve().await;
    let key = place.key_of(&server.url);
    let caller = server.caller(&key);
    let rooms = [caller.new_room("one").await, caller.new_room("two").await];
    let writers = Writer::several(10, &rooms, &mut chance);
    let (tell, mut moments) = unbounded_channel();
    let mut writing: JoinSet<_> =
        writers.into_iter().map(|writer| writer.write(caller.clone(), tell.clone())).collect();
    let mut reading: JoinSet<_> = rooms.iter().map(|room| Reader::of(room).read(caller.clone())).collect();
    let mut acknowledged = 0;
    while acknowledged < 100 {
        acknowledged += u32::from(soon("the load", moments.recv()).await == Some(Moment::Acknowledged));
    }
    server.signal(Signal::TERM);
    let ended = tokio::time::timeout(TIME_TO_STOP, server.end()).await.expect("the server stops in time");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.said);
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    while let Some(writer) = soon("a writer to notice", writing.join_next()).await {
        writers.push(writer.unwrap());
    }
    while let Some(reader) = soon("a reader to notice", reading.join_next()).await {
        let reader = reader.unwrap();
        assert_eq!(reader.closed, Some(1001), "sockets are told that the server goes away");
        readers.push(reader);
    }
    let server = place.serve().await;
    assert!(server.owner_link.is_none(), "a second start is no first one");
    Box::pin(judge_all(&server.caller(&key), &mut writers, &mut readers)).await;
    server.stop().await;
}
