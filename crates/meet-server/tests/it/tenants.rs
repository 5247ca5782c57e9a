//! One tenant sees nothing of another: a sweep over every route of the OpenAPI document, as everybody who might try.

use serde_json::{Value, json};

use crate::support::{Answer, Caller, Server, Setup, Socket, databases, operations};

/// Stands in every private thing of the tenant that the others must not see; compared in lower case.
const MARK: &str = "Xylophagous";

/// What a route is to somebody who has no business with the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Takes no id and answers about nobody.
    Open,
    /// Answers about the caller itself.
    Own,
    /// Reads a room.
    Read,
    /// Writes to a room, or is for its owner only.
    Write,
    /// Takes the id of an invite.
    Invite,
}

/// Every operation and what it is. A new one belongs in here before it can be released.
const ROUTES: &[(&str, Route)] = &[
    ("healthz", Route::Open),
    ("readyz", Route::Open),
    ("metrics", Route::Open),
    ("openapi", Route::Open),
    ("create-key", Route::Open),
    ("sign-in", Route::Open),
    ("list-public-rooms", Route::Open),
    ("get-realtime-config", Route::Open),
    ("get-connection-token", Route::Open),
    ("get-call-token", Route::Open),
    ("hear-conference", Route::Open),
    ("attend-demo-call", Route::Open),
    ("get-conference-token", Route::Own),
    ("connection-websocket", Route::Open),
    ("connection-http-stream", Route::Open),
    ("connection-sse", Route::Open),
    ("connection-sse-by-post", Route::Open),
    ("emulation", Route::Open),
    ("get-key", Route::Own),
    ("list-rooms", Route::Own),
    ("create-room", Route::Own),
    ("get-session", Route::Own),
    ("lobby-events", Route::Own),
    ("set-status", Route::Own),
    ("list-statuses", Route::Own),
    ("get-room", Route::Read),
    ("get-presence", Route::Read),
    ("get-guard", Route::Read),
    ("list-messages", Route::Read),
    ("search-messages", Route::Read),
    ("room-socket", Route::Read),
    ("room-events", Route::Read),
    ("get-subscribe-token", Route::Read),
    ("send-message", Route::Write),
    ("mark-read", Route::Write),
    ("log", Route::Write),
    ("update-room", Route::Write),
    ("delete-room", Route::Write),
    ("create-invite", Route::Write),
    ("list-invites", Route::Write),
    ("revoke-invite", Route::Invite),
    // These end the caller's own credential, so they come last.
    ("rotate-key", Route::Own),
    ("delete-key", Route::Own),
    ("sign-out", Route::Own),
];

/// The tenant that the others are to see nothing of.
struct Victim {
    owner: Caller,
    private: String,
    public: String,
    lounge: String,
    invite: String,
    secrets: Vec<String>,
    org: String,
    _present: Socket,
}

impl Victim {
    async fn settle(server: &Server) -> Self {
        let owner = server.new_tenant().await;
        let private = owner.room(&format!("{MARK} room")).await;
        let said = owner.say(&private, &format!("{MARK} person"), &format!("{MARK} words")).await;
        let body = json!({ "role": "member" });
        let invite = owner.post_json(&format!("/api/rooms/{private}/invites"), body).await.expect(201);
        let public = owner.room("commons").await;
        owner.say(&public, &format!("{MARK} person"), &format!("{MARK} words, said before it was public")).await;
        owner.patch(&format!("/api/rooms/{public}"), json!({ "visibility": "public" })).await.expect(200);
        owner.say(&public, "herald", "for everyone").await;
        let lounge = owner.room("lounge").await;
        let present = owner.socket(&private, &format!("?name={MARK}%20person")).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let secrets = vec![
            MARK.to_lowercase(),
            owner.token().to_lowercase(),
            owner.token()[..8].to_lowercase(),
            said.id.to_string(),
            said.user.to_string(),
            text(&invite["id"]),
            text(&invite["token"]).to_lowercase(),
        ];
        let org = text(&owner.get("/api/session").await.expect(200)["org"]);
        Self { owner, private, public, lounge, invite: text(&invite["id"]), secrets, org, _present: present }
    }

