//! How far each user has read each room, kept for whoever comes back, and what somebody tells of its work meanwhile.

use meet_api::{Kind, Reading, Room, User, request::NewLog, text::line};

use crate::{
    app::App,
    auth::{Member, Who},
    error::Error,
    hub::{Address, Person, Publication},
    limits::Bucket,
    rooms::{RoomAccess, RoomWriter},
    tokens::Named,
};

/// How often in a minute a user may move its marks, or a limited key those of all its names: each move is written.
const MAX_MARKS: u64 = 6000;
/// How often in a minute a user may tell what it is doing, or a limited key for all its names: each line goes to all in a
/// room.
const MAX_LOGS: u64 = 600;
/// The longest line of that, in characters.
const MAX_LOG: usize = 1000;

impl App {
    /// Notes that a user of the member has read a room up to `seq`, and tells its other connections; a mark never goes
    /// back.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a `seq`, [`Error::UnknownCursor`] for one above the head, [`Error::ReadOnly`] in a room
    /// of others, [`Error::RateLimited`].
    pub async fn mark_read(
        &self,
        member: &Member,
        access: &RoomAccess,
        user: &User,
        seq: Option<u64>,
    ) -> Result<Reading, Error> {
        if access.is_foreign() {
            return Err(Error::ReadOnly);
        }
        let seq = seq.ok_or_else(|| Error::Invalid("seq is required: the newest message that was read".into()))?;
        if seq > access.room.head_seq {
            return Err(Error::UnknownCursor("seq"));
        }
        self.count(Bucket::Marks, member, user, MAX_MARKS)?;
        let has_moved = self.store().mark_read(access.tenant, access.room.id, user.id, seq).await?;
        // What is told last is what was read last, however many marks there are at once.
        let person = Person { tenant: access.tenant, user: user.id };
        let _turn = if has_moved { Some(self.hub().turn_of(person).await) } else { None };
        let reading = self.store().readings(access.tenant, user.id, vec![access.room.id]).await?;
        let reading = reading.into_iter().next().ok_or(Error::RoomNotFound)?;
        if has_moved {
            let own = Address::user(access.tenant, user.id);
            self.hub().publish(own, &[Publication::read(own, reading).into()]);
        }
        Ok(reading)
    }

    /// The user that a member is for reading, or none for a bare key that names none. Reading makes no user: a name that
    /// nobody has yet is somebody who has said and read nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when a session names another than its own.
    pub(crate) async fn user_if_named(&self, member: &Member, named: Named) -> Result<Option<User>, Error> {
        match (&member.who, named.name) {
            (Who::Key, None) => Ok(None),
            (Who::Key, Some(name)) => {
                let kind = named.kind.unwrap_or(Kind::Human);
                let nobody = || User { id: self.new_user_id(), name: name.as_str().to_owned(), kind };
                Ok(Some(self.known_user(member, &name, kind).await?.unwrap_or_else(nobody)))
            }
            (Who::User(_), name) => self.user_of(member, Named { name, ..named }).await.map(Some),
        }
    }

    /// The user that a caller is in a room of its tenant, if it is one.
    ///
    /// # Errors
    /// As [`App::user_if_named`].
    pub(crate) async fn reader_of(
        &self,
        caller: Option<&Member>,
        named: Named,
        access: &RoomAccess,
    ) -> Result<Option<User>, Error> {
        match caller.filter(|_| !access.is_foreign()) {
            Some(member) => self.user_if_named(member, named).await,
            None => Ok(None),
        }
    }

    /// Fills in how far a user has read each of these rooms; those of another tenant than the member's stay as they are.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn fill_in_readings(&self, member: &Member, user: &User, rooms: &mut [Room]) -> Result<(), Error> {
        let ids = rooms.iter().map(|room| room.id).collect();
        let readings = self.store().readings(member.tenant, user.id, ids).await?;
        let mut readings = readings.into_iter().peekable();
        for room in rooms {
            if let Some(reading) = readings.next_if(|reading| reading.room_id == room.id) {
                room.read_seq = Some(reading.read_seq);
                room.unread = Some(reading.unread);
                room.mentions = Some(reading.mentions);
            }
        }
        Ok(())
    }

    /// Tells a room what a user of the member is doing; nothing of it is kept.
    ///
    /// # Errors
    /// [`Error::Text`] for what is no line of text, [`Error::RateLimited`].
    pub fn log(&self, member: &Member, room: &RoomWriter, user: &User, body: &NewLog) -> Result<(), Error> {
        let text = body.text.as_deref().ok_or_else(|| Error::Invalid("text is required".into()))?;
        let text = line("text", MAX_LOG, text)?;
        self.count(Bucket::Logs, member, user, MAX_LOGS)?;
        let address = room.address();
        self.hub().publish(address, &[Publication::log(address, user, text).into()]);
        Ok(())
    }

    /// Counts what a member does for a user of its own.
    fn count(&self, bucket: Bucket, member: &Member, user: &User, limit: u64) -> Result<(), Error> {
        let limit = if self.is_limited(member) { limit } else { 0 };
        self.limits().windows.take(bucket, member.counted_as(user.id), limit, self.clock().monotonic()).map(drop)
    }
}
