// An open room against a small server made for the test: history, catch-up, gaps, another epoch, people, and
// sending through a connection that breaks.

import * as sdk from 'centrifuge';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Live } from '../lib/live';
import { OpenRoom } from '../lib/room.svelte';
import { visiblePending } from '../lib/timeline';
import type { User } from '../lib/types';
import { FakeServer } from './gateway';
import { ME, message, messages, room } from './make';

const me: User = { id: ME, name: 'Me', kind: 'human' };

let server: FakeServer;
let live: Live;
let open: OpenRoom;

const seqs = () => open.timeline.messages.map((one) => one.seq);
const upTo = (last: number, first = 1) => messages(first, last).map((one) => one.seq);
const settled = (milliseconds = 50) => vi.advanceTimersByTimeAsync(milliseconds);

function make(known?: Parameters<typeof room>[0]) {
  open = new OpenRoom('room-1', me, known && room(known), live);
}

async function enter(count: number) {
  server.stored = messages(1, count);
  make();
  live.start();
  await open.open();
  await settled();
}

/** The connection breaks, and something happens until the next one. */
async function breaks(meanwhile: () => void) {
  server.socket.ends(1006);
  meanwhile();
  await settled(1500);
}

/** Requests with this in their address are refused: at once, or when the answer is called. */
function refusing(part: string, when: 'now' | 'later' = 'now'): () => void {
  let release: () => void = () => undefined;
  const gate = when === 'now' ? Promise.resolve() : new Promise<void>((resolve) => (release = resolve));
  const answer = globalThis.fetch as unknown as (request: Request) => Promise<Response>;
  vi.stubGlobal('fetch', async (request: Request) => {
    if (!request.url.includes(part)) return answer(request);
    await gate;
    return Response.json({ error: 'no', code: 'no' }, { status: 503 });
  });
  return release;
}

beforeEach(() => {
  vi.useFakeTimers();
  sessionStorage.clear();
  server = new FakeServer();
  live = new Live(async () => sdk);
  vi.stubGlobal('fetch', server.fetch);
  vi.stubGlobal('WebSocket', server.WebSocket);
});

