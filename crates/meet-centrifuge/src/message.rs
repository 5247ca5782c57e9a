//! Commands, replies and pushes of the client protocol, version 2. Each type is both forms at once: the numbers are
//! Protobuf's, the names are JSON's, and what is empty is left out of either.
//!
//! The numbers and names are facts of the public protocol definition. What a server need not know (maps, shared poll,
//! dictionaries) is absent: unknown fields are skipped in both forms.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{entries, raw_json};

/// Whether a field holds what an absent one would.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares messages in both forms: `field: type = "number" [kind in Protobuf]`.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $number:literal [$($kind:tt)+] $(with $with:literal)?,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[prost($($kind)+, tag = $number)]
                #[serde(skip_serializing_if = "is_default" $(, with = $with)?)]
                pub $field: $type,
            )*
        }
    )*};
}

messages! {
    /// What went wrong with one command.
    Error {
        /// Its number; [`crate::code::ErrorCode`] has them all.
        code: u32 = "1" [uint32],
        /// What it says.
        message: String = "2" [string],
        /// Whether the same command may succeed later.
        temporary: bool = "3" [bool],
    }

    /// What a client asks for: one of its optional parts. One without any is the client's pong.
    Command {
        /// By which the reply is known; 0 where no reply is wanted.
        id: u32 = "1" [uint32],
        /// Comes first, once.
        connect: Option<ConnectRequest> = "4" [message, optional],
        /// Listens to a channel.
        subscribe: Option<SubscribeRequest> = "5" [message, optional],
        /// Stops listening.
        unsubscribe: Option<UnsubscribeRequest> = "6" [message, optional],
        /// Says something in a channel.
        publish: Option<PublishRequest> = "7" [message, optional],
        /// Asks who is in a channel.
        presence: Option<PresenceRequest> = "8" [message, optional],
        /// Asks how many are in a channel.
        presence_stats: Option<PresenceStatsRequest> = "9" [message, optional],
        /// Reads what was published in a channel.
        history: Option<HistoryRequest> = "10" [message, optional],
        /// Of an earlier version; no client of this one sends it.
        ping: Option<PingRequest> = "11" [message, optional],
        /// Tells the server something and wants no reply.
        send: Option<SendRequest> = "12" [message, optional],
        /// Calls a method of the server.
        rpc: Option<RpcRequest> = "13" [message, optional],
        /// Brings a new connection token.
        refresh: Option<RefreshRequest> = "14" [message, optional],
        /// Brings a new subscription token.
        sub_refresh: Option<SubRefreshRequest> = "15" [message, optional],
    }

    /// What the server says: the reply to a command, a push, or with nothing in it a ping.
    Reply {
        /// The command's id; 0 for a push and a ping.
        id: u32 = "1" [uint32],
        /// Instead of a result.
        error: Option<Error> = "2" [message, optional],
        /// Something that nobody asked for.
        push: Option<Push> = "4" [message, optional],
        /// To `connect`.
        connect: Option<ConnectResult> = "5" [message, optional],
        /// To `subscribe`.
        subscribe: Option<SubscribeResult> = "6" [message, optional],
        /// To `unsubscribe`.
        unsubscribe: Option<UnsubscribeResult> = "7" [message, optional],
        /// To `publish`.
        publish: Option<PublishResult> = "8" [message, optional],
        /// To `presence`.
        presence: Option<PresenceResult> = "9" [message, optional],
        /// To `presence_stats`.
        presence_stats: Option<PresenceStatsResult> = "10" [message, optional],
        /// To `history`.
        history: Option<HistoryResult> = "11" [message, optional],
        /// To `rpc`.
        rpc: Option<RpcResult> = "13" [message, optional],
        /// To `refresh`.
        refresh: Option<RefreshResult> = "14" [message, optional],
        /// To `sub_refresh`.
        sub_refresh: Option<SubRefreshResult> = "15" [message, optional],
    }

    /// What happened, in a channel or to the connection.
    Push {
        /// The channel; empty for the connection itself.
        channel: String = "2" [string],
        /// Something was published.
        r#pub: Option<Publication> = "4" [message, optional],
        /// Somebody came.
        join: Option<Join> = "5" [message, optional],
        /// Somebody left.
        leave: Option<Leave> = "6" [message, optional],
        /// The server ended a subscription.
        unsubscribe: Option<Unsubscribe> = "7" [message, optional],
        /// The server says something to this connection alone.
        message: Option<Message> = "8" [message, optional],
        /// The server made a subscription.
        subscribe: Option<Subscribe> = "9" [message, optional],
        /// The connection ends, where no close frame can say so.
        disconnect: Option<Disconnect> = "11" [message, optional],
    }

    /// Who a connection is, as others see it.
    ClientInfo {
        /// The user's id; empty for nobody in particular.
        user: String = "1" [string],
        /// The connection's id.
        client: String = "2" [string],
        /// What the connection token says about the user, JSON.
        conn_info: Bytes = "3" [bytes = "bytes"] with "raw_json",
        /// What the subscription token says, JSON.
        chan_info: Bytes = "4" [bytes = "bytes"] with "raw_json",
    }

    /// Something that was published.
    Publication {
        /// What, in JSON.
        data: Bytes = "4" [bytes = "bytes"] with "raw_json",
        /// By whom, when it came from a client.
        info: Option<ClientInfo> = "5" [message, optional],
        /// Its place in the channel's history, from 1; 0 where there is none.
        offset: u64 = "6" [uint64],
        /// Words about it.
        tags: BTreeMap<String, String> = "7" [btree_map = "string, string"],
        /// When, in milliseconds since 1970.
        time: i64 = "9" [int64],
        /// The history's epoch, for those who listened before it began.
        epoch: String = "14" [string],
    }

    /// Somebody came.
    Join {
        /// Who.
        info: Option<ClientInfo> = "1" [message, optional],
    }

    /// Somebody left.
    Leave {
        /// Who.
        info: Option<ClientInfo> = "1" [message, optional],
    }

    /// The server ended a subscription.
    Unsubscribe {
        /// Why; [`crate::code::UnsubscribeCode`] has them all.
        code: u32 = "2" [uint32],
        /// The same in words.
        reason: String = "3" [string],
    }

    /// Data for one connection.
    Message {
        /// What, in JSON.
        data: Bytes = "1" [bytes = "bytes"] with "raw_json",
    }

    /// The server made a subscription.
    Subscribe {
        /// Whether what is missed can be read again.
        recoverable: bool = "1" [bool],
        /// The history's epoch.
        epoch: String = "4" [string],
        /// Where the subscription begins.
        offset: u64 = "5" [uint64],
        /// Whether gaps are noticed.
        positioned: bool = "6" [bool],
        /// Data for this subscription, JSON.
        data: Bytes = "7" [bytes = "bytes"] with "raw_json",
    }

    /// The connection ends.
    Disconnect {
        /// Why; [`crate::code::DisconnectCode`] has them all.
        code: u32 = "1" [uint32],
        /// The same in words.
        reason: String = "2" [string],
        /// Whether coming back makes sense.
        reconnect: bool = "3" [bool],
    }

    /// Asks to be let in.
    ConnectRequest {
        /// The connection token.
        token: String = "1" [string],
        /// Data for the server, JSON.
        data: Bytes = "2" [bytes = "bytes"] with "raw_json",
        /// Where the client stood in its server-side subscriptions.
        subs: BTreeMap<String, SubscribeRequest> = "3" [btree_map = "string, message"],
        /// What the client is called.
        name: String = "4" [string],
        /// Which of its versions.
        version: String = "5" [string],
        /// Headers that the transport could not carry.
        headers: BTreeMap<String, String> = "6" [btree_map = "string, string"],
    }

    /// The client is in.
    ConnectResult {
        /// The connection's id.
        client: String = "1" [string],
        /// The server's version.
        version: String = "2" [string],
        /// Whether the client has to bring a new token.
        expires: bool = "3" [bool],
        /// In how many seconds.
        ttl: u32 = "4" [uint32],
        /// Data for the client, JSON.
        data: Bytes = "5" [bytes = "bytes"] with "raw_json",
        /// The subscriptions that the server made.
        subs: Vec<MadeSubscription> = "6" [message, repeated] with "entries",
        /// How many seconds lie between two pings.
        ping: u32 = "7" [uint32],
        /// Whether each wants an answer.
        pong: bool = "8" [bool],
        /// The secret by which `/emulation` finds the connection.
        session: String = "9" [string],
        /// The node that has it.
        node: String = "10" [string],
        /// The server's time, in milliseconds since 1970.
        time: i64 = "11" [int64],
    }

    /// A subscription that the server made: an entry of a map. Protobuf's own map leaves out what is empty, and clients
    /// take a subscription without anything in it for none at all.
    MadeSubscription {
        /// The channel.
        key: String = "1" [string],
        /// What the client is told of it.
        value: Option<SubscribeResult> = "2" [message, optional],
    }

    /// Brings a new connection token.
    RefreshRequest {
        /// The token.
        token: String = "1" [string],
    }

    /// The new token holds.
    RefreshResult {
        /// The connection's id.
        client: String = "1" [string],
        /// The server's version.
        version: String = "2" [string],
        /// Whether it runs out as well.
        expires: bool = "3" [bool],
        /// In how many seconds.
        ttl: u32 = "4" [uint32],
    }

    /// Asks to listen to a channel.
    SubscribeRequest {
        /// The channel.
        channel: String = "1" [string],
        /// The subscription token.
        token: String = "2" [string],
        /// Whether to read again what was missed.
        recover: bool = "3" [bool],
        /// The epoch of the client's position; empty when it knows none.
        epoch: String = "6" [string],
        /// The last offset that the client has.
        offset: u64 = "7" [uint64],
        /// Data for the server, JSON.
        data: Bytes = "8" [bytes = "bytes"] with "raw_json",
        /// A wish that gaps be noticed.
        positioned: bool = "9" [bool],
        /// A wish that what is missed can be read again.
        recoverable: bool = "10" [bool],
        /// A wish to hear who comes and goes.
        join_leave: bool = "11" [bool],
        /// A wish for differences instead of whole publications; not granted.
        delta: String = "12" [string],
        /// A filter by tags; not granted. In Protobuf the bytes of a message.
        tf: Bytes = "13" [bytes = "bytes"] with "raw_json",
        /// Bits; [`crate::code::REJECT_UNRECOVERED`] is the one that counts.
        flag: i64 = "14" [int64],
        /// Another kind of subscription than to a stream; not granted.
        r#type: i32 = "15" [int32],
    }

    /// The client listens.
    SubscribeResult {
        /// Whether the client has to bring a new token.
        expires: bool = "1" [bool],
        /// In how many seconds.
        ttl: u32 = "2" [uint32],
        /// Whether what is missed can be read again.
        recoverable: bool = "3" [bool],
        /// The history's epoch.
        epoch: String = "6" [string],
        /// What was missed.
        publications: Vec<Publication> = "7" [message, repeated],
        /// Whether nothing else was.
        recovered: bool = "8" [bool],
        /// Where the subscription begins.
        offset: u64 = "9" [uint64],
        /// Whether gaps are noticed.
        positioned: bool = "10" [bool],
        /// Data for this subscription, JSON.
        data: Bytes = "11" [bytes = "bytes"] with "raw_json",
        /// Whether it was asked to recover.
        was_recovering: bool = "12" [bool],
        /// Whether differences are sent.
        delta: bool = "13" [bool],
    }

    /// Brings a new subscription token.
    SubRefreshRequest {
        /// The channel.
        channel: String = "1" [string],
        /// The token.
        token: String = "2" [string],
        /// Another kind of subscription than to a stream; there is none.
        r#type: i32 = "3" [int32],
    }

    /// The new token holds.
    SubRefreshResult {
        /// Whether it runs out as well.
        expires: bool = "1" [bool],
        /// In how many seconds.
        ttl: u32 = "2" [uint32],
    }

    /// Asks to listen no more.
    UnsubscribeRequest {
        /// The channel.
        channel: String = "1" [string],
    }

    /// The client listens no more.
    UnsubscribeResult {
    }

    /// Says something.
    PublishRequest {
        /// Where.
        channel: String = "1" [string],
        /// What, in JSON.
        data: Bytes = "2" [bytes = "bytes"] with "raw_json",
        /// Another kind of channel than a stream; not granted.
        r#type: i32 = "3" [int32],
    }

    /// It was said.
    PublishResult {
    }

    /// Asks who is there.
    PresenceRequest {
        /// Where.
        channel: String = "1" [string],
    }

    /// Who is there.
    PresenceResult {
        /// By connection.
        presence: BTreeMap<String, ClientInfo> = "1" [btree_map = "string, message"],
    }

    /// Asks how many are there.
    PresenceStatsRequest {
        /// Where.
        channel: String = "1" [string],
    }

    /// How many are there.
    PresenceStatsResult {
        /// Connections.
        num_clients: u32 = "1" [uint32],
        /// Users.
        num_users: u32 = "2" [uint32],
    }

    /// A place in a channel's history.
    StreamPosition {
        /// The offset.
        offset: u64 = "1" [uint64],
        /// The epoch in which it counts.
        epoch: String = "2" [string],
    }

    /// Asks for what was published.
    HistoryRequest {
        /// Where.
        channel: String = "1" [string],
        /// At most so many; 0 for the position alone, -1 for all.
        limit: i32 = "7" [int32],
        /// Only what lies behind this, or with `reverse` before it.
        since: Option<StreamPosition> = "8" [message, optional],
        /// Whether the newest comes first.
        reverse: bool = "9" [bool],
    }

    /// What was published.
    HistoryResult {
        /// The publications.
        publications: Vec<Publication> = "1" [message, repeated],
        /// The history's epoch.
        epoch: String = "2" [string],
        /// Its newest offset.
        offset: u64 = "3" [uint64],
    }

    /// Of an earlier version.
    PingRequest {
    }

    /// Calls a method.
    RpcRequest {
        /// Its argument, JSON.
        data: Bytes = "1" [bytes = "bytes"] with "raw_json",
        /// Its name.
        method: String = "2" [string],
    }

    /// What a method gave.
    RpcResult {
        /// Its result, JSON.
        data: Bytes = "1" [bytes = "bytes"] with "raw_json",
    }

    /// Tells the server something.
    SendRequest {
        /// What, in JSON.
        data: Bytes = "1" [bytes = "bytes"] with "raw_json",
    }

    /// A command on its way to a connection that has no upstream of its own.
    EmulationRequest {
        /// The node that has the connection.
        node: String = "1" [string],
        /// The connection's secret.
        session: String = "2" [string],
        /// The frame: in JSON a string that holds it.
        data: Bytes = "3" [bytes = "bytes"] with "raw_json::string",
    }
}
