//! Messages into rooms: order, batches, repeats, limits.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use meet_api::{MessageId, RoomId, Timestamp};
use meet_store::{AppendOutcome, Appender, Caps, MESSAGE_OVERHEAD, Page, Store, StoreError};

use crate::world::{HOUR, NOW, World, idempotency, stored};

crate::on_both!(
    concurrent_messages_take_every_seq_once_and_are_published_in_that_order,
    a_hundred_rooms_count_each_for_themselves,
    two_nodes_on_one_database_leave_no_gap,
    fifty_good_messages_do_not_suffer_from_bad_company,
    a_message_that_breaks_its_batch_fails_alone,
    a_hundred_repeats_make_one_message,
    the_same_key_with_another_body_is_a_conflict,
    a_key_is_forgotten_after_a_day_and_used_again,
    a_full_room_takes_no_more,
    a_used_up_quota_takes_no_more,
    a_reply_must_answer_a_message_of_the_room,
    an_expired_or_foreign_room_takes_nothing,
    dropping_the_caller_keeps_the_message,
    history_pages_both_ways,
    the_task_drains_its_queue_and_ends,
    a_closed_store_says_so,
);

async fn concurrent_messages_take_every_seq_once_and_are_published_in_that_order(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, published) = world.appender();
    let outcomes =
        join_all((0..1000).map(|n| appender.append(world.message(&owner, room, &format!("hello {n}"))))).await;
    let mut seqs: Vec<_> = outcomes.into_iter().map(|outcome| stored(outcome.unwrap()).seq).collect();
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(1..=1000));
    let published = published.all();
    assert!(published.iter().map(|one| one.message.seq).eq(1..=1000));
    assert!(published.iter().all(|one| one.tenant == owner.tenant));
    let log = world.log(owner.tenant, room).await;
    assert!(log.iter().eq(published.iter().map(|one| &*one.message)));
    assert_eq!(crate::world::head(&world.store, owner.tenant, room).await, Some((1000, "e1".into())));
}

async fn a_hundred_rooms_count_each_for_themselves(world: Arc<World>) {
    let owners = [world.owner().await, world.owner().await];
    let mut rooms = Vec::new();
    for n in 0..100 {
        rooms.push((n % 2, world.room(owners[n % 2].tenant).await));
    }
    let (appender, published) = world.appender();
    let messages = (0..2000).map(|n| {
        let (owner, room) = rooms[n * 7 % 100];
        appender.append(world.message(&owners[owner], room, "hi"))
    });
    for outcome in join_all(messages).await {
        stored(outcome.unwrap());
    }
    let mut seqs: BTreeMap<RoomId, Vec<u64>> = BTreeMap::new();
    for one in published.all() {
        seqs.entry(one.message.room_id).or_default().push(one.message.seq);
    }
    assert_eq!(seqs.len(), 100);
    for (owner, room) in rooms {
        assert!(seqs[&room].iter().copied().eq(1..=20));
        assert_eq!(world.log(owners[owner].tenant, room).await.len(), 20);
    }
}

async fn two_nodes_on_one_database_leave_no_gap(world: Arc<World>) {
    let owner = world.owner().await;
    let rooms = [world.room(owner.tenant).await, world.room(owner.tenant).await, world.room(owner.tenant).await];
    let other = World::open(world.location.clone(), tempfile::tempdir().unwrap()).await;
    let (here, _) = world.appender();
    let (there, _) = other.appender();
    let messages = (0..600).map(|n| {
        let appender = if n % 2 == 0 { &here } else { &there };
        appender.append(world.message(&owner, rooms[n % 3], "hi"))
    });
    for outcome in join_all(messages).await {
        stored(outcome.unwrap());
    }
    for room in rooms {
        assert!(world.log(owner.tenant, room).await.iter().map(|message| message.seq).eq(1..=200));
    }
    other.store.close().await;
}

