//! Whatever can be said reads back as what was said.

use std::time::Duration;

use meet_livekit::{
    Claims, UnixSeconds, VideoGrant,
    model::{Kind, Participant, ParticipantState, Permission, Room, Source, Track, TrackType},
    room_service::{CreateRoom, MutePublishedTrack, RemoveParticipant},
};
use proptest::{collection, option, prelude::*, sample::select};
use serde::{Serialize, de::DeserializeOwned};

use crate::key;

fn kind() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Standard, Kind::Ingress, Kind::Egress, Kind::Sip, Kind::Agent, Kind::Connector, Kind::Bridge])
}

fn source() -> impl Strategy<Value = Source> {
    select(Source::ALL.to_vec())
}

fn grant() -> impl Strategy<Value = VideoGrant> {
    (".+", collection::btree_set(source(), 0..5), any::<[bool; 14]>()).prop_map(|(room, can_publish, is)| VideoGrant {
        room,
        can_publish,
        room_join: is[0],
        room_admin: is[1],
        room_create: is[2],
        room_list: is[3],
        room_record: is[4],
        can_subscribe: is[5],
        can_publish_data: is[6],
        can_update_own_metadata: is[7],
        can_subscribe_metrics: is[8],
        can_manage_agent_session: is[9],
        hidden: is[10],
        recorder: is[11],
        agent: is[12],
        ingress_admin: is[13],
    })
}

prop_compose! {
    fn claims()(
        identity in ".+", name in ".*", metadata in ".*", kind in kind(), video in option::of(grant()),
        id in option::of(".*"), sha256 in option::of(".*"), not_before in any::<i64>(), life in 1..i64::MAX,
        attributes in collection::btree_map(".*", ".*", 0..3),
    ) -> Claims {
        let (not_before, expires_at) =
            (UnixSeconds(not_before.min(i64::MAX - 1)), UnixSeconds(not_before.saturating_add(life)));
        Claims { identity, not_before, expires_at, id, name, kind, metadata, attributes, video, sha256 }
    }
}

prop_compose! {
    pub(crate) fn track()(
        sid in ".*", name in ".*", source in option::of(source()), muted in any::<bool>(),
        r#type in select(vec![TrackType::Audio, TrackType::Video, TrackType::Data]),
    ) -> Track {
        Track { sid, r#type, source, name, muted }
    }
}

prop_compose! {
    pub(crate) fn participant()(
        sid in ".*", identity in ".*", name in ".*", metadata in ".*", kind in kind(), joined_at in any::<i64>(),
        state in select(vec![
            ParticipantState::Joining, ParticipantState::Joined, ParticipantState::Active,
            ParticipantState::Disconnected,
        ]),
        attributes in collection::btree_map(".*", ".*", 0..3), tracks in collection::vec(track(), 0..3),
        hidden in any::<bool>(), recorder in any::<bool>(),
    ) -> Participant {
        let (joined_at, permission) = (UnixSeconds(joined_at), Permission { hidden, recorder });
        Participant { sid, identity, name, state, kind, metadata, attributes, joined_at, permission, tracks }
    }
}

prop_compose! {
    pub(crate) fn room()(
        sid in ".*", name in ".*", metadata in ".*", creation_time in any::<i64>(), counts in any::<[u32; 5]>(),
    ) -> Room {
        let [empty_timeout, departure_timeout, max_participants, num_participants, num_publishers] = counts;
        let creation_time = UnixSeconds(creation_time);
        Room {
            sid, name, empty_timeout, departure_timeout, max_participants, creation_time, metadata, num_participants,
            num_publishers,
        }
    }
}

fn reads_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let written = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&written).unwrap(), value, "{written}");
}

proptest! {
    #[test]
    fn a_token_says_what_was_signed(claims in claims()) {
        let token = key().sign(&claims).unwrap();
        prop_assert_eq!(key().verify(token.as_str(), claims.not_before, Duration::ZERO), Ok(claims));
    }

    #[test]
    fn rooms_participants_and_tracks_read_back(room in room(), participant in participant()) {
        reads_back(&room);
        reads_back(&participant);
    }

    #[test]
    fn requests_read_back(
        words in any::<[String; 3]>(), numbers in any::<[u32; 3]>(), muted in any::<bool>(), at in 1..i64::MAX,
    ) {
        let [room, identity, track_sid] = words;
        let [empty_timeout, departure_timeout, max_participants] = numbers;
        let (name, metadata) = (room.clone(), identity.clone());
        reads_back(&CreateRoom { name, empty_timeout, departure_timeout, max_participants, metadata });
        let revoke_tokens_before = muted.then_some(UnixSeconds(at));
        reads_back(&RemoveParticipant { room: room.clone(), identity: identity.clone(), revoke_tokens_before });
        reads_back(&MutePublishedTrack { room, identity, track_sid, muted });
    }
}
