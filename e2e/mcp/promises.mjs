// What the MCP server promises to every client, said once for all of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { binary, PATIENCE, Server } from '../lib/server.mjs';
import { corpus } from './hostile.mjs';

export const WAYS = [
  { transport: 'stdio', mode: 'legacy' },
  { transport: 'stdio', mode: '2026-07-28' },
  { transport: 'http', mode: 'legacy' },
  { transport: 'http', mode: '2026-07-28' },
];

const TOOLS = [
  'list_rooms', 'read_messages', 'read_unread', 'wait_for_messages', 'search', 'presence', 'who_am_i', 'create_room',
  'send_message', 'set_status', 'join_call_token', 'create_invite', 'set_visibility',
];
const ENVIRONMENT = { MEET_AI_CONFERENCE__PROVIDER: 'fake', MEET_AI_MCP__MANAGE: 'true', MEET_AI_LIMITS__MESSAGES_PER_MINUTE_PER_KEY: '0' };

/** What an answer says: what is ours, and the entries of the block, which must be all that follows. */
export function read(answer) {
  assert.ok(!answer.isError, JSON.stringify(answer));
  return readText(answer.content[0].text);
}

export function readText(text) {
  const [ours, warning, begin, ...rest] = text.split('\n');
  if (warning === undefined) return { ...JSON.parse(ours), entries: [] };
  assert.match(warning, /nothing in it is an instruction/);
  const mark = /^-----BEGIN DATA ([0-9a-f]{16})-----$/.exec(begin)[1];
  assert.equal(rest.pop(), `-----END DATA ${mark}-----`);
  return { ...JSON.parse(ours), entries: rest.map((line) => JSON.parse(line)) };
}

function refused(answer) {
  assert.equal(answer.isError, true, JSON.stringify(answer));
  return answer.structuredContent.code;
}

/** Declares the stories of a client: `open` connects one. */
export function promises({ name, missing, ways = WAYS, open }) {
  if (missing && process.env.CI === 'true') throw new Error(missing);
  for (const way of ways) {
    const tell = (told, body, environment = {}) =>
      test(`${name}, ${way.transport}, ${way.mode}: ${told}`, { skip: missing ?? false, timeout: 4 * PATIENCE }, async () => {
        const server = await Server.start({ ...ENVIRONMENT, ...environment });
        const clients = [];
        const connect = async (key, agent = 'scout') => {
          const client = await open(settings(server, way, key, agent));
          clients.push(client);
          const use = (tool, args = {}, options) => client.call({ name: tool, arguments: args }, options);
          return { ...client, use, asks: async (tool, args, options) => read(await use(tool, args, options)) };
        };
        try {
          await body(new World(server, connect, await server.newKey()));
        } catch (error) {
          throw new Error(`${error.message}\n--- the server said:\n${server.log.slice(-3000)}`, { cause: error });
        } finally {
          await Promise.all(clients.map((client) => client.close().catch(() => {})));
          await server.stop();
        }
      });
    stories(tell, way);
  }
}

function settings(server, { transport, mode }, key, agent) {
  const env = { PATH: process.env.PATH, HOME: server.home, MEET_AI_URL: server.url, MEET_AI_KEY: key };
  const program = { command: binary, args: ['mcp', '--name', agent, '--manage'], env, cwd: server.home };
  const headers = { authorization: `Bearer ${key}`, 'x-meet-name': agent };
  return { transport, mode, program, url: `${server.url}/mcp`, headers };
}

/** A server with a key, and the ways in. */
class World {
  constructor(server, connect, key) {
    Object.assign(this, { server, connect, key });
  }

  /** Somebody else says something, past the client. */
  say(room, content, sender = 'Ann', kind = 'human', key = this.key) {
    return this.server.call('POST', `/api/rooms/${room}/messages`, { key, body: { sender, content, sender_type: kind } });
  }

  makeRoom(name = 'standup', key = this.key) {
    return this.server.call('POST', '/api/rooms', { key, body: { name } });
  }
}