    /// Makes a room, fills and changes it, and deletes it again.
    async fn bustle(&self) {
        let room = self.owner.room(&format!("{MARK} bustle")).await;
        self.owner.say(&room, &format!("{MARK} person"), "hi").await;
        self.owner.patch(&format!("/api/rooms/{room}"), json!({ "name": format!("{MARK} changed") })).await.expect(200);
        self.owner.say(&self.private, &format!("{MARK} person"), "hi").await;
        self.owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
    }

    /// What a caller's lobby says while the victim is busy, up to an event of a room that the caller may see, which
    /// was changed after all that.
    async fn lobby_of(&self, caller: &Caller, path: &str, is_guest: bool) -> (u16, String) {
        let mut stream = caller.stream(path).await;
        let mut heard = String::new();
        if stream.status != 200 {
            return (stream.status, heard);
        }
        self.bustle().await;
        let (changer, room) =
            if is_guest { (&self.owner, self.lounge.clone()) } else { (caller, caller.room("my own").await) };
        // News wait for at most a second: those of the first round are out before those of the second.
        for name in ["first round", "second round"] {
            changer.patch(&format!("/api/rooms/{room}"), json!({ "name": name })).await.expect(200);
            while !heard.contains(name) {
                let event = stream.next().await.unwrap();
                heard.extend([event.name, event.data.to_string()]);
            }
        }
        (200, heard)
    }

    /// Asserts that an answer holds nothing of the tenant's.
    fn assert_unseen(&self, text: &str, is_guest: bool, what: &str) {
        let text = text.to_lowercase();
        for secret in &self.secrets {
            assert!(!text.contains(secret), "{what} shows {secret:?}: {text}");
        }
        assert!(is_guest || !text.contains(&self.org), "{what} shows the tenant's id");
    }

    /// Asserts that nothing of it was changed.
    async fn assert_untouched(&self) {
        let room = self.owner.get(&format!("/api/rooms/{}", self.private)).await.expect(200);
        assert_eq!(room["name"], json!(format!("{MARK} room")));
        assert!(self.owner.log(&self.private).await.iter().all(|message| message.sender == format!("{MARK} person")));
        let room = self.owner.get(&format!("/api/rooms/{}", self.public)).await.expect(200);
        assert_eq!((&room["name"], &room["head_seq"]), (&json!("commons"), &json!(2)));
        let invites = self.owner.get(&format!("/api/rooms/{}/invites", self.private)).await.expect(200);
        assert_eq!(invites.as_array().unwrap().len(), 1);
    }
}

fn body_of(operation: &str) -> Value {
    match operation {
        "send-message" => json!({ "sender": "Mallory", "content": "let me in" }),
        "update-room" => json!({ "name": "taken over" }),
        "create-invite" => json!({ "role": "member" }),
        "create-room" => json!({ "name": "my own" }),
        "set-status" => json!({ "status": "busy" }),
        "sign-in" => json!({ "key": "mai_000000000000000000000000", "name": "Mallory" }),
        _ => Value::Null,
    }
}

