//! Pages of others: the Origin of every route with a cookie, the Host of every request, what scripts may read.

use meet_server::config::{Origin, PublicUrl};
use serde_json::{Value, json};

use crate::support::{Caller, Ended, Realtime, Server, Setup, operations};

/// Routes that look at no credential, so that a cookie is not one there.
const WITHOUT_CREDENTIAL: &[&str] =
    &["create-key", "sign-in", "healthz", "readyz", "metrics", "openapi", "hear-conference", "attend-demo-call"];
/// Routes of the realtime gateway: a token in the first frame says who connects, so that a cookie is not one there either.
const BY_TOKEN: &[&str] =
    &["connection-websocket", "connection-http-stream", "connection-sse", "connection-sse-by-post", "emulation"];
/// Routes that open a stream, to which browsers send no Origin of their own.
const STREAMS: &[&str] = &["room-events", "lobby-events"];

async fn status_with_origin(
    cookie: &str,
    near: &Caller,
    origin: Option<&str>,
    route: (&str, &str, &str),
) -> (u16, String) {
    let (method, path, id) = route;
    let mut caller = near.stranger().with_header("cookie", cookie);
    if let Some(origin) = origin {
        caller = caller.with_header("origin", origin);
    }
    if id == "room-socket" {
        let room = path.split('/').nth(3).unwrap();
        return (caller.try_socket(room, "").await.err().unwrap_or(101), String::new());
    }
    if STREAMS.contains(&id) {
        return (caller.stream(path).await.status, String::new());
    }
    // Nothing that would take effect: what is wrong with the body is found after the Origin.
    let body = if method == "GET" { Value::Null } else { json!({ "name": 5, "content": 5, "role": "none" }) };
    let query = if id == "list-statuses" { "?user=01900000-0000-7000-8000-000000000001" } else { "" };
    let answer = caller.call(method, &format!("{path}{query}"), &body).await;
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn with_a_cookie_every_write_and_socket_needs_an_origin_of_ours() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let invite = owner.post_json(&format!("/api/rooms/{room}/invites"), json!({ "role": "member" })).await.expect(201);
    let cookie = owner.cookie("ann").await;
    let port = server.address.port();
    let other_port = format!("http://127.0.0.1:{}", if port == 65535 { 1 } else { port + 1 });
    for (method, template, id) in operations() {
        if WITHOUT_CREDENTIAL.contains(&id.as_str()) || BY_TOKEN.contains(&id.as_str()) {
            continue;
        }
        let invite = invite["id"].as_str().unwrap();
        let path = template.replace("{id}", if id == "revoke-invite" { invite } else { &room });
        let route = (method.as_str(), path.as_str(), id.as_str());
        let is_stream = STREAMS.contains(&id.as_str());
        for origin in [Some("https://evil.example"), Some("null"), Some(&*other_port), Some("http://localhost"), None] {
            let (status, code) = status_with_origin(&cookie, &owner, origin, route).await;
            let is_guarded = id == "room-socket" || method != "GET" || (is_stream && origin.is_some());
            if is_guarded {
                assert_eq!(status, 403, "{method} {path} ({id}) with Origin {origin:?}");
                assert!(is_stream || id == "room-socket" || code == "bad_origin", "{id}: {code}");
            } else {
                assert_eq!(status, 200, "{method} {path} ({id}) with Origin {origin:?}");
            }
        }
    }
    assert_eq!(owner.get(&format!("/api/rooms/{room}")).await.expect(200)["name"], "planning");
    let browser = server.stranger().with_header("cookie", &cookie).with_header("origin", &owner.own_origin());
    browser.get("/api/session").await.expect(200);
    browser.room("by a page of ours").await;
    browser.socket(&room, "").await;
}

#[tokio::test]
async fn with_a_key_any_origin_is_fine() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    for credential in [owner.clone(), owner.session("ann").await] {
        let foreign = credential.with_header("origin", "https://evil.example");
        foreign
            .post_json(&format!("/api/rooms/{room}/messages"), json!({ "sender": "ann", "content": "hi" }))
            .await
            .expect(201);
        foreign.socket(&room, "").await;
        assert_eq!(foreign.stream(&format!("/api/rooms/{room}/events")).await.status, 200);
    }
}

