// The connection: what it does when it breaks, when it goes silent and when it is refused.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Live, type LiveState, type Probe, type Socket } from '../lib/live';
import type { ServerFrame } from '../lib/types';

class FakeSocket implements Socket {
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  sent: string[] = [];
  closed = false;
  constructor(readonly url: string) {}
  send(data: string) {
    this.sent.push(data);
  }
  close() {
    this.closed = true;
  }
  open() {
    this.onopen?.(new Event('open'));
  }
  says(frame: ServerFrame) {
    this.onmessage?.({ data: JSON.stringify(frame) } as MessageEvent);
  }
  ends(code: number) {
    this.onclose?.({ code } as CloseEvent);
  }
}

const hello: ServerFrame = { type: 'hello', room_id: 'room-1', head_seq: 3, epoch: 'e' };

function setUp(probe: Probe = 'try') {
  const sockets: FakeSocket[] = [];
  const states: LiveState[] = [];
  const frames: ServerFrame[] = [];
  let cursor = 3;
  const live = new Live({
    url: () => `/ws?since=${cursor}`,
    connect: (url) => {
      const socket = new FakeSocket(url);
      sockets.push(socket);
      return socket;
    },
    probe: () => Promise.resolve(probe),
    chance: () => 1,
    onframe: (frame) => frames.push(frame),
    onstate: (state) => states.push(state),
  });
  live.start();
  return { live, sockets, states, frames, last: () => sockets.at(-1)!, at: (seq: number) => (cursor = seq) };
}

function connect(socket: FakeSocket) {
  socket.open();
  socket.says(hello);
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the connection', () => {
  it('is live after the hello, and sends only then', () => {
    const { live, last } = setUp();
    last().open();
    expect(live.send({ content: 'early', client_id: 'c0' })).toBe(false);
    last().says(hello);
    expect(live.state.kind).toBe('live');
    expect(live.send({ content: 'hi', client_id: 'c1' })).toBe(true);
    expect(JSON.parse(last().sent[0]!)).toEqual({ type: 'message', content: 'hi', client_id: 'c1' });
  });

  it.each([1001, 1006, 1013])('comes back after close code %i with the cursor as it is then', async (code) => {
    const { live, sockets, last, at } = setUp();
    connect(last());
    at(9);
    last().ends(code);
    expect(live.state.kind).toBe('waiting');
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(2);
    expect(last().url).toBe('/ws?since=9');
  });

  it('waits longer after each failure, and starts over after a success', async () => {
    const { sockets, last } = setUp();
    for (const wait of [500, 1000, 2000, 4000]) {
      const before = sockets.length;
      last().ends(1006);
      await vi.advanceTimersByTimeAsync(wait - 1);
      expect(sockets).toHaveLength(before);
      await vi.advanceTimersByTimeAsync(1);
      expect(sockets).toHaveLength(before + 1);
    }
    connect(last());
    last().ends(1006);
    await vi.advanceTimersByTimeAsync(500);
    expect(sockets).toHaveLength(6);
  });

  it.each([
    [4040, 'gone'],
    [4041, 'signed_out'],
  ] as const)('is over after close code %i', async (code, cause) => {
    const { live, sockets, last } = setUp();
    connect(last());
    last().ends(code);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(live.state).toEqual({ kind: 'over', cause });
    expect(sockets).toHaveLength(1);
  });

  it.each(['gone', 'signed_out'] as const)('asks by HTTP why it could not be opened: %s', async (cause) => {
    const { live, sockets, last } = setUp(cause);
    last().ends(1006);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(live.state).toEqual({ kind: 'over', cause });
    expect(sockets).toHaveLength(1);
  });

  it('waits as long as the server asks for', async () => {
    const { sockets, last } = setUp({ retryAfter: 30 });
    last().ends(1006);
    await vi.advanceTimersByTimeAsync(29_000);
    expect(sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(sockets).toHaveLength(2);
  });

  it('asks a silent server whether it lives, and gives it up after a minute', async () => {
    const { live, sockets, last } = setUp();
    connect(last());
    await vi.advanceTimersByTimeAsync(20_000);
    expect(last().sent).toEqual(['{"type":"ping"}']);
    last().says({ type: 'pong' });
    await vi.advanceTimersByTimeAsync(40_000);
    expect(live.state.kind).toBe('live');
    await vi.advanceTimersByTimeAsync(40_500);
    expect(sockets[0]!.closed).toBe(true);
    expect(sockets).toHaveLength(2);
  });

  it('tries at once when the network comes back', () => {
    const { live, sockets, last } = setUp();
    connect(last());
    last().ends(1006);
    live.wake();
    expect(sockets).toHaveLength(2);
  });

  it('notices after sleep that the connection is dead', async () => {
    const { live, sockets, last } = setUp();
    connect(last());
    await vi.advanceTimersByTimeAsync(10);
    live.wake();
    expect(last().sent).toEqual(['{"type":"ping"}']);
    await vi.advanceTimersByTimeAsync(5_500);
    expect(sockets).toHaveLength(2);
  });

  it('hears nothing more of a connection that it gave up', () => {
    const { live, sockets, frames } = setUp();
    connect(sockets[0]!);
    live.restart();
    const before = frames.length;
    sockets[0]!.says({ type: 'pong' });
    sockets[0]!.ends(4040);
    expect(frames).toHaveLength(before);
    expect(live.state.kind).toBe('connecting');
  });

  it('does nothing after it was stopped', async () => {
    const { live, sockets, last, states } = setUp();
    connect(last());
    live.stop();
    const before = states.length;
    await vi.advanceTimersByTimeAsync(120_000);
    live.wake();
    expect(sockets).toHaveLength(1);
    expect(states).toHaveLength(before);
  });

  it('leaves out what it cannot read', () => {
    const { live, last, frames } = setUp();
    connect(last());
    last().onmessage?.({ data: 'not json' } as MessageEvent);
    expect(live.state.kind).toBe('live');
    expect(frames).toEqual([hello]);
  });
});
