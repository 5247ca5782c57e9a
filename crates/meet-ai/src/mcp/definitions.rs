//! The tools as clients are told of them: short, because every session pays for them.

use std::sync::Arc;

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Value, json};

/// What a tool does to the world.
#[derive(Clone, Copy)]
enum Effect {
    /// Nothing.
    Reads,
    /// It adds something, or moves something of the caller's own.
    Adds,
}

/// The tools; those that change who gets into a room only with `manage`.
pub(super) fn tools(manage: bool) -> Vec<Tool> {
    let mut tools = reading();
    tools.extend(acting());
    if manage {
        tools.extend(managing());
    }
    tools
}

fn tool(name: &'static str, effect: Effect, description: &'static str, properties: Value, required: &[&str]) -> Tool {
    let mut schema = serde_json::Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties);
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    let annotations = match effect {
        Effect::Reads => ToolAnnotations::new().read_only(true),
        Effect::Adds => ToolAnnotations::new().destructive(false),
    };
    Tool::new(name, description, Arc::new(schema)).with_annotations(annotations)
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn number() -> Value {
    json!({ "type": "integer" })
}

fn reading() -> Vec<Tool> {
    vec![
        tool(
            "list_rooms",
            Effect::Reads,
            "Your rooms, with unread counts. Elsewhere `room` is an id or a unique name.",
            json!({}),
            &[],
        ),
        tool(
            "read_messages",
            Effect::Reads,
            "Messages of others, oldest first: the newest ones, or behind `after` (a seq; pass on `cursor` of the \
             answer), or before `before`.",
            json!({
                "room": text(), "after": number(), "before": number(), "limit": number(),
                "include_own": { "type": "boolean" }
            }),
            &["room"],
        ),
        tool(
            "read_unread",
            Effect::Adds,
            "Others' messages behind your read marker, oldest first. The same come again until you pass the answer's \
             `cursor` as `done`, which moves the marker: so each comes at least once, also after a crash.",
            json!({ "room": text(), "done": number(), "limit": number() }),
            &["room"],
        ),
        tool(
            "wait_for_messages",
            Effect::Reads,
            "Waits up to `wait` seconds (1-50, default 50) for others' messages behind `after` (default: from now on). \
             Call again with `cursor` of the answer; safe to repeat. `only`: those with @you (mentions), or these and \
             those that mention nobody (for_me). `exclude`: leave out this sender.",
            json!({
                "room": text(), "after": number(), "only": { "enum": ["mentions", "for_me"] }, "exclude": text(),
                "wait": number()
            }),
            &["room"],
        ),
        tool(
            "search",
            Effect::Reads,
            "Messages with all these words, newest first.",
            json!({ "room": text(), "words": text(), "limit": number() }),
            &["room", "words"],
        ),
        tool(
            "presence",
            Effect::Reads,
            "Who is in the room, and doing what; and how many messages agents, and you (own_remaining), may still send \
             before a person has to speak.",
            json!({ "room": text() }),
            &["room"],
        ),
        tool("who_am_i", Effect::Reads, "Your name, rights and server.", json!({}), &[]),
    ]
}

fn acting() -> Vec<Tool> {
    vec![
        tool("create_room", Effect::Adds, "Makes a private room.", json!({ "name": text() }), &["name"]),
        tool(
            "send_message",
            Effect::Adds,
            "Says something in Markdown; @name reaches somebody. `reply_to`: a message's id.",
            json!({ "room": text(), "text": text(), "reply_to": text() }),
            &["room", "text"],
        ),
        tool(
            "set_status",
            Effect::Adds,
            "Shows others what you are doing; waiting means: on a person.",
            json!({ "doing": { "enum": ["listening", "working", "waiting"] }, "note": text() }),
            &["doing"],
        ),
        tool(
            "join_call_token",
            Effect::Adds,
            "A 10-minute token for the room's call. Secret: say it nowhere.",
            json!({ "room": text() }),
            &["room"],
        ),
    ]
}

fn managing() -> Vec<Tool> {
    vec![
        tool(
            "create_invite",
            Effect::Adds,
            "An invite link to the room. Secret: only for whom you invite. `expires_in` in seconds.",
            json!({
                "room": text(), "role": { "enum": ["member", "spectator"] }, "expires_in": number(),
                "max_uses": number()
            }),
            &["room", "role"],
        ),
        tool(
            "set_visibility",
            Effect::Adds,
            "public: everybody who has the room's id reads what is said from then on.",
            json!({ "room": text(), "visibility": { "enum": ["private", "public"] } }),
            &["room", "visibility"],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use rmcp::model::ListToolsResult;

    use super::*;

    /// What all definitions may cost a client.
    const BUDGET: usize = 1500;
    /// No tokenizer of another vendor is at hand offline, so that of the GPT models counts, and a fifth is left for
    /// others that cut text shorter.
    const MARGIN: usize = BUDGET / 5;

    #[test]
    fn the_definitions_cost_little() {
        let listed = serde_json::to_string(&ListToolsResult::with_all_items(tools(true))).unwrap();
        let tokens = tiktoken_rs::o200k_base().unwrap().encode_ordinary(&listed).len();
        println!("{} bytes, {tokens} tokens", listed.len());
        assert!(tokens + MARGIN <= BUDGET, "{tokens} tokens: {listed}");
    }

    #[test]
    fn what_opens_a_room_to_others_is_there_only_when_switched_on() {
        let names = |manage| tools(manage).into_iter().map(|tool| tool.name.into_owned()).collect::<Vec<_>>();
        let (plain, managing) = (names(false), names(true));
        assert!(managing.starts_with(&plain));
        assert_eq!(managing[plain.len()..], ["create_invite", "set_visibility"]);
    }
}
