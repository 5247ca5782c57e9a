//! Searching.

use std::sync::Arc;

use futures_util::future::join_all;
use meet_api::{Message, RoomId};
use meet_store::{Appender, StoreError, words};

use crate::world::{Owner, World};

crate::on_both!(
    words_are_found_however_they_are_written,
    operators_and_quotes_are_only_separators,
    the_newest_come_first_within_their_bounds,
    another_room_has_its_own_words,
    strange_queries_find_nothing_and_fail_nowhere,
    a_long_room_is_searched_to_its_beginning,
    long_messages_are_found_up_to_a_mebibyte_at_a_time,
);

async fn room_with(world: &World, owner: &Owner, appender: &Appender, lines: &[&str]) -> RoomId {
    let room = world.room(owner.tenant).await;
    for line in lines {
        world.say(appender, owner, room, line).await;
    }
    room
}

async fn find(world: &World, owner: &Owner, room: RoomId, query: &str) -> Vec<u64> {
    let found = search(world, owner, room, &words(query)).await;
    found.into_iter().map(|message| message.seq).collect()
}

async fn search(world: &World, owner: &Owner, room: RoomId, words: &[String]) -> Vec<Message> {
    page(world, owner, room, words, None, 100).await
}

/// Searches as a patient caller: on a machine that is busy with other tests, the time of a search may run out.
async fn page(
    world: &World,
    owner: &Owner,
    room: RoomId,
    words: &[String],
    before: Option<u64>,
    limit: u32,
) -> Vec<Message> {
    for _ in 0..100 {
        match world.store.search(owner.tenant, room, words, before, 0, limit).await {
            Err(StoreError::Interrupted) => {}
            found => return found.unwrap(),
        }
    }
    panic!("a search never ends in time");
}

async fn words_are_found_however_they_are_written(world: Arc<World>) {
    let owner = world.owner().await;
    let (appender, _) = world.appender();
    let lines =
        ["Café au lait", "今日は東京タワーへ", "Straße nach Zürich", "हिन्दी में", "the quick brown fox", "🎉 party 🎉"];
    let room = room_with(&world, &owner, &appender, &lines).await;
    for (query, found) in [
        ("CAFE\u{301}", &[1][..]),
        ("caf", &[1]),
        ("東京", &[2]),
        ("タワー", &[2]),
        ("zürich STRASSE", &[]),
        ("zürich straße", &[3]),
        ("हिन्दी", &[4]),
        ("quick fo", &[5]),
        ("qui fox", &[]),
        ("fox quick", &[5]),
        ("party", &[6]),
        ("🎉", &[]),
        ("ｐａｒｔｙ", &[6]),
    ] {
        assert_eq!(find(&world, &owner, room, query).await, found, "{query}");
    }
}

async fn operators_and_quotes_are_only_separators(world: Arc<World>) {
    let owner = world.owner().await;
    let (appender, _) = world.appender();
    let lines = ["I write C++ and C#", "don't panic", "NOT AND OR NEAR", "a'b\"c\\d", "back_slash under_score"];
    let room = room_with(&world, &owner, &appender, &lines).await;
    for (query, found) in [
        ("C++", &[4, 1][..]),
        ("write C++", &[1]),
        ("don't", &[2]),
        ("\"don't\" *", &[2]),
        ("not and", &[3]),
        ("AND OR", &[3]),
        ("a' b\" c\\ d", &[4]),
        ("under_score", &[5]),
        ("score", &[5]),
        ("panic -don", &[2]),
        ("words:panic", &[]),
    ] {
        assert_eq!(find(&world, &owner, room, query).await, found, "{query}");
    }
}

async fn the_newest_come_first_within_their_bounds(world: Arc<World>) {
    let owner = world.owner().await;
    let room = world.room(owner.tenant).await;
    let other = world.room(owner.tenant).await;
    let (appender, _) = world.appender();
    for _ in 0..20 {
        world.say(&appender, &owner, room, "ping").await;
        world.say(&appender, &owner, other, "ping").await;
    }
    let search = async |before, floor, limit| -> Vec<u64> {
        let found = world.store.search(owner.tenant, room, &words("ping"), before, floor, limit).await.unwrap();
        found.into_iter().map(|message| message.seq).collect()
    };
    assert_eq!(search(None, 0, 3).await, [20, 19, 18]);
    assert_eq!(search(Some(18), 0, 3).await, [17, 16, 15]);
    assert_eq!(search(Some(5), 2, 10).await, [4, 3]);
    assert_eq!(search(Some(1), 0, 10).await, [0; 0]);
    assert_eq!(search(None, 20, 10).await, [0; 0]);
    assert_eq!(search(None, 0, 0).await, [0; 0]);
}

