//! Sessions and invites: how people and agents come in, and how they are shown out.

use std::{net::IpAddr, time::Duration};

use meet_api::{
    Invite, InviteId, Kind, Role, SessionId, Timestamp,
    request::{CreateInvite, NewInvite, SessionInfo, SignIn},
    text::UserName,
};
use meet_store::{KnownUser, NewSession, NewUser, Redeem, Redeemed};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    app::App,
    auth::{Member, Presented},
    error::Error,
    limits::{Bucket, Subject},
    rooms::RoomOwner,
    secret,
};

/// How long a session lasts.
pub const SESSION_LIFE: Duration = Duration::from_hours(30 * 24);
/// How long an invite lasts when nothing else is asked for.
const INVITE_LIFE: u64 = 7 * 24 * 3600;
/// The longest time that an invite may be given, in seconds: a year.
const MAX_INVITE_LIFE: u64 = 365 * 24 * 3600;
/// How long an owner link lasts.
const OWNER_LINK_LIFE: Duration = Duration::from_mins(10);
/// How many invites and owner links one address may try in a minute.
const INVITE_TRIES: u64 = 20;

/// A new session with its token, which is shown this once.
pub struct SignedIn {
    /// Who the session is.
    pub info: SessionInfo,
    /// The session's token.
    pub token: SecretString,
}

impl App {
    /// Signs in by a key, an invite or an owner link.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless exactly one of them came, [`Error::InvalidKey`], [`Error::InviteExpired`],
    /// [`Error::NameTaken`], [`Error::RateLimited`] for too many tries from one address, [`Error::DiskFull`] for guests
    /// and for names that are new.
    pub async fn sign_in(&self, ip: IpAddr, body: SignIn) -> Result<SignedIn, Error> {
        let name = body.name.as_deref().ok_or_else(|| Error::Invalid("name is required".into()))?;
        let name = UserName::parse("name", name)?;
        let kind = body.kind.unwrap_or(Kind::Human);
        match (body.key, body.invite, body.owner) {
            (Some(key), None, None) => self.sign_in_by_key(key, name, kind).await,
            (None, Some(token), None) => {
                self.refuse_when_disk_is_full()?;
                self.redeem(ip, &token, name, kind).await
            }
            // Somebody has to make room on a full disk: who owns it comes in even then.
            (None, None, Some(token)) => self.redeem(ip, &token, name, kind).await,
            _ => Err(Error::Invalid("give exactly one of key, invite and owner".into())),
        }
    }

    async fn sign_in_by_key(&self, key: String, name: UserName, kind: Kind) -> Result<SignedIn, Error> {
        let member = self.authenticate(&Presented::Token(key)).await?.ok_or(Error::InvalidKey)?;
        let member = member.bare_key()?;
        let user = self.named_user(member, name, kind).await?;
        let (token, now) = (secret::new_session(self.clock()), self.clock().now());
        let info =
            SessionInfo { user: Some(user.clone()), org: member.tenant, role: Role::Owner, rooms: None, token: None };
        let is_stored = self
            .store()
            .create_session(NewSession {
                id: SessionId::from_uuid(self.clock().uuid()),
                digest: secret::digest(token.expose_secret()),
                tenant: member.tenant,
                generation: member.generation,
                user: user.id,
                role: Role::Owner,
                rooms: None,
                invite: None,
                expires_at: now.plus(SESSION_LIFE),
                created_at: now,
            })
            .await?;
        // The key was rotated in the meantime.
        if is_stored { Ok(SignedIn { info, token }) } else { Err(Error::InvalidKey) }
    }

    async fn redeem(&self, ip: IpAddr, invite: &str, name: UserName, kind: Kind) -> Result<SignedIn, Error> {
        let monotonic = self.clock().monotonic();
        self.limits().windows.take(Bucket::InviteTries, Subject::network(ip), INVITE_TRIES, monotonic)?;
        let (token, now) = (secret::new_session(self.clock()), self.clock().now());
        let redeem = Redeem {
            new_user: NewUser { id: self.new_user_id(), name: name.clone(), kind },
            session: (
                SessionId::from_uuid(self.clock().uuid()),
                secret::digest(token.expose_secret()),
                now.plus(SESSION_LIFE),
            ),
        };
        let digest = redeem.session.1;
        match self.store().redeem_invite(&secret::digest(invite), self.steady_now(), redeem).await? {
            Redeemed::Session(session) => {
                let known = KnownUser { id: session.user.id, folded: name.folded(), rooms: session.rooms.clone() };
                self.directory().add(session.tenant.id, known);
                Ok(SignedIn { info: session_info(&Member::of_session(&session, digest)), token })
            }
            Redeemed::Unknown => Err(Error::InviteExpired),
            Redeemed::NameTaken => Err(Error::NameTaken(name.into_string())),
        }
    }