async fn fifty_good_messages_do_not_suffer_from_bad_company(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let vanished = world.room(owner.tenant).await;
    let (appender, published) = world.appender();
    let mut first = world.message(&owner, room, "first");
    first.idempotency = Some(idempotency("one", 1));
    let first = stored(appender.append(first).await.unwrap());
    assert!(world.store.delete_room(owner.tenant, vanished, NOW).await.unwrap());

    let mut batch: Vec<_> = (0..50).map(|n| world.message(&owner, room, &format!("good {n}"))).collect();
    let mut repeat = world.message(&owner, room, "first");
    repeat.idempotency = Some(idempotency("one", 1));
    batch.insert(10, repeat);
    let mut conflict = world.message(&owner, room, "other");
    conflict.idempotency = Some(idempotency("one", 2));
    batch.insert(20, conflict);
    batch.insert(30, world.message(&owner, vanished, "nobody there"));
    let outcomes = join_all(batch.into_iter().map(|message| appender.append(message))).await;
    let mut good = 0;
    for (place, outcome) in outcomes.into_iter().enumerate() {
        match (place, outcome.unwrap()) {
            (10, outcome) => assert_eq!(outcome, AppendOutcome::Replayed(Arc::clone(&first))),
            (20, outcome) => assert_eq!(outcome, AppendOutcome::Conflict),
            (30, outcome) => assert_eq!(outcome, AppendOutcome::RoomGone),
            (_, outcome) => {
                good += 1;
                assert_eq!(stored(outcome).seq, 1 + good);
            }
        }
    }
    assert!(published.all().iter().map(|one| one.message.seq).eq(1..=51));
    assert!(world.log(owner.tenant, room).await.iter().map(|message| message.seq).eq(1..=51));
}

async fn a_message_that_breaks_its_batch_fails_alone(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, published) = world.appender();
    let taken = world.say(&appender, &owner, room, "first").await;
    let mut batch: Vec<_> = (0..10).map(|n| world.message(&owner, room, &format!("good {n}"))).collect();
    // An id that is there already: nothing checks it beforehand, the database itself refuses.
    batch[4].id = taken.id;
    let outcomes = join_all(batch.into_iter().map(|message| appender.append(message))).await;
    for (place, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Err(error) => assert!(place == 4 && matches!(error, StoreError::Internal { .. }), "{place}: {error}"),
            Ok(outcome) => drop(stored(outcome)),
        }
    }
    assert!(world.log(owner.tenant, room).await.iter().map(|message| message.seq).eq(1..=10));
    assert!(published.all().iter().map(|one| one.message.seq).eq(1..=10));
}

async fn a_hundred_repeats_make_one_message(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let other = World::open(world.location.clone(), tempfile::tempdir().unwrap()).await;
    let (here, ours) = world.appender();
    let (there, theirs) = other.appender();
    let repeats = (0..100).map(|n| {
        let mut message = world.message(&owner, room, "once");
        message.idempotency = Some(idempotency("same", 7));
        let appender = if n % 2 == 0 { &here } else { &there };
        appender.append(message)
    });
    let outcomes: Vec<_> = join_all(repeats).await.into_iter().map(Result::unwrap).collect();
    let made: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, AppendOutcome::Stored(_))).collect();
    assert_eq!(made.len(), 1);
    let message = stored(made[0].clone());
    for outcome in &outcomes {
        assert!(matches!(outcome, AppendOutcome::Stored(same) | AppendOutcome::Replayed(same) if *same == message));
    }
    assert_eq!(world.log(owner.tenant, room).await, [(*message).clone()]);
    assert_eq!(ours.all().len() + theirs.all().len(), 1);

    // Another user, or another room, is another scope.
    let mut elsewhere = world.message(&owner, world.room(owner.tenant).await, "once");
    elsewhere.idempotency = Some(idempotency("same", 7));
    stored(here.append(elsewhere).await.unwrap());
    let mut somebody = world.message(&owner, room, "once");
    somebody.idempotency = Some(idempotency("same", 7));
    somebody.user = world.user(owner.tenant, "Bob", meet_api::Kind::Agent).await.id;
    assert_eq!(stored(here.append(somebody).await.unwrap()).seq, 2);
    other.store.close().await;
}

