//! What is asked of the room service and what it answers, as it stands on the wire.

use meet_livekit::{
    UnixSeconds, VideoGrant,
    model::{Kind, Participant, ParticipantState, Permission, Room, Source, Track, TrackType},
    room_service::{
        CreateRoom, DeleteRoom, Done, GetParticipant, ListParticipants, ListRooms, Method, MutePublishedTrack, Muted,
        Participants, Refusal, RefusalCode, RemoveParticipant, Rooms,
    },
};
use serde_json::{Value, from_value, json, to_value};

/// Holds a request against its path, its body and the grant that it needs.
fn asks<M: Method>(request: &M, path: &str, body: &Value, grant: &VideoGrant) {
    assert_eq!(M::PATH, format!("/twirp/livekit.RoomService/{path}"));
    assert_eq!(&to_value(request).unwrap(), body);
    assert_eq!(&request.grant(), grant);
}

#[test]
fn each_request_has_its_path_its_body_and_its_grant() {
    let create = VideoGrant { room_create: true, ..VideoGrant::default() };
    let list = VideoGrant { room_list: true, ..VideoGrant::default() };
    let admin = VideoGrant { room_admin: true, room: "r".into(), ..VideoGrant::default() };
    let (room, identity) = (|| "r".to_owned(), || "anna".to_owned());

    let request = CreateRoom { name: room(), empty_timeout: 60, max_participants: 9, ..CreateRoom::default() };
    let body = json!({ "name": "r", "emptyTimeout": 60, "departureTimeout": 0, "maxParticipants": 9, "metadata": "" });
    asks(&request, "CreateRoom", &body, &create);
    asks(&DeleteRoom { room: room() }, "DeleteRoom", &json!({ "room": "r" }), &create);
    asks(&ListRooms { names: vec![room()] }, "ListRooms", &json!({ "names": ["r"] }), &list);
    asks(&ListParticipants { room: room() }, "ListParticipants", &json!({ "room": "r" }), &admin);
    let request = GetParticipant { room: room(), identity: identity() };
    asks(&request, "GetParticipant", &json!({ "room": "r", "identity": "anna" }), &admin);
    let request = RemoveParticipant {
        room: room(),
        identity: identity(),
        revoke_tokens_before: Some(UnixSeconds(1_800_000_000)),
    };
    let body = json!({ "room": "r", "identity": "anna", "revokeTokenTs": "1800000000" });
    asks(&request, "RemoveParticipant", &body, &admin);
    let request = RemoveParticipant { revoke_tokens_before: None, ..request };
    asks(&request, "RemoveParticipant", &json!({ "room": "r", "identity": "anna" }), &admin);
    let request = MutePublishedTrack { room: room(), identity: identity(), track_sid: "TR_1".into(), muted: true };
    let body = json!({ "room": "r", "identity": "anna", "trackSid": "TR_1", "muted": true });
    asks(&request, "MutePublishedTrack", &body, &admin);
}

#[test]
fn an_answer_reads_the_same_in_both_spellings_of_its_names() {
    let room = Room {
        sid: "RM_1".into(),
        name: "r".into(),
        empty_timeout: 300,
        creation_time: UnixSeconds(1_800_000_000),
        num_participants: 2,
        ..Room::default()
    };
    for answer in [
        json!({
            "sid": "RM_1", "name": "r", "emptyTimeout": 300, "creationTime": "1800000000", "numParticipants": 2,
            "enabledCodecs": [{ "mime": "audio/opus" }], "version": null, "metadata": null,
        }),
        json!({
            "sid": "RM_1", "name": "r", "empty_timeout": "300", "creation_time": 1_800_000_000, "num_participants": 2,
            "turn_password": "", "active_recording": false,
        }),
    ] {
        assert_eq!(from_value::<Room>(answer.clone()).unwrap(), room);
        assert_eq!(from_value::<Rooms>(json!({ "rooms": [answer] })).unwrap().rooms, std::slice::from_ref(&room));
    }
    assert_eq!(from_value::<Rooms>(json!({ "rooms": null })).unwrap(), Rooms::default());
    assert_eq!(from_value::<Done>(json!({ "anything": 1 })).unwrap(), Done {});
}

#[test]
fn participants_and_tracks_read_names_and_numbers_and_pass_over_what_is_new() {
    let track =
        Track { sid: "TR_1".into(), r#type: TrackType::Video, source: Some(Source::ScreenShare), ..Track::default() };
    let agent = Participant {
        sid: "PA_1".into(),
        identity: "anna".into(),
        state: ParticipantState::Active,
        kind: Kind::Agent,
        attributes: [("a".into(), "b".into())].into(),
        joined_at: UnixSeconds(7),
        permission: Permission { hidden: false, recorder: true },
        tracks: vec![track.clone()],
        ..Participant::default()
    };
    let answer = json!({ "participants": [
        {
            "sid": "PA_1", "identity": "anna", "state": "ACTIVE", "kind": "AGENT", "attributes": { "a": "b" },
            "joinedAt": "7", "permission": { "canPublish": true, "recorder": true },
            "tracks": [{ "sid": "TR_1", "type": "VIDEO", "source": "SCREEN_SHARE", "layers": [] }],
        },
        {
            "sid": "PA_1", "identity": "anna", "state": 2, "kind": 4, "attributes": { "a": "b" }, "joined_at": 7,
            "tracks": [{ "sid": "TR_1", "type": 1, "source": 3, "mime_type": "video/VP8" }],
            "permission": { "recorder": true, "hidden": null },
        },
        { "identity": "new", "permission": null, "state": "LEVITATING", "kind": 99, "tracks": [{ "type": null, "source": "HOLOGRAM" }] },
    ] });
    let new = Participant { identity: "new".into(), tracks: vec![Track::default()], ..Participant::default() };
    assert_eq!(from_value::<Participants>(answer).unwrap().participants, [agent.clone(), agent, new]);
    let muted = json!({ "track": { "sid": "TR_1", "type": "VIDEO", "source": "SCREEN_SHARE", "muted": true } });
    assert_eq!(from_value::<Muted>(muted).unwrap().track, Some(Track { muted: true, ..track }));
}

#[test]
fn a_refusal_is_known_by_its_code() {
    let refusal = |body: Value| from_value::<Refusal>(body).map(|refusal| refusal.code).ok();
    assert_eq!(refusal(json!({ "code": "not_found", "msg": "no such room", "meta": {} })), Some(RefusalCode::NotFound));
    assert_eq!(refusal(json!({ "code": "permission_denied" })), Some(RefusalCode::PermissionDenied));
    assert_eq!(refusal(json!({ "code": "unauthenticated", "msg": null })), Some(RefusalCode::Unauthenticated));
    assert_eq!(refusal(json!({ "code": "bad_route", "msg": "" })), Some(RefusalCode::Other));
    assert_eq!(refusal(json!({ "msg": "a page of a proxy" })), None);
}
