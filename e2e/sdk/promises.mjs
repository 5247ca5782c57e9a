// What every SDK is promised, one list for all: each promise is held for each SDK, transport and protocol.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { PATIENCE, Server } from '../lib/server.mjs';
import { upTo } from './client.mjs';
import { ENVIRONMENT, tell } from './story.mjs';
import { claimsOf, SECRETS, shortLived, signedAnew } from './tokens.mjs';

// How long a token lives that is to run out while somebody looks on.
const SHORT_LIFE_SECONDS = 3;
// What is posted at a time to somebody who does not read, and how often at most until the server must have had enough:
// far more than its queue and the kernel's buffers on the way hold.
const FLOOD = { rounds: 30, messages: 20, content: 'x'.repeat(32_000) };

const PROMISES = [
  ['a token connects, with the channels that it names', connecting],
  ['a forged token is refused for good', forging],
  ['tokens are refreshed before they end, and nothing is interrupted', refreshing],
  ['a token subscribes to its room, and to no other', subscribing],
  ['what is published is a message of the room', publishing],
  ['history is the log of the room', history],
  ['presence tells who is here', presence],
  ['joining and leaving are told', joining],
  ['the status of others is seen as it changes, and nobody sees the invisible', status],
  ['what was missed while the line was cut is recovered, without a gap or a duplicate', recovering],
  ['who does not read is thrown out, and comes back to everything that was missed', lagging],
  ['a restart of the server loses and repeats nothing', restarting, { ownServer: true }],
];

/** Holds every promise for an SDK; `missing` says why it cannot be tried here. */
export function promises(sdk) {
  if (sdk.missing && process.env.CI === 'true') throw new Error(sdk.missing);
  describe(sdk.name, { skip: sdk.missing ?? false, concurrency: 4, timeout: 20 * PATIENCE }, () => {
    let server;
    before(async () => {
      server = await Server.start(ENVIRONMENT);
    });
    after(() => server.stop());
    for (const variant of sdk.variants) {
      for (const [promise, body, { ownServer = false } = {}] of PROMISES) {
        test(`${promise}: ${variant.transport}, ${variant.protocol}`, { timeout: 4 * PATIENCE }, () =>
          tell(sdk, variant, ownServer ? undefined : server, body));
      }
    }
  });
}

async function connecting(story) {
  const { connection } = await story.call('GET', '/realtime/config');
  assert.equal(connection.url, `${story.server.url.replace('http', 'ws')}/connection/websocket`);
  const ann = await story.person('Ann');
  const { client } = await ann.connects();
  assert.match(client, /^[0-9a-f-]{36}$/);
  const { channels } = claimsOf(await story.token('Ann'));
  assert.equal(channels.length, 3);
  for (const channel of channels) await ann.hears('subscribed', { server: true, channel });

  const lobby = channels.find((channel) => channel.startsWith('org:'));
  const room = await story.makesRoom('another');
  await ann.until(
    () => ann.heard.some((event) => event.type === 'publication' && event.channel === lobby && JSON.stringify(event.data).includes(room.id)),
    `room ${room.id} in the lobby`,
  );
  assert.equal(ann.count('connected'), 1);
}

async function forging(story) {
  const mallory = await story.person('Mallory', async () => signedAnew(await story.token('Mallory'), {}, 'not the secret of the server at all'));
  await mallory.does('connect');
  await mallory.hears('disconnected', { code: 3500 });
  assert.equal(mallory.count('connected'), 0);
}

