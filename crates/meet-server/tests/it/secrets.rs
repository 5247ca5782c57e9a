//! No secret is told: not in the log at its most talkative, and not in what callers are answered, whatever goes wrong.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use meet_livekit::{ApiKey, UnixSeconds, webhook};
use reqwest::Method;
use serde_json::{Value, json};
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};

use crate::support::{
    Answer, Caller, Setup,
    calls::{SITE, Scene, by_cloudflare, guarded_by},
    cloudflare::{self, API_TOKEN, Cloudflare, Step, TURNSTILE_SECRET},
    livekit::{API_KEY, API_SECRET, Fault},
};

/// Everything that is logged on this thread, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen(&self) -> DefaultGuard {
        // While there is one subscriber only, whichever thread comes to a line first decides for all whether it is
        // logged; with a second one everybody is asked.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(NoSubscriber::default()));
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// What nobody may read, and where it is looked for.
#[derive(Default)]
struct Secrets {
    secrets: Vec<String>,
    refusals: Vec<String>,
}

impl Secrets {
    fn keep(&mut self, secret: &str) {
        assert!(secret.len() >= 8, "{secret} could stand anywhere");
        self.secrets.push(secret.to_owned());
    }

    /// Keeps all tokens of an answer, or notes that it is a refusal.
    fn take(&mut self, answer: &Answer) -> Value {
        let body = answer.json();
        for field in ["token", "authToken", "chatToken", "key"] {
            if let Some(secret) = body[field].as_str() {
                self.keep(secret);
            }
        }
        if let Some(cookie) = answer.header("set-cookie").split(';').next().and_then(|cookie| cookie.split_once('=')) {
            self.keep(cookie.1);
        }
        if answer.status >= 400 {
            self.refusals.push(answer.whole());
        }
        body
    }

    fn assert_nowhere_in(&self, log: &Log) {
        let log = log.text();
        for (secret, at) in self.secrets.iter().zip(1..) {
            assert!(!log.contains(secret), "secret {at} is in the log: {}", line_of(&log, secret));
            for refusal in &self.refusals {
                assert!(!refusal.contains(secret), "secret {at} is in {refusal}");
            }
        }
    }
}

fn line_of<'a>(log: &'a str, secret: &str) -> &'a str {
    log.lines().find(|line| line.contains(secret)).unwrap_or_default()
}

