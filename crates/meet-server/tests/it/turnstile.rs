//! Turnstile in front of rooms without an owner: whoever it does not clearly vouch for stays outside, and nothing is made
//! for it.

use std::time::Duration;

use meet_server::Config;
use serde_json::{Value, json};

use crate::support::{
    Answer, Caller, Server, Setup,
    calls::{SITE, by_cloudflare, guarded_by},
    cloudflare::{Cloudflare, Fault, Step},
};

const REQUIRED: &str = "Turnstile verification required";
const FAILED: &str = "Turnstile verification failed";

async fn start() -> (Cloudflare, Server) {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Config)) -> (Cloudflare, Server) {
    let cloudflare = Cloudflare::start().await;
    let setup = Setup::new().manual_clock().with(by_cloudflare(&cloudflare)).with(guarded_by(&cloudflare));
    let server = setup.with(change).start().await;
    (cloudflare, server)
}

fn visitor(server: &Server) -> Caller {
    server.stranger().with_header("origin", &format!("https://{SITE}"))
}

async fn show(caller: &Caller, token: Value) -> Answer {
    let body = json!({ "room": "standup", "name": "Ann", "turnstileToken": token });
    caller.post_json("/api/token", body).await
}

/// Asserts that a caller was refused with these words, and that nothing came of it.
#[track_caller]
fn assert_refused(answer: &Answer, words: &str, cloudflare: &Cloudflare, why: &str) {
    assert_eq!(answer.refusal(403), "forbidden", "{why}");
    assert_eq!(answer.json()["error"], words, "{why}");
    assert_eq!(answer.header("set-cookie"), "", "{why}");
    let steps = cloudflare.steps();
    assert!(steps.iter().all(|step| *step == Step::Siteverify), "{why}: {steps:?}");
    assert!(cloudflare.live_meetings().is_empty(), "{why}");
}

#[tokio::test]
async fn without_a_token_there_is_nothing_to_ask() {
    let (cloudflare, server) = start().await;
    let ann = visitor(&server);
    for nothing in [Value::Null, json!("")] {
        assert_refused(&show(&ann, nothing).await, REQUIRED, &cloudflare, "no token");
    }
    let answer = ann.post_json("/api/token", json!({ "room": "standup", "name": "Ann" })).await;
    assert_refused(&answer, REQUIRED, &cloudflare, "no field");
    assert!(cloudflare.asked().is_empty());
    let long = show(&ann, json!("x".repeat(2049))).await;
    assert_refused(&long, FAILED, &cloudflare, "longer than any token");
    show(&ann, json!("x".repeat(2048))).await.refusal(403);
    assert_eq!(cloudflare.steps(), [Step::Siteverify], "of the two only the shorter was asked about");
    show(&ann, json!(5)).await.refusal(400);
}

#[tokio::test]
async fn whatever_is_not_a_clear_yes_is_a_no() {
    let (cloudflare, server) = start().await;
    let ann = visitor(&server);
    let said = |body: Value| Fault::Says(200, body.to_string());
    let no = |code: &str| said(json!({ "success": false, "error-codes": [code], "hostname": SITE }));
    let faults = [
        ("spent", vec![no("timeout-or-duplicate")]),
        ("made up", vec![no("invalid-input-response")]),
        ("a wrong secret", vec![no("invalid-input-secret")]),
        ("no code", vec![said(json!({ "success": false }))]),
        ("stumbles twice", vec![no("internal-error"), no("internal-error")]),
        ("of another site", vec![said(json!({ "success": true, "hostname": "evil.example" }))]),
        ("of a site below", vec![said(json!({ "success": true, "hostname": format!("x.{SITE}") }))]),
        ("of no site", vec![said(json!({ "success": true }))]),
        ("an empty site", vec![said(json!({ "success": true, "hostname": "" }))]),
        ("a yes that is a text", vec![said(json!({ "success": "true", "hostname": SITE }))]),
        ("a yes that is a failure", vec![Fault::Says(400, json!({ "success": true, "hostname": SITE }).to_string())]),
        ("a page", vec![Fault::Says(200, "<html>".to_owned())]),
        ("nothing", vec![Fault::Says(200, String::new())]),
        ("a list", vec![Fault::Says(200, "[]".to_owned())]),
        ("not there", vec![Fault::Says(404, "<html>".to_owned())]),
        ("a redirect", vec![Fault::Says(302, String::new())]),
        ("busy", vec![Fault::Says(429, String::new())]),
        ("down", vec![Fault::Says(503, "<html>".to_owned()), Fault::Says(503, "<html>".to_owned())]),
        ("cut", vec![Fault::Cut, Fault::Cut]),
        ("cut in the middle", vec![Fault::CutAmid, Fault::CutAmid]),
    ];
    for (why, faults) in faults {
        for fault in faults {
            cloudflare.fail(Step::Siteverify, fault);
        }
        let token = cloudflare.solve(SITE);
        let answer = show(&ann, json!(token)).await;
        assert!(cloudflare.fault_is_spent(Step::Siteverify), "{why}");
        assert_refused(&answer, FAILED, &cloudflare, why);
    }
    let token = cloudflare.solve(SITE);
    show(&ann, json!(token)).await.expect(200);
    assert_eq!(show(&ann, json!(token)).await.json()["error"], FAILED, "a token is good once");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_no() {
    let (cloudflare, server) = start().await;
    let mut held = cloudflare.hold(Step::Siteverify);
    let (ann, token) = (visitor(&server), cloudflare.solve(SITE));
    let time_passes = async {
        held.reached().await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(6)).await;
        tokio::time::resume();
    };
    let (answer, ()) = tokio::join!(show(&ann, json!(token)), time_passes);
    assert_refused(&answer, FAILED, &cloudflare, "too late");
}