/// What a route answers, sockets and streams read up to the message that everyone may see.
async fn answer_of(
    victim: &Victim,
    caller: &Caller,
    is_guest: bool,
    (method, path, operation): (&str, &str, &str),
) -> (u16, String, Option<Answer>) {
    let room = path.split('/').nth(3).unwrap_or_default();
    match operation {
        "room-socket" => match caller.try_socket(room, "?since=0").await {
            Err(status) => (status, String::new(), None),
            Ok(mut socket) => {
                let mut heard = String::new();
                while !heard.contains("for everyone") {
                    heard.push_str(&socket.next().await.unwrap().to_string());
                }
                (200, heard, None)
            }
        },
        "lobby-events" => {
            let (status, heard) = victim.lobby_of(caller, path, is_guest).await;
            (status, heard, None)
        }
        "room-events" => {
            let mut stream = caller.stream(&format!("{path}?since=0")).await;
            let mut heard = String::new();
            while stream.status == 200 && !heard.contains("for everyone") {
                heard.push_str(&stream.next().await.unwrap().data.to_string());
            }
            (stream.status, heard, None)
        }
        _ => {
            let query = match operation {
                "search-messages" => format!("?q={MARK}"),
                "list-statuses" => "?user=01900000-0000-7000-8000-000000000001".to_owned(),
                _ => String::new(),
            };
            // A key must say for whom a token is; the one session that is no guest's has this very name.
            let named = caller.clone().with_header("x-meet-name", "Mallory");
            let caller = if is_guest { caller } else { &named };
            let answer = caller.call(method, &format!("{path}{query}"), &body_of(operation)).await;
            (answer.status, answer.whole(), Some(answer))
        }
    }
}

fn code_of(answer: Option<&Answer>) -> String {
    answer.map(|answer| answer.json()["code"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

async fn sweep(victim: &Victim, caller: &Caller, who: &str) {
    let is_nobody = who == "nobody";
    let is_guest = who.contains("guest");
    let operations = operations();
    for (id, route) in ROUTES {
        let found = operations.iter().find(|(_, _, operation)| operation == id);
        let (method, template, _) = found.unwrap_or_else(|| panic!("{id} is in the table and no route any more"));
        let ids: &[&String] = match route {
            Route::Open | Route::Own => &[&victim.private],
            Route::Read | Route::Write => &[&victim.private, &victim.public],
            Route::Invite => &[&victim.invite],
        };
        for room in ids {
            let path = template.replace("{id}", room);
            let what = format!("{method} {path} ({id}) as {who}");
            let (status, text, answer) = answer_of(victim, caller, is_guest, (method, &path, id)).await;
            victim.assert_unseen(&text, is_guest, &what);
            assert!(status < 500, "{what}: {status} {text}");
            let is_public = **room == victim.public;
            match route {
                Route::Own if is_nobody && *id != "sign-out" => assert_eq!(status, 401, "{what}: {text}"),
                Route::Open | Route::Own => {}
                Route::Read if is_public => assert_eq!(status, 200, "{what}: {text}"),
                _ if is_nobody => assert_eq!(status, 401, "{what}: {text}"),
                Route::Read | Route::Write if !is_public => assert_eq!(status, 404, "{what}: {text}"),
                Route::Read | Route::Write => {
                    assert_eq!((status, code_of(answer.as_ref()).as_str()), (403, "read_only"), "{what}: {text}");
                }
                // A guest may not revoke anything, whether it exists or not.
                Route::Invite if is_guest => assert_eq!(status, 403, "{what}: {text}"),
                Route::Invite => assert_eq!(status, 404, "{what}: {text}"),
            }
        }
    }
}

#[tokio::test]
async fn nobody_sees_a_byte_of_another_tenant_on_any_route() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let victim = Victim::settle(&server).await;
        let lounge = &victim.lounge;
        let callers = [
            ("another tenant", server.new_tenant().await),
            ("a session of another tenant", server.new_tenant().await.session("Mallory").await),
            ("the operator", server.operator()),
            ("a guest of another room", victim.owner.invite(lounge, "member", "Gil").await),
            ("a looking guest of another room", victim.owner.invite(lounge, "spectator", "Gus").await),
            ("nobody", server.stranger()),
        ];
        for (who, caller) in callers {
            sweep(&victim, &caller, who).await;
        }
        victim.assert_untouched().await;
    }
}

#[test]
fn every_route_of_the_document_is_in_the_sweep() {
    for (method, path, id) in operations() {
        assert!(
            ROUTES.iter().any(|(known, _)| *known == id),
            "{method} {path} ({id}) is new: say in ROUTES what it is to a stranger"
        );
    }
}

#[tokio::test]
async fn an_unknown_id_and_a_foreign_one_answer_with_the_same_bytes() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let victim = Victim::settle(&server).await;
        let other = server.new_tenant().await;
        let unknown = "01900000-0000-7000-8000-000000000001";
        for (method, template, id) in operations() {
            if !template.contains("{id}") || id == "room-socket" {
                continue;
            }
            let foreign = if id == "revoke-invite" { &victim.invite } else { &victim.private };
            let mut answers = Vec::new();
            for id_in_path in [foreign.as_str(), unknown, "no-id-at-all"] {
                let path = template.replace("{id}", id_in_path);
                answers.push(other.call(&method, &path, &body_of(&id)).await);
            }
            for answer in &answers {
                assert_eq!((answer.status, &answer.body), (404, &answers[0].body), "{id}");
                assert_eq!(answer.headers.len(), answers[0].headers.len(), "{id}");
            }
        }
    }
}