    /// Ends the member's own session; a bare key has none to end.
    pub async fn sign_out(&self, member: &Member) -> Result<(), Error> {
        if let Some(session) = member.session {
            self.store().end_session(member.tenant, session).await?;
            self.end_credential(member.tenant, Some(session));
            for (_, tenant) in member.guest_rooms() {
                self.directory().doubt(tenant);
            }
        }
        Ok(())
    }

    /// Makes an invite to a room.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a role that invites do not give, or a time or number out of range.
    /// [`Error::InvalidKey`] when the key was rotated in the meantime.
    pub async fn create_invite(
        &self,
        member: &Member,
        room: &RoomOwner,
        body: CreateInvite,
    ) -> Result<NewInvite, Error> {
        if body.role == Role::Owner {
            return Err(Error::Invalid("role must be member or spectator".into()));
        }
        let life = body.expires_in.unwrap_or(INVITE_LIFE);
        if !(1..=MAX_INVITE_LIFE).contains(&life) {
            return Err(Error::Invalid(format!("expires_in must be 1 to {MAX_INVITE_LIFE} seconds")));
        }
        if body.max_uses.is_some_and(|uses| !(1..=1_000_000).contains(&uses)) {
            return Err(Error::Invalid("max_uses must be 1 to 1000000".into()));
        }
        self.refuse_when_disk_is_full()?;
        let token = secret::new_invite(self.clock());
        let now = self.clock().now();
        let invite = meet_store::NewInvite {
            id: InviteId::from_uuid(self.clock().uuid()),
            digest: secret::digest(token.expose_secret()),
            generation: member.generation,
            room: Some(room.room.id),
            role: body.role,
            expires_at: now.plus(Duration::from_secs(life)),
            max_uses: body.max_uses,
            created_at: now,
        };
        let (id, expires_at) = (invite.id, invite.expires_at);
        if !self.store().create_invite(room.tenant, invite).await? {
            return Err(self.room(Some(member), room.room.id).await.err().unwrap_or(Error::RoomNotFound));
        }
        Ok(NewInvite {
            id,
            url: format!("{}/#invite={}", self.site().public_url, token.expose_secret()),
            token: token.expose_secret().to_owned(),
            role: body.role,
            expires_at,
        })
    }

    /// A room's invites, oldest first, from behind `after`.
    ///
    /// # Errors
    /// [`Error::UnknownCursor`] when `after` is none of them.
    pub async fn list_invites(
        &self,
        room: &RoomOwner,
        after: Option<InviteId>,
        limit: u32,
    ) -> Result<Vec<Invite>, Error> {
        let (tenant, room) = (room.tenant, room.room.id);
        if let Some(after) = after
            && !self.store().has_invite(tenant, room, after).await?
        {
            return Err(Error::UnknownCursor("after"));
        }
        Ok(self.store().invites(tenant, room, limit, after).await?)
    }

    /// Revokes an invite; the sessions that it gave end with it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown or foreign one, [`Error::Forbidden`] for guests.
    pub async fn revoke_invite(&self, member: &Member, id: InviteId) -> Result<(), Error> {
        let tenant = member.owner()?.tenant;
        let ended = self.store().revoke_invite(tenant, id).await?.ok_or(Error::NotFound("invite"))?;
        for session in ended {
            self.end_credential(tenant, Some(session));
        }
        // The names of those guests are free again.
        self.directory().doubt(tenant);
        self.wake_purger();
        Ok(())
    }

    /// A single-use link that signs its user in as an owner of the operator's tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the database has no operator.
    pub async fn owner_link(&self) -> Result<(SecretString, Timestamp), Error> {
        let operator = self.store().operator().await?.ok_or(Error::NotFound("operator"))?;
        let token = secret::new_invite(self.clock());
        let now = self.clock().now();
        let expires_at = now.plus(OWNER_LINK_LIFE);
        let link = meet_store::NewInvite {
            id: InviteId::from_uuid(self.clock().uuid()),
            digest: secret::digest(token.expose_secret()),
            generation: operator.generation,
            room: None,
            role: Role::Owner,
            expires_at,
            max_uses: Some(1),
            created_at: now,
        };
        if !self.store().create_invite(operator.id, link).await? {
            return Err(Error::NotFound("operator"));
        }
        Ok((format!("{}/#owner={}", self.site().public_url, token.expose_secret()).into(), expires_at))
    }
}

/// Who a member is, as `GET /api/session` tells it.
pub fn session_info(member: &Member) -> SessionInfo {
    SessionInfo {
        user: member.user().cloned(),
        org: member.tenant,
        role: member.role,
        rooms: member.rooms.as_ref().map(|_| member.guest_rooms().map(|(room, _)| room).collect()),
        token: None,
    }
}
