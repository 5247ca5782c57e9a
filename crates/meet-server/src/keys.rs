//! API keys: making, showing, rotating and deleting the tenants behind them.

use std::net::IpAddr;

use meet_api::{
    TenantId,
    request::{KeyInfo, NewKey},
};
use meet_store::{NewTenant, TenantKind};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    app::App,
    auth::Member,
    error::{Error, Window},
    hub::CloseReason,
    limits::{Bucket, Subject},
    secret,
};

impl App {
    /// Makes a key and its tenant for a stranger at `ip`.
    ///
    /// # Errors
    /// [`Error::SignupClosed`], or [`Error::RateLimited`] for too many from one address.
    pub async fn create_key(&self, ip: IpAddr) -> Result<(NewKey, Option<Window>), Error> {
        if !self.config().signup_is_open() {
            return Err(Error::SignupClosed);
        }
        self.refuse_when_disk_is_full()?;
        let limit = self.config().limits.keys_per_hour_per_ip;
        let now = self.clock().monotonic();
        let counted = self.limits().windows.take(Bucket::Keys, Subject::network(ip), limit, now)?;
        let (key, tenant) = self.make_tenant(TenantKind::Key);
        self.store().create_tenant(tenant).await?;
        let new = NewKey { key: key.expose_secret().to_owned(), prefix: secret::shown_prefix(&key) };
        Ok((new, counted.map(|counted| counted.window)))
    }

    /// A new tenant, not yet stored, and its key.
    pub(crate) fn make_tenant(&self, kind: TenantKind) -> (SecretString, NewTenant) {
        let key = secret::new_key(self.clock());
        let tenant = NewTenant {
            id: TenantId::from_uuid(self.clock().uuid()),
            kind,
            key: Some((secret::digest(key.expose_secret()), secret::shown_prefix(&key))),
            created_at: self.clock().now(),
        };
        (key, tenant)
    }

    /// What is kept of the member's key.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for guests.
    pub async fn key_info(&self, member: &Member) -> Result<KeyInfo, Error> {
        let tenant = self.store().tenant(member.owner()?.tenant).await?.ok_or(Error::InvalidKey)?;
        Ok(KeyInfo {
            id: tenant.id,
            prefix: tenant.prefix.unwrap_or_default(),
            created_at: tenant.created_at,
            last_used: tenant.last_used,
        })
    }

    /// Replaces the member's key; the old one, its sessions, invites and connections end.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for anyone without the key itself, [`Error::InvalidKey`] when somebody else has just
    /// replaced it.
    pub async fn rotate_key(&self, member: &Member) -> Result<NewKey, Error> {
        let Member { tenant, generation, .. } = *member.bare_key()?;
        let key = secret::new_key(self.clock());
        let prefix = secret::shown_prefix(&key);
        let digest = secret::digest(key.expose_secret());
        let rotated = self.store().rotate_key(tenant, generation, digest, prefix.clone(), self.clock().now()).await?;
        rotated.ok_or(Error::InvalidKey)?;
        self.end_credential(tenant, None);
        Ok(NewKey { key: key.expose_secret().to_owned(), prefix })
    }

    /// Deletes the member's tenant: everything ends at once, its data is purged in slices.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for anyone without the key itself, [`Error::InvalidKey`] when somebody else has just
    /// replaced it.
    pub async fn delete_key(&self, member: &Member) -> Result<(), Error> {
        let Member { tenant, generation, .. } = *member.bare_key()?;
        if member.operator {
            return Err(Error::Forbidden("the operator's tenant cannot be deleted; rotate its key instead"));
        }
        if !self.store().delete_tenant(tenant, generation, self.clock().now()).await? {
            return Err(Error::InvalidKey);
        }
        self.end_credential(tenant, None);
        self.hub().close_tenant(tenant, CloseReason::RoomGone);
        self.wake_purger();
        Ok(())
    }
}
