//! A connection from its first frame to its last, as a client sees it and as the application does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use meet_centrifuge::{
    Protocol, Session,
    code::{DisconnectCode, ErrorCode, UnsubscribeCode},
    message::{Publication, Push, Reply},
    session::{Answer, Ask, Connected, Emulation, History, Opening, Output, Position, Settings, Subscribed},
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A client, in JSON, and the server's end of its connection.
struct Line {
    session: Session,
    now: Duration,
}

impl Line {
    fn open() -> Self {
        Self::open_as(Opening { protocol: Protocol::Json, client: "c1".into(), emulation: None, chance: 0.0 })
    }

    fn open_as(opening: Opening) -> Self {
        let settings = Settings { version: "v".into(), ..Settings::default() };
        Self { session: Session::new(Arc::new(settings), opening, Duration::ZERO), now: Duration::ZERO }
    }

    /// A client that is in, listening to `subscriptions` of the server's.
    fn connected(subscriptions: BTreeMap<String, Subscribed>) -> Self {
        let mut line = Self::open();
        line.ask(r#"{"id":1,"connect":{}}"#);
        line.answer(Answer::Connected(Connected { subscriptions, ..Connected::default() }));
        line
    }

    /// Sends a frame; everything that comes of it, `Send` as text.
    fn say(&mut self, frame: &str) -> Vec<Output> {
        self.session.receive(Bytes::copy_from_slice(frame.as_bytes()));
        self.all()
    }

    fn all(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll()).collect()
    }

    /// Sends a frame that must lead to one question.
    fn ask(&mut self, frame: &str) -> Ask {
        let mut outputs = self.say(frame);
        let (Some(Output::Ask(ask)), []) = (outputs.pop(), outputs.as_slice()) else { panic!("{frame}") };
        ask
    }

    /// Answers the question that is open; what the client is sent then.
    fn answer(&mut self, answer: impl Into<Answer>) -> Vec<String> {
        self.session.answer(answer.into(), self.now);
        texts(self.all())
    }

    /// Subscribes to a channel; what the client is told.
    fn subscribe(&mut self, frame: &str, subscribed: Subscribed) -> Vec<String> {
        let Ask::Subscribe { .. } = self.ask(frame) else { panic!("{frame}") };
        self.answer(Answer::Subscribed(subscribed))
    }

    /// Lets time pass, stopping at each deadline on the way; what comes of it.
    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while self.session.deadline() <= end {
            self.now = self.session.deadline().max(self.now);
            self.session.tick(self.now);
            outputs.extend(self.all());
            if matches!(outputs.last(), Some(Output::Close(_))) {
                break;
            }
        }
        self.now = end;
        outputs
    }

    fn publish(&mut self, channel: &str, offset: u64) -> Vec<Output> {
        self.session.publication(channel, offset, pushed(channel, offset));
        self.all()
    }
}