async fn another_room_has_its_own_words(world: Arc<World>) {
    let (owner, other) = (world.owner().await, world.owner().await);
    let (appender, _) = world.appender();
    let mine = room_with(&world, &owner, &appender, &["apples"]).await;
    // Enough rooms that the number of one begins with that of another.
    let mut rooms = vec![];
    for n in 0..12 {
        rooms.push(room_with(&world, &other, &appender, &[&format!("pears {n} 1_apples")]).await);
    }
    assert_eq!(find(&world, &owner, mine, "pears").await, [0; 0]);
    assert_eq!(find(&world, &owner, mine, "apples").await, [1]);
    assert_eq!(find(&world, &other, rooms[0], "a").await, [1]);
    assert_eq!(find(&world, &other, rooms[3], "pears 4").await, [0; 0]);
    assert_eq!(find(&world, &other, rooms[3], "pears 3").await, [1]);
}

async fn strange_queries_find_nothing_and_fail_nowhere(world: Arc<World>) {
    let owner = world.owner().await;
    let (appender, _) = world.appender();
    let room = room_with(&world, &owner, &appender, &["hello"]).await;
    let raw = ["'", "\"", "\\", "a' | 'b", "x\"y", ":*", "NEAR(a b)", "*", "^a", "{a}", "a:b", "-", "\u{1F389}"];
    for query in raw {
        // Not even made by the tokeniser.
        assert_eq!(search(&world, &owner, room, &[query.to_owned()]).await, [], "{query}");
    }
    let many: Vec<String> = (0..1000).map(|n| format!("word{n}")).collect();
    for found in join_all((0..20).map(|_| search(&world, &owner, room, &many))).await {
        assert_eq!(found, []);
    }
}

async fn a_long_room_is_searched_to_its_beginning(world: Arc<World>) {
    let owner = world.owner().await;
    let (appender, _) = world.appender();
    let room = world.room(owner.tenant).await;
    // More than two blocks of the index.
    for (hay, needle) in [(0, "needle"), (9_998, "needle in hay"), (9_999, "needle in hay"), (9_999, "needle in hay")] {
        for batch in [hay / 4, hay / 4, hay / 4, hay - hay / 4 * 3] {
            join_all((0..batch).map(|_| appender.append(world.message(&owner, room, "hay")))).await;
        }
        world.say(&appender, &owner, room, needle).await;
    }
    join_all((0..3_000).map(|_| appender.append(world.message(&owner, room, "hay")))).await;
    assert_eq!(find(&world, &owner, room, "needle").await, [30_000, 20_000, 10_000, 1]);
    assert_eq!(find(&world, &owner, room, "hay need").await, [30_000, 20_000, 10_000]);
    let search = async |before, floor, limit| -> Vec<u64> {
        let found = world.store.search(owner.tenant, room, &words("needle"), before, floor, limit).await.unwrap();
        found.into_iter().map(|message| message.seq).collect()
    };
    assert_eq!(search(Some(30_000), 1, 10).await, [20_000, 10_000]);
    assert_eq!(search(None, 0, 2).await, [30_000, 20_000]);
    assert_eq!(search(Some(2), 0, 10).await, [1]);
    // A page that crosses from one block into the one before.
    let page = world.store.search(owner.tenant, room, &words("hay"), Some(16_386), 0, 5).await.unwrap();
    assert!(page.iter().map(|message| message.seq).eq((16_381..=16_385).rev()));
}

async fn long_messages_are_found_up_to_a_mebibyte_at_a_time(world: Arc<World>) {
    let owner = world.owner().await;
    let (appender, _) = world.appender();
    let room = world.room(owner.tenant).await;
    let long = "needle ".repeat(4_000);
    join_all((0..150).map(|_| appender.append(world.message(&owner, room, &long)))).await;
    let mut before = None;
    let mut seqs = Vec::new();
    while before != Some(1) {
        let found = page(&world, &owner, room, &words("needle"), before, 1000).await;
        let (last, others) = found.split_last().unwrap();
        let bytes: usize = others.iter().map(|message| message.content.len()).sum();
        assert!(bytes < 1024 * 1024, "{bytes}");
        assert!(last.seq == 1 || bytes + last.content.len() >= 1024 * 1024, "{bytes}");
        seqs.extend(found.iter().map(|message| message.seq));
        before = Some(last.seq);
    }
    assert!(seqs.into_iter().eq((1..=150).rev()));
}