async fn the_same_key_with_another_body_is_a_conflict(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    let batch = [(1, "a"), (2, "b"), (1, "a")].map(|(body, content)| {
        let mut message = world.message(&owner, room, content);
        message.idempotency = Some(idempotency("key", body));
        message
    });
    let outcomes = join_all(batch.into_iter().map(|message| appender.append(message))).await;
    let [first, second, third] = <[_; 3]>::try_from(outcomes).unwrap().map(Result::unwrap);
    let first = stored(first);
    assert_eq!(second, AppendOutcome::Conflict);
    assert_eq!(third, AppendOutcome::Replayed(first));
    assert_eq!(world.log(owner.tenant, room).await.len(), 1);
}

async fn a_key_is_forgotten_after_a_day_and_used_again(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    let at = |time: Timestamp, body: u8| {
        let mut message = world.message(&owner, room, "tick");
        message.idempotency = Some(idempotency("key", body));
        (message.created_at, message.judged_at) = (time, time);
        message
    };
    stored(appender.append(at(NOW, 1)).await.unwrap());
    let late = NOW.plus(HOUR * 24);
    assert_eq!(appender.append(at(late.minus(HOUR), 2)).await.unwrap(), AppendOutcome::Conflict);
    assert_eq!(stored(appender.append(at(late, 2)).await.unwrap()).seq, 2);
    assert!(matches!(appender.append(at(late, 2)).await.unwrap(), AppendOutcome::Replayed(again) if again.seq == 2));
}

async fn a_full_room_takes_no_more(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    let batch = (0..10).map(|n| {
        let mut message = world.message(&owner, room, "hi");
        message.caps = Caps { messages_per_room: 5, ..Caps::default() };
        message.idempotency = (n == 0).then(|| idempotency("early", 1));
        appender.append(message)
    });
    let outcomes: Vec<_> = join_all(batch).await.into_iter().map(Result::unwrap).collect();
    assert!(outcomes[..5].iter().all(|outcome| matches!(outcome, AppendOutcome::Stored(_))));
    assert!(outcomes[5..].iter().all(|outcome| *outcome == AppendOutcome::RoomFull));
    // What is stored is still acknowledged to a repeat.
    let mut repeat = world.message(&owner, room, "hi");
    repeat.caps = Caps { messages_per_room: 5, ..Caps::default() };
    repeat.idempotency = Some(idempotency("early", 1));
    assert!(matches!(appender.append(repeat).await.unwrap(), AppendOutcome::Replayed(_)));
    // Without the limit the next one follows without a gap.
    assert_eq!(world.say(&appender, &owner, room, "more").await.seq, 6);
}

async fn a_used_up_quota_takes_no_more(world: Arc<World>) {
    let owner = world.owner().await;
    let (room, other) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let (appender, _) = world.appender();
    let caps = Caps { bytes_per_tenant: 3 * (MESSAGE_OVERHEAD + 4), ..Caps::default() };
    let say = |room: RoomId| {
        let mut message = world.message(&owner, room, "fü!");
        message.caps = caps;
        appender.append(message)
    };
    let outcomes = join_all([say(room), say(other), say(room), say(other)]).await;
    let refused = outcomes.into_iter().filter(|outcome| matches!(outcome, Ok(AppendOutcome::QuotaExceeded))).count();
    assert_eq!(refused, 1);
    // What is purged makes room again.
    assert!(world.store.delete_room(owner.tenant, room, NOW).await.unwrap());
    assert_eq!(say(other).await.unwrap(), AppendOutcome::QuotaExceeded);
    world.purge(NOW).await;
    stored(say(other).await.unwrap());
    // Another tenant has its own.
    let stranger = world.owner().await;
    let mut message = world.message(&stranger, world.room(stranger.tenant).await, "hi");
    message.caps = caps;
    stored(appender.append(message).await.unwrap());
}

