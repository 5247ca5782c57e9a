//! Calls that RealtimeKit carries, when it fails, is slow, or its answer is lost: no token leaves without a record, and in
//! the end its live meetings are those of our records.

use std::time::Duration;

use futures_util::future::join_all;
use meet_store::Begun;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Answer, Dice, Setup,
    calls::{Kit, SITE, assert_books_balance, by_cloudflare},
    cloudflare::{API_TOKEN, Fault, Step},
    databases, soak, soon,
};

/// How a caller comes to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// As a member of a room.
    Room,
    /// By a name.
    Name,
}

const DOORS: [Door; 2] = [Door::Room, Door::Name];

/// How many ways there are in [`fault`].
const FAULTS: usize = 18;

/// Ways in which a step goes wrong.
fn fault(number: usize) -> Fault {
    let says = |body: Value| Fault::Says(200, body.to_string());
    match number {
        0 => Fault::Status(400, 400),
        1 => Fault::Status(401, 10_000),
        2 => Fault::Status(403, 9109),
        3 => Fault::Status(409, 409),
        4 => Fault::Status(422, 422),
        5 => Fault::Status(429, 10_429),
        6 => Fault::Status(500, 1),
        7 => Fault::Status(503, 1),
        8 => Fault::Status(200, 1),
        9 => Fault::Says(200, "<html>".to_owned()),
        10 => Fault::Says(200, String::new()),
        11 => says(json!({ "success": true })),
        12 => says(json!({ "success": true, "data": { "id": "../../x", "token": "t" } })),
        13 => says(json!({ "success": true, "data": { "id": 5, "token": [] } })),
        14 => Fault::Says(404, "<html>".to_owned()),
        15 => Fault::Cut,
        16 => Fault::CutAfter,
        _ => Fault::CutAmid,
    }
}

impl Kit {
    /// Somebody new comes by a door; `number` makes it another room.
    async fn come(&self, door: Door, number: usize) -> (String, Answer) {
        match door {
            Door::Room => {
                let room = self.owner.room(&format!("room {number}")).await;
                let answer = self.come_again(door, &room).await;
                (room, answer)
            }
            Door::Name => {
                let name = format!("name {number}");
                let answer = self.come_again(door, &name).await;
                (name, answer)
            }
        }
    }

    async fn come_again(&self, door: Door, room: &str) -> Answer {
        match door {
            Door::Room => self.owner.clone().with_header("x-meet-name", "Ann").ask_for_call(room).await,
            Door::Name => self.owner.enter(room, "Ann").await,
        }
    }
}

/// Asserts that a failure of the provider is told in our words, and that no token is.
#[track_caller]
fn assert_failed(answer: &Answer, why: &str) {
    assert_eq!(answer.refusal(502), "provider_failed", "{why}");
    let told = answer.whole();
    for word in [API_TOKEN, "127.0.0.1:", "authToken", "chatToken", "\"token\"", "set-cookie", "meetings"] {
        assert!(!told.contains(word), "{why}: {told}");
    }
}

/// Has more time pass than an answer may take, once a step is under way; it is done when this ends.
async fn an_answer_that_never_comes(kit: &Kit, step: Step) {
    let mut held = kit.cloudflare.hold(step);
    held.reached().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
}

fn token_of(answer: &Answer) -> String {
    let answer = answer.expect(200);
    let token = [&answer["token"], &answer["authToken"]].into_iter().find_map(Value::as_str);
    token.unwrap().to_owned()
}

