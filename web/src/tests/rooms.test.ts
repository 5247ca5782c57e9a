// The list of rooms: nothing falls between the list and what the connection tells.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Rooms } from '../lib/rooms.svelte';
import type { Room } from '../lib/types';
import { room } from './make';

let stored: Room[];
let status = 200;
let rooms: Rooms;
/** Answers wait for it. */
let gate: Promise<void>;
let asked: number;

const names = () => rooms.list.map((one) => one.name);

beforeEach(() => {
  localStorage.clear();
  stored = [room({ name: 'one' })];
  status = 200;
  gate = Promise.resolve();
  asked = 0;
  rooms = new Rooms();
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
  it('has a room that was made between the list and the connection', async () => {
    await rooms.load(true);
    stored.push(room({ id: 'room-2', name: 'two' }));
    await rooms.refresh();
    expect(names()).toEqual(['one', 'two']);
  });

  it('keeps what the connection told while the list was under way', async () => {
    await rooms.load(true);
    let open: () => void = () => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const refreshed = rooms.refresh();
    rooms.hear({ type: 'room_created', ...room({ id: 'room-2', name: 'two' }) });
    rooms.hear({ type: 'room_deleted', id: 'room-1' });
    open();
    await refreshed;
    expect(names()).toEqual(['two']);
  });

  it('keeps what the connection told while two lists were under way, of which the later one failed', async () => {
    await rooms.load(true);
    let open: () => void = () => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const first = rooms.refresh();
    await vi.waitFor(() => expect(asked).toBe(4));
    gate = Promise.resolve();
    rooms.hear({ type: 'room_created', ...room({ id: 'room-2', name: 'two' }) });
    const answer = globalThis.fetch;
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed to fetch')));
    const second = rooms.refresh();
    rooms.hear({ type: 'room_created', ...room({ id: 'room-3', name: 'three' }) });
    await second;
    vi.stubGlobal('fetch', answer);
    open();
    await first;
    expect(names()).toEqual(['one', 'two', 'three']);
  });

  it('says that the session is over when it is', async () => {
    const over = vi.fn();
    rooms.onsignedout = over;
    await rooms.load(true);
    status = 401;
    await rooms.refresh();
    expect(over).toHaveBeenCalledOnce();
  });

  it('is not what an answer says that was asked for earlier', async () => {
    let open: () => void = () => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const slow = rooms.load(true);
    await vi.waitFor(() => expect(asked).toBe(2));
    gate = Promise.resolve();
    stored.push(room({ id: 'room-2', name: 'two' }));
    await rooms.load(true);
    open();
    await slow;
    expect(names()).toEqual(['one', 'two']);
  });

  it('takes no answer for a reader who is gone', async () => {
    let open: () => void = () => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const refreshed = rooms.refresh();
    rooms.clear();
    open();
    await refreshed;
    expect([names(), rooms.loaded]).toEqual([[], false]);
  });
});
