//! What operators look at: probes, metrics, the document of the API.

use serde_json::{Value, json};

use crate::support::{Server, Setup, databases};

#[tokio::test]
async fn a_running_server_is_healthy_and_ready() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        for path in ["/healthz", "/readyz"] {
            assert_eq!(server.stranger().get(path).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_server_without_its_database_says_so_in_the_one_shape_and_lives() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let browser = owner.browser("ann").await;
        server.app.store().close().await;
        assert_eq!(server.stranger().get("/healthz").await.status, 200);
        let body = json!({ "sender": "ann", "content": "hi" });
        for answer in [
            server.stranger().get("/readyz").await,
            owner.get("/api/rooms").await,
            browser.get("/api/rooms").await,
            owner.post_json(&format!("/api/rooms/{room}/messages"), body).await,
            server.stranger().post("/api/keys", "").await,
        ] {
            assert_eq!(answer.refusal(503), "unavailable");
            assert!(!answer.header("retry-after").is_empty());
            assert_eq!(answer.header("set-cookie"), "", "a cookie does not die with a database");
            let sentence = answer.json()["error"].as_str().unwrap().to_lowercase();
            assert!(!sentence.contains("sql") && !sentence.contains("postgres"), "{sentence}");
        }
    }
}

#[tokio::test]
async fn metrics_are_nowhere_unless_configured_and_then_for_the_bearer_of_the_token() {
    let server = Server::start().await;
    assert_eq!(server.stranger().get("/metrics").await.refusal(404), "not_found");
    assert_eq!(server.operator().get("/metrics").await.refusal(404), "not_found");
    let server = Setup::new().with(|config| config.metrics.token = Some("observer".to_owned().into())).start().await;
    for token in [server.operator().token(), "wrong", "observe", "observer "] {
        let stranger = server.stranger().with_token(token);
        if token.trim() != "observer" {
            assert_eq!(stranger.get("/metrics").await.refusal(401), "invalid_key", "{token}");
        }
    }
    assert_eq!(server.stranger().get("/metrics").await.refusal(401), "invalid_key");
    let shown = server.stranger().with_token("observer").get("/metrics").await;
    assert_eq!(shown.status, 200);
    assert!(String::from_utf8(shown.body).unwrap().contains("meet_connections"));
}

#[tokio::test]
async fn metrics_can_have_an_address_of_their_own() {
    // The system gives a free port; the server takes it right after it was given back.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Setup::new().with(|config| config.metrics.listen = Some(address)).start().await;
    server.new_tenant().await;
    assert_eq!(server.stranger().get("/metrics").await.refusal(404), "not_found");
    let shown = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    assert!(shown.contains("meet_http_requests_total"), "{shown}");
    let other = reqwest::get(format!("http://{address}/api/rooms")).await.unwrap();
    assert_eq!(other.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn metrics_that_other_machines_reach_need_the_token() {
    let free = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap();
    let setup = Setup::new().with(|config| {
        config.metrics.listen = Some(free);
        config.metrics.token = Some("observer".to_owned().into());
    });
    let server = setup.start().await;
    // By its first answer the server listens on both.
    server.new_tenant().await;
    let url = format!("http://127.0.0.1:{}/metrics", free.port());
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 401);
    let shown = reqwest::Client::new().get(&url).bearer_auth("observer").send().await.unwrap();
    assert_eq!(shown.status(), 200);
    // A line that says nothing does not hold up the end.
    let _silent = tokio::net::TcpStream::connect(("127.0.0.1", free.port())).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn metrics_name_no_room_tenant_or_user_and_do_not_grow_with_them() {
    let server = Setup::new().with(|config| config.metrics.token = Some("observer".to_owned().into())).start().await;
    let observer = server.stranger().with_token("observer");
    let mut secrets = Vec::new();
    let owner = server.new_tenant().await;
    for n in 0..100 {
        let room = owner.room(&format!("Xylophagous {n}")).await;
        let said = owner.say(&room, "Xylophagous", "hi").await;
        owner.get(&format!("/api/rooms/{room}/search?q=Xylophagous")).await.expect(200);
        owner.get(&format!("/Xylophagous/{n}")).await.expect(404);
        owner.call(&format!("XYLOPHAGOUS{n}"), &format!("/api/rooms/{room}"), &Value::Null).await.expect(405);
        secrets.extend([room, said.user.to_string(), said.id.to_string()]);
    }
    secrets.push(owner.get("/api/session").await.expect(200)["org"].as_str().unwrap().to_owned());
    secrets.extend([owner.token()[..8].to_owned(), "Xylophagous".to_owned(), "XYLOPHAGOUS".to_owned()]);
    let shown = observer.get("/metrics").await.whole();
    assert!(shown.contains("route=\"/api/rooms/{id}/messages\""), "{shown}");
    for secret in secrets {
        assert!(!shown.contains(&secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn the_document_describes_every_operation_with_its_refusals() {
    let server = Server::start().await;
    let answer = server.stranger().get("/openapi.json").await;
    let document = answer.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(serde_json::from_str::<Value>(meet_server::openapi_json()).unwrap(), document);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["operationId"].is_string() && operation["tags"][0].is_string(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let sentence = response["description"].as_str().unwrap();
                assert!(sentence.ends_with('.') && sentence.contains(' '), "{method} {path} {status}: {sentence}");
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                let is_refusal = status.starts_with('4') || status.starts_with('5');
                assert!(!is_refusal || schema == &json!("#/components/schemas/ErrorBody"), "{method} {path} {status}");
            }
        }
    }
}
