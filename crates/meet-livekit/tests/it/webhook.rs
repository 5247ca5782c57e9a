//! Webhooks: what a server says, and what somebody else says in its name.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use meet_livekit::{
    AccessToken, ApiKey, Claims, UnixSeconds, VideoGrant,
    token::{LEEWAY, TokenError},
    webhook::{self, Event, Happening, WebhookError},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    END, NOW, key,
    round_trip::{participant, room, track},
    signed,
};

const MAX_AGE: Duration = Duration::from_hours(1);

fn authorization(body: &[u8]) -> AccessToken {
    webhook::sign(&key(), body, NOW, END).unwrap()
}

/// Receives a body that the server signed.
fn received(body: &[u8]) -> Result<Event, WebhookError> {
    webhook::receive(&key(), Some(authorization(body).as_str()), body, NOW, MAX_AGE)
}

fn happened(body: &Value) -> Result<Happening, WebhookError> {
    received(body.to_string().as_bytes()).map(|event| event.happening)
}

/// A body as a server writes it.
const JOINED: &str = r#"{"event":"participant_joined","room":{"sid":"RM_1","name":"r","creationTime":"1799999990",
"creationTimeMs":"1799999990123","enabledCodecs":[{"mime":"audio/opus"}]},"participant":{"sid":"PA_1","identity":"anna",
"state":"ACTIVE","joinedAt":"1799999999","permission":{"canSubscribe":true}},"id":"EV_1","createdAt":"1800000000"}"#;

#[test]
fn a_server_tells_who_joined() {
    let event = received(JOINED.as_bytes()).unwrap();
    assert_eq!((event.id.as_str(), event.created_at), ("EV_1", NOW));
    let Happening::ParticipantJoined { room, participant } = event.happening else { panic!("{event:?}") };
    assert_eq!((room.name.as_str(), room.sid.as_str()), ("r", "RM_1"));
    assert_eq!((participant.identity.as_str(), participant.joined_at), ("anna", UnixSeconds(1_799_999_999)));
}

#[test]
fn an_event_has_what_its_kind_needs_or_is_malformed_and_one_of_another_kind_keeps_nothing() {
    let needs = [
        ("room_started", 1),
        ("room_finished", 1),
        ("participant_joined", 2),
        ("participant_left", 2),
        ("participant_connection_aborted", 2),
        ("track_published", 3),
        ("track_unpublished", 3),
    ];
    for (event, needed) in needs {
        for given in 0..=3 {
            let mut body = json!({ "event": event, "id": "EV_1", "createdAt": NOW });
            for part in ["room", "participant", "track"].into_iter().take(given) {
                body[part] = json!({});
            }
            let outcome = happened(&body);
            assert_eq!(outcome.is_ok(), given >= needed, "{body}");
            assert!(
                !matches!(outcome, Ok(Happening::Other)) && !matches!(outcome, Err(WebhookError::TooOld)),
                "{body}"
            );
        }
    }
    for event in ["egress_started", "agent_job_ended", "new"] {
        let body = json!({ "event": event, "id": "EV_1", "createdAt": NOW, "room": {}, "job": {} });
        assert_eq!(happened(&body), Ok(Happening::Other), "{event}");
    }
}

#[test]
fn a_body_that_was_changed_by_one_byte_is_refused_before_it_is_parsed() {
    let token = authorization(JOINED.as_bytes());
    for at in 0..JOINED.len() {
        let mut body = JOINED.as_bytes().to_vec();
        body[at] ^= 1;
        let outcome = webhook::receive(&key(), Some(token.as_str()), &body, NOW, MAX_AGE);
        assert_eq!(outcome, Err(WebhookError::WrongBody), "{at}");
    }
}

