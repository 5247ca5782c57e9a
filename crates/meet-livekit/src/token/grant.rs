//! What a token allows: the `video` claim (`VideoGrant` in `auth/grants.go`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{model::Source, protojson::Named};

/// What the bearer of a token may do. By default nothing.
///
/// On the wire an absent `canPublish`, `canSubscribe` or `canPublishData` allows, so every grant is always written. What
/// is read is what LiveKit makes of it, including of what is absent. `destinationRoom` is of LiveKit's cloud alone, and
/// absent here.
#[expect(clippy::struct_excessive_bools, reason = "each is a grant of the protocol")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", from = "Wire")]
pub struct VideoGrant {
    /// The room that `room_join` and `room_admin` are for; empty for none.
    pub room: String,
    /// May join the room.
    pub room_join: bool,
    /// May ask the room service about the room, mute and remove.
    pub room_admin: bool,
    /// May create and delete any room.
    pub room_create: bool,
    /// May list rooms.
    pub room_list: bool,
    /// May record.
    pub room_record: bool,
    /// What may be published; nothing else may. The empty set is written as `canPublish` false, because an empty list
    /// of sources allows every source on the wire.
    pub can_publish: BTreeSet<Source>,
    /// May hear and see others.
    pub can_subscribe: bool,
    /// May send data to others.
    pub can_publish_data: bool,
    /// May change its own name, metadata and attributes.
    pub can_update_own_metadata: bool,
    /// May hear of metrics.
    pub can_subscribe_metrics: bool,
    /// May lead the session of an agent.
    pub can_manage_agent_session: bool,
    /// Nobody sees that it is there.
    pub hidden: bool,
    /// Others are told that it records.
    pub recorder: bool,
    /// May register as a worker that agents run on; a participant that is an agent is one by its
    /// [`Kind`](crate::model::Kind).
    pub agent: bool,
    /// May administer what brings streams into rooms.
    pub ingress_admin: bool,
}

impl VideoGrant {
    /// Whether it speaks of a room without naming one.
    pub(crate) fn lacks_room(&self) -> bool {
        (self.room_join || self.room_admin) && self.room.is_empty()
    }
}

/// The claim as it is written, with what may be absent.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    room: Option<String>,
    room_join: Option<bool>,
    room_admin: Option<bool>,
    room_create: Option<bool>,
    room_list: Option<bool>,
    room_record: Option<bool>,
    can_publish: Option<bool>,
    can_publish_sources: Option<Vec<String>>,
    can_subscribe: Option<bool>,
    can_publish_data: Option<bool>,
    can_update_own_metadata: Option<bool>,
    can_subscribe_metrics: Option<bool>,
    can_manage_agent_session: Option<bool>,
    hidden: Option<bool>,
    recorder: Option<bool>,
    agent: Option<bool>,
    ingress_admin: Option<bool>,
}

impl From<VideoGrant> for Wire {
    fn from(grant: VideoGrant) -> Self {
        let sources = grant.can_publish.iter().map(|source| source.as_str().to_owned()).collect();
        Self {
            room: Some(grant.room),
            room_join: Some(grant.room_join),
            room_admin: Some(grant.room_admin),
            room_create: Some(grant.room_create),
            room_list: Some(grant.room_list),
            room_record: Some(grant.room_record),
            can_publish: Some(!grant.can_publish.is_empty()),
            can_publish_sources: Some(sources),
            can_subscribe: Some(grant.can_subscribe),
            can_publish_data: Some(grant.can_publish_data),
            can_update_own_metadata: Some(grant.can_update_own_metadata),
            can_subscribe_metrics: Some(grant.can_subscribe_metrics),
            can_manage_agent_session: Some(grant.can_manage_agent_session),
            hidden: Some(grant.hidden),
            recorder: Some(grant.recorder),
            agent: Some(grant.agent),
            ingress_admin: Some(grant.ingress_admin),
        }
    }
}

impl From<Wire> for VideoGrant {
    fn from(wire: Wire) -> Self {
        let may_publish = wire.can_publish.unwrap_or(true);
        Self {
            can_publish: sources(may_publish, &wire.can_publish_sources.unwrap_or_default()),
            room: wire.room.unwrap_or_default(),
            room_join: wire.room_join.unwrap_or_default(),
            room_admin: wire.room_admin.unwrap_or_default(),
            room_create: wire.room_create.unwrap_or_default(),
            room_list: wire.room_list.unwrap_or_default(),
            room_record: wire.room_record.unwrap_or_default(),
            can_subscribe: wire.can_subscribe.unwrap_or(true),
            can_publish_data: wire.can_publish_data.unwrap_or(may_publish),
            can_update_own_metadata: wire.can_update_own_metadata.unwrap_or_default(),
            can_subscribe_metrics: wire.can_subscribe_metrics.unwrap_or_default(),
            can_manage_agent_session: wire.can_manage_agent_session.unwrap_or_default(),
            hidden: wire.hidden.unwrap_or_default(),
            recorder: wire.recorder.unwrap_or_default(),
            agent: wire.agent.unwrap_or_default(),
            ingress_admin: wire.ingress_admin.unwrap_or_default(),
        }
    }
}

/// The sources that a list allows: all when it is empty, and none when it names only unknown ones.
fn sources(may_publish: bool, names: &[String]) -> BTreeSet<Source> {
    match (may_publish, names) {
        (false, _) => BTreeSet::new(),
        (true, []) => Source::ALL.into(),
        (true, names) => names.iter().filter_map(|name| Option::<Source>::by_name(name).flatten()).collect(),
    }
}
