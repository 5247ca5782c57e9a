// Tokens and webhooks of `meet-livekit`, of a server that uses it, and of LiveKit's official SDKs: each believes the
// other, and no stranger.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { serviceDouble } from './lib/double.mjs';
import { PATIENCE, Server, root, target } from './lib/server.mjs';
import { openLivekit } from './sdk/livekit.mjs';
import { openProgram } from './sdk/program.mjs';

const driver = join(target, 'debug/examples/tokens');
const python = join(target, 'sdk-python/bin/python');
const SDKS = [
  { name: 'livekit-server-sdk', open: openLivekit },
  {
    name: 'livekit-api',
    missing: existsSync(python) ? undefined : `there is no ${python}: scripts/install-python-sdk.sh`,
    open: (settings) => openProgram(python, [join(root, 'e2e/sdk/python/livekit_tokens.py')], settings),
  },
];
const NO_DRIVER = existsSync(driver) ? undefined : `there is no ${driver}: cargo build --workspace --examples`;

const now = Math.floor(Date.now() / 1000);
const KEY = { key: 'APIkey', secret: 'a-secret-that-has-thirty-two-bytes', now };
const STRANGER = { ...KEY, secret: 'another-secret-of-thirty-two-bytes' };
const NAMESAKE = { ...KEY, key: 'APIother' };

const ADA = { identity: 'u-1', name: 'Ada ✨', kind: 'agent', metadata: '{"a":1}', attributes: { role: 'scribe' } };
const { identity: sub, ...ABOUT_ADA } = ADA;
// What each role may, beside what it joins; `canPublish` follows from the sources.
const ROLES = {
  speaker: ['microphone'],
  sharer: ['camera', 'microphone', 'screen_share', 'screen_share_audio'],
  spectator: [],
};

const claims = (sources) => ({
  sub,
  nbf: now,
  exp: now + 300,
  ...ABOUT_ADA,
  video: { room: 'r', roomJoin: true, canPublish: sources.length > 0, canPublishSources: sources, canPublishData: false },
});

// What a server sends, in the fields that the SDKs know; the SDKs give their own enums back by name.
const BODY = JSON.stringify({
  event: 'track_published',
  room: { sid: 'RM_1', name: 'r' },
  participant: { sid: 'PA_1', identity: 'u-1', state: 'ACTIVE', kind: 'AGENT' },
  track: { sid: 'TR_1', type: 'VIDEO', source: 'SCREEN_SHARE', name: 'ü' },
  id: 'EV_1',
  createdAt: `${now}`,
});

async function done(outcome) {
  const { done, failed } = await outcome;
  assert.equal(failed, undefined);
  return done;
}

/** That it was refused, and not by a mishap. */
async function refused(outcome, why) {
  const { done, failed } = await outcome;
  assert.equal(done, undefined);
  assert.match(failed.message, why);
}

