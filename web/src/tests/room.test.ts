// An open room against a small server made for the test: history, catch-up, gaps, resync, and sending
// through a connection that breaks.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { OpenRoom } from '../lib/room.svelte';
import { visiblePending } from '../lib/timeline';
import type { Message, ServerFrame, User } from '../lib/types';
import { ME, message, messages, room } from './make';

const me: User = { id: ME, name: 'Me', kind: 'human' };

class FakeServer {
  stored: Message[] = [];
  epoch = 'epoch-1';
  sockets: FakeSocket[] = [];
  /** Frames of clients that the server takes without a word. */
  deaf = false;
  /** Whether it answers requests at all. */
  away = false;
  requests: string[] = [];
  /** The most messages in one page, as when they are long. */
  most = 1000;
  #seen = new Map<string, Message>();

  store(content: string, clientId?: string): Message {
    const before = clientId === undefined ? undefined : this.#seen.get(clientId);
    if (before) return before;
    const one = message(this.stored.length + 1, { user: ME, sender: 'Me', content });
    this.stored.push(one);
    if (clientId !== undefined) this.#seen.set(clientId, one);
    return one;
  }

  get head(): number {
    return this.stored.length;
  }

  fetch = async (request: Request): Promise<Response> => {
    this.requests.push(`${request.method} ${request.url}`);
    if (this.away) throw new TypeError('failed to fetch');
    const { pathname, searchParams: query } = new URL(request.url);
    const limit = Math.min(this.most, Number(query.get('limit')));
    const json = (body: unknown) => new Response(JSON.stringify(body));
    if (pathname.endsWith('/presence')) return json({ members: [], watching: 0 });
    if (request.method === 'POST') {
      const body = (await request.json()) as { content: string };
      return json(this.store(body.content, request.headers.get('Idempotency-Key') ?? undefined));
    }
    if (query.has('before_seq')) {
      const end = Number(query.get('before_seq')) - 1;
      return json(this.stored.slice(Math.max(0, end - limit), end));
    }
    if (query.has('after')) {
      const at = this.stored.findIndex((one) => one.id === query.get('after'));
      return json(this.stored.slice(at + 1).slice(0, limit));
    }
    if (query.has('after_seq')) return json(this.stored.slice(Number(query.get('after_seq'))).slice(0, limit));
    return json(room({ head_seq: this.head, epoch: this.epoch }));
  };

  connect(url: string): FakeSocket {
    const socket = new FakeSocket(this, url);
    this.sockets.push(socket);
    return socket;
  }
}

class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  constructor(
    readonly server: FakeServer,
    readonly url: string,
  ) {}
  says(frame: ServerFrame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  /** What a server does when a connection opens: a hello, then all that came since. */
  opens() {
    this.onopen?.();
    this.says({ type: 'hello', room_id: 'room-1', head_seq: this.server.head, epoch: this.server.epoch });
    const since = Number(new URL(this.url).searchParams.get('since'));
    for (const one of this.server.stored.slice(since)) this.says(one);
  }
  send(data: string) {
    const frame = JSON.parse(data) as { type: string; content: string; client_id: string };
    if (frame.type !== 'message' || this.server.deaf) return;
    const one = this.server.store(frame.content, frame.client_id);
    setTimeout(() => {
      this.says(one);
      this.says({ type: 'ack', client_id: frame.client_id, id: one.id, seq: one.seq });
    });
  }
  close() {}
}

let server: FakeServer;
let open: OpenRoom;

const seqs = () => open.timeline.messages.map((one) => one.seq);
const upTo = (last: number, first = 1) => messages(first, last).map((one) => one.seq);
const settled = (milliseconds = 50) => vi.advanceTimersByTimeAsync(milliseconds);

async function enter(count: number) {
  server.stored = messages(1, count);
  open = new OpenRoom('room-1', me, undefined);
  await open.open();
  server.sockets[0]!.opens();
  await settled();
}

beforeEach(() => {
  vi.useFakeTimers();
  sessionStorage.clear();
  server = new FakeServer();
  vi.stubGlobal('fetch', server.fetch);
  vi.stubGlobal(
    'WebSocket',
    class {
      constructor(url: string) {
        return server.connect(url);
      }
    },
  );
});