async fn a_reply_must_answer_a_message_of_the_room(world: Arc<World>) {
    let owner = world.owner().await;
    let (room, other) = (world.room(owner.tenant).await, world.room(owner.tenant).await);
    let (appender, _) = world.appender();
    let question = world.say(&appender, &owner, room, "why?").await;
    let answer = |room: RoomId, reply_to: MessageId| {
        let mut message = world.message(&owner, room, "because");
        message.reply_to = Some(reply_to);
        appender.append(message)
    };
    let nothing = MessageId::from_uuid(world.id());
    let outcomes = join_all([answer(room, nothing), answer(other, question.id), answer(room, question.id)]).await;
    let [unknown, foreign, known] = <[_; 3]>::try_from(outcomes).unwrap().map(Result::unwrap);
    assert_eq!(unknown, AppendOutcome::UnknownReply);
    assert_eq!(foreign, AppendOutcome::UnknownReply);
    assert_eq!(stored(known).reply_to, Some(question.id));
    assert_eq!(world.log(owner.tenant, room).await[1].reply_to, Some(question.id));
}

async fn an_expired_or_foreign_room_takes_nothing(world: Arc<World>) {
    let (owner, stranger) = (world.owner().await, world.owner().await);
    let (appender, published) = world.appender();
    let mut short = world.new_room("short");
    short.expires_at = Some(NOW.plus(HOUR));
    let short = world.make_room(owner.tenant, short).await.room.id;
    let mut late = world.message(&owner, short, "late");
    late.judged_at = NOW.plus(HOUR);
    assert_eq!(appender.append(late).await.unwrap(), AppendOutcome::RoomGone);
    let foreign = world.message(&stranger, short, "knock");
    assert_eq!(appender.append(foreign).await.unwrap(), AppendOutcome::RoomGone);
    world.say(&appender, &owner, short, "in time").await;
    assert!(world.store.delete_tenant(owner.tenant, 0, NOW).await.unwrap());
    let gone = world.message(&owner, short, "gone");
    assert_eq!(appender.append(gone).await.unwrap(), AppendOutcome::RoomGone);
    assert_eq!(published.all().len(), 1);
}

async fn dropping_the_caller_keeps_the_message(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, published) = world.appender();
    for n in 0..50 {
        let mut call = Box::pin(appender.append(world.message(&owner, room, &format!("cut {n}"))));
        // Polled once, so that it stands in the queue, and dropped.
        assert!(futures_util::poll!(&mut call).is_pending());
    }
    let last = world.say(&appender, &owner, room, "kept").await;
    assert_eq!(last.seq, 51);
    assert_eq!(published.all().len(), 51);
    assert_eq!(world.log(owner.tenant, room).await.len(), 51);
}

async fn history_pages_both_ways(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    join_all((0..25).map(|_| appender.append(world.message(&owner, room, "hi")))).await;
    let page = async |page, limit| -> Vec<u64> {
        let messages = world.store.history(owner.tenant, room, page, limit).await.unwrap();
        messages.into_iter().map(|message| message.seq).collect()
    };
    assert_eq!(page(Page::After(0), 3).await, [1, 2, 3]);
    assert_eq!(page(Page::After(23), 10).await, [24, 25]);
    assert_eq!(page(Page::After(25), 10).await, [0; 0]);
    assert_eq!(page(Page::Before(u64::MAX), 2).await, [24, 25]);
    assert_eq!(page(Page::Before(4), 2).await, [2, 3]);
    assert_eq!(page(Page::Before(1), 2).await, [0; 0]);
}

async fn the_task_drains_its_queue_and_ends(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let (appender, task) = Appender::start(world.store.clone(), |_| {});
    let callers = {
        let callers = (0..700).map(|n| {
            let (appender, message) = (appender.clone(), world.message(&owner, room, &n.to_string()));
            async move { appender.append(message).await }
        });
        callers.collect::<Vec<_>>()
    };
    drop(appender);
    let ((), outcomes) = tokio::join!(task, join_all(callers));
    assert_eq!(outcomes.len(), 700);
    for outcome in outcomes {
        stored(outcome.unwrap());
    }
}

async fn a_closed_store_says_so(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let other = Store::open(&world.location).await.unwrap();
    other.ping().await.unwrap();
    let (appender, task) = Appender::start(other.clone(), |_| {});
    other.close().await;
    assert!(matches!(other.ping().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(other.is_empty().await, Err(StoreError::Unavailable { .. })));
    let message = world.message(&owner, room, "late");
    let (outcome, ()) = tokio::join!(async move { appender.append(message).await }, task);
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })));
    assert_eq!(world.log(owner.tenant, room).await, []);
}