fn texts(outputs: Vec<Output>) -> Vec<String> {
    let text = |output| match output {
        Output::Send(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => format!("{other:?}"),
    };
    outputs.into_iter().map(text).collect()
}

fn pushed(channel: &str, offset: u64) -> Bytes {
    let publication = Publication { data: "{}".into(), offset, ..Publication::default() };
    let push = Push { channel: channel.into(), r#pub: Some(publication), ..Push::default() };
    Protocol::Json.encode(&Reply { push: Some(push), ..Reply::default() }).unwrap()
}

fn history(top: u64, offsets: impl IntoIterator<Item = u64>) -> Subscribed {
    let publication = |offset| Publication { data: "{}".into(), offset, ..Publication::default() };
    let publications = offsets.into_iter().map(publication).collect();
    Subscribed { history: Some(History { epoch: "e".into(), top, publications }), ..Subscribed::default() }
}

fn closed(code: DisconnectCode) -> Vec<Output> {
    vec![Output::Close(code)]
}

fn refused(id: u32, code: ErrorCode) -> Vec<String> {
    let reply = Reply { id, error: Some(code.into()), ..Reply::default() };
    vec![String::from_utf8(Protocol::Json.encode(&reply).unwrap().to_vec()).unwrap()]
}

#[test]
fn a_client_is_let_in_with_the_subscriptions_that_the_server_made() {
    let mut line = Line::open();
    let frame = r#"{"id":1,"connect":{"token":"t","data":{"a":1},"subs":{"user:1":{"recover":true,"offset":2,"epoch":"e"},"x":{}}}}"#;
    let since = BTreeMap::from([("user:1".to_owned(), Position { offset: 2, epoch: "e".into() })]);
    assert_eq!(line.ask(frame), Ask::Connect { token: "t".into(), data: r#"{"a":1}"#.into(), since });
    let subscriptions =
        BTreeMap::from([("org:1".to_owned(), Subscribed::default()), ("user:1".to_owned(), history(3, [3]))]);
    let connected = Connected { ttl: Some(600), data: r#"{"b":2}"#.into(), subscriptions };
    assert_eq!(
        line.answer(Answer::Connected(connected)),
        [concat!(
            r#"{"id":1,"connect":{"client":"c1","version":"v","expires":true,"ttl":600,"data":{"b":2},"subs":{"org:1":{},"#,
            r#""user:1":{"recoverable":true,"epoch":"e","publications":[{"data":{},"offset":3}],"recovered":true,"offset":2,"#,
            r#""positioned":true,"was_recovering":true}},"ping":25,"pong":true}}"#
        )]
    );
}

#[test]
fn a_connection_without_an_upstream_is_told_how_to_be_found() {
    let emulation = Some(Emulation { session: "secret".into(), node: "n1".into() });
    let opening = Opening { protocol: Protocol::Json, client: "c1".into(), emulation, chance: 0.0 };
    let mut line = Line::open_as(opening);
    line.ask(r#"{"id":1,"connect":{}}"#);
    let told = line.answer(Answer::Connected(Connected::default()));
    assert!(told[0].contains(r#""session":"secret","node":"n1""#), "{told:?}");
}

#[test]
fn nothing_counts_before_a_client_is_in_or_after_it_was_refused() {
    for frame in [r#"{"id":1,"subscribe":{"channel":"c"}}"#, "{}", r#"{"connect":{}}"#, "", r#"{"id":1}"#] {
        assert_eq!(Line::open().say(frame), closed(DisconnectCode::BadRequest), "{frame}");
    }
    let mut line = Line::open();
    line.ask("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"c\"}}");
    assert_eq!(line.answer(ErrorCode::TokenExpired), refused(1, ErrorCode::TokenExpired));
    assert_eq!(line.say(r#"{"id":3,"connect":{}}"#), []);
    assert_eq!(line.pass(seconds(9)), []);
    assert_eq!(line.pass(seconds(1)), closed(DisconnectCode::Stale));

    let mut line = Line::open();
    line.ask(r#"{"id":1,"connect":{"token":"forged"}}"#);
    line.session.answer(DisconnectCode::InvalidToken.into(), seconds(0));
    assert_eq!(line.all(), closed(DisconnectCode::InvalidToken));
    assert_eq!(line.say(r#"{"id":2,"connect":{}}"#), []);
}

#[test]
fn a_client_that_breaks_the_protocol_is_sent_away_for_good() {
    let frames = [
        r#"{"id":2,"connect":{}}"#,
        r#"{"id":2,"ping":{}}"#,
        r#"{"id":2}"#,
        r#"{"subscribe":{"channel":"c"}}"#,
        r#"{"unsubscribe":{"channel":"c"}}"#,
        r#"{"id":2,"subscribe":{}}"#,
        r#"{"id":2,"unsubscribe":{}}"#,
        "{}",
        "",
        "nonsense",
    ];
    for frame in frames {
        let mut line = Line::connected(BTreeMap::new());
        assert_eq!(line.say(frame), closed(DisconnectCode::BadRequest), "{frame}");
    }
}

#[test]
fn commands_wait_for_the_answer_to_the_one_before() {
    let mut line = Line::connected(BTreeMap::new());
    let frame =
        "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}\n{\"id\":3,\"publish\":{\"channel\":\"b\",\"data\":2}}";
    assert_eq!(line.ask(frame), Ask::Publish { channel: "a".into(), data: "1".into() });
    assert_eq!(line.say(r#"{"id":4,"presence":{"channel":"c"}}"#), []);
    line.session.answer(Answer::Done, line.now);
    let outputs = line.all();
    assert_eq!(texts(outputs[..1].to_vec()), [r#"{"id":2,"publish":{}}"#]);
    assert_eq!(outputs[1..], [Output::Ask(Ask::Publish { channel: "b".into(), data: "2".into() })]);
    line.session.answer(ErrorCode::PermissionDenied.into(), line.now);
    let outputs = line.all();
    assert_eq!(texts(outputs[..1].to_vec()), refused(3, ErrorCode::PermissionDenied));
    assert_eq!(outputs[1..], [Output::Ask(Ask::Presence { channel: "c".into() })]);
}

#[test]
fn who_listens_hears_what_follows_once_and_in_order() {
    let mut line = Line::connected(BTreeMap::new());
    let told = line.subscribe(r#"{"id":2,"subscribe":{"channel":"c"}}"#, history(5, []));
    assert_eq!(told, [r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":5,"positioned":true}}"#]);
    assert_eq!(line.publish("c", 5), []);
    assert_eq!(line.publish("c", 6), [Output::Send(pushed("c", 6))]);
    assert_eq!(line.publish("c", 6), []);
    assert_eq!(line.publish("other", 7), []);
    assert_eq!(line.publish("c", 7), [Output::Send(pushed("c", 7))]);
}

#[test]
fn a_gap_ends_the_subscription_and_the_client_recovers() {
    let mut line = Line::connected(BTreeMap::new());
    line.subscribe(r#"{"id":2,"subscribe":{"channel":"c"}}"#, history(5, []));
    assert_eq!(
        texts(line.publish("c", 8)),
        [r#"{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#, r#"Left("c")"#]
    );
    assert_eq!(line.publish("c", 9), []);
    let again = r#"{"id":3,"subscribe":{"channel":"c","recover":true,"offset":5,"epoch":"e"}}"#;
    let told = line.subscribe(again, history(9, 6..=9));
    assert!(told[0].contains(r#""recovered":true,"offset":5,"#), "{told:?}");
    assert_eq!(line.publish("c", 10), [Output::Send(pushed("c", 10))]);

    let mut line = Line::connected(BTreeMap::from([("org:1".to_owned(), history(5, []))]));
    assert_eq!(line.publish("org:1", 7), closed(DisconnectCode::InsufficientState));
}

#[test]
fn a_client_that_wants_all_or_nothing_is_told_what_is_lost() {
    let mut line = Line::connected(BTreeMap::new());
    let frame = r#"{"id":2,"subscribe":{"channel":"c","recover":true,"offset":1,"epoch":"then","flag":2}}"#;
    let mut told = line.subscribe(frame, history(9, 2..=9));
    assert_eq!(told.pop().unwrap(), r#"Left("c")"#);
    assert_eq!(told, refused(2, ErrorCode::UnrecoverablePosition));
    assert_eq!(line.publish("c", 10), []);
}

#[test]
fn what_cannot_be_listened_to_is_refused_before_anybody_is_asked() {
    let mut line = Line::connected(BTreeMap::new());
    line.subscribe(r#"{"id":2,"subscribe":{"channel":"c"}}"#, Subscribed::default());
    let long = format!(r#"{{"id":3,"subscribe":{{"channel":"{}"}}}}"#, "x".repeat(256));
    let cases = [
        (r#"{"id":3,"subscribe":{"channel":"c"}}"#, ErrorCode::AlreadySubscribed),
        (long.as_str(), ErrorCode::BadRequest),
        (r#"{"id":3,"subscribe":{"channel":"d","tf":{"key":"a"}}}"#, ErrorCode::BadRequest),
        (r#"{"id":3,"subscribe":{"channel":"d","type":1}}"#, ErrorCode::PermissionDenied),
        (r#"{"id":3,"history":{"channel":"c","reverse":true,"since":{"epoch":"e"}}}"#, ErrorCode::BadRequest),
        (r#"{"id":3,"publish":{"channel":"c"}}"#, ErrorCode::BadRequest),
        (r#"{"id":3,"sub_refresh":{"channel":"d"}}"#, ErrorCode::PermissionDenied),
    ];
    for (frame, code) in cases {
        assert_eq!(texts(line.say(frame)), refused(3, code), "{frame}");
    }
    for n in 1..128 {
        line.subscribe(&format!(r#"{{"id":3,"subscribe":{{"channel":"c{n}"}}}}"#), Subscribed::default());
    }
    assert_eq!(texts(line.say(r#"{"id":4,"subscribe":{"channel":"d"}}"#)), refused(4, ErrorCode::LimitExceeded));
}

#[test]
fn what_is_meant_for_another_kind_of_channel_is_refused() {
    let mut line = Line::connected(BTreeMap::new());
    line.subscribe(r#"{"id":2,"subscribe":{"channel":"c"}}"#, Subscribed::default());
    for kind in [1, 2, 3, 4, -1] {
        for part in [
            format!(r#""subscribe":{{"channel":"d","type":{kind}}}"#),
            format!(r#""publish":{{"channel":"c","data":1,"type":{kind},"key":"k"}}"#),
            format!(r#""publish":{{"channel":"c","type":{kind},"key":"k","removed":true}}"#),
            format!(r#""sub_refresh":{{"channel":"c","token":"t","type":{kind},"track":["k"]}}"#),
        ] {
            let told = texts(line.say(&format!(r#"{{"id":3,{part}}}"#)));
            assert_eq!(told, refused(3, ErrorCode::PermissionDenied), "{part}");
        }
    }
    for part in [r#""publish":{"channel":"c","data":1,"type":0}"#, r#""sub_refresh":{"channel":"c","type":0}"#] {
        line.ask(&format!(r#"{{"id":3,{part}}}"#));
        line.answer(ErrorCode::NotAvailable);
    }
}

#[test]
fn whoever_did_not_wish_to_hears_nobody_come_or_go() {
    let mut line = Line::connected(BTreeMap::new());
    line.subscribe(r#"{"id":2,"subscribe":{"channel":"c"}}"#, Subscribed::default());
    line.session.event("c", "join".into());
    line.session.publication("c", 0, "said".into());
    assert_eq!(texts(line.all()), ["said"]);
}

#[test]
fn whoever_leaves_a_channel_hears_nothing_more_of_it() {
    let mut line = Line::connected(BTreeMap::new());
    line.subscribe(r#"{"id":2,"subscribe":{"channel":"c","join_leave":true}}"#, Subscribed::default());
    line.session.event("c", "join".into());
    assert_eq!(texts(line.all()), ["join"]);
    let unsubscribe = r#"{"id":3,"unsubscribe":{"channel":"c"}}"#;
    assert_eq!(texts(line.say(unsubscribe)), [r#"Left("c")"#, r#"{"id":3,"unsubscribe":{}}"#]);
    line.session.event("c", "leave".into());
    assert_eq!(line.publish("c", 0), []);
    assert_eq!(texts(line.say(unsubscribe)), [r#"{"id":3,"unsubscribe":{}}"#]);
}

#[test]
fn the_server_may_start_and_end_subscriptions_and_say_something() {
    let mut line = Line::connected(BTreeMap::new());
    line.session.subscribe("org:1", history(4, []), line.now);
    line.session.subscribe("org:1", history(4, []), line.now);
    line.session.message(r#"{"hi":1}"#.into());
    line.session.unsubscribe("org:1", UnsubscribeCode::Server);
    assert_eq!(
        texts(line.all()),
        [
            r#"{"push":{"channel":"org:1","subscribe":{"recoverable":true,"epoch":"e","offset":4,"positioned":true}}}"#,
            r#"{"push":{"message":{"data":{"hi":1}}}}"#,
            r#"{"push":{"channel":"org:1","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#,
            r#"Left("org:1")"#,
        ]
    );
}

#[test]
fn what_was_published_is_read_within_its_epoch_and_the_servers_limit() {
    let mut line = Line::connected(BTreeMap::new());
    let asked = |limit, since, reverse| Ask::History { channel: "c".into(), limit, since, reverse };
    assert_eq!(line.ask(r#"{"id":2,"history":{"channel":"c"}}"#), asked(0, None, false));
    let position = History { epoch: "e".into(), top: 7, publications: Vec::new() };
    assert_eq!(line.answer(Answer::History(position.clone())), [r#"{"id":2,"history":{"epoch":"e","offset":7}}"#]);
    let all = r#"{"id":3,"history":{"channel":"c","limit":-1,"reverse":true,"since":{"offset":3,"epoch":"e"}}}"#;
    assert_eq!(line.ask(all), asked(300, Some(3), true));
    let answer = Answer::History(history(7, [2, 1]).history.unwrap());
    assert!(line.answer(answer)[0].starts_with(r#"{"id":3,"history":{"publications":[{"data":{},"offset":2},"#));
    line.ask(r#"{"id":4,"history":{"channel":"c","limit":9,"since":{"offset":3,"epoch":"then"}}}"#);
    assert_eq!(line.answer(Answer::History(position)), refused(4, ErrorCode::UnrecoverablePosition));
}

#[test]
fn a_ping_is_answered_in_time_and_nothing_else_is() {
    let mut line = Line::connected(BTreeMap::new());
    assert_eq!(texts(line.pass(seconds(13))), ["{}"]);
    assert_eq!(line.say("{}"), []);
    assert_eq!(texts(line.pass(seconds(25))), ["{}"]);
    assert_eq!(line.say("{}"), []);
    assert_eq!(line.say("{}"), closed(DisconnectCode::BadRequest));

    let mut line = Line::connected(BTreeMap::new());
    let outputs = line.pass(seconds(60));
    assert_eq!(texts(outputs[..1].to_vec()), ["{}"]);
    assert_eq!(outputs[1..], closed(DisconnectCode::NoPong));
}

#[test]
fn whoever_answers_a_ping_does_not_wait_for_another_answer() {
    let mut line = Line::connected(BTreeMap::new());
    line.pass(seconds(12));
    line.ask(r#"{"id":2,"rpc":{"method":"slow"}}"#);
    assert_eq!(texts(line.pass(seconds(1))), ["{}"]);
    assert_eq!(line.say("{}"), []);
    assert_eq!(line.say("{}"), closed(DisconnectCode::BadRequest));

    // Behind another command a pong is read only after the answer.
    let mut line = Line::connected(BTreeMap::new());
    line.pass(seconds(12));
    line.ask(r#"{"id":2,"rpc":{"method":"slow"}}"#);
    line.pass(seconds(1));
    assert_eq!(line.say("{\"id\":3,\"unsubscribe\":{\"channel\":\"c\"}}\n{}"), []);
    assert_eq!(line.pass(seconds(20)), []);
    assert_eq!(line.answer(ErrorCode::NotAvailable).len(), 2);
    assert_eq!(texts(line.pass(seconds(6))), ["{}"]);
}

#[test]
fn data_that_is_no_json_is_not_published() {
    let opening = Opening { protocol: Protocol::Protobuf, client: "c1".into(), emulation: None, chance: 0.0 };
    let mut line = Line::open_as(opening);
    line.session.receive(Bytes::from_static(&[4, 8, 1, 0x22, 0]));
    assert_eq!(line.all().len(), 1);
    line.session.answer(Answer::Connected(Connected::default()), line.now);
    line.all();
    // {id: 2, publish: {channel: "c", data: 0xff}}
    line.session.receive(Bytes::from_static(&[10, 8, 2, 0x3a, 6, 10, 1, b'c', 0x12, 1, 0xff]));
    let reply = Reply { id: 2, error: Some(ErrorCode::BadRequest.into()), ..Reply::default() };
    assert_eq!(line.all(), [Output::Send(Protocol::Protobuf.encode(&reply).unwrap())]);
}

#[test]
fn what_runs_out_is_kept_for_a_while_and_then_ends() {
    let mut line = Line::open();
    line.ask(r#"{"id":1,"connect":{}}"#);
    line.answer(Answer::Connected(Connected { ttl: Some(5), ..Connected::default() }));
    line.subscribe(r#"{"id":2,"subscribe":{"channel":"c"}}"#, Subscribed { ttl: Some(1), ..Subscribed::default() });
    line.subscribe(r#"{"id":3,"subscribe":{"channel":"d"}}"#, Subscribed { ttl: Some(1), ..Subscribed::default() });
    assert_eq!(line.ask(r#"{"id":4,"refresh":{"token":"t"}}"#), Ask::Refresh { token: "t".into() });
    let told = line.answer(Answer::Refreshed { ttl: Some(20) });
    assert_eq!(told, [r#"{"id":4,"refresh":{"client":"c1","version":"v","expires":true,"ttl":20}}"#]);
    let asked = Ask::SubRefresh { channel: "d".into(), token: "t".into() };
    assert_eq!(line.ask(r#"{"id":5,"sub_refresh":{"channel":"d","token":"t"}}"#), asked);
    let told = line.answer(Answer::Refreshed { ttl: Some(600) });
    assert_eq!(told, [r#"{"id":5,"sub_refresh":{"expires":true,"ttl":600}}"#]);
    line.pass(seconds(13));
    line.say("{}");
    let over = texts(line.pass(seconds(13)));
    assert_eq!(
        over,
        [r#"{"push":{"channel":"c","unsubscribe":{"code":2501,"reason":"subscription expired"}}}"#, r#"Left("c")"#]
    );
    line.pass(seconds(12));
    line.say("{}");
    assert_eq!(line.pass(seconds(7)), closed(DisconnectCode::Expired));
}

#[test]
fn an_answer_to_something_else_is_the_servers_mistake() {
    let mut line = Line::connected(BTreeMap::new());
    line.ask(r#"{"id":2,"rpc":{"method":"m","data":1}}"#);
    line.session.answer(Answer::Done, line.now);
    assert_eq!(line.all(), closed(DisconnectCode::ServerError));
    let mut line = Line::connected(BTreeMap::new());
    line.session.answer(Answer::Done, line.now);
    assert_eq!(line.all(), []);
}

#[test]
fn data_that_is_no_json_ends_a_connection_that_speaks_json() {
    let mut line = Line::open();
    line.session.message("1".into());
    assert_eq!(line.all(), []);
    let mut line = Line::connected(BTreeMap::new());
    line.session.message(b"\xff".as_slice().into());
    assert_eq!(line.all(), closed(DisconnectCode::InappropriateProtocol));
}

#[test]
fn only_the_part_that_is_taken_decides_whether_a_command_needs_an_id() {
    for part in [
        r#""subscribe":{"channel":"c"}"#,
        r#""unsubscribe":{"channel":"c"}"#,
        r#""publish":{"channel":"c","data":1}"#,
        r#""presence":{"channel":"c"}"#,
        r#""presence_stats":{"channel":"c"}"#,
        r#""history":{"channel":"c"}"#,
        r#""rpc":{"method":"m"}"#,
    ] {
        let mut line = Line::connected(BTreeMap::new());
        let frame = format!(r#"{{"send":{{}},{part}}}"#);
        assert_eq!(line.say(&frame), closed(DisconnectCode::BadRequest), "{frame}");
    }
    for part in [r#""refresh":{"token":"t"}"#, r#""sub_refresh":{"channel":"c","token":"t"}"#] {
        let mut line = Line::connected(BTreeMap::new());
        assert_eq!(line.ask(&format!(r#"{{"send":{{"data":1}},{part}}}"#)), Ask::Send { data: "1".into() });
        assert!(line.answer(Answer::Done).is_empty());
    }
}

#[test]
fn a_message_to_the_server_gets_no_reply() {
    let mut line = Line::connected(BTreeMap::new());
    assert_eq!(line.ask(r#"{"send":{"data":{"a":1}}}"#), Ask::Send { data: r#"{"a":1}"#.into() });
    assert!(line.answer(Answer::Done).is_empty());
    line.ask(r#"{"send":{"data":1}}"#);
    line.session.answer(DisconnectCode::NotAvailable.into(), line.now);
    assert_eq!(line.all(), closed(DisconnectCode::NotAvailable));
}