afterEach(() => {
  open.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('an open room', () => {
  it('shows the newest hundred, then older ones, then what comes', async () => {
    await enter(250);
    expect(seqs()).toEqual(upTo(250, 151));
    expect(server.sockets[0]!.url).toContain('since=250&epoch=epoch-1');
    await open.loadOlder();
    await open.loadOlder();
    await open.loadOlder();
    expect(seqs()).toEqual(upTo(250));
    expect(open.timeline.reachedStart).toBe(true);
    server.sockets[0]!.says(message(251));
    await settled();
    expect(seqs().at(-1)).toBe(251);
  });

  it('is whole again after a break, with nothing twice', async () => {
    await enter(5);
    server.sockets[0]!.onclose?.({ code: 1001 });
    server.stored.push(...messages(6, 40));
    await settled(1000);
    server.sockets[1]!.opens();
    server.sockets[1]!.says(message(40));
    await settled();
    expect(seqs()).toEqual(upTo(40));
  });

  it('fetches what is missing when a message comes from beyond a gap', async () => {
    await enter(5);
    server.stored.push(...messages(6, 9));
    server.sockets[0]!.says(message(9));
    await settled();
    expect(seqs()).toEqual(upTo(9));
    expect(server.requests.some((request) => request.includes('after_seq=5'))).toBe(true);
  });

  it('starts over when the server says that its place is void', async () => {
    await enter(300);
    server.epoch = 'epoch-2';
    server.stored = messages(1, 20);
    server.sockets[0]!.says(message(302));
    server.sockets[0]!.says({ type: 'resync', head_seq: 20, epoch: 'epoch-2' });
    server.sockets[0]!.says(message(21));
    await settled();
    expect(seqs()).toEqual(upTo(21));
    expect(open.timeline.held).toEqual([]);
    server.sockets[0]!.onclose?.({ code: 1001 });
    await settled(1000);
    expect(server.sockets[1]!.url).toContain('since=21&epoch=epoch-2');
  });

  it('starts over when the hello is of another epoch', async () => {
    await enter(30);
    server.sockets[0]!.onclose?.({ code: 1001 });
    server.epoch = 'epoch-2';
    server.stored = messages(1, 3);
    await settled(1000);
    server.sockets[1]!.opens();
    await settled();
    expect(seqs()).toEqual(upTo(3));
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
    server.deaf = true;
    open.say('two', null);
    // The server did store the second one; only its answer never came.
    server.store('two', open.timeline.pending.find((pending) => pending.content === 'two')!.client_id);
    server.sockets[0]!.onclose?.({ code: 1006 });
    server.deaf = false;
    await settled(1000);
    server.sockets[1]!.opens();
    await settled(20_000);
    expect(server.stored.map((one) => one.content)).toEqual(['text 1', 'text 2', 'one', 'two']);
    expect(open.timeline.pending).toHaveLength(0);
    expect(seqs()).toEqual(upTo(4));
  });

  it('keeps what is said while the server is away, and sends it in order when it is back', async () => {
    await enter(2);
    server.sockets[0]!.onclose?.({ code: 1006 });
    server.away = true;
    open.say('one', null);
    open.say('two', null);
    await settled(5000);
    expect(visiblePending(open.timeline).map((pending) => pending.state)).toEqual(['sending', 'sending']);
    server.away = false;
    await settled(20_000);
    server.sockets.at(-1)!.opens();
    await settled();
    expect(server.stored.map((one) => one.content)).toEqual(['text 1', 'text 2', 'one', 'two']);
    expect(open.timeline.pending).toHaveLength(0);
  });

  it('sends an unconfirmed message once more after the page was loaded again, under its old id', async () => {
    await enter(2);
    server.deaf = true;
    open.say('one', null);
    server.store('one', open.timeline.pending[0]!.client_id);
    open.close();
    server.deaf = false;
    open = new OpenRoom('room-1', me, undefined);
    await open.open();
    server.sockets.at(-1)!.opens();
    await settled();
    expect(server.stored.map((one) => one.content)).toEqual(['text 1', 'text 2', 'one']);
    expect(open.timeline.pending).toHaveLength(0);
    expect(seqs()).toEqual(upTo(3));
  });

  it('takes ten thousand messages of a catch-up in a few steps', async () => {
    await enter(1);
    let changes = 0;
    const arrive = vi.fn(() => (changes += 1));
    open.onarrive = arrive;
    for (const one of messages(2, 10_001)) server.sockets[0]!.says(one);
    await settled();
    expect(seqs()).toEqual(upTo(10_001));
    expect(changes).toBe(1);
  });

  it('shows each unsent message once however often opening is tried', async () => {
    await enter(2);
    server.deaf = true;
    open.say('one', null);
    open.close();
    server.away = true;
    open = new OpenRoom('room-1', me, room({ head_seq: 2 }));
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
    open = new OpenRoom('room-1', me, undefined);
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
    server.sockets[0]!.says(message(3001));
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
