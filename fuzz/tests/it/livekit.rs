//! Tokens, webhooks and answers of a media server: whoever sends them, there is an answer, and what was not signed
//! opens nothing.

use std::time::Duration;

use bolero::{check, produce};
use meet_livekit::{
    ApiKey, Claims, UnixSeconds, VideoGrant,
    model::{Participant, Room},
    room_service::{Muted, Participants, Refusal, Rooms},
    webhook::{self, WebhookError},
};

use crate::input::{TRIES, text};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const LIFE: Duration = Duration::from_mins(5);

fn key() -> ApiKey {
    ApiKey::new("APIkey", b"a-secret-that-has-thirty-two-bytes").unwrap()
}

/// Bodies that a server sends, to be changed.
const BODIES: [&str; 3] = [
    r#"{"event":"participant_joined","id":"EV_1","createdAt":"1800000000","room":{"name":"r"},"participant":{"kind":4}}"#,
    r#"{"event":"track_published","id":"EV_2","createdAt":1800000000,"room":{},"participant":{"tracks":[{}]},"track":{}}"#,
    r#"{"rooms":[{"num_participants":"2"}],"participants":[{"attributes":{"a":"b"}}],"track":null,"code":"not_found"}"#,
];

#[test]
fn a_token_opens_what_it_says_and_a_changed_one_nothing() {
    let inputs = (text(), text(), produce::<u16>(), produce::<u8>());
    check!().with_iterations(TRIES).with_generator(inputs).for_each(|(identity, room, at, byte)| {
        let video = VideoGrant { room: format!("r{room}"), room_join: true, ..VideoGrant::default() };
        let identity = format!("u{identity}");
        let claims = Claims { identity, expires_at: NOW.after(LIFE), video: Some(video), ..Claims::default() };
        let token = key().sign(&claims).unwrap().into_string();
        assert_eq!(key().verify(&token, NOW, Duration::ZERO), Ok(claims));
        let mut changed = token.clone().into_bytes();
        let at = usize::from(*at) % changed.len();
        changed[at] = *byte;
        let changed = String::from_utf8_lossy(&changed);
        assert!(changed == token || key().verify(&changed, NOW, Duration::ZERO).is_err(), "{changed}");
        let _ = key().verify(room, NOW, LIFE);
    });
}

#[test]
fn a_webhook_is_read_or_refused_and_its_signature_holds_for_its_own_body_alone() {
    let changes = (0..BODIES.len(), produce::<u16>(), text());
    check!().with_iterations(TRIES).with_generator(changes).for_each(|(which, at, inserted)| {
        let original = BODIES[*which];
        let at = usize::from(*at) % original.len();
        let body = format!("{}{inserted}{}", &original[..at], &original[at..]);
        let sign = |body: &str| webhook::sign(&key(), body.as_bytes(), NOW, NOW.after(LIFE)).unwrap();
        let receive =
            |token: &str| webhook::receive(&key(), Some(token), body.as_bytes(), NOW, LIFE).map(|event| event.id);
        let own = receive(sign(&body).as_str());
        assert!(!matches!(own, Err(WebhookError::WrongBody | WebhookError::Token(_) | WebhookError::Unsigned)));
        let other = receive(sign(original).as_str());
        assert!(inserted.is_empty() || other == Err(WebhookError::WrongBody), "{other:?}");
        // What a media server answers, whatever it is.
        let _ = serde_json::from_str::<Rooms>(&body);
        let _ = serde_json::from_str::<Participants>(&body);
        let _ = serde_json::from_str::<Muted>(&body);
        let _ = serde_json::from_str::<Refusal>(&body);
        let _ = serde_json::from_str::<Room>(&body);
        let _ = serde_json::from_str::<Participant>(&body);
    });
}
