//! `status`, `log`, `who` and `whoami`: what an agent shows of itself, and what it sees of others.

use meet_api::{About, ChosenStatus, Doing, Guard, RoomPresence, request::SetStatus, text::fold};
use serde_json::json;

use crate::{
    args::{Activity, ClientArgs, LogArgs, Reachable, StatusArgs, WhoArgs},
    client::{Client, people::Speaker, retry::Retry},
    commands::{self, rooms},
    failure::{Failure, Outcome, not_empty},
    output::{self, escape},
};

/// `status`.
pub(crate) async fn set(args: StatusArgs) -> Outcome {
    let about = about(args.doing, args.note, args.model, args.role);
    if about.is_none() && args.status.is_none() {
        return Err(Failure::usage("there is nothing to say: give --doing, --note, --model, --role or --status"));
    }
    let client = commands::client_as(&args.client, args.identity.name.as_deref()).await?;
    let status = args.status.map(Reachable::chosen);
    let own = client.set_status(&SetStatus { status, about }).await?;
    if args.client.json { output::json(&own) } else { Ok(()) }
}

/// What an agent says of itself, as the server takes it; `None` when that is nothing.
pub(crate) fn about(
    doing: Option<Activity>,
    note: Option<String>,
    model: Option<String>,
    role: Option<String>,
) -> Option<About> {
    let about = About { doing: doing.map(Activity::doing), note, model, role };
    (about != About::default()).then_some(about)
}

/// `log`.
pub(crate) async fn log(args: LogArgs) -> Outcome {
    not_empty("what is told", &args.text)?;
    let client = commands::client_as(&args.client, args.identity.name.as_deref()).await?;
    let room = rooms::resolve(&client, &args.room, &Retry::never()).await?;
    Ok(client.log(room, &args.text).await?)
}

/// `who`.
pub(crate) async fn who(args: WhoArgs) -> Outcome {
    let mut client = commands::client(&args.client)?;
    if let Some(name) = &args.identity.name {
        client = identified(client, name).await?;
    }
    let room = rooms::resolve(&client, &args.room, &Retry::never()).await?;
    let presence = client.presence(room).await?;
    let guard = client.guard(room).await?;
    if args.client.json {
        let RoomPresence { members, watching } = presence;
        return output::json(&json!({ "members": members, "watching": watching, "agents": guard }));
    }
    let rows: Vec<[String; 7]> = presence
        .members
        .iter()
        .map(|member| {
            let (kind, status) = (member.kind.as_str().to_owned(), member.status.as_str().to_owned());
            let about = member.about.clone().unwrap_or_default();
            let doing = about.doing.map(|doing| doing.as_str().to_owned());
            let [doing, note, model, role] =
                [doing, about.note, about.model, about.role].map(Option::unwrap_or_default);
            [member.name.clone(), kind, status, doing, note, model, role]
        })
        .collect();
    output::line(&output::table(["NAME", "KIND", "STATUS", "DOING", "NOTE", "MODEL", "ROLE"], &rows))?;
    output::note(&in_words(&guard));
    Ok(())
}

/// What agents may still say, in a sentence.
fn in_words(guard: &Guard) -> String {
    if guard.agents.paused {
        return "agents are paused here: the owner lets them go on".to_owned();
    }
    let Some(remaining) = guard.agents.remaining else {
        return "agents may say any number of messages".to_owned();
    };
    let own = guard.own_remaining.map(|own| format!(", you {own} of them")).unwrap_or_default();
    let messages = if remaining == 1 { "message" } else { "messages" };
    format!("agents may say {remaining} more {messages}{own}, until a person speaks")
}

/// `whoami`.
pub(crate) async fn whoami(args: &ClientArgs) -> Outcome {
    let client = commands::client(args)?;
    let session = client.session().await?;
    if args.json {
        return output::json(&session);
    }
    let (server, role) = (client.connection().server(), session.role.as_str());
    output::line(&match session.user {
        Some(user) => format!("{} ({}, {role}) on {server}", escape(&user.name), user.kind.as_str()),
        None => format!("{role} on {server}, by a key: name yourself by --as NAME, or as SENDER"),
    })
}

/// The client as the agent of this name, which a session must be already.
pub(crate) async fn identified(client: Client, name: &str) -> Result<Client, Failure> {
    not_empty("the name in --as", name)?;
    if !client.is_session() {
        return Ok(client.speaking_as(Speaker::agent(name)));
    }
    let user = client.session().await?.user;
    let is_it = user.as_ref().is_some_and(|user| fold(&user.name) == fold(name.trim()));
    let own = user.map(|user| escape(&user.name)).unwrap_or_default();
    if is_it {
        Ok(client)
    } else {
        Err(Failure::usage(format!("this session is {own}, and nobody else: leave --as out")))
    }
}

impl Activity {
    /// As the server knows it.
    pub(crate) const fn doing(self) -> Doing {
        match self {
            Self::Listening => Doing::Listening,
            Self::Working => Doing::Working,
            Self::Waiting => Doing::Waiting,
        }
    }
}

impl Reachable {
    const fn chosen(self) -> ChosenStatus {
        match self {
            Self::Online => ChosenStatus::Online,
            Self::Away => ChosenStatus::Away,
            Self::Busy => ChosenStatus::Busy,
            Self::Invisible => ChosenStatus::Invisible,
        }
    }
}
