//! `join`: an invite link becomes a session of an agent, kept in `./.env` for every command that is run there.
//!
//! The invite itself is kept nowhere: only its digest, by which a repeat is known. A key that belongs to something else
//! is never taken away without a word.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use meet_api::{
    ErrorCode, Kind,
    request::{SessionInfo, SignIn},
    text::fold,
};
use meet_server::Clock;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    args::JoinArgs,
    client::{Client, ClientError},
    connection::{self, Connection, Source},
    dotenv::{self, DotEnv},
    failure::{Failure, Outcome},
    files::Replacement,
    invocation,
    output::{self, escape},
    server_url::ServerUrl,
};

/// Where a session is kept.
const FILE: &str = ".env";

/// What an invite link says.
struct Invite {
    server: ServerUrl,
    token: String,
}

/// What `./.env` holds before.
struct Kept {
    text: String,
    ours: DotEnv,
}

/// `join`.
pub(crate) async fn run(args: JoinArgs) -> Outcome {
    let link = if args.invite == "-" { read_link()? } else { args.invite.clone() };
    let invite = Invite::parse(&link)?;
    let kept = Kept::read(Path::new(FILE))?;
    if let Some(found) = find_again(&invite, &kept, &args).await? {
        return introduce(&found, &invite.server, true, args.json).await;
    }
    // Before the invite is used: a place that cannot be written burns nothing.
    let file = Replacement::of(Path::new(FILE));
    let file = file.map_err(|error| Failure::refused(format!("nothing can be written here: {error}")))?;
    let session = sign_in(&invite, &args).await?;
    let stored = store(file, &invite, &kept, &session);
    let client = client(&invite.server, session.token.as_deref())?;
    if let Err(error) = stored {
        // A session that nobody can use is ended.
        let _ = client.sign_out().await;
        return Err(Failure::refused(format!("./{FILE} cannot be written, so the session was given up: {error}")));
    }
    kept.sign_out().await;
    hint_at_git();
    introduce(&Joined { client, session }, &invite.server, false, args.json).await
}

/// A session with the client that speaks by it.
struct Joined {
    client: Client,
    session: SessionInfo,
}

impl Invite {
    fn parse(link: &str) -> Result<Self, Failure> {
        let (address, token) = link.trim().split_once("#invite=").unwrap_or((link.trim(), ""));
        let server = ServerUrl::parse(address).ok().filter(|_| !token.is_empty());
        let wrong = "this is no invite link: one looks like https://meet.example.org/#invite=…, and stands in quotes";
        Ok(Self { server: server.ok_or_else(|| Failure::usage(wrong))?, token: token.to_owned() })
    }

    /// The line above the session: the invite cannot be told from it, and no other has the same.
    fn remark(&self) -> String {
        let mut half = [0; 16];
        half.copy_from_slice(&Sha256::digest(self.token.as_bytes())[..16]);
        format!("# meet-ai join: by the invite {:032x}", u128::from_be_bytes(half))
    }
}

impl Kept {
    fn read(path: &Path) -> Result<Self, Failure> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self { ours: dotenv::parse(&text), text }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self { text: String::new(), ours: DotEnv::default() })
            }
            Err(error) => Err(Failure::refused(format!("./{FILE} cannot be read: {error}"))),
        }
    }

    /// The server that the file names, when it names one.
    fn server(&self) -> Option<ServerUrl> {
        self.ours.url.as_deref().and_then(|url| ServerUrl::parse(url).ok())
    }

    /// Ends the session that stood here before: nobody has it any more. Without a server beside it, it is not known whose
    /// it is, and it goes nowhere.
    async fn sign_out(&self) {
        let Some((server, key)) = self.server().zip(self.ours.key.as_deref()) else { return };
        if !key.starts_with("mas_") {
            return;
        }
        let Ok(client) = client(&server, Some(key)) else { return };
        match client.sign_out().await {
            Ok(()) => output::note(&format!("The session that ./{FILE} had before is signed out.")),
            Err(ClientError::Refused { body, .. }) if body.code == ErrorCode::InvalidKey => {}
            Err(error) => {
                let error = escape(&error.to_string());
                output::note(&format!("warning: the session that ./{FILE} had before is not signed out: {error}"));
            }
        }
    }
}