#[tokio::test]
async fn nothing_that_livekit_fails_at_tells_a_secret() {
    let log = Log::default();
    let listening = log.listen();
    let mut secrets = Secrets::default();
    let scene = Scene::new().await;
    let Scene { livekit, server, owner, room } = &scene;
    secrets.keep(API_SECRET);
    secrets.keep(owner.token());
    let ann = owner.session("Ann").await;
    secrets.keep(ann.token());
    for fault in [
        Fault::Refused(StatusCode::UNAUTHORIZED, "unauthenticated"),
        Fault::Refused(StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        Fault::Page(StatusCode::BAD_GATEWAY),
        Fault::Junk("junk"),
        Fault::Cut,
    ] {
        livekit.fail(fault);
        secrets.take(&ann.ask_for_call(room).await);
    }
    let token = secrets.take(&ann.ask_for_call(room).await)["token"].as_str().unwrap().to_owned();
    livekit.join(&token).unwrap();
    secrets.take(&owner.enter("standup", "Eve").await);
    let own = owner.stranger().with_header("origin", &owner.own_origin());
    let body = json!({ "room": "standup", "name": "Bob" });
    secrets.take(&own.post_json("/api/token", body).await);

    // Webhooks that are believed and that are not.
    let key = ApiKey::new(API_KEY, b"another-secret-of-thirty-two-bytes").unwrap();
    secrets.keep("another-secret-of-thirty-two-bytes");
    let forged = webhook::sign(&key, b"{}", UnixSeconds(0), UnixSeconds(1)).unwrap().into_string();
    secrets.keep(&forged);
    let tell = async |authorization: &str| {
        let caller = server.stranger();
        let request =
            caller.request(Method::POST, "/internal/conference/events").header("authorization", authorization);
        caller.send(request.body("{}")).await
    };
    for authorization in [&forged, &token] {
        secrets.take(&tell(authorization).await);
    }
    for signed in std::iter::from_fn(|| livekit.webhook()).collect::<Vec<_>>() {
        secrets.keep(&signed.authorization);
        secrets.take(&tell(&signed.authorization).await);
    }
    livekit.fail(Fault::Refused(StatusCode::INTERNAL_SERVER_ERROR, "internal"));
    ann.delete("/api/session").await.expect(204);
    livekit.fail(Fault::Cut);
    owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
    for _ in 0..3 {
        server.tend(Duration::from_mins(6)).await;
    }
    drop(listening);
    assert!(log.text().contains("the provider of calls opened no meeting"), "the log is talkative enough");
    secrets.assert_nowhere_in(&log);
}

/// Ways in which Cloudflare fails, with secrets in what it says.
fn faults() -> [cloudflare::Fault; 7] {
    [
        cloudflare::Fault::Status(401, 10_000),
        cloudflare::Fault::Status(500, 1),
        cloudflare::Fault::Status(200, 1),
        cloudflare::Fault::Says(200, format!("junk with {API_TOKEN}")),
        cloudflare::Fault::Says(422, json!({ "success": false, "error": { "message": API_TOKEN } }).to_string()),
        cloudflare::Fault::Cut,
        cloudflare::Fault::CutAmid,
    ]
}

/// A stranger's request for the call of a name, with a token of Turnstile.
async fn show(secrets: &mut Secrets, caller: &Caller, token: &str) {
    secrets.keep(token);
    let page = caller.stranger().with_header("origin", &format!("https://{SITE}"));
    let body = json!({ "room": "red", "name": "Eve", "turnstileToken": token });
    secrets.take(&page.post_json("/api/token", body).await);
}

#[tokio::test]
async fn nothing_that_cloudflare_fails_at_tells_a_secret() {
    let log = Log::default();
    let listening = log.listen();
    let mut secrets = Secrets::default();
    let cloudflare = Cloudflare::start().await;
    let setup = Setup::new().manual_clock().with(by_cloudflare(&cloudflare)).with(guarded_by(&cloudflare));
    let server = setup.start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let ann = owner.session("Ann").await;
    for secret in [API_TOKEN, TURNSTILE_SECRET, owner.token(), ann.token()] {
        secrets.keep(secret);
    }
    for step in [Step::CreateMeeting, Step::AddParticipant] {
        for fault in faults() {
            cloudflare.fail(step, fault);
            secrets.take(&ann.ask_for_call(&room).await);
            assert!(cloudflare.fault_is_spent(step));
            server.tend(Duration::from_mins(6)).await;
        }
    }
    for fault in faults() {
        cloudflare.fail(Step::Siteverify, fault);
        show(&mut secrets, &owner, &cloudflare.solve("evil.example")).await;
    }
    for token in [cloudflare.solve(SITE), "a-token-that-is-made-up".to_owned(), cloudflare.solve("evil.example")] {
        show(&mut secrets, &owner, &token).await;
    }
    let caller = server.stranger();
    let request = caller.request(Method::POST, "/internal/conference/events").header("rtk-signature", "bm9uZQ==");
    secrets.take(&caller.send(request.body(json!({ "event": "meeting.ended" }).to_string())).await);

    let token = secrets.take(&ann.ask_for_call(&room).await)["token"].as_str().unwrap().to_owned();
    assert!(cloudflare.enter(&token));
    for step in [Step::Kick, Step::DeleteParticipant, Step::UpdateMeeting, Step::KickAll, Step::ActiveSession] {
        cloudflare.fail(step, cloudflare::Fault::Status(500, 1));
    }
    server.tend(Duration::from_mins(1)).await;
    ann.delete("/api/session").await.expect(204);
    server.tend(Duration::from_mins(6)).await;
    owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
    for _ in 0..3 {
        server.tend(Duration::from_mins(6)).await;
    }
    drop(listening);
    let told = log.text();
    assert!(told.contains("let nobody in") && told.contains("Turnstile vouched for nobody"), "it is talkative enough");
    secrets.assert_nowhere_in(&log);
    assert!(secrets.refusals.len() > 20, "enough went wrong");
}