/// What a route of the gateway says to a page: the status of its answer, 101 for an open socket.
async fn gateway_status(caller: &Caller, method: &str, path: &str, id: &str) -> u16 {
    match id {
        "connection-websocket" => caller.bare_socket(path).await.err().unwrap_or(101),
        "connection-sse" => caller.stream(&format!("{path}?cf_connect=%7B%7D")).await.status,
        "emulation" => caller.call(method, path, &json!({ "node": "n", "session": "s", "data": "{}" })).await.status,
        _ => caller.call(method, path, &json!({ "id": 1, "ping": {} })).await.status,
    }
}

#[tokio::test]
async fn the_gateway_takes_no_page_of_others_and_no_cookie_in_place_of_a_token() {
    let server = behind_a_name().start().await;
    let operator = server.operator();
    let cookie = {
        let page = server.stranger().with_header("origin", "https://meet.example.org");
        let answer = page.post_json("/api/session", json!({ "key": operator.token(), "name": "ann" })).await;
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    };
    for (method, path, id) in operations().into_iter().filter(|(_, _, id)| BY_TOKEN.contains(&id.as_str())) {
        let expected = match id.as_str() {
            "connection-websocket" => 101,
            "emulation" => 404,
            _ => 200,
        };
        for caller in [server.stranger(), server.stranger().with_header("cookie", &cookie), operator.clone()] {
            assert_eq!(gateway_status(&caller, &method, &path, &id).await, expected, "{id} from no page");
            for origin in ["https://meet.example.org", "https://app.example.net"] {
                let page = caller.clone().with_header("origin", origin);
                assert_eq!(gateway_status(&page, &method, &path, &id).await, expected, "{id} from {origin}");
            }
            for origin in ["https://evil.example", "null", "http://localhost", "https://meet.example.org.evil.example"]
            {
                let page = caller.clone().with_header("origin", origin);
                assert_eq!(gateway_status(&page, &method, &path, &id).await, 403, "{id} from {origin}");
            }
        }
    }
    // A cookie says nothing here: whoever brings no token is not let in, whatever else it brings.
    for caller in [server.stranger().with_header("cookie", &cookie), operator] {
        let mut client = Realtime::open(&caller).await;
        client.say(json!({ "id": 1, "connect": {} })).await;
        assert_eq!(client.end().await, Ended(Some(3501)));
    }
}

#[tokio::test]
async fn signing_in_from_a_page_of_others_is_refused_even_without_a_cookie() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let body = json!({ "key": owner.token(), "name": "ann" });
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let page = server.stranger().with_header("origin", origin);
        let answer = page.post_json("/api/session", body.clone()).await;
        assert_eq!(answer.refusal(403), "bad_origin", "{origin}");
        assert_eq!(answer.header("set-cookie"), "");
    }
    server.stranger().post_json("/api/session", body).await.expect(201);
}

fn behind_a_name() -> Setup {
    Setup::new().with(|config| {
        config.public_url = Some(PublicUrl::parse("https://meet.example.org").unwrap());
        config.allowed_origins = vec![Origin::parse("https://app.example.net").unwrap()];
    })
}