async function refreshing(story) {
  const { MEET_AI_REALTIME__TOKEN_SECRET, MEET_AI_REALTIME__SUBSCRIPTION_SECRET } = SECRETS;
  const ann = await story.person('Ann', async (channel) => {
    const token = await story.token('Ann', channel);
    // That a third one is asked for shows that the server took the second, and said when it ends.
    if (ann.count('token', { channel }) >= 3) return token;
    return shortLived(token, channel ? MEET_AI_REALTIME__SUBSCRIPTION_SECRET : MEET_AI_REALTIME__TOKEN_SECRET, SHORT_LIFE_SECONDS);
  });
  await ann.connects();
  await ann.subscribes(story.channel);
  for (const channel of ['', story.channel]) await ann.until(() => ann.count('token', { channel }) >= 3, `two refreshes for "${channel}"`);
  await ann.does('publish', { channel: story.channel, data: { content: 'still here' } });
  await ann.hasAllOf(story.channel, 1);
  assert.equal(ann.count('connected'), 1, ann.story());
  assert.equal(ann.count('subscribed', { channel: story.channel }), 1, ann.story());
}

async function subscribing(story) {
  const other = await story.makesRoom('other');
  await story.posts(2);
  const ann = await story.personInTheRoom('Ann');
  const { epoch, offset, recoverable, positioned, wasRecovering } = await ann.hears('subscribed', { channel: story.channel });
  assert.deepEqual({ epoch, offset, recoverable, positioned, wasRecovering }, {
    epoch: story.room.epoch,
    offset: 2,
    recoverable: true,
    positioned: true,
    wasRecovering: false,
  });
  await ann.does('subscribe', { channel: `chat:${other.id}`, withToken: false, joinLeave: false });
  await ann.hears('unsubscribed', { channel: `chat:${other.id}`, code: 103 });
  await ann.does('unsubscribe', { channel: story.channel });
  await ann.hears('unsubscribed', { channel: story.channel });
  assert.equal(ann.count('disconnected'), 0);

  const bob = await story.person('Bob', (channel) => story.token('Bob', channel && story.channel));
  await bob.connects();
  await bob.does('subscribe', { channel: `chat:${other.id}`, withToken: true, joinLeave: false });
  await bob.hears('disconnected', { code: 3500 });
}

async function publishing(story) {
  const ann = await story.personInTheRoom('Ann');
  const bob = await story.personInTheRoom('Bob');
  const say = (data) => ann.does('publish', { channel: story.channel, data });
  await say({ content: 'first: ünï \u2028 "quoted"\nnext line', client_id: 'one' });
  await say({ content: 'first: ünï \u2028 "quoted"\nnext line', client_id: 'one' });
  const [first] = await story.messages();
  await say({ content: 'second', reply_to: first.id });
  await bob.hasAllOf(story.channel, 2);
  await ann.hasAllOf(story.channel, 2);
  const messages = await story.messages();
  assert.deepEqual(messages.map(({ sender, sender_type, user, content, reply_to, seq }) => ({ sender, sender_type, user, content, reply_to, seq })), [
    { sender: 'Ann', sender_type: 'agent', user: ann.user, content: 'first: ünï \u2028 "quoted"\nnext line', reply_to: null, seq: 1 },
    { sender: 'Ann', sender_type: 'agent', user: ann.user, content: 'second', reply_to: first.id, seq: 2 },
  ]);
  for (const person of [ann, bob]) {
    const published = person.heard.filter(({ type, server }) => type === 'publication' && !server);
    assert.deepEqual(published.map(({ data }) => data), messages);
  }
  for (const data of [{ content: '' }, { content: 7 }, {}, 'text', { content: 'x', reply_to: 'nothing' }]) {
    await assert.rejects(say(data), (error) => error.code >= 100, JSON.stringify(data));
  }
  assert.equal((await story.messages()).length, 2);
}