#[tokio::test]
async fn a_guest_learns_of_nothing_but_its_room() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let victim = Victim::settle(&server).await;
        let lounge = &victim.lounge;
        let guest = victim.owner.invite(lounge, "member", "Gil").await;
        let mut lobby = guest.stream("/api/lobby/events").await;

        let rooms = guest.get("/api/rooms").await.expect(200);
        assert_eq!(rooms.as_array().unwrap().len(), 1);
        assert_eq!(rooms[0]["id"], json!(lounge));
        let session = guest.get("/api/session").await.expect(200);
        assert_eq!((&session["role"], &session["rooms"]), (&json!("member"), &json!([lounge])));
        let later = victim.owner.room(&format!("{MARK} later")).await;
        victim.owner.say(&later, &format!("{MARK} person"), "hi").await;
        victim.owner.delete(&format!("/api/rooms/{later}")).await.expect(204);
        victim.owner.patch(&format!("/api/rooms/{lounge}"), json!({ "name": "parlour" })).await.expect(200);
        let told = lobby.next().await.unwrap();
        assert_eq!((told.name.as_str(), &told.data["name"]), ("room_updated", &json!("parlour")));

        let presence = guest.get(&format!("/api/rooms/{lounge}/presence")).await;
        victim.assert_unseen(&presence.whole(), true, "the lounge's presence");
        let found = guest.get(&format!("/api/rooms/{lounge}/search?q={MARK}")).await.expect(200);
        assert_eq!(found, json!([]));
        for (method, path, body) in [
            ("POST", "/api/rooms", json!({ "name": "mine" })),
            ("PATCH", &*format!("/api/rooms/{lounge}"), json!({ "name": "mine" })),
            ("DELETE", &*format!("/api/rooms/{lounge}"), Value::Null),
            ("POST", &*format!("/api/rooms/{lounge}/invites"), json!({ "role": "member" })),
            ("GET", &*format!("/api/rooms/{lounge}/invites"), Value::Null),
            ("GET", "/api/keys", Value::Null),
            ("POST", "/api/keys/rotate", Value::Null),
            ("DELETE", "/api/keys", Value::Null),
        ] {
            assert_eq!(guest.call(method, path, &body).await.refusal(403), "forbidden", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_looking_guest_reads_its_room_and_writes_nothing() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("gallery").await;
    owner.say(&room, "ann", "look").await;
    let guest = owner.invite(&room, "spectator", "Gil").await;
    assert_eq!(guest.messages(&room, "").await.len(), 1);
    let body = json!({ "content": "hi" });
    assert_eq!(guest.post_json(&format!("/api/rooms/{room}/messages"), body).await.refusal(403), "read_only");
    let mut socket = guest.socket(&room, "").await;
    socket.send(json!({ "content": "hi", "client_id": "c1" })).await;
    let refusal = socket.expect("error").await;
    assert_eq!((&refusal["code"], &refusal["client_id"]), (&json!("read_only"), &json!("c1")));
    assert_eq!(owner.messages(&room, "").await.len(), 1);
}
