//! Whatever a client can say reads back as what it said, in both forms.

use std::collections::BTreeMap;

use bytes::Bytes;
use meet_centrifuge::{
    Protocol,
    message::{
        Command, ConnectRequest, HistoryRequest, PresenceRequest, PresenceStatsRequest, PublishRequest, RefreshRequest,
        RpcRequest, SendRequest, StreamPosition, SubRefreshRequest, SubscribeRequest, UnsubscribeRequest,
    },
};
use proptest::prelude::*;

fn data() -> impl Strategy<Value = Bytes> {
    let json = prop_oneof![
        Just(String::new()),
        any::<i32>().prop_map(|number| number.to_string()),
        ".*".prop_map(|text| serde_json::to_string(&BTreeMap::from([("text", text)])).unwrap()),
    ];
    json.prop_map(Bytes::from)
}

fn subscribe() -> impl Strategy<Value = SubscribeRequest> {
    let words = (".*", ".*", ".*", any::<bool>(), any::<u64>(), data());
    (words, any::<(bool, bool, bool, i64, i32)>()).prop_map(
        |((channel, token, epoch, recover, offset, data), (positioned, recoverable, join_leave, flag, kind))| {
            SubscribeRequest {
                channel,
                token,
                recover,
                epoch,
                offset,
                data,
                positioned,
                recoverable,
                join_leave,
                flag,
                r#type: kind,
                ..Default::default()
            }
        },
    )
}

fn connect() -> impl Strategy<Value = ConnectRequest> {
    let subs = proptest::collection::btree_map(".*", subscribe(), 0..3);
    let headers = proptest::collection::btree_map(".*", ".*", 0..3);
    (".*", data(), subs, ".*", ".*", headers).prop_map(|(token, data, subs, name, version, headers)| ConnectRequest {
        token,
        data,
        subs,
        name,
        version,
        headers,
    })
}

fn history() -> impl Strategy<Value = HistoryRequest> {
    let since = proptest::option::of((any::<u64>(), ".*").prop_map(|(offset, epoch)| StreamPosition { offset, epoch }));
    (".*", any::<i32>(), since, any::<bool>()).prop_map(|(channel, limit, since, reverse)| HistoryRequest {
        channel,
        limit,
        since,
        reverse,
    })
}

fn command() -> impl Strategy<Value = Command> {
    let empty = Command::default;
    let part = prop_oneof![
        connect().prop_map(move |connect| Command { connect: Some(connect), ..empty() }),
        subscribe().prop_map(move |subscribe| Command { subscribe: Some(subscribe), ..empty() }),
        history().prop_map(move |history| Command { history: Some(history), ..empty() }),
        (".*", data(), any::<i32>()).prop_map(move |(channel, data, kind)| Command {
            publish: Some(PublishRequest { channel, data, r#type: kind }),
            ..empty()
        }),
        (".*", data()).prop_map(move |(method, data)| Command { rpc: Some(RpcRequest { data, method }), ..empty() }),
        (".*", ".*", any::<i32>()).prop_map(move |(channel, token, kind)| Command {
            sub_refresh: Some(SubRefreshRequest { channel, token, r#type: kind }),
            ..empty()
        }),
        data().prop_map(move |data| Command { send: Some(SendRequest { data }), ..empty() }),
        ".*".prop_map(move |channel| Command {
            presence: Some(PresenceRequest { channel: channel.clone() }),
            presence_stats: Some(PresenceStatsRequest { channel: channel.clone() }),
            unsubscribe: Some(UnsubscribeRequest { channel: channel.clone() }),
            refresh: Some(RefreshRequest { token: channel }),
            ..empty()
        }),
    ];
    (any::<u32>(), part).prop_map(|(id, part)| Command { id, ..part })
}

proptest! {
    #[test]
    fn commands_read_back_from_both_forms(all in proptest::collection::vec(command(), 1..5)) {
        let lines: Vec<_> = all.iter().map(|command| serde_json::to_string(command).unwrap()).collect();
        let read: Vec<_> = Protocol::Json.commands(lines.join("\n").into()).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&read, &all);
        let bytes: Vec<u8> = all.iter().flat_map(prost::Message::encode_length_delimited_to_vec).collect();
        let read: Vec<_> = Protocol::Protobuf.commands(bytes.into()).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&read, &all);
    }
}
