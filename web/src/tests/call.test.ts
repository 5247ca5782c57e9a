// Being in a call: from the wish to the end, with a client that the test plays, and the demo's client with a
// server that the test plays.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../lib/api';
import { ActiveCall } from '../lib/call/active.svelte';
import { attend } from '../lib/call/attending';
import { NotJoined, type CallClient, type ClientEvent, type Hear, type Source } from '../lib/call/client';
import { DemoClient, eventNames } from '../lib/call/demo';
import { explainDevice } from '../lib/call/devices';
import { makeRoomName, refused, secretChance } from '../lib/call/entry';
import { canListenOnly, isDemo, sourcesOf } from '../lib/call/kind';
import { idle, isIn, step, type CallState, type CallStep } from '../lib/call/state';
import { userOf } from '../lib/token';
import type { CallParticipant } from '../lib/types';

const through = (...events: CallStep[]): CallState => events.reduce(step, idle);
const inside: CallStep[] = [{ type: 'join' }, { type: 'joined' }];

describe('the state of a call', () => {
  it('goes from the wish to being in, and out again', () => {
    expect(through().phase).toBe('idle');
    expect(through({ type: 'join' }).phase).toBe('joining');
    expect(through(...inside).phase).toBe('in');
    expect(through(...inside, { type: 'reconnecting' }).phase).toBe('reconnecting');
    expect(through(...inside, { type: 'reconnecting' }, { type: 'reconnected' }).phase).toBe('in');
    expect(through(...inside, { type: 'leave' })).toMatchObject({ phase: 'out', ending: 'left' });
  });

  it('is out in every way that a call ends, and sends nothing then', () => {
    for (const how of ['removed', 'over', 'failed'] as const) {
      const state = through(...inside, { type: 'sending', source: 'camera', on: true }, { type: 'ended', how, problem: 'why' });
      expect(state).toMatchObject({ phase: 'out', ending: how, problem: 'why', people: null, sending: { camera: 'off' } });
    }
  });

  it('takes nothing any more of a stay that is over', () => {
    const over = through(...inside, { type: 'leave' });
    const late: CallStep[] = [
      { type: 'joined' },
      { type: 'people', people: [] },
      { type: 'reconnecting' },
      { type: 'muted' },
      { type: 'ended', how: 'failed' },
      { type: 'sending', source: 'microphone', on: true },
    ];
    for (const event of late) expect(step(over, event)).toBe(over);
    expect(step(over, { type: 'join' }).phase).toBe('joining');
  });

  it('reconnects only from inside, and only then comes back', () => {
    expect(through({ type: 'join' }, { type: 'reconnecting' }).phase).toBe('joining');
    expect(through(...inside, { type: 'reconnected' }).phase).toBe('in');
  });

  it('says what is wrong with a device until it is asked for again', () => {
    const broken = through(...inside, { type: 'asked', source: 'camera' }, { type: 'device', source: 'camera', problem: 'no camera', on: false });
    expect(broken).toMatchObject({ sending: { camera: 'off' }, trouble: { camera: 'no camera' } });
    expect(step(broken, { type: 'asked', source: 'camera' })).toMatchObject({ sending: { camera: 'starting' }, trouble: {} });
  });

  it('says that a device went away until it is on again', () => {
    const lost = through(...inside, { type: 'sending', source: 'camera', on: true }, { type: 'lost', source: 'camera' });
    expect(lost).toMatchObject({ sending: { camera: 'off' }, trouble: { camera: expect.stringContaining('went away') as string } });
    expect(step(lost, { type: 'sending', source: 'camera', on: false })).toBe(lost);
    expect(step(lost, { type: 'sending', source: 'camera', on: true }).trouble).toEqual({});
  });

  it('remembers that somebody else muted us until we speak again', () => {
    const muted = through(...inside, { type: 'sending', source: 'microphone', on: true }, { type: 'muted' });
    expect(muted).toMatchObject({ silenced: true, sending: { microphone: 'off' } });
    expect(step(muted, { type: 'sending', source: 'microphone', on: true }).silenced).toBe(false);
  });
});