async function history(story) {
  await story.posts(5);
  const messages = await story.messages();
  const ann = await story.personInTheRoom('Ann');
  const asks = (options) => ann.does('history', { channel: story.channel, ...options });
  const { epoch } = story.room;
  assert.deepEqual(await asks({ limit: 0 }), { publications: [], offset: 5, epoch });

  const all = await asks({ limit: -1 });
  assert.deepEqual(all.publications.map(({ offset, data }) => ({ offset, data })), messages.map((data) => ({ offset: data.seq, data })));
  const offsets = async (options) => (await asks(options)).publications.map(({ offset }) => offset);
  assert.deepEqual(await offsets({ limit: 2 }), [1, 2]);
  assert.deepEqual(await offsets({ limit: 2, since: { offset: 2, epoch } }), [3, 4]);
  assert.deepEqual(await offsets({ limit: 2, reverse: true }), [5, 4]);
  assert.deepEqual(await offsets({ limit: -1, reverse: true, since: { offset: 3, epoch } }), [2, 1]);
  assert.deepEqual(await offsets({ limit: -1, since: { offset: 5, epoch } }), []);
  await assert.rejects(asks({ limit: 2, since: { offset: 2, epoch: 'another' } }), { code: 112 });
}

async function presence(story) {
  const ann = await story.personInTheRoom('Ann');
  const bob = await story.personInTheRoom('Bob');
  const phone = await story.personInTheRoom('Ann');
  const clients = await Promise.all([ann, bob, phone].map(async (person) => (await person.hears('connected')).client));
  const here = await bob.does('presence', { channel: story.channel });
  const byClient = (one, other) => one.client.localeCompare(other.client);
  assert.deepEqual(
    here.map(({ client, user, connInfo }) => ({ client, user, connInfo })).sort(byClient),
    [
      { client: clients[0], user: ann.user, connInfo: { name: 'Ann', kind: 'agent' } },
      { client: clients[1], user: bob.user, connInfo: { name: 'Bob', kind: 'agent' } },
      { client: clients[2], user: ann.user, connInfo: { name: 'Ann', kind: 'agent' } },
    ].sort(byClient),
  );
  assert.deepEqual(await bob.does('presenceStats', { channel: story.channel }), { numClients: 3, numUsers: 2 });

  const { members } = await story.call('GET', `/api/rooms/${story.room.id}/presence`);
  assert.deepEqual(members.map(({ user, name, kind }) => ({ user, name, kind })).sort((a, b) => a.name.localeCompare(b.name)), [
    { user: ann.user, name: 'Ann', kind: 'agent' },
    { user: bob.user, name: 'Bob', kind: 'agent' },
  ]);
}

async function joining(story) {
  const ann = await story.personInTheRoom('Ann', { joinLeave: true });
  const deaf = await story.personInTheRoom('Deaf');
  const comes = async (name) => {
    const from = ann.heard.length;
    const person = await story.personInTheRoom(name);
    const { info } = await ann.hears('join', { channel: story.channel }, from);
    const { client } = await person.hears('connected');
    assert.deepEqual([info.client, info.user, info.connInfo], [client, person.user, { name, kind: 'agent' }]);
    return { person, client };
  };
  await ann.until(() => ann.heard.some(({ type, info }) => type === 'join' && info.user === deaf.user), 'Deaf joining');
  const leaves = (client) => ann.until(() => ann.heard.some(({ type, info }) => type === 'leave' && info.client === client), `${client} leaving`);

  const bob = await comes('Bob');
  await bob.person.does('unsubscribe', { channel: story.channel });
  await leaves(bob.client);
  const carl = await comes('Carl');
  await carl.person.does('disconnect');
  await leaves(carl.client);
  const dora = await comes('Dora');
  dora.person.line.cut();
  await leaves(dora.client);
  assert.equal(deaf.count('join') + deaf.count('leave'), 0, deaf.story());
}

