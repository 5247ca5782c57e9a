//! `create-room`, `rooms`, and how a room is found by what somebody calls it.

use meet_api::{Media, Room, RoomId, Visibility, request::CreateRoom, text::fold};
use meet_server::Clock;
use serde::Serialize;

use crate::{
    args::{ClientArgs, CreateRoomArgs},
    client::{Client, asked, retry::Retry},
    commands,
    failure::{Failure, Outcome, key_wanted, not_empty, room_wanted},
    invocation,
    output::{self, escape},
};

/// `create-room`: the bare id on standard output.
pub(crate) async fn create(args: CreateRoomArgs) -> Outcome {
    not_empty("the name of the room", &args.name)?;
    let client = commands::client(&args.client)?;
    let visibility = args.public.then_some(Visibility::Public);
    let media = args.screens.then_some(Media::Screenshare);
    let wanted = CreateRoom { name: Some(args.name), visibility, media, ..CreateRoom::default() };
    let room = client.create_room(&wanted).await?;
    print_made(&room, &room.id.to_string(), args.client.json)
}

/// `rooms`.
pub(crate) async fn list(args: &ClientArgs) -> Outcome {
    let rooms = commands::client(args)?.rooms().await?;
    if args.json {
        return rooms.iter().try_for_each(output::json);
    }
    if rooms.is_empty() {
        let make = invocation::command(&["create-room", "NAME"]);
        output::note(&format!("no rooms yet: make one with `{make}`"));
        return Ok(());
    }
    let rows: Vec<[String; 5]> = rooms.into_iter().map(row).collect();
    output::line(&output::table(["ID", "NAME", "VISIBILITY", "MESSAGES", "ONLINE"], &rows))
}

fn row(room: Room) -> [String; 5] {
    let visibility = room.visibility.as_str().to_owned();
    [room.id.to_string(), room.name, visibility, room.head_seq.to_string(), room.online.to_string()]
}

/// What a command made: all of it as JSON, or the bare id.
pub(crate) fn print_made(made: &impl Serialize, id: &str, as_json: bool) -> Outcome {
    if as_json { output::json(made) } else { output::line(id) }
}

/// The room that is meant by an id or a name: the caller's own, else a public one.
pub(crate) async fn resolve(client: &Client, called: &str, retry: &Retry) -> Result<RoomId, Failure> {
    if let Ok(id) = called.parse() {
        return Ok(id);
    }
    let clock = Clock::system();
    let mut rooms = Vec::new();
    if client.has_key() {
        rooms = retry.clone().run(&clock, async || client.rooms().await).await?;
        if let Some(found) = pick(&rooms, called).into_room(called) {
            return found;
        }
    }
    let public = retry.clone().run(&clock, async || client.public_rooms().await).await?;
    if let Some(found) = pick(&public, called).into_room(called) {
        return found;
    }
    rooms.extend(public);
    let meant = nearest(&rooms, called).map(|name| format!("; did you mean {}?", escape(name))).unwrap_or_default();
    let (called, asked) = (escape(called), asked(client.connection()));
    Err(if client.has_key() {
        Failure::refused(format!("no room is called {called}{meant}")).with_hint(format!("{asked}: {}", room_wanted()))
    } else {
        Failure::refused(format!("no public room is called {called}, and {asked}: {}{meant}", key_wanted()))
    })
}

/// The name that was meant, when one is so near that it can only be a slip.
fn nearest<'a>(rooms: &'a [Room], called: &str) -> Option<&'a str> {
    let called = fold(called.trim());
    let far = |name: &str| strsim::damerau_levenshtein(&fold(name), &called);
    let names = rooms.iter().map(|room| room.name.as_str());
    names.map(|name| (far(name), name)).filter(|(far, _)| far * 3 <= called.chars().count()).min().map(|(_, name)| name)
}

/// What a name finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// Nothing.
    None,
    /// The room.
    One(RoomId),
    /// Rooms that are all called so.
    Many(Vec<RoomId>),
}

/// Finds a name among rooms: as it is written, or else without regard to case.
pub(crate) fn pick(rooms: &[Room], called: &str) -> Pick {
    let called = called.trim();
    let named = |is: &dyn Fn(&str) -> bool| -> Vec<RoomId> {
        rooms.iter().filter(|room| is(&room.name)).map(|room| room.id).collect()
    };
    let exact = named(&|name| name == called);
    let found = if exact.is_empty() { named(&|name| fold(name) == fold(called)) } else { exact };
    match found.as_slice() {
        [] => Pick::None,
        [one] => Pick::One(*one),
        _ => Pick::Many(found),
    }
}

impl Pick {
    /// The room, or a question which one is meant; `None` when there is none.
    fn into_room(self, called: &str) -> Option<Result<RoomId, Failure>> {
        match self {
            Self::None => None,
            Self::One(room) => Some(Ok(room)),
            Self::Many(rooms) => {
                let ids: Vec<String> = rooms.iter().map(|id| format!("  {id}")).collect();
                let (called, listed) = (escape(called), ids.join("\n"));
                Some(Err(Failure::usage(format!("several rooms are called {called}; name one by its id:\n{listed}"))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{AgentRules, Media, Timestamp};

    use super::*;

    fn room(number: u64, name: &str) -> Room {
        Room {
            id: format!("01900000-0000-7000-8000-{number:012}").parse().unwrap(),
            name: name.to_owned(),
            visibility: Visibility::Private,
            media: Media::Audio,
            bot_enabled: false,
            head_seq: 0,
            epoch: String::new(),
            online: 0,
            created_at: Timestamp::from_millis(0),
            expires_at: None,
            agents: AgentRules { paused: false, budget: 50, share: 25, remaining: Some(50) },
            read_seq: None,
            unread: None,
            mentions: None,
        }
    }

    #[test]
    fn a_name_finds_its_room_exactly_before_roughly() {
        let rooms = [room(1, "General"), room(2, "general"), room(3, "Straße")];
        assert_eq!(pick(&rooms, " general "), Pick::One(rooms[1].id));
        assert_eq!(pick(&rooms, "GENERAL"), Pick::Many(vec![rooms[0].id, rooms[1].id]));
        assert_eq!(pick(&rooms, "STRASSE"), Pick::One(rooms[2].id));
        assert_eq!(pick(&rooms, "gener"), Pick::None);
    }

    #[test]
    fn of_several_rooms_the_ids_are_listed() {
        let rooms = [room(1, "twin\u{1b}[2J"), room(2, "twin\u{1b}[2J")];
        let failure = pick(&rooms, "twin\u{1b}[2J").into_room("twin\u{1b}[2J").unwrap().unwrap_err();
        for room in &rooms {
            assert!(failure.sentence().contains(&room.id.to_string()), "{failure:?}");
        }
        assert!(!failure.sentence().contains('\u{1b}'), "{failure:?}");
    }
}