/** A promise that the test settles. */
function gate<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((...ways) => ([resolve, reject] = ways));
  return { promise, resolve, reject };
}

/** A client that does what the test says. */
class FakeClient implements CallClient {
  readonly carries = true;
  joined = gate<void>();
  sent: [Source, boolean][] = [];
  left = 0;
  token = '';
  device: Error | null = null;
  constructor(readonly hear: Hear) {}
  join(token: string) {
    this.token = token;
    return this.joined.promise;
  }
  async send(source: Source, on: boolean) {
    if (this.device) throw this.device;
    this.sent.push([source, on]);
  }
  leave() {
    this.left += 1;
  }
}

describe('the call of the page', () => {
  let clients: FakeClient[];
  let call: ActiveCall;
  const settle = async () => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };

  beforeEach(() => {
    clients = [];
    vi.stubGlobal('isSecureContext', true);
    call = new ActiveCall(async (hear) => {
      const client = new FakeClient(hear);
      clients.push(client);
      return client;
    });
  });
  afterEach(() => vi.unstubAllGlobals());

  async function joins(...sources: Source[]): Promise<FakeClient> {
    void call.join('token', sources);
    await settle();
    const client = clients.at(-1)!;
    client.joined.resolve();
    await settle();
    return client;
  }

  it('joins by the token and sends what was asked for from the beginning', async () => {
    const client = await joins('microphone');
    expect(client.token).toBe('token');
    expect(call.state).toMatchObject({ phase: 'in', sending: { microphone: 'on', camera: 'off' } });
    call.toggle('microphone');
    await settle();
    expect(client.sent).toEqual([['microphone', true], ['microphone', false]]);
    expect(call.state.sending.microphone).toBe('off');
  });

  it('is in the call even when a device is not to be had, and says why', async () => {
    void call.join('token', ['microphone']);
    await settle();
    clients[0]!.device = new DOMException('no', 'NotAllowedError');
    clients[0]!.joined.resolve();
    await settle();
    expect(isIn(call.state)).toBe(true);
    expect(call.state.trouble.microphone).toContain('does not let this page use the microphone');
  });

  it('says in a sentence why it did not get in, and lets the client go', async () => {
    void call.join('token', []);
    await settle();
    clients[0]!.joined.reject(new NotJoined('The server is away.'));
    await settle();
    expect(call.state).toMatchObject({ phase: 'out', ending: 'failed', problem: 'The server is away.' });
    expect(clients[0]!.left).toBe(1);
  });

  it('is in nothing when one leaves before one was in', async () => {
    void call.join('token', ['microphone']);
    await settle();
    call.leave();
    clients[0]!.joined.resolve();
    await settle();
    expect(call.state).toMatchObject({ phase: 'out', ending: 'left' });
    expect([clients[0]!.left, clients[0]!.sent]).toEqual([1, []]);
  });

  it('lets go of a client that is loaded after one left', async () => {
    const late = gate<FakeClient>();
    const slow = new ActiveCall(() => late.promise);
    void slow.join('token', []);
    slow.leave();
    const client = new FakeClient(() => undefined);
    late.resolve(client);
    await settle();
    expect([client.left, client.token, slow.state.phase]).toEqual([1, '', 'out']);
  });

  it('hears nothing of an earlier stay in a later one', async () => {
    const first = await joins();
    const second = await joins();
    expect(first.left).toBe(1);
    first.hear({ type: 'ended', how: 'removed' });
    expect(call.state.phase).toBe('in');
    second.hear({ type: 'ended', how: 'removed' });
    expect(call.state).toMatchObject({ phase: 'out', ending: 'removed' });
    expect(second.left).toBe(1);
  });

  it('does not look silent when it could not be silenced', async () => {
    const client = await joins('microphone');
    client.device = new Error('no');
    call.toggle('microphone');
    await settle();
    expect(call.state.sending.microphone).toBe('on');
    expect(call.state.trouble.microphone).toContain('could not be turned off');
  });

  it('asks for a device once, however often it is clicked', async () => {
    const client = await joins();
    const asked = gate<void>();
    const send = vi.spyOn(client, 'send').mockReturnValue(asked.promise);
    call.toggle('camera');
    call.toggle('camera');
    asked.resolve();
    await settle();
    expect(send).toHaveBeenCalledTimes(1);
    expect(call.state.sending.camera).toBe('on');
  });
});