#[test]
fn who_does_not_sign_the_body_with_the_key_is_refused() {
    let receive = |token: Option<&str>| webhook::receive(&key(), token, JOINED.as_bytes(), NOW, MAX_AGE).unwrap_err();
    assert_eq!(receive(None), WebhookError::Unsigned);
    assert_eq!(receive(Some("")), WebhookError::Unsigned);
    assert_eq!(receive(Some("junk")), WebhookError::Token(TokenError::Malformed));
    let good = authorization(JOINED.as_bytes()).into_string();
    assert_eq!(receive(Some(&format!("Bearer {good}"))), WebhookError::Token(TokenError::Malformed));
    let stranger = ApiKey::new("APIkey", b"another-secret").unwrap();
    let forged = webhook::sign(&stranger, JOINED.as_bytes(), NOW, END).unwrap();
    assert_eq!(receive(Some(forged.as_str())), WebhookError::Token(TokenError::WrongKey));
    // The token of a participant is of the same key, and everybody in the room has one.
    let video = VideoGrant { room: "r".into(), room_join: true, ..VideoGrant::default() };
    let claims = Claims { identity: "anna".into(), expires_at: END, video: Some(video), ..Claims::default() };
    assert_eq!(receive(Some(key().sign(&claims).unwrap().as_str())), WebhookError::WrongBody);
    for hash in [json!(""), json!("AAAA"), json!(null)] {
        let token = signed(Algorithm::HS256, &json!({ "iss": "APIkey", "exp": END, "sha256": hash }));
        assert_eq!(receive(Some(&token)), WebhookError::WrongBody);
    }
}

#[test]
fn a_webhook_is_believed_while_its_token_holds_and_its_event_is_young() {
    let token = webhook::sign(&key(), JOINED.as_bytes(), UnixSeconds(0), UnixSeconds(i64::MAX)).unwrap();
    let at = |now: i64| {
        webhook::receive(&key(), Some(token.as_str()), JOINED.as_bytes(), UnixSeconds(now), MAX_AGE)
            .map(|event| event.id)
    };
    assert_eq!(at(NOW.0 + 3600), Ok("EV_1".into()));
    assert_eq!(at(NOW.0 + 3601), Err(WebhookError::TooOld));
    assert_eq!(at(NOW.0 - 60), Ok("EV_1".into()));
    assert_eq!(at(NOW.0 - 61), Err(WebhookError::TooNew));

    let late = END.after(LEEWAY);
    let outcome =
        webhook::receive(&key(), Some(authorization(JOINED.as_bytes()).as_str()), JOINED.as_bytes(), late, MAX_AGE);
    assert_eq!(outcome, Err(WebhookError::Token(TokenError::Expired)));
    assert_eq!(happened(&json!({ "event": "room_started", "id": "EV_1", "room": {} })), Err(WebhookError::TooOld));
}

#[test]
fn signed_junk_is_malformed() {
    for body in ["", "{}", "[]", "null", "{\"event\":", r#"{"event":"","id":"EV_1"}"#, "\u{0}"] {
        assert_eq!(received(body.as_bytes()), Err(WebhookError::Malformed), "{body}");
    }
    for change in [json!({ "id": "" }), json!({ "id": 7 }), json!({ "room": 7 }), json!({ "createdAt": "soon" })] {
        let mut body = json!({ "event": "room_started", "id": "EV_1", "createdAt": NOW, "room": {} });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(happened(&body), Err(WebhookError::Malformed), "{body}");
    }
}

proptest! {
    #[test]
    fn an_event_reads_back_as_what_happened(room in room(), participant in participant(), track in track(), id in ".+") {
        let body = json!({
            "event": "track_published", "id": id, "createdAt": NOW, "room": room, "participant": participant,
            "track": track,
        });
        let event = received(body.to_string().as_bytes());
        let happening = Happening::TrackPublished { room, participant, track };
        prop_assert_eq!(event, Ok(Event { id, created_at: NOW, happening }));
    }

    #[test]
    fn any_body_is_answered_with_and_without_a_signature(body in any::<Vec<u8>>(), token in ".*") {
        let _ = received(&body);
        prop_assert!(webhook::receive(&key(), Some(&token), &body, NOW, MAX_AGE).is_err());
    }
}
