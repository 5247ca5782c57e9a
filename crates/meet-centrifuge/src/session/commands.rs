//! What a client may say, in which order, and what comes of the application's answers.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    code::{DisconnectCode, ErrorCode, REJECT_UNRECOVERED},
    message::{
        Command, ConnectRequest, HistoryRequest, HistoryResult, PresenceResult, PresenceStatsResult, PublishRequest,
        PublishResult, RefreshResult, RpcResult, SubRefreshRequest, SubRefreshResult, SubscribeRequest,
        UnsubscribeResult,
    },
    raw_json::is_json,
};

use super::{
    Answer, Ask, Output, Position, Session, Stage, Wishes, clockwork, recovery::Unrecoverable, subscriptions::Side,
};

/// A command whose answer is awaited.
#[derive(Debug)]
pub(super) struct Asked {
    id: u32,
    what: What,
}

/// What has to be known of a command when its answer comes.
#[derive(Debug)]
enum What {
    Connect { since: BTreeMap<String, Position> },
    Subscribe { channel: String, wishes: Wishes },
    Publish,
    Presence,
    PresenceStats,
    History { epoch: String },
    Rpc,
    Send,
    Refresh,
    SubRefresh { channel: String },
}

impl Session {
    /// Takes the answer to the last [`Ask`]; one to nothing is dropped.
    pub fn answer(&mut self, answer: Answer, now: Duration) {
        let Some(asked) = self.asked.take() else { return };
        let Asked { id, what } = *asked;
        match (what, answer) {
            (_, Answer::Ended(code)) => self.disconnect(code),
            (What::Send, Answer::Done | Answer::Refused(_)) => {}
            (what, Answer::Refused(error)) => {
                if matches!(what, What::Connect { .. }) {
                    self.stage = Stage::Refused;
                    self.reading.clear();
                }
                self.refuse(id, error);
            }
            (What::Connect { since }, Answer::Connected(connected)) => self.connected(id, since, connected, now),
            (What::Subscribe { channel, wishes }, Answer::Subscribed(subscribed)) => {
                match self.begin(&channel, Side::Client, subscribed, wishes, now) {
                    Ok(result) => self.reply(id, |reply| reply.subscribe = Some(result)),
                    Err(Unrecoverable) => {
                        self.refuse(id, ErrorCode::UnrecoverablePosition);
                        self.out.push_back(Output::Left(channel));
                    }
                }
            }
            (What::Publish, Answer::Done) => self.reply(id, |reply| reply.publish = Some(PublishResult::default())),
            (What::Presence, Answer::Presence(presence)) => {
                self.reply(id, |reply| reply.presence = Some(PresenceResult { presence }));
            }
            (What::PresenceStats, Answer::PresenceStats { clients, users }) => {
                let result = PresenceStatsResult { num_clients: clients, num_users: users };
                self.reply(id, |reply| reply.presence_stats = Some(result));
            }
            (What::History { epoch }, Answer::History(history)) if epoch.is_empty() || epoch == history.epoch => {
                let super::History { epoch, top, publications } = history;
                self.reply(id, |reply| reply.history = Some(HistoryResult { publications, epoch, offset: top }));
            }
            (What::History { .. }, Answer::History(_)) => self.refuse(id, ErrorCode::UnrecoverablePosition),
            (What::Rpc, Answer::Rpc(data)) => self.reply(id, |reply| reply.rpc = Some(RpcResult { data })),
            (What::Refresh, Answer::Refreshed { ttl }) => self.refreshed(id, ttl, now),
            (What::SubRefresh { channel }, Answer::Refreshed { ttl }) => {
                if let Some(subscription) = self.subscriptions.get_mut(&channel) {
                    subscription.ends = clockwork::ends(&self.settings, ttl, now);
                }
                let result = SubRefreshResult { expires: ttl.is_some(), ttl: ttl.unwrap_or(0) };
                self.reply(id, |reply| reply.sub_refresh = Some(result));
            }
            // Another answer than was asked for is a mistake of the server.
            _ => self.disconnect(DisconnectCode::ServerError),
        }
    }

    fn refreshed(&mut self, id: u32, ttl: Option<u32>, now: Duration) {
        self.ends = clockwork::ends(&self.settings, ttl, now);
        let result = RefreshResult {
            client: self.opening.client.clone(),
            version: self.settings.version.clone(),
            expires: ttl.is_some(),
            ttl: ttl.unwrap_or(0),
        };
        self.reply(id, |reply| reply.refresh = Some(result));
    }

    /// Takes a command: `connect` first, and then anything else.
    pub(super) fn command(&mut self, command: Command) {
        match self.stage {
            Stage::Refused | Stage::Closed => {}
            Stage::Stranger => match (command.id, command.connect) {
                (1.., Some(request)) => self.connect(command.id, request),
                _ => self.disconnect(DisconnectCode::BadRequest),
            },
            Stage::Connected if command.is_pong() => self.pong(),
            Stage::Connected => self.dispatch(command),
        }
    }

    /// Takes the answer to a ping; one to nothing breaks the protocol.
    pub(super) fn pong(&mut self) {
        if !self.life.pong() {
            self.disconnect(DisconnectCode::BadRequest);
        }
    }