/** What the server of the demo streams, one piece after the other. */
function stream(): { response: Response; says: (text: string) => void; cuts: () => void; ends: () => void } {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  return {
    response: new Response(body),
    says: (text) => controller.enqueue(new TextEncoder().encode(text)),
    cuts: () => controller.error(new TypeError('network')),
    ends: () => controller.close(),
  };
}

describe('the client of the demo', () => {
  let heard: ClientEvent[];
  let asked: RequestInit[];
  let answers: (() => Response)[];
  const settled = () => vi.advanceTimersByTimeAsync(50);

  beforeEach(() => {
    vi.useFakeTimers();
    heard = [];
    asked = [];
    answers = [];
    vi.stubGlobal('fetch', async (path: string, options: RequestInit) => {
      expect(path).toBe('/api/demo-call');
      asked.push(options);
      return answers.shift()!();
    });
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  async function attends() {
    const line = stream();
    answers.push(() => line.response);
    const client = new DemoClient((event) => heard.push(event));
    const joining = client.join('a token');
    line.says('event: joined\ndata: {}\n\n');
    await joining;
    return { client, line };
  }

  it('is in as soon as the stream says so, and hears what is done to it', async () => {
    const { line } = await attends();
    expect(new Headers(asked[0]!.headers).get('Authorization')).toBe('Bearer a token');
    line.says(': a comment\n\nevent: mu');
    line.says('ted\ndata: {}\n\nevent: removed\ndata: {}\n\n');
    await settled();
    expect(heard).toEqual([{ type: 'muted' }, { type: 'ended', how: 'removed' }]);
  });

  it('comes back by the same token when the line is cut', async () => {
    const { line } = await attends();
    const next = stream();
    answers.push(() => new Response(null, { status: 503 }), () => next.response);
    line.cuts();
    await settled();
    expect(heard).toEqual([{ type: 'reconnecting' }]);
    await vi.advanceTimersByTimeAsync(5_000);
    next.says('event: joined\n\n');
    await settled();
    expect(heard).toEqual([{ type: 'reconnecting' }, { type: 'reconnected' }]);
  });

  it('gives up when the token opens nothing any more', async () => {
    const { line } = await attends();
    answers.push(() => new Response(null, { status: 401 }));
    line.ends();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(heard.at(-1)).toMatchObject({ type: 'ended', how: 'failed' });
  });

  it('does not come back once it has left', async () => {
    const { client, line } = await attends();
    client.leave();
    line.cuts();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([heard, asked.length, asked[0]!.signal!.aborted]).toEqual([[], 1, true]);
  });

  it('does not get in by a token that is void', async () => {
    answers.push(() => new Response(null, { status: 401 }));
    await expect(new DemoClient(() => undefined).join('old')).rejects.toThrow(NotJoined);
  });

  it('reads names of events however the stream is cut up', async () => {
    const text = ': hi\r\nevent: joined\r\ndata: {}\r\n\r\nevent: removed\n\n';
    for (let size = 1; size < text.length; size += 3) {
      const line = stream();
      for (let at = 0; at < text.length; at += size) line.says(text.slice(at, at + size));
      line.ends();
      const names: string[] = [];
      for await (const name of eventNames(line.response.body!)) names.push(name);
      expect(names).toEqual(['joined', 'removed']);
    }
  });
});

describe('who is in the call of a room', () => {
  const ann: CallParticipant = { user: 'user-ann', name: 'Ann', kind: 'human', since: '2026-02-07T12:00:00.000Z' };
  const bob = { type: 'call', user: 'user-bob', name: 'Bob', kind: 'human' } as const;

  it('follows who comes and goes', () => {
    const both = attend([ann], { ...bob, event: 'join' }, 'now').participants;
    expect(both.map((one) => one.name)).toEqual(['Ann', 'Bob']);
    expect(attend(both, { ...bob, event: 'join' }, 'later').participants).toBe(both);
    expect(attend(both, { ...bob, event: 'leave' }, 'later')).toEqual({ participants: [ann], doubtful: false });
  });

  it('asks about somebody whom only the provider knows', () => {
    expect(attend([ann], { type: 'call', event: 'leave', user: null, name: 'Bob', kind: 'human' }, 'now')).toEqual({ participants: [ann], doubtful: true });
  });
});

describe('the way into a call', () => {
  it('proposes names that are friendly and hard to guess', () => {
    expect(makeRoomName(() => 0)).toBe('amber-badger-1000');
    expect(makeRoomName(() => 1)).toBe('wise-wren-9999');
    const some = new Set(Array.from({ length: 50 }, () => makeRoomName(secretChance)));
    expect(some.size).toBeGreaterThan(45);
    for (const name of some) expect(name).toMatch(/^[a-z]+-[a-z]+-\d{4}$/);
  });

  it('tells refusals apart by what can be done about them', () => {
    const of = (status: number, message: string, after: number | null = null) => refused(new ApiError(status, 'a_code', message, after), 1_000);
    expect(of(410, 'room expired')).toEqual({ why: 'ended', text: 'Room expired.', retryAt: null });
    expect(of(429, 'Too many requests', 12)).toEqual({ why: 'other', text: 'Too many requests.', retryAt: 13_000 });
    expect(of(429, 'this call is full')).toEqual({ why: 'other', text: 'This call is full.', retryAt: null });
    expect(of(403, 'Turnstile verification failed').why).toBe('bot');
    expect(of(403, 'Forbidden').why).toBe('other');
    expect(of(502, 'the provider failed').text).toBe('The provider failed.');
    expect(of(503, 'no calls', 2)).toEqual({ why: 'other', text: 'No calls.', retryAt: 3_000 });
    expect(refused(new Error('?'), 0).text).toBe('Something went wrong.');
  });

  it('learns from a token who one is in the room', () => {
    const token = (payload: object) => `header.${btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(payload))))}.signature`;
    expect(userOf(token({ sub: 'user-1', info: { name: 'Zoë', kind: 'human' } }))).toEqual({ id: 'user-1', name: 'Zoë', kind: 'human' });
    for (const nobody of ['', 'junk', token({ sub: '', info: { name: 'A' } }), token({ sub: 'user-1' })]) expect(userOf(nobody)).toBeNull();
  });

  it('offers to send what the room and the role allow', () => {
    expect(sourcesOf('audio', true)).toEqual(['microphone']);
    expect(sourcesOf('screenshare', true)).toEqual(['microphone', 'camera', 'screen']);
    expect(sourcesOf('screenshare', false)).toEqual([]);
  });

  it('knows the demo by its address, whatever name this server goes by', () => {
    expect(isDemo({ kind: 'meeting', url: 'http://127.0.0.1:3000/api/demo-call' })).toBe(true);
    expect(isDemo({ kind: 'meeting', url: 'https://meetings.example.org' })).toBe(false);
    expect(isDemo({ kind: 'meeting', url: 'https://[' })).toBe(false);
    expect(canListenOnly({ kind: 'rtc', url: 'wss://sfu.example.org' })).toBe(true);
    expect(canListenOnly({ kind: 'meeting', url: 'https://meetings.example.org' })).toBe(false);
  });

  it('explains every way in which a device does not start', () => {
    const says = (name: string, source: Source = 'microphone') => explainDevice(source, new DOMException('no', name), true);
    expect(says('NotAllowedError')).toContain('Allow it');
    expect(says('NotAllowedError', 'screen')).toContain('Nothing is shared');
    expect(says('NotFoundError')).toContain('No microphone was found');
    expect(says('NotReadableError', 'camera')).toContain('Another program');
    expect(says('Whatever')).toContain('could not be started');
    expect(explainDevice('camera', new TypeError('no mediaDevices'), false)).toContain('https');
  });
});