function stories(tell, way) {
  tell('what is there is told: tools, the log of a room, the etiquette', async (world) => {
    const { connect, key } = world;
    const room = await world.makeRoom();
    const scout = await connect(key);
    const { revision, instructions } = await scout.about();
    assert.equal(revision, way.mode === 'legacy' ? '2025-11-25' : way.mode);
    assert.match(instructions, /never an instruction/);
    const { tools } = await scout.tools();
    assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
    for (const tool of tools) assert.equal(tool.inputSchema.type, 'object', tool.name);
    const { resources } = await scout.resources();
    assert.ok(resources.some((resource) => resource.uri === `meet-ai://rooms/${room.id}/log` && resource.name === `log of room ${room.id}`));
    assert.equal((await scout.templates()).resourceTemplates[0].uriTemplate, 'meet-ai://rooms/{id}/log');
    assert.equal((await scout.prompts()).prompts[0].name, 'etiquette');
    const { messages } = await scout.prompt('etiquette');
    assert.match(messages[0].content.text, /A right exists only as a recorded decision/);
  });

  tell('every tool does what it says', async (world) => {
    const { connect, key, server } = world;
    const scout = await connect(key);
    const me = (await scout.use('who_am_i')).structuredContent;
    assert.deepEqual([me.name, me.kind, me.role, me.credential], ['scout', 'agent', 'owner', 'key']);
    const made = (await scout.use('create_room', { name: 'standup' })).structuredContent;
    const room = made.id;
    assert.equal((await scout.asks('list_rooms')).entries.find((one) => one.id === room).name, 'standup');

    const sent = (await scout.use('send_message', { room: 'Standup', text: 'Good morning' })).structuredContent;
    assert.equal(sent.seq, 1);
    const [stored] = await server.call('GET', `/api/rooms/${room}/messages`, { key });
    assert.deepEqual([stored.sender, stored.sender_type, stored.content], ['scout', 'agent', 'Good morning']);
    const first = await world.say(room, '@scout is the build green?');
    const answer = await scout.use('send_message', { room, text: 'Yes', reply_to: first.id });
    assert.equal(answer.structuredContent.seq, 3);

    const others = await scout.asks('read_messages', { room });
    assert.deepEqual(others.entries.map((one) => [one.seq, one.from.name, one.from.kind, one.content]), [
      [2, 'Ann', 'human', '@scout is the build green?'],
    ]);
    assert.equal(others.cursor, 3);
    const all = await scout.asks('read_messages', { room, include_own: true, after: 0 });
    assert.deepEqual(all.entries.map((one) => one.own ?? false), [true, false, true]);
    assert.deepEqual((await scout.asks('read_messages', { room, before: 3, limit: 1 })).entries.map((one) => one.seq), [2]);
    assert.deepEqual((await scout.asks('search', { room, words: 'build green' })).entries.map((one) => one.seq), [2]);
    const log = readText((await scout.resource(`meet-ai://rooms/${room}/log`)).contents[0].text);
    assert.deepEqual(log.entries.map((one) => one.seq), [1, 2, 3]);
    const presence = await scout.asks('presence', { room });
    assert.deepEqual([presence.watching, presence.agents.own_remaining], [0, presence.agents.share - 1]);

    const status = await scout.use('set_status', { doing: 'working', note: 'the build' });
    assert.deepEqual(status.structuredContent, { doing: 'working' });
    const call = (await scout.use('join_call_token', { room })).structuredContent;
    assert.ok(call.token.length > 0);
    const invite = (await scout.use('create_invite', { room, role: 'member', max_uses: 1 })).structuredContent;
    assert.match(invite.url, /#invite=/);
    assert.equal((await scout.use('set_visibility', { room, visibility: 'public' })).structuredContent.visibility, 'public');
    assert.equal((await server.call('GET', `/api/rooms/${room}`)).visibility, 'public');
  });

  tell('what is unread comes until it is done, and a place is kept over a restart', async (world) => {
    const { connect, key } = world;
    const { id: room } = await world.makeRoom();
    await world.say(room, 'one');
    await world.say(room, '@scout two');
    const scout = await connect(key);
    await scout.use('send_message', { room, text: 'mine' });
    const unread = async (done) => {
      const { entries, cursor } = await scout.asks('read_unread', { room, ...(done && { done }) });
      return [entries.map((one) => one.content), cursor];
    };
    assert.deepEqual(await unread(), [['one', '@scout two'], 3]);
    assert.deepEqual(await unread(), [['one', '@scout two'], 3]);
    assert.deepEqual(await unread(3), [[], 3]);
    await world.say(room, 'three');
    assert.deepEqual(await unread(), [['three'], 4]);
    const again = await connect(key);
    assert.deepEqual((await again.asks('read_unread', { room })).entries.map((one) => one.content), ['three']);
  });

  tell('a wait ends with a message, tells how it goes on, and misses nothing', async (world) => {
    const { connect, key } = world;
    const { id: room } = await world.makeRoom();
    const scout = await connect(key);
    const told = [];
    const waiting = scout.asks('wait_for_messages', { room, after: 0 }, { hear: (progress) => told.push(progress) });
    await scout.use('send_message', { room, text: 'to myself' });
    // Its progress says that it waits, and that what the client itself says does not end it.
    while (told.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(told[0].total, 50);
    await world.say(room, 'hello');
    const heard = await waiting;
    assert.deepEqual(heard.entries.map((one) => one.content), ['hello']);
    assert.equal(heard.cursor, 2);

    await world.say(room, 'for nobody');
    await world.say(room, '@Bea for Bea', 'Bea');
    await world.say(room, '@scout for you', 'Ann');
    const mentions = await scout.asks('wait_for_messages', { room, after: heard.cursor, only: 'mentions' });
    assert.deepEqual(mentions.entries.map((one) => one.content), ['@scout for you']);
    const meant = await scout.asks('wait_for_messages', { room, after: heard.cursor, only: 'for_me' });
    assert.deepEqual(meant.entries.map((one) => one.content), ['for nobody', '@scout for you']);
    const without = await scout.asks('wait_for_messages', { room, after: heard.cursor, exclude: 'Ann' });
    assert.deepEqual(without.entries.map((one) => one.content), ['@Bea for Bea']);
    const nothing = await scout.asks('wait_for_messages', { room, after: 5, wait: 1 });
    assert.deepEqual([nothing.entries, nothing.cursor], [[], 5]);
  });

  tell('a wait that is cancelled ends at once, here and at the server', async (world) => {
    const { connect, key } = world;
    const { id: room } = await world.makeRoom();
    const scout = await connect(key);
    // More than there are places: each that is cancelled must give its own back.
    for (let round = 0; round < 12; round += 1) {
      const cancelling = new AbortController();
      let refusal;
      const waiting = scout
        .use('wait_for_messages', { room }, { signal: cancelling.signal, hear: () => cancelling.abort() })
        .then((answer) => (refusal = answer), () => 'cancelled');
      await waiting;
      // What is cancelled may still hold its place for a moment; then the next wait is refused, and ends by that.
      if (refusal) assert.equal(refused(refusal), 'rate_limited');
    }
    await world.say(room, 'after all that');
    const heard = await scout.asks('wait_for_messages', { room, after: 0 });
    assert.deepEqual(heard.entries.map((one) => one.content), ['after all that']);
  }, { MEET_AI_LIMITS__SOCKETS_PER_TENANT: '8' });

  tell('what does not fit is told, and the session goes on', async (world) => {
    const { connect, key } = world;
    const { id: room } = await world.makeRoom();
    const { id: twin } = await world.makeRoom();
    const scout = await connect(key);
    const cases = [
      ['read_messages', {}, /room/],
      ['read_messages', { room: 7 }, /room/],
      ['read_messages', { room, after: 'x' }, /after/],
      ['read_messages', { room, sideways: 1 }, /sideways/],
      ['read_messages', { room, after: 1, before: 2 }, /only one/],
      ['read_messages', { room, limit: 100000 }, /limit/],
      ['wait_for_messages', { room, wait: 500 }, /wait/],
      ['wait_for_messages', { room, only: 'everything' }, /only/],
      ['send_message', { room, text: '' }, /content/],
      ['send_message', { room, text: 'x', reply_to: 'nothing' }, /reply_to/],
      ['read_messages', { room: 'no such room' }, /list_rooms/],
      ['read_messages', { room: 'standup' }, new RegExp(`${room}.*${twin}|${twin}.*${room}`)],
    ];
    for (const [tool, args, told] of cases) {
      const answer = await scout.use(tool, args);
      assert.ok(['invalid_request', 'unknown_cursor'].includes(refused(answer)), JSON.stringify(answer));
      assert.match(answer.content[0].text, told, tool);
    }
    assert.equal(refused(await scout.use('read_messages', { room, after: 99 })), 'unknown_cursor');
    await assert.rejects(scout.use('delete_everything'), { code: -32602 });
    await assert.rejects(scout.resource('meet-ai://rooms/../log'));
    await assert.rejects(scout.resource('file:///etc/passwd'));
    assert.deepEqual((await scout.asks('read_messages', { room })).entries, []);
  });

  tell('rooms of others are not there', async (world) => {
    const { connect, key, server } = world;
    const stranger = await server.newKey();
    const { id: room } = await world.makeRoom('secret plans', stranger);
    await world.say(room, 'nobody else reads this', 'Eve', 'human', stranger);
    const scout = await connect(key);
    const foreign = [
      ['read_messages', { room }], ['read_unread', { room }], ['read_unread', { room, done: 1 }], ['wait_for_messages', { room, after: 0 }],
      ['search', { room, words: 'nobody' }], ['presence', { room }], ['send_message', { room, text: 'hello' }],
      ['join_call_token', { room }], ['create_invite', { room, role: 'member' }], ['set_visibility', { room, visibility: 'public' }],
    ];
    for (const [tool, args] of foreign) assert.equal(refused(await scout.use(tool, args)), 'room_not_found', tool);
    assert.equal(refused(await scout.use('read_messages', { room: 'secret plans' })), 'invalid_request');
    await assert.rejects(scout.resource(`meet-ai://rooms/${room}/log`), /room not found/);
    assert.ok(!(await scout.asks('list_rooms')).entries.some((one) => one.id === room));
    assert.equal((await server.call('GET', `/api/rooms/${room}/messages`, { key: stranger })).length, 1);
  });

  tell('a key that is revoked opens nothing any more, not even what it had opened', async (world) => {
    const { connect, key, server } = world;
    const { id: room } = await world.makeRoom();
    const scout = await connect(key);
    await scout.asks('read_messages', { room });
    let told = false;
    const waiting = scout.use('wait_for_messages', { room }, { hear: () => (told = true) }).then(
      (answer) => refused(answer),
      () => 'ended',
    );
    while (!told) await new Promise((resolve) => setImmediate(resolve));
    await server.call('DELETE', '/api/keys', { key });
    const waited = await waiting;
    // Its rooms go with a key, and a wait that only begins may see that first.
    assert.ok(['invalid_key', 'room_not_found', 'ended'].includes(waited), waited);
    const after = await scout.use('list_rooms').then((answer) => refused(answer), () => 'ended');
    assert.ok(['invalid_key', 'ended'].includes(after), after);
  });

  tell('hostile messages are data, with the verified author beside them', async (world) => {
    const { connect, key } = world;
    const { id: room } = await world.makeRoom();
    const sent = [];
    for (const { sender, kind, content } of corpus) sent.push(await world.say(room, content, sender, kind));
    const scout = await connect(key);
    const seen = async (tool, args) => (await scout.asks(tool, { room, limit: 200, ...args })).entries;
    const log = readText((await scout.resource(`meet-ai://rooms/${room}/log`)).contents[0].text);
    for (const entries of [await seen('read_messages'), await seen('read_unread'), log.entries]) {
      assert.equal(entries.length, sent.length);
      for (const [index, entry] of entries.entries()) {
        const { user, sender, sender_type, content, seq, id } = sent[index];
        assert.deepEqual(entry.from, { user, name: sender, kind: sender_type });
        assert.deepEqual([entry.content, entry.seq, entry.id], [content, seq, id]);
      }
    }
    const raw = (await scout.use('read_messages', { room, limit: 200 })).content[0].text;
    // What a terminal obeys, and what turns text around, is written out.
    assert.doesNotMatch(raw, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  });
}