#[tokio::test]
async fn whatever_goes_wrong_with_either_step_is_made_up_for() {
    for database in databases().await {
        let kit = Kit::on(database).await;
        for door in DOORS {
            for (from, step) in [(0, Step::CreateMeeting), (FAULTS, Step::AddParticipant)] {
                for number in 0..FAULTS {
                    let why = format!("{door:?}, {step:?}, fault {number}");
                    kit.cloudflare.fail(step, fault(number));
                    let (room, answer) = kit.come(door, from + number).await;
                    assert!(kit.cloudflare.fault_is_spent(step), "{why}");
                    assert_failed(&answer, &why);
                    kit.settle().await;
                    kit.assert_books_balance().await;
                    let token = token_of(&kit.come_again(door, &room).await);
                    assert!(kit.cloudflare.enter(&token), "{why}");
                    kit.assert_books_balance().await;
                }
            }
            // Everything is left to time, or deleted.
            kit.server.clock.advance(Duration::from_hours(2));
            if door == Door::Room {
                kit.owner.delete("/api/keys").await.expect(204);
            }
            kit.settle().await;
            assert!(kit.cloudflare.live_meetings().is_empty(), "{door:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_made_up_for() {
    let kit = Kit::new().await;
    for door in DOORS {
        for (number, step) in [Step::CreateMeeting, Step::AddParticipant].into_iter().enumerate() {
            let waiting = an_answer_that_never_comes(&kit, step);
            let ((room, answer), ()) = tokio::join!(kit.come(door, number), waiting);
            assert_failed(&answer, &format!("{door:?}, {step:?}"));
            kit.settle().await;
            kit.assert_books_balance().await;
            assert!(kit.cloudflare.enter(&token_of(&kit.come_again(door, &room).await)));
            kit.assert_books_balance().await;
        }
    }
}

#[tokio::test]
async fn a_meeting_that_does_not_close_is_closed_later() {
    for database in databases().await {
        let kit = Kit::on(database).await;
        let Kit { cloudflare, server, owner, .. } = &kit;
        for door in DOORS {
            for step in [Step::UpdateMeeting, Step::KickAll] {
                // A success is one, with or without anything in it.
                for number in (0..FAULTS).filter(|number| !(11..14).contains(number)) {
                    let why = format!("{door:?}, {step:?}, fault {number}");
                    let (room, answer) = kit.come(door, number).await;
                    let token = token_of(&answer);
                    assert!(cloudflare.enter(&token));
                    let live = cloudflare.live_meetings();
                    cloudflare.fail(step, fault(number));
                    match door {
                        Door::Room => drop(owner.delete(&format!("/api/rooms/{room}")).await.expect(204)),
                        Door::Name => {
                            server.clock.advance(Duration::from_hours(2));
                            let told = kit.come_again(door, &room).await;
                            assert_eq!(told.refusal(410), "expired", "{why}");
                        }
                    }
                    kit.settle().await;
                    assert!(cloudflare.fault_is_spent(step), "{why}");
                    assert!(live.iter().all(|meeting| cloudflare.present(meeting).is_empty()), "{why}");
                    assert!(cloudflare.live_meetings().is_empty() && !cloudflare.enter(&token), "{why}");
                    kit.assert_books_balance().await;
                }
            }
        }
    }
}

/// What ends while a step is under way.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    RoomDeleted,
    SignedOut,
    Revoked,
    KeyDeleted,
}

#[tokio::test]
async fn what_cannot_be_recorded_any_more_is_undone() {
    let rows = [
        (Meanwhile::RoomDeleted, 404, "room_not_found"),
        (Meanwhile::SignedOut, 401, "invalid_key"),
        (Meanwhile::Revoked, 401, "invalid_key"),
        (Meanwhile::KeyDeleted, 401, "invalid_key"),
    ];
    for database in databases().await {
        for (meanwhile, status, code) in rows {
            for step in [Step::CreateMeeting, Step::AddParticipant] {
                let why = format!("{meanwhile:?} in {step:?}");
                let kit = Kit::on(database.another().await).await;
                let Kit { cloudflare, owner, room, .. } = &kit;
                let gil = owner.invite(room, "member", "Gil").await;
                let invites = owner.get(&format!("/api/rooms/{room}/invites")).await.expect(200);
                let invite = invites[0]["id"].as_str().unwrap().to_owned();
                let mut held = cloudflare.hold(step);
                let end = async {
                    soon("the step", held.reached()).await;
                    let ended = match meanwhile {
                        Meanwhile::RoomDeleted => owner.delete(&format!("/api/rooms/{room}")).await,
                        Meanwhile::SignedOut => gil.delete("/api/session").await,
                        Meanwhile::Revoked => owner.delete(&format!("/api/invites/{invite}")).await,
                        Meanwhile::KeyDeleted => owner.delete("/api/keys").await,
                    };
                    ended.expect(204);
                    drop(held);
                };
                let (answer, ()) = tokio::join!(gil.ask_for_call(room), end);
                // A room that is gone is told of before the credential that went with it.
                assert!(answer.status == status && answer.refusal(status) == code || answer.status == 404, "{why}");
                assert!(answer.json().get("token").is_none(), "{why}");
                kit.settle().await;
                kit.assert_books_balance().await;
                for meeting in cloudflare.live_meetings() {
                    assert!(cloudflare.presets_in_use(&meeting).is_empty(), "{why}");
                }
                let is_there = matches!(meanwhile, Meanwhile::SignedOut | Meanwhile::Revoked);
                assert_eq!(cloudflare.live_meetings().len(), usize::from(is_there), "{why}");
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_ends_while_somebody_comes_lets_nobody_in() {
    for step in [Step::CreateMeeting, Step::AddParticipant] {
        let kit = Kit::new().await;
        let Kit { cloudflare, server, owner, .. } = &kit;
        let mut held = cloudflare.hold(step);
        let end = async {
            soon("the step", held.reached()).await;
            server.clock.advance(Duration::from_hours(2));
            if step == Step::AddParticipant {
                server.app.tend_calls().await.unwrap();
            }
            drop(held);
        };
        let (answer, ()) = tokio::join!(owner.enter("standup", "Ann"), end);
        assert_eq!(answer.refusal(410), "expired", "{step:?}");
        // Nobody else is told.
        owner.enter("standup", "Bob").await.expect(200);
        kit.server.clock.advance(Duration::from_hours(2));
        kit.settle().await;
        kit.assert_books_balance().await;
        assert!(cloudflare.live_meetings().is_empty(), "{step:?}");
    }
}

#[tokio::test]
async fn a_session_that_ends_while_its_bearer_comes_is_no_hindrance() {
    for database in databases().await {
        let kit = Kit::on(database).await;
        let Kit { cloudflare, owner, .. } = &kit;
        let ann = owner.browser("Ann").await;
        let body = json!({ "room": "standup", "name": "Ann" });
        let mut held = cloudflare.hold(Step::AddParticipant);
        let end = async {
            soon("the step", held.reached()).await;
            ann.delete("/api/session").await.expect(204);
            drop(held);
        };
        let (answer, ()) = tokio::join!(ann.post_json("/api/token", body), end);
        assert!(cloudflare.enter(&token_of(&answer)));
        // It is a visitor like others, by a cookie or by what stands in the body.
        let visitor = match answer.json()["chatToken"].as_str() {
            Some(token) => owner.stranger().with_token(token),
            None => owner.stranger().with_header("cookie", answer.header("set-cookie").split(';').next().unwrap()),
        };
        let room = answer.json()["roomId"].as_str().unwrap().to_owned();
        assert!(visitor.participants(&room).await.is_empty());
        kit.assert_books_balance().await;
    }
}

#[tokio::test]
async fn what_a_crash_left_half_open_is_closed_with_and_without_another_caller() {
    for database in databases().await {
        let kit = Kit::on(database).await;
        let Kit { cloudflare, server, owner, room } = &kit;
        let (tenant, quiet) = (owner.tenant().await, owner.room("quiet").await);
        let mut orphans = Vec::new();
        for (room, reference) in [(room, "cut off"), (&quiet, "forgotten")] {
            let (room, now) = (room.parse().unwrap(), server.clock.now());
            let begun = server.app.store().begin_meeting(tenant, room, "realtimekit", reference, now).await;
            assert!(matches!(begun, Ok(Begun::Started(_))));
            orphans.push(cloudflare.add_meeting(&format!("meet-ai {reference}"), false));
        }
        let of_others = cloudflare.add_meeting("meet-ai cut off by others", false);
        owner.session("Ann").await.call_token(room).await;
        kit.settle().await;
        let live = cloudflare.live_meetings();
        assert!(live.len() == 2 && live.contains(&of_others), "{live:?}");
        assert!(orphans.iter().all(|orphan| !live.contains(orphan)), "{live:?}");
        owner.session("Ann").await.call_token(&quiet).await;
        assert_eq!(cloudflare.live_meetings().len(), 3);
    }
}

/// A raw request for a call by a door, which fails or not with the bytes that are sent of it.
fn request(kit: &Kit, door: Door, room: &str) -> String {
    let (path, body) = match door {
        Door::Room => ("/realtime/conference-token", json!({ "spaceId": room })),
        Door::Name => ("/api/token", json!({ "room": room, "name": "Ann" })),
    };
    let body = body.to_string();
    let more = format!(
        "origin: https://{SITE}\r\nx-meet-name: Ann\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    format!("{}\r\n{body}", kit.owner.head("POST", path, &more))
}

#[tokio::test]
async fn callers_that_hang_up_at_any_byte_leave_no_orphan() {
    for database in databases().await {
        for round in 0..soak(10) {
            hang_up(Kit::on(database.another().await).await, Dice(round as u64)).await;
        }
    }
}

async fn hang_up(kit: Kit, mut dice: Dice) {
    let mut requests = Vec::new();
    for door in DOORS {
        for number in 0..5 {
            let room = match door {
                Door::Room => kit.owner.room(&format!("room {number}")).await,
                Door::Name => format!("name {number}"),
            };
            let request = request(&kit, door, &room);
            // Every byte of the end of the request, some of its beginning, and some of the answer.
            let ends = (request.len() - 12..=request.len()).chain((0..8).map(|_| dice.below(request.len())));
            requests.extend(ends.map(|end| (request.clone(), end, 0)));
            requests.extend((0..4).map(|_| (request.clone(), request.len(), 1 + dice.below(200))));
        }
    }
    let cuts = requests.into_iter().map(|(request, end, answer)| {
        let (is_reset, address) = (dice.below(2) == 0, kit.owner.address());
        async move {
            let mut line = TcpStream::connect(address).await.unwrap();
            line.write_all(&request.as_bytes()[..end]).await.unwrap();
            soon("the answer", line.read_exact(&mut vec![0; answer])).await.unwrap();
            if is_reset {
                line.set_zero_linger().unwrap();
            }
        }
    });
    join_all(cuts).await;
    let Kit { cloudflare, server, owner, .. } = kit;
    let (clock, key) = (server.clock.clone(), owner.token().to_owned());
    // Whatever is under way goes to its end before the server stops.
    let database = server.stop().await;
    let mut setup = Setup::on(database).with(by_cloudflare(&cloudflare));
    setup.clock = clock;
    let server = setup.start().await;
    assert_books_balance(&server, &cloudflare).await;
    assert!((1..=10).contains(&cloudflare.live_meetings().len()));
    let owner = server.stranger().with_token(&key);
    for number in 0..5 {
        let name = format!("name {number}");
        assert!(cloudflare.enter(&token_of(&owner.enter(&name, "Bob").await)));
    }
    assert_books_balance(&server, &cloudflare).await;
}
