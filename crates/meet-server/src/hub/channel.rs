//! What can be listened to, inside which tenant, and how clients of the Centrifugo protocol call it.

use meet_api::{Role, RoomId, TenantId, UserId};

/// What can be listened to inside a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A room: its messages and who is in it.
    Chat(RoomId),
    /// How reachable a user says to be.
    Status(UserId),
    /// What concerns one user alone.
    User(UserId),
    /// The tenant's rooms coming, changing and going.
    Org,
    /// What concerns everyone of a role.
    Role(Role),
}

/// A channel with the tenant it belongs to: the hub's key, so that no channel name crosses tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// The tenant of the room or user that the channel names.
    pub tenant: TenantId,
    /// The channel.
    pub channel: Channel,
}

/// A channel as a client names it, before it is known whether it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// `chat:<room id>`.
    Chat(RoomId),
    /// `status:<user id>`.
    Status(UserId),
    /// A channel that the server alone subscribes its clients to: `user:`, `org:`, `role:`.
    ServerSide,
    /// A room or user that cannot exist: what stands behind `chat:` or `status:` is no id.
    Nobody,
}

impl Named {
    /// Reads a channel's name; `None` for a kind of channel that there is not.
    pub fn parse(name: &str) -> Option<Self> {
        let (kind, id) = name.split_once(':')?;
        match kind {
            "chat" => Some(id.parse().map_or(Self::Nobody, Self::Chat)),
            "status" => Some(id.parse().map_or(Self::Nobody, Self::Status)),
            "user" | "org" | "role" => Some(Self::ServerSide),
            _ => None,
        }
    }
}

impl Address {
    /// A room's channel.
    pub fn chat(tenant: TenantId, room: RoomId) -> Self {
        Self { tenant, channel: Channel::Chat(room) }
    }

    /// A user's status.
    pub fn status(tenant: TenantId, user: UserId) -> Self {
        Self { tenant, channel: Channel::Status(user) }
    }

    /// A user's own channel.
    pub fn user(tenant: TenantId, user: UserId) -> Self {
        Self { tenant, channel: Channel::User(user) }
    }

    /// A tenant's lobby.
    pub fn org(tenant: TenantId) -> Self {
        Self { tenant, channel: Channel::Org }
    }

    /// The channel of a role.
    pub fn role(tenant: TenantId, role: Role) -> Self {
        Self { tenant, channel: Channel::Role(role) }
    }

    /// What clients call it.
    pub fn name(&self) -> String {
        match self.channel {
            Channel::Chat(room) => format!("chat:{room}"),
            Channel::Status(user) => format!("status:{user}"),
            Channel::User(user) => format!("user:{user}"),
            Channel::Org => format!("org:{}", self.tenant),
            Channel::Role(role) => format!("role:{}:{}", self.tenant, role.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_name_that_was_given_out_is_understood() {
        let (tenant, id) = (TenantId::from_uuid(Uuid::from_u128(1)), Uuid::from_u128(2));
        let chat = Address::chat(tenant, RoomId::from_uuid(id));
        assert_eq!(Named::parse(&chat.name()), Some(Named::Chat(RoomId::from_uuid(id))));
        let status = Address::status(tenant, UserId::from_uuid(id));
        assert_eq!(Named::parse(&status.name()), Some(Named::Status(UserId::from_uuid(id))));
        for own in
            [Address::org(tenant), Address::user(tenant, UserId::from_uuid(id)), Address::role(tenant, Role::Owner)]
        {
            assert_eq!(Named::parse(&own.name()), Some(Named::ServerSide));
        }
    }

    #[test]
    fn other_names_are_told_from_rooms_that_cannot_be() {
        assert_eq!(Named::parse("chat:lobby"), Some(Named::Nobody));
        assert_eq!(Named::parse("chat:"), Some(Named::Nobody));
        for unknown in ["", ":", "chat", "news:1", "Chat:1", "$chat:1"] {
            assert_eq!(Named::parse(unknown), None, "{unknown}");
        }
    }
}