afterEach(() => {
  open.close();
  live.stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('an open room', () => {
  it('shows the newest hundred, then older ones, then what comes', async () => {
    await enter(250);
    expect(seqs()).toEqual(upTo(250, 151));
    expect(server.subscriptions).toMatchObject([{ recover: true, offset: 250, epoch: 'epoch-1' }]);
    await open.loadOlder();
    await open.loadOlder();
    await open.loadOlder();
    expect(seqs()).toEqual(upTo(250));
    expect(open.timeline.reachedStart).toBe(true);
    server.publish(message(251));
    await settled();
    expect(seqs().at(-1)).toBe(251);
  });

  it('leaves a room to the page of calls in which the session is a guest', async () => {
    server.stored = messages(1, 5);
    [server.user, server.guest] = [ME, 'user-guest'];
    make();
    live.start(ME);
    await open.open();
    await settled();
    expect(open.status).toBe('guest');
    await settled(60_000);
    expect(open.status).toBe('guest');
  });

  it('knows who is in its call, by asking and by what it is told', async () => {
    const ann = { user: 'user-anna', name: 'Anna', kind: 'human', since: '2026-02-07T12:00:00.000Z' } as const;
    server.inCall = [ann];
    await enter(1);
    await open.loadCall();
    expect(open.inCall).toEqual([ann]);
    const bob = { type: 'call', user: 'user-bob', name: 'Bob', kind: 'human' };
    const tell = (data: object) => server.push({ channel: 'chat:room-1', pub: { data } });
    tell({ ...bob, event: 'join' });
    await settled();
    expect(open.inCall.map((one) => one.name)).toEqual(['Anna', 'Bob']);
    tell({ ...bob, event: 'leave' });
    tell({ type: 'call', event: 'leave', user: ann.user, name: ann.name, kind: ann.kind });
    await settled();
    expect(open.inCall).toEqual([]);
    // Somebody without a user is found out about by asking.
    server.inCall = [{ ...ann, user: null }];
    const asked = () => server.requests.filter((one) => one.endsWith('/api/rooms/room-1')).length;
    const before = asked();
    for (const name of ['Bob', 'Bo', 'B']) tell({ ...bob, name, user: null, event: 'join' });
    await settled(200);
    expect(asked()).toBe(before + 1);
    expect(open.inCall).toEqual(server.inCall);
    expect(seqs()).toEqual([1]);
  });

  it('has what was said between its history and the connection', async () => {
    server.stored = messages(1, 5);
    make();
    await open.open();
    expect([open.status, open.live]).toEqual(['ready', false]);
    server.publish(...messages(6, 8));
    live.start();
    await settled();
    expect(seqs()).toEqual(upTo(8));
    expect(open.live).toBe(true);
  });

  it('is whole again after a break, with nothing twice and nothing loaded', async () => {
    await enter(5);
    await breaks(() => {
      expect(open.live).toBe(false);
      server.stored.push(...messages(6, 40));
    });
    server.tell(message(40));
    await settled();
    expect(seqs()).toEqual(upTo(40));
    expect(server.requests.filter((request) => request.includes('_seq='))).toHaveLength(1);
  });

  it('loads what was missed when the connection does not bring it', async () => {
    await enter(5);
    server.recovers = false;
    await breaks(() => server.stored.push(...messages(6, 2500)));
    expect(seqs()).toEqual(upTo(2500));
    expect(server.requests.filter((request) => request.includes('after_seq=')).map((url) => new URL(url.slice(4)).search)).toEqual([
      '?after_seq=5&limit=1000&epoch=epoch-1',
      '?after_seq=1005&limit=1000&epoch=epoch-1',
      '?after_seq=2005&limit=1000&epoch=epoch-1',
    ]);
  });

  it('shows the newest messages when more was missed than anybody reads', async () => {
    await enter(5);
    await breaks(() => server.stored.push(...messages(6, 20_000)));
    expect(seqs()).toEqual(upTo(20_000, 19_901));
    expect(open.timeline.reachedStart).toBe(false);
  });

  it('fetches what is missing when a message comes from beyond a gap, until it has it', async () => {
    await enter(5);
    server.stored.push(...messages(6, 9));
    const answer = server.fetch;
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed to fetch')));
    server.tell(message(9));
    await settled();
    expect(seqs()).toEqual(upTo(5));
    vi.stubGlobal('fetch', answer);
    await settled(5000);
    expect(seqs()).toEqual(upTo(9));
  });

  it('starts over when the room is of another epoch, and goes on from there', async () => {
    await enter(300);
    await breaks(() => {
      server.epoch = 'epoch-2';
      server.stored = messages(1, 20);
    });
    server.publish(message(21));
    await settled();
    expect(seqs()).toEqual(upTo(21));
    expect(open.timeline.held).toEqual([]);
    await breaks(() => undefined);
    expect(server.subscriptions.at(-1)).toMatchObject({ offset: 21, epoch: 'epoch-2' });
  });

  it('is loaded anew until it can be, also when an older request fails after that', async () => {
    await enter(5);
    const refuse = refusing('after_seq=', 'later');
    server.stored.push(...messages(6, 9));
    server.tell(message(9));
    await settled();
    refusing('before_seq=');
    await breaks(() => (server.epoch = 'epoch-2'));
    refuse();
    await settled();
    expect(open.timeline.loaded).toBe(false);
    vi.stubGlobal('fetch', server.fetch);
    await settled(10_000);
    expect(seqs()).toEqual(upTo(9));
  });

  it('is loaded anew as soon as the connection is back, when it could not be before', async () => {
    await enter(5);
    refusing('before_seq=');
    await breaks(() => (server.epoch = 'epoch-2'));
    await settled(120_000);
    expect(open.timeline.loaded).toBe(false);
    vi.stubGlobal('fetch', server.fetch);
    await breaks(() => undefined);
    expect(seqs()).toEqual(upTo(5));
  });

  it('says each message once when everything goes well', async () => {
    await enter(2);
    open.say('hello', null);
    expect(visiblePending(open.timeline)).toHaveLength(1);
    await settled();
    expect(visiblePending(open.timeline)).toHaveLength(0);
    expect(seqs()).toEqual(upTo(3));
    expect(server.stored).toHaveLength(3);
  });

  it('says each message once when the confirmation is lost with the connection', async () => {
    await enter(2);
    open.say('one', null);
    await settled();
    server.mute = true;
    open.say('two', null);
    await breaks(() => (server.mute = false));
    await settled(2000);
    expect(server.stored.map((one) => one.content)).toEqual(['text 1', 'text 2', 'one', 'two']);
    expect(open.timeline.pending).toHaveLength(0);
    expect(seqs()).toEqual(upTo(4));
  });

  it('keeps what is said while the server is away, and sends it in order when it is back', async () => {
    await enter(2);
    server.away = true;
    server.socket.ends(1006);
    open.say('one', null);
    open.say('two', null);
    await settled(5000);
    expect(visiblePending(open.timeline).map((pending) => pending.state)).toEqual(['sending', 'sending']);
    server.away = false;
    await settled(25_000);
    expect(server.stored.map((one) => one.content)).toEqual(['text 1', 'text 2', 'one', 'two']);
    expect(open.timeline.pending).toHaveLength(0);
  });

  it('shows what is said, and what was said before it, while only requests get through', async () => {
    server.stored = messages(1, 2);
    make();
    await open.open();
    server.stored.push(message(3));
    open.say('one', null);
    await settled();
    expect(seqs()).toEqual(upTo(4));
    expect([open.live, open.timeline.pending.length]).toEqual([false, 0]);
  });

  it('sends an unconfirmed message once more after the page was loaded again, under its old id', async () => {
    await enter(2);
    server.mute = true;
    open.say('one', null);
    await settled();
    open.close();
    server.mute = false;
    make();
    await open.open();
    await settled();
    expect(server.stored.map((one) => one.content)).toEqual(['text 1', 'text 2', 'one']);
    expect(open.timeline.pending).toHaveLength(0);
    expect(seqs()).toEqual(upTo(3));
  });

  it('takes five thousand messages in a few steps', async () => {
    await enter(1);
    let changes = 0;
    open.onarrive = () => (changes += 1);
    server.publish(...messages(2, 5001));
    await settled();
    expect(seqs()).toEqual(upTo(5001));
    expect(changes).toBe(1);
  });

  it('shows each unsent message once however often opening is tried', async () => {
    await enter(2);
    server.mute = true;
    open.say('one', null);
    open.close();
    server.away = true;
    make({ head_seq: 2 });
    await open.open();
    expect(open.status).toBe('failed');
    await open.open();
    expect(visiblePending(open.timeline).map((pending) => pending.content)).toEqual(['one']);
  });

  it('goes on to the beginning by pages of any length', async () => {
    server.most = 7;
    await enter(30);
    for (let page = 0; !open.timeline.reachedStart && page < 30; page++) await open.loadOlder();
    expect(seqs()).toEqual(upTo(30));
  });

  it('of which nothing is shown to this reader ends where it begins', async () => {
    server.fetch = async (request) => {
      const isRoom = /\/rooms\/room-1$/.test(new URL(request.url).pathname);
      return Response.json(isRoom ? room({ head_seq: 9 }) : request.url.includes('presence') ? { members: [], watching: 0 } : []);
    };
    vi.stubGlobal('fetch', server.fetch);
    make();
    await open.open();
    expect([open.timeline.to, open.timeline.reachedStart]).toEqual([9, true]);
  });
});

describe('a place far back', () => {
  const past = () => open.past?.messages.map((one) => one.seq);

  it('is shown with what lies around it, however far back it is', async () => {
    await enter(3000);
    await open.goTo(500);
    expect(past()).toEqual(upTo(525, 426));
    expect(await open.seqOf('message-77')).toBe(77);
    await open.goTo(3);
    expect(past()).toEqual(upTo(28));
    expect(open.reachedStart).toBe(true);
  });

  it('is left for the newest message, where nothing was missed', async () => {
    await enter(3000);
    await open.goTo(500);
    server.publish(message(3001));
    await settled();
    expect(past()).toEqual(upTo(525, 426));
    open.leavePast();
    expect(open.past).toBeNull();
    expect(seqs()).toEqual(upTo(3001, 2901));
  });

  it('grows both ways until it is one with the rest', async () => {
    await enter(400);
    await open.goTo(150);
    await open.loadOlder();
    expect(past()).toEqual(upTo(175));
    await open.loadNewer();
    expect(past()).toEqual(upTo(275));
    await open.loadNewer();
    expect(open.past).toBeNull();
    expect(seqs()).toEqual(upTo(400));
    expect(open.reachedStart).toBe(true);
  });

  it('waits for a page that is under way, and voids none', async () => {
    await enter(1000);
    const older = open.loadOlder();
    await open.goTo(100);
    await older;
    expect(past()).toEqual(upTo(125, 26));
    expect(seqs()).toEqual(upTo(1000, 801));
  });

  it('that touches what is loaded only lengthens it', async () => {
    await enter(300);
    await open.goTo(180);
    expect(open.past).toBeNull();
    expect(seqs()).toEqual(upTo(300, 106));
  });

  it('that cannot be had changes nothing', async () => {
    await enter(1000);
    server.away = true;
    await expect(open.goTo(100)).rejects.toMatchObject({ code: 'offline' });
    expect([open.past, open.loadingOlder]).toEqual([null, false]);
    server.away = false;
    await open.goTo(100);
    expect(past()).toEqual(upTo(125, 26));
  });
});

describe('a room that ends for its reader', () => {
  const end = () => server.push({ channel: 'chat:room-1', unsubscribe: { code: 2000, reason: 'server' } });

  it.each([
    [404, 'gone'],
    [410, 'gone'],
    [401, 'signed_out'],
  ] as const)('says why: %i is %s', async (status, shown) => {
    await enter(2);
    server.status.room = status;
    end();
    await settled();
    expect(open.status).toBe(shown);
    server.requests = [];
    open.say('one', null);
    await settled(120_000);
    expect(server.requests).toEqual([]);
  });

  it('is gone also when that comes out while what was missed is asked for', async () => {
    await enter(2);
    const answer = server.fetch;
    vi.stubGlobal('fetch', async (request: Request) =>
      request.url.includes('after_seq=') ? Response.json({ error: 'no', code: 'no' }, { status: 404 }) : answer(request),
    );
    server.tell(message(4));
    await settled();
    expect(open.status).toBe('gone');
  });

  it('is just gone for a reader who never had a session', async () => {
    server.stored = messages(1, 2);
    open = new OpenRoom('room-1', null, undefined, live);
    live.start();
    await open.open();
    await settled();
    server.status.room = 401;
    end();
    await settled();
    expect(open.status).toBe('gone');
  });

  it('is asked for again when nothing speaks against it', async () => {
    await enter(2);
    end();
    server.stored.push(message(3));
    await settled(5000);
    expect([open.status, open.live]).toEqual(['ready', true]);
    expect(seqs()).toEqual(upTo(3));
  });

  it('is asked for again also when what was missed meanwhile cannot be had', async () => {
    await enter(2);
    end();
    await settled();
    refusing('after_seq=');
    server.stored.push(message(3));
    open.say('one', null);
    await settled(10_000);
    expect(open.live).toBe(true);
  });
});

describe('the people of a room', () => {
  const anna = { user: 'anna', name: 'Anna', kind: 'human' as const, since: '2026-02-07T12:00:00.000Z' };
  const info = { user: 'anna', client: 'c', conn_info: { name: 'Anna', kind: 'human' } };
  const people = () => open.members.map(({ name, status }) => `${name} ${status}`);

  it('come, change and go', async () => {
    await enter(0);
    server.members = [{ ...anna, status: 'busy' }];
    server.push({ channel: 'chat:room-1', join: { info } });
    await settled();
    expect(people()).toEqual(['Anna online']);
    expect(open.names).toContain('Anna');
    await settled(500);
    expect(people()).toEqual(['Anna busy']);

    const { since: _, ...frame } = anna;
    server.push({ channel: 'chat:room-1', pub: { data: { type: 'presence', event: 'status', ...frame, status: 'away' } } });
    await settled();
    expect(people()).toEqual(['Anna away']);

    server.push({ channel: 'chat:room-1', leave: { info } });
    await settled();
    // She may be here by another connection.
    expect(people()).toEqual(['Anna away']);
    server.members = [];
    await settled(500);
    expect(people()).toEqual([]);
  });

  it('are looked at again when somebody moved while the list was under way', async () => {
    await enter(0);
    const answer = server.fetch;
    let release: () => void = () => undefined;
    vi.stubGlobal('fetch', async (request: Request) => {
      const response = await answer(request);
      if (request.url.endsWith('/presence')) await new Promise<void>((resolve) => (release = resolve));
      return response;
    });
    await breaks(() => undefined);
    vi.stubGlobal('fetch', answer);
    server.members = [{ ...anna, status: 'online' }];
    server.push({ channel: 'chat:room-1', join: { info } });
    await settled(10);
    release();
    await settled(500);
    expect(people()).toEqual(['Anna online']);
  });
});
