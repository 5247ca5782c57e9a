//! Turnstile against a double of siteverify.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use serde_json::json;

use super::*;
use crate::{
    cloudflare::{Cloudflare, Fault as Wrong, Step, TURNSTILE_SECRET},
    config::ServiceUrl,
    doctor::Level,
};

/// What goes wrong once, and what is told when it goes wrong twice.
type Stumble = (fn() -> Wrong, &'static str);
/// What goes wrong, how well that is, and what is named.
type Case = (Vec<Wrong>, Level, &'static str);

const VISITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SITE: &str = "meet.example.org";

fn settings(cloudflare: &Cloudflare, secret: &str) -> config::Turnstile {
    config::Turnstile {
        secret_key: Some(secret.into()),
        site_key: None,
        verify_url: ServiceUrl::parse(&cloudflare.verify_url()).unwrap(),
    }
}

async fn start() -> (Cloudflare, Turnstile) {
    let cloudflare = Cloudflare::start().await;
    let turnstile = Turnstile::new(&settings(&cloudflare, TURNSTILE_SECRET)).unwrap().unwrap();
    (cloudflare, turnstile)
}

fn attempt(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn yes(hostname: &str) -> Wrong {
    Wrong::Says(200, json!({ "success": true, "hostname": hostname, "error-codes": [] }).to_string())
}

fn no(code: &str) -> Wrong {
    Wrong::Says(200, json!({ "success": false, "error-codes": [code] }).to_string())
}

#[test]
fn without_a_secret_nobody_is_checked() {
    assert!(Turnstile::new(&config::Turnstile::default()).unwrap().is_none());
}

#[tokio::test]
async fn a_token_is_good_once_and_on_its_own_site() {
    let (cloudflare, turnstile) = start().await;
    let token = cloudflare.solve(SITE);
    turnstile.verify(&token, VISITOR, "MEET.Example.org", attempt(1)).await.unwrap();
    let asked: Vec<_> = cloudflare.asked().into_iter().map(|asked| (asked.step, asked.body)).collect();
    let form = format!("secret={TURNSTILE_SECRET}&response={token}&idempotency_key={}&remoteip={VISITOR}", attempt(1));
    assert_eq!(asked, [(Step::Siteverify, form)]);
    let again = turnstile.verify(&token, VISITOR, SITE, attempt(2)).await;
    assert_eq!(again, Err(Refused::NotGood(Fault::Spent)));
    let made_up = turnstile.verify("made up", VISITOR, SITE, attempt(3)).await;
    assert_eq!(made_up, Err(Refused::NotGood(Fault::Response)));
    for other in ["evil.example", "example.org", "meet.example.org.evil.example", ""] {
        let token = cloudflare.solve(other);
        assert_eq!(turnstile.verify(&token, VISITOR, SITE, attempt(4)).await, Err(Refused::WrongHostname), "{other}");
    }
}

#[tokio::test]
async fn a_token_that_no_widget_makes_is_refused_unasked() {
    let (cloudflare, turnstile) = start().await;
    for token in [String::new(), "x".repeat(2049)] {
        assert_eq!(turnstile.verify(&token, VISITOR, SITE, attempt(1)).await, Err(Refused::NoToken));
    }
    assert!(cloudflare.steps().is_empty());
    let longest = turnstile.verify(&"x".repeat(2048), VISITOR, SITE, attempt(1)).await;
    assert_eq!(longest, Err(Refused::NotGood(Fault::Response)));
}

#[tokio::test]
async fn whatever_is_not_a_clear_yes_is_a_no() {
    let (cloudflare, turnstile) = start().await;
    let says = |status, body: &str| Wrong::Says(status, body.to_owned());
    let unknown = |why: &str| Refused::Unknown(why.to_owned());
    let junk = unknown("status 200 with an answer that makes no sense");
    let answers = [
        (no("missing-input-secret"), Refused::NotGood(Fault::Secret)),
        (no("invalid-input-secret"), Refused::NotGood(Fault::Secret)),
        (no("missing-input-response"), Refused::NotGood(Fault::Other)),
        (no("invalid-input-response"), Refused::NotGood(Fault::Response)),
        (no("bad-request"), Refused::NotGood(Fault::Other)),
        (no("timeout-or-duplicate"), Refused::NotGood(Fault::Spent)),
        (no("of tomorrow"), Refused::NotGood(Fault::Other)),
        (says(200, r#"{"success":false}"#), Refused::NotGood(Fault::Other)),
        (says(400, r#"{"success":false,"error-codes":["bad-request"]}"#), Refused::NotGood(Fault::Other)),
        (says(200, r#"{"success":true}"#), Refused::WrongHostname),
        (says(200, r#"{"success":true,"hostname":null}"#), Refused::WrongHostname),
        (says(200, r#"{"success":"true","hostname":"meet.example.org"}"#), junk.clone()),
        (says(200, r#"{"hostname":"meet.example.org"}"#), junk.clone()),
        (says(200, "<html>"), junk.clone()),
        (says(200, ""), junk),
        (
            says(403, r#"{"success":true,"hostname":"meet.example.org"}"#),
            unknown("status 403 with an answer that makes no sense"),
        ),
        (says(302, ""), unknown("status 302 with an answer that makes no sense")),
        (says(429, ""), unknown("status 429 with an answer that makes no sense")),
        (says(200, &" ".repeat((4 << 20) + 1)), unknown("its answer is too large")),
    ];
    for (answer, refused) in answers {
        cloudflare.fail(Step::Siteverify, answer);
        let token = cloudflare.solve(SITE);
        assert_eq!(turnstile.verify(&token, VISITOR, SITE, attempt(1)).await, Err(refused));
        assert_eq!(cloudflare.steps().len(), 1, "it is not asked twice");
    }
}

#[tokio::test]
async fn a_stumble_is_asked_about_once_more_as_the_same_attempt() {
    let (cloudflare, turnstile) = start().await;
    let stumbles: [Stumble; 6] = [
        (|| no("internal-error"), "the token is not good: internal-error"),
        (|| Wrong::Says(500, String::new()), "Turnstile did not answer properly: status 500"),
        (|| Wrong::Says(503, "<html>".to_owned()), "Turnstile did not answer properly: status 503"),
        (|| Wrong::Cut, "Turnstile did not answer properly: the connection was cut"),
        (|| Wrong::CutAfter, "Turnstile did not answer properly: the connection was cut"),
        (|| Wrong::CutAmid, "Turnstile did not answer properly: the connection was cut"),
    ];
    for (stumble, told) in stumbles {
        let token = cloudflare.solve(SITE);
        cloudflare.fail(Step::Siteverify, stumble());
        turnstile.verify(&token, VISITOR, SITE, attempt(7)).await.unwrap();
        let asked = cloudflare.asked();
        assert_eq!((asked.len(), &asked[0].body), (2, &asked[1].body), "{told}");
        for _ in 0..2 {
            cloudflare.fail(Step::Siteverify, stumble());
        }
        let token = cloudflare.solve(SITE);
        let refused = turnstile.verify(&token, VISITOR, SITE, attempt(8)).await.unwrap_err();
        assert_eq!(refused.to_string(), told);
        assert_eq!(cloudflare.steps().len(), 2, "there is no third try");
    }
    cloudflare.fail(Step::Siteverify, no("internal-error"));
    cloudflare.fail(Step::Siteverify, yes("evil.example"));
    let refused = turnstile.verify("token", VISITOR, SITE, attempt(9)).await;
    assert_eq!(refused, Err(Refused::WrongHostname), "the second answer is looked at like the first");
}

#[tokio::test]
async fn nobody_waits_longer_than_five_seconds_even_for_two_tries() {
    let (cloudflare, turnstile) = start().await;
    let token = cloudflare.solve(SITE);
    cloudflare.fail(Step::Siteverify, Wrong::Cut);
    let mut held = cloudflare.hold(Step::Siteverify);
    let waiting = async {
        held.reached().await;
        tokio::time::pause();
        tokio::time::advance(TIMEOUT).await;
        tokio::time::resume();
    };
    let (refused, ()) = tokio::join!(turnstile.verify(&token, VISITOR, SITE, attempt(1)), waiting);
    assert_eq!(refused, Err(Refused::Unknown("it took too long".to_owned())));
    drop(held);
}

#[tokio::test]
async fn a_service_that_is_not_there_vouches_for_nobody() {
    let (cloudflare, turnstile) = start().await;
    let address = cloudflare.verify_url();
    drop(cloudflare);
    let refused = turnstile.verify("token", VISITOR, SITE, attempt(1)).await.unwrap_err();
    assert!(matches!(refused, Refused::Unknown(_)) && !refused.to_string().contains(&address), "{refused}");
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_that_is_wrong_is_named_and_not_shown() {
    let log = Log::default();
    let writer = log.clone();
    // While there is one subscriber only, whichever thread comes to a line first decides for all whether it is logged.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let cloudflare = Cloudflare::start().await;
    let turnstile = Turnstile::new(&settings(&cloudflare, "0xA-wrong-secret")).unwrap().unwrap();
    let refused = turnstile.verify("a-visitors-token", VISITOR, SITE, attempt(1)).await;
    assert_eq!(refused, Err(Refused::NotGood(Fault::Secret)));
    turnstile.inspect(attempt(2)).await;
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("WARN") && logged.contains("MEET_AI_TURNSTILE__SECRET_KEY"), "{logged}");
    assert!(!logged.contains("0xA-wrong-secret") && !logged.contains("a-visitors-token"), "{logged}");
}

#[tokio::test]
async fn the_doctor_names_the_setting_at_fault() {
    let (cloudflare, turnstile) = start().await;
    let found = turnstile.inspect(attempt(1)).await;
    assert_eq!((found.level, found.fix), (Level::Ok, None));
    let cases: [Case; 6] = [
        (vec![no("invalid-input-secret")], Level::Fail, "MEET_AI_TURNSTILE__SECRET_KEY"),
        (vec![yes("example.com")], Level::Warn, "MEET_AI_TURNSTILE__SECRET_KEY"),
        (vec![no("timeout-or-duplicate")], Level::Warn, "MEET_AI_TURNSTILE__SECRET_KEY"),
        (vec![Wrong::Cut, Wrong::Cut], Level::Fail, "MEET_AI_TURNSTILE__VERIFY_URL"),
        (vec![Wrong::Says(404, "<html>".to_owned())], Level::Fail, "MEET_AI_TURNSTILE__VERIFY_URL"),
        (vec![no("bad-request")], Level::Fail, "does not say what it should"),
    ];
    for (wrongs, level, named) in cases {
        for wrong in wrongs {
            cloudflare.fail(Step::Siteverify, wrong);
        }
        let found = turnstile.inspect(attempt(1)).await;
        assert_eq!(found.level, level, "{found:?}");
        assert!(found.state.contains(named) && !format!("{found:?}").contains(TURNSTILE_SECRET), "{found:?}");
    }
}