for (const sdk of SDKS) {
  const missing = sdk.missing ?? NO_DRIVER;
  if (missing && process.env.CI === 'true') throw new Error(missing);
  describe(`${sdk.name} and meet-livekit`, { skip: missing ?? false, timeout: PATIENCE }, () => {
    let ours, theirs, strangers, namesakes;
    before(() => {
      ours = openProgram(driver, [], KEY);
      theirs = sdk.open(KEY);
      strangers = [openProgram(driver, [], STRANGER), openProgram(driver, [], NAMESAKE)];
      namesakes = [sdk.open(STRANGER), sdk.open(NAMESAKE)];
    });
    after(() => Promise.all([ours, theirs, ...strangers, ...namesakes].map((program) => program.close())));

    for (const [role, sources] of Object.entries(ROLES)) {
      test(`the SDK reads our token of a ${role}`, async () => {
        const token = await done(ours.perform('sign', claims(sources)));
        const read = await done(theirs.perform('verify', { token }));
        const { video } = read;
        assert.equal(read.sub ?? read.identity, sub);
        assert.deepEqual([read.name, read.metadata, read.attributes], [ADA.name, ADA.metadata, ADA.attributes]);
        assert.deepEqual([video.room, video.roomJoin, video.canPublish], ['r', true, sources.length > 0]);
        assert.deepEqual([video.canPublishSources, video.canSubscribe, video.canPublishData], [sources, true, false]);
        const never = ['roomAdmin', 'roomCreate', 'roomList', 'roomRecord', 'hidden', 'recorder', 'agent', 'ingressAdmin'];
        for (const grant of never) assert.equal(video[grant], false, grant);
      });
    }

    test('we read a token of the SDK', async () => {
      const token = await done(theirs.perform('sign', { ...ADA, room: 'r', sources: ['microphone', 'camera'] }));
      const { video, ...read } = await done(ours.perform('verify', { token }));
      assert.deepEqual({ ...read, nbf: 0, exp: 0 }, { sub, nbf: 0, exp: 0, ...ABOUT_ADA });
      // Who says nothing of subscribing, publishing and data allows them.
      const given = Object.keys(video).filter((grant) => video[grant] === true).sort();
      const expected = ['canPublish', 'canPublishData', 'canSubscribe', 'canUpdateOwnMetadata', 'roomJoin'];
      assert.deepEqual(given, expected);
      assert.deepEqual([video.room, video.canPublishSources], ['r', ['camera', 'microphone']]);
    });

    test('neither believes the token of another key, one that was changed, or one whose time is not now', async () => {
      const token = await done(ours.perform('sign', claims([])));
      for (const program of namesakes) await refused(program.perform('verify', { token }), /signature|iss/i);
      const theirToken = await done(theirs.perform('sign', { ...ADA, room: 'r', sources: [] }));
      for (const program of strangers) {
        await refused(program.perform('verify', { token: theirToken }), /of another key/);
      }
      const [header, , signature] = token.split('.');
      const changed = `${header}.${theirToken.split('.')[1]}.${signature}`;
      await refused(theirs.perform('verify', { token: changed }), /signature/i);
      await refused(ours.perform('verify', { token: changed }), /of another key/);
      for (const [from, until] of [[now - 900, now - 600], [now + 600, now + 900]]) {
        const token = await done(ours.perform('sign', { ...claims([]), nbf: from, exp: until }));
        await refused(theirs.perform('verify', { token }), /expired|"exp"|"nbf"|not yet valid/i);
        await refused(ours.perform('verify', { token }), /has expired|does not hold yet/);
      }
    });

    test('the SDK receives our webhook, and no other body under its signature', async () => {
      const authorization = await done(ours.perform('signWebhook', { body: BODY }));
      const event = await done(theirs.perform('receiveWebhook', { body: BODY, authorization }));
      assert.deepEqual([event.event, event.id, event.createdAt], ['track_published', 'EV_1', `${now}`]);
      assert.deepEqual([event.room.name, event.participant.identity], ['r', 'u-1']);
      assert.deepEqual([event.track.source, event.track.name], ['SCREEN_SHARE', 'ü']);
      const forged = BODY.replace('u-1', 'u-2');
      await refused(theirs.perform('receiveWebhook', { body: forged, authorization }), /sha256|hash/);
    });

    test('we receive a webhook of the SDK, and no other body under its signature', async () => {
      const sha256 = createHash('sha256').update(BODY).digest('base64');
      const authorization = await done(theirs.perform('signWebhook', { sha256 }));
      const event = await done(ours.perform('receiveWebhook', { body: BODY, authorization }));
      const expected = { id: 'EV_1', createdAt: now, room: 'r', identity: 'u-1', source: 'screen_share' };
      assert.deepEqual(event, expected);
      const receive = (body, authorization) => ours.perform('receiveWebhook', { body, authorization });
      await refused(receive(BODY.replace('u-1', 'u-2'), authorization), /of another body/);
      await refused(receive(BODY, undefined), /not signed/);
      const token = await done(theirs.perform('sign', { ...ADA, room: 'r', sources: [] }));
      await refused(receive(BODY, token), /of another body/);
      const stranger = await done(namesakes[0].perform('signWebhook', { sha256 }));
      await refused(receive(BODY, stranger), /of another key/);
    });
  });

  describe(`${sdk.name} and a server`, { skip: sdk.missing ?? false, timeout: 2 * PATIENCE }, () => {
    let livekit, server, theirs, stranger, owner, room;
    before(async () => {
      // What is asked is done; who is there, it does not say.
      livekit = await serviceDouble(({ path, text }) => path.endsWith('/CreateRoom') && { body: { name: JSON.parse(text).name } });
      server = await Server.start({
        MEET_AI_CONFERENCE__PROVIDER: 'livekit',
        MEET_AI_LIVEKIT__URL: livekit.url,
        MEET_AI_LIVEKIT__API_KEY: KEY.key,
        MEET_AI_LIVEKIT__API_SECRET: KEY.secret,
        MEET_AI_LOG: 'trace',
      });
      [theirs, stranger] = [sdk.open(KEY), sdk.open(STRANGER)];
      owner = await server.newKey();
      room = (await server.call('POST', '/api/rooms', { key: owner, body: { name: 'r' } })).id;
    });
    after(() => Promise.all([server?.stop(), livekit?.stop(), theirs?.close(), stranger?.close()]));

    const guest = async (role, name) => {
      const invite = await server.call('POST', `/api/rooms/${room}/invites`, { key: owner, body: { role } });
      return (await server.call('POST', '/api/session', { body: { invite: invite.token, name } })).token;
    };
    const ask = async (key, headers) => {
      const body = { spaceId: room };
      const { token } = await server.call('POST', '/realtime/conference-token', { key, headers, body });
      const read = await done(theirs.perform('verify', { token }));
      await refused(stranger.perform('verify', { token }), /signature/i);
      return { token, identity: read.sub ?? read.identity, ...read };
    };
    /** Sends an event; the status of the answer. */
    const tell = async (body, authorization) => {
      const headers = { 'content-type': 'application/webhook+json', ...(authorization && { authorization }) };
      const response = await fetch(`${server.url}/internal/conference/events`, { method: 'POST', headers, body });
      return response.status;
    };
    const signed = (by, body) => {
      const sha256 = createHash('sha256').update(body).digest('base64');
      return done(by.perform('signWebhook', { sha256 }));
    };
    const names = async () => {
      const { call } = await server.call('GET', `/api/rooms/${room}`, { key: owner });
      return call.participants.map(({ name, kind }) => `${name}, ${kind}`);
    };

    test('the SDK reads the tokens of a member, an agent and a spectator', async () => {
      const agent = { 'x-meet-name': 'Scribe', 'x-meet-kind': 'agent' };
      const identities = new Set();
      for (const [name, kind, sources, token] of [
        ['Ada ✨', 'standard', ['microphone'], await ask(await guest('member', 'Ada ✨'))],
        ['Scribe', 'agent', ['microphone'], await ask(owner, agent)],
        ['Sue', 'standard', [], await ask(await guest('spectator', 'Sue'))],
      ]) {
        const { video } = token;
        assert.deepEqual([token.name, token.kind], [name, kind]);
        assert.deepEqual([video.room, video.roomJoin, video.canPublish], [room, true, sources.length > 0]);
        assert.deepEqual([video.canPublishSources, video.canSubscribe], [sources, true]);
        assert.equal(video.canPublishData, sources.length > 0);
        const never = ['roomAdmin', 'roomCreate', 'roomList', 'roomRecord', 'hidden', 'recorder', 'agent', 'ingressAdmin'];
        for (const grant of [...never, 'canUpdateOwnMetadata']) assert.equal(video[grant], false, grant);
        identities.add(token.identity);
      }
      assert.equal(identities.size, 3);
    });

    test('the SDK reads what the server asks LiveKit by', async () => {
      await ask(await guest('member', 'Eve'));
      const { headers, text } = livekit.asked.find(({ path }) => path === '/twirp/livekit.RoomService/CreateRoom');
      const token = headers.authorization.replace(/^Bearer /, '');
      const { video } = await done(theirs.perform('verify', { token }));
      assert.deepEqual([video.roomCreate, video.roomJoin, video.roomAdmin], [true, false, false]);
      assert.equal(JSON.parse(text).name, room);
    });

    test('the server takes an event that the SDK signed, once, and no other', async () => {
      const { identity, token } = await ask(await guest('member', 'Bob'));
      const event = (event, state) => ({
        event,
        room: { sid: 'RM_1', name: room },
        participant: { sid: 'PA_1', identity, name: 'Bob', state },
        id: `EV_${event}`,
        createdAt: `${now}`,
      });
      const joined = JSON.stringify(event('participant_joined', 'ACTIVE'));
      const authorization = await signed(theirs, joined);
      for (const [body, header] of [
        [joined, undefined],
        [joined, 'junk'],
        [joined, token],
        [joined, await signed(stranger, joined)],
        [joined.replace('Bob', 'Eve'), authorization],
        [`${joined} `, authorization],
      ]) {
        assert.equal(await tell(body, header), 403, body);
      }
      assert.deepEqual(await names(), []);
      assert.equal(await tell(joined, authorization), 204);
      assert.deepEqual(await names(), ['Bob, human']);
      assert.equal(await tell(joined, authorization), 409);
      const left = JSON.stringify(event('participant_left', 'DISCONNECTED'));
      assert.equal(await tell(left, await signed(theirs, left)), 204);
      assert.deepEqual(await names(), []);
      assert.equal(await tell(joined, await signed(theirs, joined)), 409, 'signed again it is the same');
      assert.deepEqual(await names(), []);
    });

    test('no secret is in the log, whatever is logged', async () => {
      const { token } = await ask(await guest('member', 'Cem'));
      // A look at the clock of the server needs no token.
      const asked = livekit.asked.flatMap(({ headers }) => headers.authorization?.replace(/^Bearer /, '') ?? []);
      assert.notEqual(asked.length, 0);
      assert.match(server.log, /TRACE/);
      for (const secret of [KEY.secret, token, owner, ...asked]) assert.equal(server.log.includes(secret), false);
    });
  });
}
