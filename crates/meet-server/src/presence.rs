//! As what users are seen: each chooses for itself, and who may know it is decided here, for every transport.

use meet_api::{
    About, Appearance, ChosenStatus, RoomId, SeenStatus, TenantId, UserId, UserStatus, request::SetStatus, text::line,
};

use crate::{
    app::App,
    auth::Member,
    error::Error,
    hub::{Address, Person, people::seen_as},
    limits::Bucket,
};

/// How often in a minute a user may change its status: each change is written, and told in all of the user's rooms. An
/// agent that says when it works and when it listens changes it twice for a message.
const MAX_CHANGES: u64 = 120;
/// How often a key may change those of all its names.
const MAX_CHANGES_BY_KEY: u64 = 600;
/// The longest note, and the longest names of a model and of a role, in characters.
const MAX_NOTE: usize = 200;
const MAX_WORD: usize = 64;

impl App {
    /// Keeps as what a user of the member wants to be seen, and what it says of itself, by all of its connections and those
    /// to come; what is absent stays.
    ///
    /// # Errors
    /// [`Error::Invalid`] when nothing is there, [`Error::Text`] for what is no line of text, [`Error::InvalidKey`] when
    /// the credential has ended, or the user is gone, [`Error::RateLimited`] for too many changes.
    pub async fn set_appearance(&self, member: &Member, user: UserId, body: SetStatus) -> Result<Appearance, Error> {
        if body == SetStatus::default() {
            return Err(Error::Invalid("give status, about, or both".into()));
        }
        let about = body.about.map(checked).transpose()?;
        self.confirm(Some(member)).await?;
        let tenant = member.tenant;
        let limit = if member.session.is_some() { MAX_CHANGES } else { MAX_CHANGES_BY_KEY };
        self.limits().windows.take(Bucket::Statuses, member.counted_as(user), limit, self.clock().monotonic())?;
        let person = Person { tenant, user };
        let _turn = self.hub().turn_of(person).await;
        let before = self.appearance(person).await?;
        let chosen = Appearance { status: body.status.unwrap_or(before.status), about: about.unwrap_or(before.about) };
        if !self.store().set_appearance(tenant, user, chosen.clone()).await? {
            return Err(Error::InvalidKey);
        }
        self.hub().set_status(person, chosen.clone(), self.clock().now(), || self.clock().uuid());
        Ok(chosen)
    }

    /// As what the member sees these users, in the order asked. Whoever it may not see is offline, like somebody who
    /// does not exist.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn statuses(&self, member: &Member, users: &[UserId]) -> Result<Vec<UserStatus>, Error> {
        let mut statuses = Vec::with_capacity(users.len());
        for user in users {
            let person = Person { tenant: member.tenant, user: *user };
            let is_own = member.user().is_some_and(|own| own.id == *user);
            let seen = self.status_of(member.tenant, *user);
            let offline = UserStatus { user: *user, status: SeenStatus::Offline, about: None };
            statuses.push(match seen.status {
                SeenStatus::Offline if is_own => UserStatus { status: self.own_status(person).await?, ..offline },
                // Nothing is said of somebody who is not here, so nothing is asked about it either.
                SeenStatus::Offline => offline,
                _ if self.may_see_status(member, *user).await? => seen,
                _ => offline,
            });
        }
        Ok(statuses)
    }

    async fn own_status(&self, person: Person) -> Result<SeenStatus, Error> {
        Ok(match self.own_choice(person.tenant, person.user).await?.status {
            ChosenStatus::Invisible => SeenStatus::Invisible,
            _ => SeenStatus::of(self.hub().shown(person).map(|shown| shown.status)),
        })
    }

    /// Whether the member may know as what this user is seen: somebody of its tenant, and for a guest only itself and
    /// those who are to be seen now in a room that it reaches.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn may_see_status(&self, member: &Member, user: UserId) -> Result<bool, Error> {
        if member.user().is_some_and(|own| own.id == user) {
            return Ok(true);
        }
        let tenant = member.tenant;
        match self.is_among(member, user) {
            Some(is_among) => Ok(is_among),
            None if self.hub().chosen(Person { tenant, user }).is_some() => Ok(true),
            None => Ok(self.store().appearance(tenant, user).await?.is_some()),
        }
    }

    /// Whether a guest sees this user now in one of its rooms; `None` for members who are no guests.
    pub(crate) fn is_among(&self, member: &Member, user: UserId) -> Option<bool> {
        let is_in = |room: &RoomId| self.hub().is_visible_in(Address::chat(member.tenant, *room), user);
        member.rooms.as_ref().map(|rooms| rooms.iter().any(is_in))
    }

    /// As what others see a user now.
    pub fn status_of(&self, tenant: TenantId, user: UserId) -> UserStatus {
        seen_as(user, self.hub().shown(Person { tenant, user }))
    }

    /// As what a user chose to be seen.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] when there is no such user any more.
    pub(crate) async fn own_choice(&self, tenant: TenantId, user: UserId) -> Result<Appearance, Error> {
        let person = Person { tenant, user };
        let _turn = self.hub().turn_of(person).await;
        self.appearance(person).await
    }

    /// As what a person chose to be seen; the caller has its turn.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] when there is no such user any more.
    pub(crate) async fn appearance(&self, person: Person) -> Result<Appearance, Error> {
        match self.hub().chosen(person) {
            Some(chosen) => Ok(chosen),
            None => self.store().appearance(person.tenant, person.user).await?.ok_or(Error::InvalidKey),
        }
    }
}

/// Holds what somebody says of itself to the rules of text; what is empty is not there.
fn checked(about: About) -> Result<About, Error> {
    let text = |field, max, text: Option<String>| {
        let text = text.filter(|text| !text.trim().is_empty());
        text.map(|text| line(field, max, &text)).transpose()
    };
    Ok(About {
        doing: about.doing,
        note: text("note", MAX_NOTE, about.note)?,
        model: text("model", MAX_WORD, about.model)?,
        role: text("role", MAX_WORD, about.role)?,
    })
}
