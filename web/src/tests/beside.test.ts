// The room beside a call against a small server made for the test: what becomes of it when its credential is over.

import * as sdk from 'centrifuge';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RoomBeside } from '../lib/call/beside.svelte';
import { Live } from '../lib/live';
import type { User } from '../lib/types';
import { FakeServer } from './gateway';
import { ME, messages } from './make';

const me: User = { id: ME, name: 'Me', kind: 'human' };

let server: FakeServer;
let live: Live;
let beside: RoomBeside;

const settled = (milliseconds = 50) => vi.advanceTimersByTimeAsync(milliseconds);

beforeEach(async () => {
  vi.useFakeTimers();
  sessionStorage.clear();
  server = new FakeServer();
  server.user = ME;
  server.stored = messages(1, 3);
  vi.stubGlobal('fetch', server.fetch);
  vi.stubGlobal('WebSocket', server.WebSocket);
  live = new Live(async () => sdk);
  beside = new RoomBeside('room-1', me, live);
  beside.open();
  await settled(200);
});

afterEach(() => {
  beside.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('the room beside a call', () => {
  it('comes back with its chat when the credential is renewed', async () => {
    expect(beside.room).toMatchObject({ status: 'ready', live: true });
    const before = beside.room;
    server.socket.ends(3500);
    await settled(200);
    expect(beside.room).not.toBe(before);
    expect(beside.room).toMatchObject({ status: 'ready', live: true });
    beside.room.say('still here', null);
    await settled(200);
    expect(server.stored.at(-1)!.content).toBe('still here');
  });

  it('comes back again later, and not at once, when that happens once more', async () => {
    server.socket.ends(3500);
    await settled(200);
    server.socket.ends(3500);
    await settled(200);
    expect(beside.room.live).toBe(false);
    await settled(20_000);
    expect(beside.room.live).toBe(true);
  });

  it('tries on while the server is away', async () => {
    server.away = true;
    server.socket.ends(3500);
    await settled(5_000);
    expect([beside.gone, beside.room.live]).toEqual([null, false]);
    server.away = false;
    await settled(20_000);
    expect(beside.room.live).toBe(true);
  });

  it('ends, and says why, when the browser is somebody else, signed out or without the room', async () => {
    const open = async () => {
      beside = new RoomBeside('room-1', me, live);
      beside.open();
      await settled(200);
    };
    server.user = 'user-other';
    server.socket.ends(3500);
    await settled(200);
    expect(beside.gone).toBe('other');
    server.user = ME;
    for (const [status, why] of [[401, 'session'], [410, 'room']] as const) {
      server.status.room = 200;
      await open();
      server.status.room = status;
      await beside.look();
      expect(beside.gone).toBe(why);
    }
  });

  it('opens nothing any more once it was closed', async () => {
    server.socket.ends(3500);
    beside.close();
    const sockets = server.sockets.length;
    await settled(60_000);
    expect(server.sockets.length).toBe(sockets);
  });
});