/// The session that this invite gave before, when it is still in force; refuses when `./.env` belongs to something else.
async fn find_again(invite: &Invite, kept: &Kept, args: &JoinArgs) -> Result<Option<Joined>, Failure> {
    let replaced = |failure: Failure| if args.force { Ok(None) } else { Err(failure) };
    let is_ours = kept.text.lines().any(|line| line.trim() == invite.remark());
    let is_same_server = match (&kept.ours.url, kept.server()) {
        (None, _) => true,
        (Some(_), server) => server.is_some_and(|server| server.is_same_server(&invite.server)),
    };
    // A key goes to its own server only, and one without a server beside it may be any other's.
    let is_to_ask = is_same_server && (is_ours || kept.ours.url.is_some());
    let Some(key) = kept.ours.key.as_deref().filter(|_| is_to_ask) else {
        let is_free = kept.ours.key.is_none() && is_same_server;
        return if is_free { Ok(None) } else { replaced(foreign(kept)) };
    };
    let client = client(&invite.server, Some(key))?;
    let session = match client.session().await {
        Ok(session) => session,
        // What it was is over: the invite may still give another.
        Err(ClientError::Refused { body, .. }) if body.code == ErrorCode::InvalidKey => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(user) = session.user.as_ref().filter(|_| is_ours) else { return replaced(foreign(kept)) };
    match &args.name {
        Some(wanted) if fold(wanted.trim()) != fold(&user.name) => {
            let shown = escape(&user.name);
            let already = format!("you are in by this invite already, as {shown}, and ./{FILE} has that session");
            let hint =
                "--force joins anew under the other name and signs that session out; or join in another directory";
            replaced(Failure::refused(already).with_hint(hint.to_owned()))
        }
        _ => Ok(Some(Joined { client, session })),
    }
}

fn foreign(kept: &Kept) -> Failure {
    let server = kept.ours.url.as_deref().map(|url| format!(" for {}", escape(url))).unwrap_or_default();
    let what = if kept.ours.key.is_some() { "a MEET_AI_KEY" } else { "a MEET_AI_URL" };
    let then = match &kept.ours.key {
        Some(key) if key.starts_with("mas_") => ": the session is then signed out",
        Some(_) => ": the key then stays there as a comment",
        None => "",
    };
    Failure::refused(format!("./{FILE} has {what}{server} already, which this invite did not give"))
        .with_hint(format!("join in another directory, or replace it by --force{then}"))
}

async fn sign_in(invite: &Invite, args: &JoinArgs) -> Result<SessionInfo, Failure> {
    let name = args.name.clone().unwrap_or_else(any_name);
    let body = SignIn {
        invite: Some(invite.token.clone()),
        name: Some(name.clone()),
        kind: Some(Kind::Agent),
        ..SignIn::default()
    };
    client(&invite.server, None)?.sign_in(&body).await.map_err(|error| match &error {
        ClientError::Refused { body, .. } if body.code == ErrorCode::NameTaken => {
            let other = invocation::command(&["join", "…", "--name", &next_name(&name)]);
            Failure::from(error).with_hint(format!("choose another name, such as `{other}`"))
        }
        ClientError::Refused { body, .. } if body.code == ErrorCode::Expired => {
            Failure::from(error).with_hint("ask whoever invited you for another link".to_owned())
        }
        _ => error.into(),
    })
}

/// A name for an agent that was given none.
fn any_name() -> String {
    let mut chance = [0; 2];
    Clock::system().fill(&mut chance);
    format!("agent-{:04x}", u16::from_ne_bytes(chance))
}

/// The same name with the next number behind it, within the length that names have.
fn next_name(name: &str) -> String {
    let (stem, number) = match name.rsplit_once('-') {
        Some((stem, number)) if !stem.is_empty() => (stem, number.parse::<u32>().ok()),
        _ => (name, None),
    };
    let (stem, next) = number.map_or((name, 2), |number| (stem, number.saturating_add(1)));
    let stem: String = stem.chars().take(50).collect();
    format!("{stem}-{next}")
}

fn store(file: Replacement, invite: &Invite, kept: &Kept, session: &SessionInfo) -> io::Result<()> {
    let ours = DotEnv { url: Some(invite.server.to_string()), key: session.token.clone() };
    let text = dotenv::with_ours(&kept.text, &ours, &invite.remark());
    // Whoever else could read what stood there reads no session.
    file.put(text.as_bytes(), 0o600)
}

/// A client of the invite's server by this key and no other.
fn client(server: &ServerUrl, key: Option<&str>) -> Result<Client, Failure> {
    let key = key.map(|key| (SecretString::from(key), Source::DotEnv));
    Ok(Client::new(&Connection { url: server.clone(), url_source: Source::Flag, key })?)
}

/// Says who the caller is now, where, and what comes next.
async fn introduce(joined: &Joined, server: &ServerUrl, is_again: bool, as_json: bool) -> Outcome {
    let rooms = joined.client.rooms().await.unwrap_or_default();
    let role = joined.session.role.as_str();
    let name = joined.session.user.as_ref().map(|user| user.name.as_str()).unwrap_or_default();
    warn_of_others(&joined.client);
    if as_json {
        let rooms: Vec<_> = rooms.iter().map(|room| json!({ "id": room.id, "name": room.name })).collect();
        let user = &joined.session.user;
        return output::json(
            &json!({ "user": user, "role": role, "url": server.to_string(), "rooms": rooms, "again": is_again }),
        );
    }
    let already = if is_again { "already " } else { "" };
    output::line(&format!("You are {already}{} (agent, {role}) on {server}; ./{FILE} has the session.", escape(name)))?;
    for room in &rooms {
        output::line(&format!("  {}  {}", room.id, escape(&room.name)))?;
    }
    let room = rooms.first().map_or("ROOM".to_owned(), |room| room.id.to_string());
    output::note(&format!("Next: {}", invocation::command(&["unread", &room])));
    Ok(())
}

/// Says which variables of the environment hide what `./.env` has.
fn warn_of_others(client: &Client) {
    let Connection { url, key, .. } = client.connection();
    let own = key.as_ref().map(|(key, _)| key.expose_secret());
    let is_own_server = |text: &str| ServerUrl::parse(text).is_ok_and(|other| other.is_same_server(url));
    let is_other_key = connection::variable("MEET_AI_KEY").is_some_and(|key| own != Some(key.trim()));
    let is_other_server = connection::variable("MEET_AI_URL").is_some_and(|text| !is_own_server(&text));
    for (variable, is_other) in [("MEET_AI_KEY", is_other_key), ("MEET_AI_URL", is_other_server)] {
        if is_other {
            output::note(&format!("warning: {variable} in the environment goes before ./{FILE}: unset it"));
        }
    }
}

fn read_link() -> Result<String, Failure> {
    let mut link = String::new();
    let read = io::stdin().lines().next().transpose();
    link.push_str(
        &read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?.unwrap_or_default(),
    );
    Ok(link)
}

/// A session in a file that git does not ignore is soon one that everybody has.
fn hint_at_git() {
    let mut git = Command::new("git");
    git.args(["-c", "core.fsmonitor=false", "check-ignore", "--quiet", FILE]);
    git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // 1 says that it is not ignored; without git, or outside of a work tree, it is something else.
    if git.status().is_ok_and(|status| status.code() == Some(1)) {
        output::note(&format!("hint: git does not ignore ./{FILE}, which has a secret now: add it to .gitignore"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_link_with_a_token_is_an_invite() {
        let parsed = Invite::parse(" https://meet.example.org/#invite=abc\n").unwrap();
        assert_eq!((parsed.server.to_string().as_str(), parsed.token.as_str()), ("https://meet.example.org", "abc"));
        for wrong in ["", "abc", "https://x/#invite=", "https://x/", "https://x/#owner=abc", "ftp://x/#invite=a"] {
            assert!(Invite::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_remark_tells_invites_apart_and_does_not_tell_them() {
        let remark = |token: &str| Invite::parse(&format!("http://x/#invite={token}")).unwrap().remark();
        assert_ne!(remark("abc"), remark("abd"));
        assert!(!remark("abc").contains("abc") && remark("abc").starts_with("# "));
    }

    #[test]
    fn a_taken_name_leads_to_the_next_one() {
        assert_eq!(next_name("scout"), "scout-2");
        assert_eq!(next_name("scout-2"), "scout-3");
        assert_eq!(next_name("code-review"), "code-review-2");
        assert!(next_name(&"ä".repeat(64)).chars().count() <= 64);
    }
}
