//! What a caller said itself, which is no news to it.

use meet_api::{
    Kind, Message, User, UserId,
    text::{fold, folds_to},
};

use crate::client::Client;

/// Whose messages are the caller's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Own {
    /// Nobody's: a bare key that waits for no name, or no key at all.
    #[default]
    Nobody,
    /// A session's user.
    User(UserId),
    /// The agents' of this folded name: a bare key speaks as the agent that it listens for. A person of the same name is
    /// somebody else.
    Agent(String),
}

impl Own {
    /// The messages of the client's user, or of the agent that it speaks as, or else that it listens for.
    pub(crate) fn of(client: &Client, user: Option<&User>, listens_for: Option<&str>) -> Self {
        if let Some(user) = user {
            return Self::User(user.id);
        }
        let spoken = client.speaker().map(|speaker| speaker.name.as_str());
        let name = spoken.or(listens_for).filter(|_| client.has_key());
        name.map_or(Self::Nobody, Self::agent)
    }

    /// The messages of the agent of this name.
    pub(crate) fn agent(name: &str) -> Self {
        Self::Agent(fold(name.trim()))
    }

    /// Whether the caller said this.
    pub(crate) fn said(&self, message: &Message) -> bool {
        match self {
            Self::Nobody => false,
            Self::User(user) => message.user == *user,
            Self::Agent(name) => message.sender_type == Kind::Agent && folds_to(&message.sender, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{MessageTag, Timestamp};

    use super::*;

    fn said_by(own: &Own, sender: &str, sender_type: Kind) -> bool {
        let room = "01900000-0000-7000-8000-000000000002".parse().unwrap();
        own.said(&Message {
            id: "01900000-0000-7000-8000-000000000001".parse().unwrap(),
            room_id: room,
            room_id_again: room,
            seq: 1,
            tag: MessageTag::Message,
            user: "01900000-0000-7000-8000-00000000000a".parse().unwrap(),
            sender: sender.into(),
            sender_type,
            content: "hi".into(),
            reply_to: None,
            created_at: Timestamp::from_millis(1),
        })
    }

    #[test]
    fn what_an_agent_of_the_callers_name_says_is_its_own_and_a_persons_is_not() {
        let own = Own::Agent("scout".to_owned());
        assert!(said_by(&own, "Scout", Kind::Agent));
        assert!(!said_by(&own, "Scout", Kind::Human));
        assert!(!said_by(&own, "scouts", Kind::Agent));
    }

    #[test]
    fn what_a_session_says_is_told_by_its_user() {
        let own = |id: &str| Own::User(id.parse().unwrap());
        assert!(said_by(&own("01900000-0000-7000-8000-00000000000a"), "Ann", Kind::Human));
        assert!(!said_by(&own("01900000-0000-7000-8000-00000000000b"), "Ann", Kind::Human));
    }
}
