//! Finding what was said: words and nothing else, in one's own rooms and nowhere else.

use serde_json::json;

use crate::support::{Caller, Setup, databases};

/// The contents that a search finds, newest first.
async fn found(caller: &Caller, room: &str, q: &str) -> Vec<String> {
    let encoded: String = url_encoded(q);
    let answer = caller.get(&format!("/api/rooms/{room}/search?q={encoded}")).await;
    let messages = answer.expect(200);
    messages.as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

fn url_encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}

#[tokio::test]
async fn a_message_is_found_by_its_words_as_soon_as_it_is_acknowledged() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        for content in [
            "We don't ship C++ on Friday",
            "The émigré café opens",
            "party 🎉 tonight",
            "naïve approach to shipping",
            "数据库 的 迁移",
        ] {
            owner.say(&room, "ann", content).await;
            assert_eq!(found(&owner, &room, content).await, [content]);
        }
        let hits = async |q: &str| found(&owner, &room, q).await.len();
        assert_eq!(found(&owner, &room, "ship").await, ["naïve approach to shipping", "We don't ship C++ on Friday"]);
        assert_eq!(found(&owner, &room, "friday SHIP").await, ["We don't ship C++ on Friday"]);
        assert_eq!(found(&owner, &room, "C++ on").await, ["We don't ship C++ on Friday"]);
        assert_eq!(hits("don't").await, 1);
        assert_eq!(hits("shipp").await, 1, "the last word is a beginning");
        assert_eq!(hits("shipp approach").await, 0, "and only the last one");
        assert_eq!(hits("迁移").await, 1);
        for nothing in ["", "   ", "🎉", "!!!", "\"", "++", "'"] {
            assert_eq!(hits(nothing).await, 0, "{nothing:?}");
        }
        assert_eq!(owner.get(&format!("/api/rooms/{room}/search")).await.expect(200), json!([]));
    }
}

/// What looks like operators of one query language or another.
const OPERATORS: [&str; 30] = [
    "alpha OR gamma",
    "alpha NOT beta",
    "NEAR(alpha beta)",
    "\"alpha",
    "alpha\"",
    "content:alpha",
    "alpha*",
    "* alpha",
    "(alpha",
    "alpha)",
    "^alpha",
    "alpha AND",
    "AND",
    "-alpha",
    "{alpha}",
    "alpha & beta",
    "alpha | x",
    "!alpha",
    "alpha:*",
    "'; DROP TABLE messages; --",
    "\\",
    "%",
    "_",
    "\0alpha",
    "alpha\0",
    "\u{202e}alpha",
    "1_alpha",
    "<->",
    "a <2> b",
    "alpha\n\nbeta",
];

/// Queries that mean nothing, or more than they should.
fn strange_queries() -> Vec<String> {
    let mut queries: Vec<String> = OPERATORS.map(str::to_owned).into();
    queries.push("alpha ".repeat(2000));
    queries.push("a".repeat(5000));
    queries.push("é".repeat(2000));
    queries.push((1..200).map(|n| n.to_string()).collect::<Vec<_>>().join(" "));
    // Junk of every kind, from a fixed seed so that a failure can be seen again.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..300 {
        let junk: String = (0..12)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from_u32(u32::try_from(state % 0x3000).unwrap()).unwrap_or('"')
            })
            .collect();
        queries.push(junk);
    }
    queries
}

#[tokio::test]
async fn a_query_has_no_operators_and_never_breaks_the_server() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        owner.say(&room, "ann", "alpha beta").await;
        for q in &strange_queries() {
            let answer = owner.get(&format!("/api/rooms/{room}/search?q={}", url_encoded(q))).await;
            assert!(answer.status == 200, "{q:?}: {} {}", answer.status, answer.whole());
        }
        assert_eq!(found(&owner, &room, "alpha NOT beta").await, [""; 0]);
        assert_eq!(found(&owner, &room, "alpha* beta").await, ["alpha beta"]);
        for query in ["q=alpha&limit=0", "q=alpha&limit=-1", "q=alpha&before_seq=-1", "q=alpha&limit=x"] {
            assert_eq!(owner.get(&format!("/api/rooms/{room}/search?{query}")).await.refusal(400), "invalid_request");
        }
    }
}

#[tokio::test]
async fn words_of_other_rooms_and_tenants_are_not_found() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (owner, other) = (server.new_tenant().await, server.new_tenant().await);
        let (room, second) = (owner.room("planning").await, owner.room("second").await);
        let foreign = other.room("planning").await;
        owner.say(&room, "ann", "shared word mine").await;
        owner.say(&second, "ann", "shared word second").await;
        other.say(&foreign, "bob", "shared word theirs").await;
        assert_eq!(found(&owner, &room, "shared").await, ["shared word mine"]);
        for hidden in ["second", "theirs", "their", "t"] {
            assert_eq!(found(&owner, &room, hidden).await, [""; 0], "{hidden}");
        }
        let guest = owner.invite(&room, "member", "Gil").await;
        assert_eq!(found(&guest, &room, "shared").await, ["shared word mine"]);
        assert_eq!(guest.get(&format!("/api/rooms/{second}/search?q=shared")).await.refusal(404), "room_not_found");
        assert_eq!(owner.get(&format!("/api/rooms/{foreign}/search?q=shared")).await.refusal(404), "room_not_found");
    }
}

#[tokio::test]
async fn results_are_paged_by_seq() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        for n in 1..=7 {
            owner.say(&room, "ann", &format!("needle {n}")).await;
        }
        let page = |query: &str| {
            let (owner, path) = (owner.clone(), format!("/api/rooms/{room}/search?q=needle{query}"));
            async move {
                let found = owner.get(&path).await.expect(200);
                found.as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()).collect::<Vec<_>>()
            }
        };
        assert_eq!(page("&limit=3").await, [7, 6, 5]);
        assert_eq!(page("&limit=3&before_seq=5").await, [4, 3, 2]);
        assert_eq!(page("&limit=3&before_seq=2").await, [1]);
        assert_eq!(page("&before_seq=1").await, [0; 0]);
    }
}