    /// Takes the first part that a command has, in the order of the protocol.
    fn dispatch(&mut self, command: Command) {
        let id = command.id;
        if command.connect.is_some() || command.ping.is_some() || (id == 0 && wants_reply(&command)) {
            self.disconnect(DisconnectCode::BadRequest);
        } else if let Some(request) = command.subscribe {
            self.wants_subscription(id, request);
        } else if let Some(request) = command.unsubscribe {
            self.wants_no_subscription(id, &request.channel);
        } else if let Some(request) = command.publish {
            self.wants_publication(id, request);
        } else if let Some(request) = command.presence {
            self.ask(id, What::Presence, Ask::Presence { channel: request.channel });
        } else if let Some(request) = command.presence_stats {
            self.ask(id, What::PresenceStats, Ask::PresenceStats { channel: request.channel });
        } else if let Some(request) = command.history {
            self.wants_history(id, request);
        } else if let Some(request) = command.rpc {
            self.ask(id, What::Rpc, Ask::Rpc { method: request.method, data: request.data });
        } else if let Some(request) = command.send {
            self.ask(id, What::Send, Ask::Send { data: request.data });
        } else if let Some(request) = command.refresh {
            self.ask(id, What::Refresh, Ask::Refresh { token: request.token });
        } else if let Some(request) = command.sub_refresh {
            self.wants_sub_refresh(id, request);
        } else {
            self.disconnect(DisconnectCode::BadRequest);
        }
    }

    fn ask(&mut self, id: u32, what: What, ask: Ask) {
        self.asked = Some(Box::new(Asked { id, what }));
        self.out.push_back(Output::Ask(ask));
    }

    fn connect(&mut self, id: u32, request: ConnectRequest) {
        let wanted = request.subs.into_iter().filter(|(_, sub)| sub.recover);
        let since: BTreeMap<_, _> = wanted.map(|(channel, sub)| (channel, position(sub.offset, sub.epoch))).collect();
        if since.len() > self.settings.max_channels {
            return self.disconnect(DisconnectCode::BadRequest);
        }
        let ask = Ask::Connect { token: request.token, data: request.data, since: since.clone() };
        self.ask(id, What::Connect { since }, ask);
    }

    fn wants_subscription(&mut self, id: u32, request: SubscribeRequest) {
        let refusal = if request.channel.is_empty() {
            return self.disconnect(DisconnectCode::BadRequest);
        } else if self.subscriptions.get(&request.channel).is_some() {
            Some(ErrorCode::AlreadySubscribed)
        } else if request.channel.len() > self.settings.max_channel_bytes || !request.tf.is_empty() {
            Some(ErrorCode::BadRequest)
        } else if self.subscriptions.len() >= self.settings.max_channels {
            Some(ErrorCode::LimitExceeded)
        } else if request.r#type != 0 {
            Some(ErrorCode::PermissionDenied)
        } else {
            None
        };
        if let Some(code) = refusal {
            return self.refuse(id, code);
        }
        let since = request.recover.then(|| position(request.offset, request.epoch));
        let recovery = since.clone().map(|since| (since, request.flag & REJECT_UNRECOVERED != 0));
        let wishes = Wishes { recovery, hears_people: request.join_leave };
        let what = What::Subscribe { channel: request.channel.clone(), wishes };
        let SubscribeRequest { channel, token, data, .. } = request;
        self.ask(id, what, Ask::Subscribe { channel, token, data, since });
    }

    fn wants_no_subscription(&mut self, id: u32, channel: &str) {
        if channel.is_empty() {
            return self.disconnect(DisconnectCode::BadRequest);
        }
        if self.subscriptions.remove(channel).is_some() {
            self.out.push_back(Output::Left(channel.to_owned()));
        }
        self.reply(id, |reply| reply.unsubscribe = Some(UnsubscribeResult::default()));
    }

    fn wants_publication(&mut self, id: u32, request: PublishRequest) {
        let PublishRequest { channel, data, r#type } = request;
        if r#type != 0 {
            return self.refuse(id, ErrorCode::PermissionDenied);
        }
        // What one client says in Protobuf others read in JSON.
        if channel.is_empty() || !is_json(&data) {
            return self.refuse(id, ErrorCode::BadRequest);
        }
        self.ask(id, What::Publish, Ask::Publish { channel, data });
    }

    fn wants_history(&mut self, id: u32, request: HistoryRequest) {
        let HistoryRequest { channel, limit, since, reverse } = request;
        let (since, epoch) = since.map_or((None, String::new()), |since| (Some(since.offset), since.epoch));
        if channel.is_empty() || (reverse && since == Some(0)) {
            return self.refuse(id, ErrorCode::BadRequest);
        }
        // A negative limit is for all of them.
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).min(self.settings.max_history);
        self.ask(id, What::History { epoch }, Ask::History { channel, limit, since, reverse });
    }

    fn wants_sub_refresh(&mut self, id: u32, request: SubRefreshRequest) {
        let SubRefreshRequest { channel, token, r#type } = request;
        if r#type != 0 || self.subscriptions.get(&channel).is_none() {
            return self.refuse(id, ErrorCode::PermissionDenied);
        }
        self.ask(id, What::SubRefresh { channel: channel.clone() }, Ask::SubRefresh { channel, token });
    }
}

/// Whether the part of a command that is taken has a reply; a `send` behind another part is not taken.
fn wants_reply(command: &Command) -> bool {
    let Command { subscribe, unsubscribe, publish, presence, presence_stats, history, rpc, send, .. } = command;
    let listens = subscribe.is_some() || unsubscribe.is_some();
    let asks = presence.is_some() || presence_stats.is_some() || history.is_some() || rpc.is_some();
    listens || publish.is_some() || asks || send.is_none()
}

fn position(offset: u64, epoch: String) -> Position {
    Position { offset, epoch }
}