#[tokio::test]
async fn siteverify_that_is_nowhere_is_a_no() {
    let (cloudflare, server) = start_with(|config| {
        // Nothing listens on the port of a discarded service.
        config.turnstile.verify_url = meet_server::config::ServiceUrl::parse("http://127.0.0.1:9").unwrap();
    })
    .await;
    let answer = show(&visitor(&server), json!(cloudflare.solve(SITE))).await;
    assert_refused(&answer, FAILED, &cloudflare, "nobody there");
}

#[tokio::test]
async fn a_token_is_good_on_the_site_of_the_request_alone() {
    let (cloudflare, server) = start().await;
    let own = server.stranger().with_header("origin", &server.stranger().own_origin());
    let answer = show(&own, json!(cloudflare.solve(SITE))).await;
    assert_refused(&answer, FAILED, &cloudflare, "solved on another accepted site");
    let answer = show(&visitor(&server), json!(cloudflare.solve("127.0.0.1"))).await;
    assert_refused(&answer, FAILED, &cloudflare, "solved on our own");
    show(&own, json!(cloudflare.solve("127.0.0.1"))).await.expect(200);
    show(&visitor(&server), json!(cloudflare.solve("APP.example.ORG"))).await.expect(200);
    show(&visitor(&server), json!(cloudflare.solve(SITE))).await.expect(200);
}

#[tokio::test]
async fn turnstile_is_told_the_address_of_the_caller() {
    let (cloudflare, server) = start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        config.client_ip_header = Some("x-forwarded-for".to_owned());
    })
    .await;
    for (forwarded, told) in [("198.51.100.7", "198.51.100.7"), ("6.6.6.6, 2001:db8::7", "2001%3Adb8%3A%3A7")] {
        let caller = visitor(&server).with_header("x-forwarded-for", forwarded);
        show(&caller, json!(cloudflare.solve(SITE))).await.expect(200);
        let asked = cloudflare.asked();
        let form: Vec<_> = asked[0].body.split('&').collect();
        assert!(form.contains(&format!("remoteip={told}").as_str()), "{forwarded}");
    }
    let (cloudflare, server) = start().await;
    let liar = visitor(&server).with_header("x-forwarded-for", "6.6.6.6");
    show(&liar, json!(cloudflare.solve(SITE))).await.expect(200);
    assert!(cloudflare.asked()[0].body.contains("remoteip=127.0.0.1"), "a header that nobody vouches for is none");
}

#[tokio::test]
async fn it_comes_after_what_is_malformed_and_before_the_room() {
    let (cloudflare, server) = start().await;
    let ann = visitor(&server);
    for (body, sentence) in [
        (json!({}), "room and name required"),
        (json!({ "room": "x".repeat(65), "name": "Ann" }), "input too long"),
        (json!({ "room": " ", "name": "Ann" }), "room and name must not be blank"),
    ] {
        let answer = ann.post_json("/api/token", body).await;
        answer.refusal(400);
        assert_eq!(answer.json()["error"], sentence);
    }
    show(&server.stranger(), json!("x")).await.refusal(403);
    assert!(cloudflare.asked().is_empty(), "nobody was asked about those");

    show(&ann, json!(cloudflare.solve(SITE))).await.expect(200);
    server.clock.advance(Duration::from_hours(2));
    server.app.tend_calls().await.unwrap();
    for _ in 0..2 {
        let answer = show(&ann, json!("made up")).await;
        assert_eq!(answer.json()["error"], FAILED, "a stranger does not learn that the room was there");
    }
    assert_eq!(show(&ann, json!(cloudflare.solve(SITE))).await.refusal(410), "expired");
    show(&ann, json!(cloudflare.solve(SITE))).await.expect(200);
}

#[tokio::test]
async fn without_a_secret_nobody_is_asked_about() {
    let cloudflare = Cloudflare::start().await;
    let server = Setup::new().manual_clock().with(by_cloudflare(&cloudflare)).start().await;
    let ann = visitor(&server);
    for token in [Value::Null, json!(""), json!("made up"), json!("x".repeat(5000))] {
        show(&ann, token).await.expect(200);
    }
    assert!(!cloudflare.steps().contains(&Step::Siteverify));
}

#[tokio::test]
async fn members_are_not_looked_at() {
    let (cloudflare, server) = start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    owner.session("Ann").await.call_token(&room).await;
    assert!(!cloudflare.steps().contains(&Step::Siteverify));
}