#[tokio::test]
async fn listed_origins_are_ours_and_scripts_of_others_read_nothing() {
    let server = behind_a_name().start().await;
    let operator = server.operator();
    let body = json!({ "key": operator.token(), "name": "ann" });
    let signed_in =
        server.stranger().with_header("origin", "https://meet.example.org").post_json("/api/session", body).await;
    signed_in.expect(201);
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    for origin in ["https://meet.example.org", "https://app.example.net"] {
        let page = server.stranger().with_header("cookie", &cookie).with_header("origin", origin);
        let answer = page.post_json("/api/rooms", json!({ "name": "by a page" })).await;
        answer.expect(201);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("access-control-allow-credentials"), "", "cookies stay with this server's pages");
    }
    for origin in ["https://evil.example", "http://meet.example.org", "https://meet.example.org.evil.example", "null"] {
        let page = operator.clone().with_header("origin", origin);
        let answer = page.get("/api/rooms").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        let page = server.stranger().with_header("cookie", &cookie).with_header("origin", origin);
        let answer = page.post_json("/api/rooms", json!({ "name": "by a page" })).await;
        assert_eq!(answer.refusal(403), "bad_origin", "{origin}");
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_route_but_the_probes() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let rebound = owner.clone().with_header("host", "evil.example");
    let pages = ["/", "/key", "/docs", "/r/x", "/favicon.svg", "/nothing/here"];
    let pages = pages.map(|path| ("GET".to_owned(), path.to_owned(), "a page".to_owned()));
    for (method, template, id) in operations().into_iter().chain(pages) {
        let path = template.replace("{id}", &room);
        if matches!(id.as_str(), "healthz" | "readyz") {
            assert_eq!(rebound.get(&path).await.status, 200, "{path}");
            continue;
        }
        if id == "room-socket" {
            assert_eq!(rebound.try_socket(&room, "").await.err(), Some(421));
            continue;
        }
        let answer = rebound.call(&method, &path, &Value::Null).await;
        assert_eq!(answer.refusal(421), "foreign_host", "{method} {path}");
        let sentence = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(sentence.contains("evil.example") && sentence.contains("MEET_AI_PUBLIC_URL"), "{sentence}");
        assert!(!answer.whole().contains("planning"));
    }
    owner.get(&format!("/api/rooms/{room}")).await.expect(200);
}

#[tokio::test]
async fn loopback_the_public_url_and_the_hosts_of_allowed_origins_are_this_server() {
    let server = behind_a_name().start().await;
    let operator = server.operator();
    let port = server.address.port();
    for host in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        "meet.example.org".to_owned(),
        "MEET.example.org:443".to_owned(),
        "app.example.net".to_owned(),
    ] {
        operator.clone().with_header("host", &host).get("/api/rooms").await.expect(200);
    }
    for host in
        ["example.org", "meet.example.org.evil.example", "10.0.0.1", "localhost.evil.example", "app.example.net@evil"]
    {
        let answer = operator.clone().with_header("host", host).get("/api/rooms").await;
        assert_eq!(answer.refusal(421), "foreign_host", "{host}");
    }
}

#[tokio::test]
async fn links_are_made_from_the_public_url_and_never_from_the_host() {
    let server = behind_a_name().start().await;
    let operator = server.operator();
    let room = operator.room("planning").await;
    for host in ["localhost", "127.0.0.1", "app.example.net"] {
        let caller = operator.clone().with_header("host", host).with_header("x-forwarded-host", "evil.example");
        let invite =
            caller.post_json(&format!("/api/rooms/{room}/invites"), json!({ "role": "member" })).await.expect(201);
        let url = invite["url"].as_str().unwrap();
        assert_eq!(url, format!("https://meet.example.org/#invite={}", invite["token"].as_str().unwrap()));
        let page = caller.get("/").await.whole();
        assert!(!page.contains("evil.example") && !page.contains("app.example.net"), "{page}");
    }
}

#[tokio::test]
async fn scripts_of_listed_origins_may_ask_first_and_those_of_others_are_told_nothing() {
    let server = behind_a_name().start().await;
    let ask = async |origin: &str| {
        let page = server.stranger().with_header("origin", origin).with_header("access-control-request-method", "POST");
        let page = page.with_header("access-control-request-headers", "authorization,content-type,idempotency-key");
        page.call("OPTIONS", "/api/rooms", &Value::Null).await
    };
    let answer = ask("https://app.example.net").await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.net");
    for name in ["authorization", "content-type", "idempotency-key"] {
        assert!(answer.header("access-control-allow-headers").contains(name), "{name}");
    }
    assert!(answer.header("vary").contains("origin"), "{}", answer.header("vary"));
    let answer = ask("https://evil.example").await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}
