//! The tokens of each role as they stand on the wire: every grant is said, whether it is given or not.

use std::time::Duration;

use meet_livekit::{
    ApiKey, Claims, UnixSeconds, VideoGrant,
    model::{Kind, Source},
    room_service::{DeleteRoom, ListParticipants, ListRooms, Method},
    token::{EmptyKey, SignError},
};
use serde_json::{Value, json};

use crate::{END, NOW, key, part, signed};

/// The `video` claim with nothing granted, and these in place.
fn video(changes: Value) -> Value {
    let mut video = json!({
        "room": "", "roomJoin": false, "roomAdmin": false, "roomCreate": false, "roomList": false, "roomRecord": false,
        "canPublish": false, "canPublishSources": [], "canSubscribe": false, "canPublishData": false,
        "canUpdateOwnMetadata": false, "canSubscribeMetrics": false, "canManageAgentSession": false,
        "hidden": false, "recorder": false, "agent": false, "ingressAdmin": false,
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    video.as_object_mut().unwrap().extend(changes);
    video
}

/// The `video` claim of a token that carries this grant.
fn written(grant: VideoGrant) -> Value {
    let claims = Claims { identity: "anna".into(), expires_at: END, video: Some(grant), ..Claims::default() };
    part(key().sign(&claims).unwrap().as_str(), 1)["video"].clone()
}

fn join(can_publish: &[Source]) -> VideoGrant {
    let can_publish = can_publish.iter().copied().collect();
    VideoGrant { room: "r".into(), room_join: true, can_publish, can_subscribe: true, ..VideoGrant::default() }
}

#[test]
fn an_agents_token_is_these_bytes() {
    let claims = Claims {
        identity: "u-1".into(),
        not_before: NOW,
        expires_at: END,
        id: Some("t-1".into()),
        name: "Ada".into(),
        kind: Kind::Agent,
        metadata: "{}".into(),
        attributes: [("role".into(), "scribe".into())].into(),
        video: Some(join(&[Source::Microphone])),
        sha256: None,
    };
    let token = key().sign(&claims).unwrap();
    assert_eq!(token.as_str(), include_str!("agent.jwt").trim_end());
    assert_eq!(part(token.as_str(), 0), json!({ "typ": "JWT", "alg": "HS256" }));
    let granted = json!({
        "room": "r", "roomJoin": true, "canPublish": true, "canPublishSources": ["microphone"], "canSubscribe": true,
    });
    let payload = json!({
        "iss": "APIkey", "sub": "u-1", "nbf": 1_800_000_000, "exp": 1_800_000_600, "jti": "t-1", "name": "Ada",
        "kind": "agent", "metadata": "{}", "attributes": { "role": "scribe" }, "video": video(granted),
    });
    assert_eq!(part(token.as_str(), 1), payload);
    assert_eq!(key().verify(token.as_str(), NOW, Duration::ZERO), Ok(claims));
}

#[test]
fn who_speaks_shares_listens_or_rules_gets_that_and_nothing_else() {
    let speaker = json!({
        "room": "r", "roomJoin": true, "canSubscribe": true, "canPublish": true, "canPublishSources": ["microphone"],
    });
    assert_eq!(written(join(&[Source::Microphone])), video(speaker));

    let all = ["camera", "microphone", "screen_share", "screen_share_audio"];
    let sharer =
        json!({ "room": "r", "roomJoin": true, "canSubscribe": true, "canPublish": true, "canPublishSources": all });
    assert_eq!(written(join(&Source::ALL)), video(sharer));

    let spectator = json!({ "room": "r", "roomJoin": true, "canSubscribe": true });
    assert_eq!(written(join(&[])), video(spectator));

    let admin = ListParticipants { room: "r".into() }.grant();
    assert_eq!(written(admin), video(json!({ "room": "r", "roomAdmin": true })));
    assert_eq!(written(DeleteRoom { room: "r".into() }.grant()), video(json!({ "roomCreate": true })));
    assert_eq!(written(ListRooms::default().grant()), video(json!({ "roomList": true })));
    assert_eq!(written(VideoGrant::default()), video(json!({})));
}

#[test]
fn a_standard_participant_is_called_one_and_empty_words_are_left_out() {
    let token = key().sign(&Claims { expires_at: END, ..Claims::default() }).unwrap();
    let payload = json!({ "iss": "APIkey", "sub": "", "nbf": 0, "exp": 1_800_000_600, "kind": "standard" });
    assert_eq!(part(token.as_str(), 1), payload);
}

#[test]
fn what_others_leave_out_reads_as_the_protocol_has_it() {
    let read = |video: Value| {
        let token = signed(
            jsonwebtoken::Algorithm::HS256,
            &json!({ "iss": "APIkey", "exp": END, "video": video, "other": [1] }),
        );
        key().verify(&token, NOW, Duration::ZERO).unwrap().video.unwrap()
    };
    let everything = VideoGrant {
        can_publish: Source::ALL.into(),
        can_subscribe: true,
        can_publish_data: true,
        ..VideoGrant::default()
    };
    assert_eq!(read(json!({})), everything);
    assert_eq!(read(json!({ "canPublishSources": [], "hidden": null, "unknown": {} })), everything);
    // Who may not publish sends no data either, unless the token says so.
    let listener = VideoGrant { can_subscribe: true, ..VideoGrant::default() };
    assert_eq!(read(json!({ "canPublish": false, "canPublishSources": ["camera"] })), listener);
    let talker = VideoGrant { can_publish_data: true, ..listener };
    assert_eq!(read(json!({ "canPublish": false, "canPublishData": true })), talker);
    // A source that is not known must not turn into all of them.
    assert!(read(json!({ "canPublishSources": ["hologram"] })).can_publish.is_empty());
    assert_eq!(read(json!({ "canPublishSources": ["hologram", "CAMERA"] })).can_publish, [Source::Camera].into());
}

#[test]
fn a_token_for_a_room_names_it_and_one_that_joins_names_who() {
    let sign = |identity: &str, video: VideoGrant| {
        let claims = Claims { identity: identity.into(), expires_at: END, video: Some(video), ..Claims::default() };
        key().sign(&claims).map(|_| ())
    };
    let nowhere = VideoGrant { room: String::new(), ..join(&[]) };
    let rules_nowhere = VideoGrant { room_admin: true, ..VideoGrant::default() };
    assert_eq!(sign("anna", join(&[])), Ok(()));
    assert_eq!(sign("", join(&[])), Err(SignError::Incomplete));
    assert_eq!(sign("anna", nowhere), Err(SignError::Incomplete));
    assert_eq!(sign("", rules_nowhere), Err(SignError::Incomplete));
    assert_eq!(sign(&"a".repeat(20_000), join(&[])), Err(SignError::TooLong));
}

#[test]
fn a_key_has_an_id_and_a_secret_and_neither_it_nor_a_token_shows_the_secret() {
    assert_eq!(ApiKey::new("", b"secret").unwrap_err(), EmptyKey);
    assert_eq!(ApiKey::new("id", b"").unwrap_err(), EmptyKey);
    assert_eq!(format!("{:?}", key()), "ApiKey { id: \"APIkey\", .. }");
    let token = key().sign(&Claims { expires_at: UnixSeconds(1), ..Claims::default() }).unwrap();
    assert_eq!(format!("{token:?}"), "AccessToken(…)");
}