async function status(story) {
  const ann = await story.person('Ann');
  const bob = await story.person('Bob');
  await bob.connects();
  const channel = `status:${ann.user}`;
  await bob.does('subscribe', { channel, withToken: false, joinLeave: false });
  const { data } = await bob.hears('subscribed', { channel });
  const seen = () => [data, ...bob.heard.filter((event) => event.type === 'publication' && event.channel === channel).map((event) => event.data)];
  const sees = async (...statuses) => {
    await bob.until(() => seen().length >= statuses.length, `${statuses.length} statuses`);
    assert.deepEqual(seen(), statuses.map((status) => ({ user: ann.user, status })));
  };
  const chooses = (status) => story.call('PUT', '/presence/status', { name: 'Ann', body: { status } });
  await sees('offline');
  await ann.connects();
  await sees('offline', 'online');
  await chooses('busy');
  await sees('offline', 'online', 'busy');
  await chooses('invisible');
  await sees('offline', 'online', 'busy', 'offline');
  await chooses('away');
  await sees('offline', 'online', 'busy', 'offline', 'away');
  await ann.does('disconnect');
  await sees('offline', 'online', 'busy', 'offline', 'away', 'offline');
}

async function recovering(story) {
  const ann = await story.personInTheRoom('Ann');
  await story.posts(3);
  await ann.hasAllOf(story.channel, 3);
  let total = 3;
  // More than one reply carries is among them.
  for (const missed of [0, 1, 400]) {
    const from = ann.heard.length;
    ann.line.cut();
    await story.posts(missed);
    ann.line.mend();
    const { wasRecovering, recovered } = await ann.hears('subscribed', { channel: story.channel }, from);
    assert.deepEqual({ wasRecovering, recovered }, { wasRecovering: true, recovered: true });
    await story.posts(1);
    total += missed + 1;
    await ann.hasAllOf(story.channel, total);
  }

  // Cut at any moment, while messages come.
  const posting = story.posts(60);
  for (let cuts = 0; cuts < 3; cuts += 1) {
    const from = ann.heard.length;
    ann.line.cut();
    ann.line.mend();
    await ann.hears('subscribed', { channel: story.channel, recovered: true }, from);
  }
  await posting;
  await story.posts(1);
  await ann.hasAllOf(story.channel, total + 61);
}

async function lagging(story) {
  const bob = await story.personInTheRoom('Bob', { joinLeave: true });
  const ann = await story.personInTheRoom('Ann');
  const { client } = await ann.hears('connected');
  await story.posts(1);
  await ann.hasAllOf(story.channel, 1);
  ann.line.stopReading();
  // Others see somebody leave who is thrown out, and from then on the farewell waits a while to be read.
  const left = () => bob.heard.some(({ type, info }) => type === 'leave' && info.client === client);
  const reads = bob.until(left, 'Ann leaving').then(() => ann.line.readOn());
  let total = 1;
  const flood = async () => {
    for (let round = 0; round < FLOOD.rounds && !left(); round += 1) {
      await story.posts(FLOOD.messages, FLOOD.content);
      total += FLOOD.messages;
      await bob.hears('publication', { channel: story.channel, offset: total });
    }
  };
  await Promise.all([reads, flood()]);
  await ann.hears('connecting', { code: 3008 });
  await ann.hears('subscribed', { channel: story.channel, recovered: true });
  await story.posts(1);
  for (const person of [ann, bob]) await person.hasAllOf(story.channel, total + 1);
  assert.equal(ann.count('connected'), 2, ann.story());
}

async function restarting(story) {
  const ann = await story.personInTheRoom('Ann');
  await story.posts(3);
  await ann.hasAllOf(story.channel, 3);
  const from = ann.heard.length;
  await story.server.kill('SIGTERM');
  await ann.hears('connecting', { code: 3001 }, from);
  await story.server.restart();
  await story.posts(4);
  const { wasRecovering, recovered, epoch } = await ann.hears('subscribed', { channel: story.channel }, from);
  assert.deepEqual({ wasRecovering, recovered, epoch }, { wasRecovering: true, recovered: true, epoch: story.room.epoch });
  await story.posts(1);
  await ann.hasAllOf(story.channel, 8);
  await ann.does('publish', { channel: story.channel, data: { content: 'after' } });
  await ann.hasAllOf(story.channel, 9);
  assert.deepEqual((await story.messages()).map(({ seq }) => seq), upTo(9));
}
