// The list of rooms against a lobby made for the test: nothing falls between the list and the stream.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Rooms } from '../lib/rooms.svelte';
import type { Room } from '../lib/types';
import { room } from './make';

class FakeStream extends EventTarget {
  static all: FakeStream[] = [];
  static readonly CLOSED = 2;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  readyState = 0;
  constructor() {
    super();
    FakeStream.all.push(this);
  }
  says(type: string, data: unknown) {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) }));
  }
  close() {
    this.readyState = FakeStream.CLOSED;
  }
}

let stored: Room[];
let status = 200;
let rooms: Rooms;
/** Answers wait for it. */
let gate: Promise<void>;
let asked: number;

const names = () => rooms.list.map((one) => one.name);

beforeEach(() => {
  localStorage.clear();
  FakeStream.all = [];
  stored = [room({ name: 'one' })];
  status = 200;
  gate = Promise.resolve();
  asked = 0;
  rooms = new Rooms();
  vi.stubGlobal('EventSource', FakeStream);
  vi.stubGlobal('fetch', async (request: Request) => {
    const body = request.url.includes('/api/public/') ? [] : [...stored];
    asked += 1;
    await gate;
    return Response.json(status === 200 ? body : { error: 'no', code: 'missing_key' }, { status });
  });
});
afterEach(() => {
  rooms.clear();
  vi.unstubAllGlobals();
});

describe('the list of rooms', () => {
  it('has a room that was made between the list and the stream', async () => {
    await rooms.load(true);
    rooms.follow();
    stored.push(room({ id: 'room-2', name: 'two' }));
    FakeStream.all[0]!.onopen?.();
    await vi.waitFor(() => expect(names()).toEqual(['one', 'two']));
  });

  it('keeps what the stream told while the list was under way', async () => {
    await rooms.load(true);
    rooms.follow();
    let open: () => void = () => undefined;
    gate = new Promise((resolve) => (open = resolve));
    asked = 0;
    FakeStream.all[0]!.onopen?.();
    await vi.waitFor(() => expect(asked).toBe(2));
    FakeStream.all[0]!.says('room_created', room({ id: 'room-2', name: 'two' }));
    FakeStream.all[0]!.says('room_deleted', { id: 'room-1' });
    open();
    await vi.waitFor(() => expect(names()).toEqual(['two']));
  });

  it('says that the session is over when the stream begins without one', async () => {
    const over = vi.fn();
    rooms.onsignedout = over;
    await rooms.load(true);
    rooms.follow();
    status = 401;
    FakeStream.all[0]!.onopen?.();
    await vi.waitFor(() => expect(over).toHaveBeenCalledOnce());
  });
});
