//! Reading messages. Writing them is the appender's.

use futures_util::FutureExt;
use meet_api::{Kind, Message, MessageId, MessageTag, RoomId, TenantId};

use crate::{
    Store, StoreError,
    value::{Row, params},
};

/// Which part of a room's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The first messages with a greater `seq`.
    After(u64),
    /// The last messages with a smaller `seq`.
    Before(u64),
}

/// The columns of a message, in the order in which [`read_message`] takes them.
macro_rules! message_columns {
    () => {
        "m.id, m.room_id, m.seq, m.user_id, m.sender, m.sender_type, m.content, m.reply_to, m.created_at"
    };
}
pub(crate) use message_columns;

/// Reads a message.
pub(crate) fn read_message(row: &Row<'_>) -> Result<Message, StoreError> {
    let room: RoomId = row.id(1)?;
    Ok(Message {
        id: row.id(0)?,
        room_id: room,
        room_id_again: room,
        seq: row.count(2)?,
        tag: MessageTag::Message,
        user: row.id(3)?,
        sender: row.text(4)?.to_owned(),
        sender_type: row.word(5, Kind::from_word)?,
        content: row.text(6)?.to_owned(),
        reply_to: row.id_or_null(7)?,
        created_at: row.time(8)?,
    })
}

/// The room `$2` belongs to the tenant `$1` and is not deleted.
macro_rules! room_is_there {
    () => {
        "EXISTS (SELECT 1 FROM rooms r WHERE r.key_id = $1 AND r.id = $2 AND r.deleted_at IS NULL)"
    };
}
pub(crate) use room_is_there;

impl Store {
    /// Up to `limit` messages of a room, by ascending `seq`; none when the tenant has no such room.
    pub async fn history(
        &self,
        tenant: TenantId,
        room: RoomId,
        page: Page,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        const AFTER: &str = concat!(
            "SELECT ",
            message_columns!(),
            " FROM messages m WHERE m.room_id = $2 AND m.seq > $3 AND ",
            room_is_there!(),
            " ORDER BY m.seq LIMIT $4"
        );
        const BEFORE: &str = concat!(
            "SELECT ",
            message_columns!(),
            " FROM messages m WHERE m.room_id = $2 AND m.seq < $3 AND ",
            room_is_there!(),
            " ORDER BY m.seq DESC LIMIT $4"
        );
        self.read((tenant, room, page, limit), |conn, (tenant, room, page, limit)| {
            async move {
                match page {
                    Page::After(seq) => conn.rows(AFTER, &params![tenant, room, seq, limit], read_message).await,
                    Page::Before(seq) => {
                        let rows = conn.rows(BEFORE, &params![tenant, room, seq, limit], read_message).await;
                        rows.map(|mut rows| {
                            rows.reverse();
                            rows
                        })
                    }
                }
            }
            .boxed()
        })
        .await
    }

    /// The `seq` of a message; `None` when it does not stand in this room of this tenant.
    pub async fn message_seq(
        &self,
        tenant: TenantId,
        room: RoomId,
        message: MessageId,
    ) -> Result<Option<u64>, StoreError> {
        const SQL: &str =
            concat!("SELECT m.seq FROM messages m WHERE m.id = $3 AND m.room_id = $2 AND ", room_is_there!());
        self.read((tenant, room, message), |conn, (tenant, room, message)| {
            async move { conn.one(SQL, &params![tenant, room, message], |row| row.count(0)).await }.boxed()
        })
        .await
    }
}
