// The page's connection, by the real client against a gateway made for the test: who connects, what ends it, and
// what happens when it breaks, goes silent or is refused.

import * as sdk from 'centrifuge';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Live, type Ears } from '../lib/live';
import type { Message } from '../lib/types';
import { FakeServer } from './gateway';
import { message, messages } from './make';

let server: FakeServer;
let live: Live;
let heard: string[];
let again: () => void;

const ears: Ears = {
  position: () => ({ offset: server.head, epoch: server.epoch }),
  onbegin: ({ offset, epoch }, recovered) => heard.push(`begin ${epoch} ${offset} ${recovered ? 'recovered' : 'not recovered'}`),
  onbreak: () => heard.push('break'),
  onpublication: (data) => heard.push(`publication ${(data as Message).seq}`),
  onjoin: ({ user }) => heard.push(`join ${user}`),
  onleave: ({ user }) => heard.push(`leave ${user}`),
  onend: (ask) => {
    heard.push('end');
    again = ask;
  },
  onguest: () => heard.push('guest'),
  onover: () => heard.push('over'),
};
const settled = (milliseconds = 50) => vi.advanceTimersByTimeAsync(milliseconds);
/** What was heard since this was asked last. */
const news = () => heard.splice(0);

function make(load: () => Promise<typeof sdk> = async () => sdk) {
  live = new Live(load);
  live.onconnected = () => heard.push('connected');
  live.onover = () => heard.push('signed out');
  live.onevent = (event) => heard.push(event.type);
}

async function connect() {
  live.join('room-1', ears);
  live.start();
  await settled();
}

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  server.stored = messages(1, 5);
  heard = [];
  vi.stubGlobal('fetch', server.fetch);
  vi.stubGlobal('WebSocket', server.WebSocket);
  make();
});
afterEach(() => {
  live.stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('the connection', () => {
  it('begins with a token, and goes on in a room from where the reader is', async () => {
    await connect();
    expect(server.socket.url).toBe(`ws://${location.host}/connection/websocket`);
    expect(server.asked[0]!.connect!.token).toMatch(/^token/);
    expect(server.subscriptions).toMatchObject([{ channel: 'chat:room-1', recover: true, offset: 5, epoch: 'epoch-1', join_leave: true }]);
    expect(news()).toEqual(['break', 'connected', 'begin epoch-1 5 recovered']);
    server.tell(message(6));
    server.push(
      { channel: 'chat:room-1', join: { info: { user: 'anna', client: 'c' } } },
      { channel: 'chat:room-1', leave: { info: { user: 'anna', client: 'c' } } },
      { channel: 'org:1', pub: { data: { type: 'room_deleted', id: 'room-2' } } },
    );
    await settled();
    expect(news()).toEqual(['publication 6', 'join anna', 'leave anna']);
  });

  it('tells what concerns no room', async () => {
    server.answer = ({ id, ...command }) =>
      command.connect ? { id, connect: { client: 'c', version: '', subs: { 'org:1': {}, 'user:1': {} } } } : null;
    live.start();
    await settled();
    server.push(
      { channel: 'org:1', pub: { data: { type: 'room_deleted', id: 'room-2' } } },
      { channel: 'user:1', pub: { data: { type: 'status', status: 'busy' } } },
    );
    await settled();
    expect(news()).toEqual(['connected', 'room_deleted', 'status']);
  });

  it.each([1001, 1006, 3001, 3008])('comes back after close code %i, and gets what it missed', async (code) => {
    await connect();
    news();
    server.socket.ends(code);
    server.stored.push(...messages(6, 7));
    await settled(1500);
    expect(news()).toEqual(['break', 'connected', 'begin epoch-1 5 recovered', 'publication 6', 'publication 7']);
  });

  it('is over when the server takes the token no more', async () => {
    await connect();
    news();
    server.socket.ends(3500);
    await settled(120_000);
    expect(news()).toEqual(['break', 'over', 'signed out']);
    expect(server.sockets).toHaveLength(1);
  });

  it('is over when no token is to be had', async () => {
    server.status.token = 401;
    await connect();
    await settled(120_000);
    expect(news()).toEqual(['break', 'over', 'signed out']);
    expect(server.sockets).toHaveLength(0);
  });

  it.each([403, 404, 410])('asks for a token until the server can give one, also after %i', async (status) => {
    server.status.token = status;
    live.start();
    await settled(5000);
    expect(news()).toEqual([]);
    server.status.token = 200;
    await settled(20_000);
    expect(news()).toEqual(['connected']);
  });

  it('is over when the browser is signed in as somebody else', async () => {
    server.user = 'user-anna';
    live.join('room-1', ears);
    live.start('user-me');
    await settled(120_000);
    expect(news()).toEqual(['break', 'over', 'signed out']);
    expect(server.sockets).toHaveLength(0);
    server.user = 'user-me';
    live.start('user-me');
    await settled();
    expect(news()).toEqual(['break', 'connected', 'begin epoch-1 5 recovered']);
    server.user = '';
    live.join('room-2', ears);
    await settled();
    expect(news()).toContain('signed out');
  });

  it('says that the session is somebody else in a room, and stays what it is elsewhere', async () => {
    server.user = 'user-me';
    server.guest = 'user-guest';
    live.join('room-1', ears);
    live.start('user-me');
    await settled();
    expect([...news()].sort()).toEqual(['break', 'break', 'connected', 'end', 'guest']);
    expect(server.subscriptions).toEqual([]);
  });

  it('connects as whom the session is in one room, when it is for that', async () => {
    server.user = 'user-guest';
    live.start('user-guest', 'room-9');
    await settled();
    expect(news()).toEqual(['connected']);
    live.start('user-guest');
    await settled();
    expect(server.spaces).toEqual(['room-9', null]);
  });

  it('asks for a token until the server can give one', async () => {
    server.status.token = 503;
    await connect();
    await settled(5000);
    server.status.token = 200;
    await settled(20_000);
    expect(news()).toContain('begin epoch-1 5 recovered');
  });

  it('tries again by itself after an end that is not its own', async () => {
    await connect();
    server.socket.ends(3504);
    await settled(25_000);
    expect(server.sockets).toHaveLength(2);
    expect(news().at(-1)).toBe('begin epoch-1 5 recovered');
  });

  it('loads its client until it can', async () => {
    let failures = 2;
    make(async () => {
      if (failures-- > 0) throw new TypeError('failed to fetch');
      return sdk;
    });
    await connect();
    expect(news()).toEqual([]);
    await settled(5000);
    expect(news().at(-1)).toBe('begin epoch-1 5 recovered');
  });

  it('asks for a room again that the server took away, when told to', async () => {
    await connect();
    news();
    server.push({ channel: 'chat:room-1', unsubscribe: { code: 2000, reason: 'server' } });
    await settled(20_000);
    expect(news()).toEqual(['break', 'end']);
    again();
    await settled();
    expect(news()).toEqual(['break', 'begin epoch-1 5 recovered']);
  });

  it('says that a room is not to be had, and stays', async () => {
    live.start();
    await settled();
    server.status.token = 404;
    live.join('room-1', ears);
    await settled();
    expect(news()).toEqual(['connected', 'break', 'break', 'end']);
  });

  it('hears nothing more of a room that was left', async () => {
    live.start();
    const leave = live.join('room-1', ears);
    await settled();
    news();
    leave();
    server.tell(message(6));
    await settled();
    expect(news()).toEqual([]);
    expect(server.asked.at(-1)!.unsubscribe).toEqual({ channel: 'chat:room-1' });
  });

  it('tries at once when the network comes back', async () => {
    await connect();
    server.away = true;
    server.socket.ends(1006);
    await settled(60_000);
    server.away = false;
    news();
    dispatchEvent(new Event('online'));
    await settled();
    expect(news().at(-1)).toBe('begin epoch-1 5 recovered');
  });

  it('looks whether it still lives when the page is seen again', async () => {
    await connect();
    document.dispatchEvent(new Event('visibilitychange'));
    await settled(10_000);
    expect(server.sockets).toHaveLength(1);
    server.deaf = true;
    document.dispatchEvent(new Event('visibilitychange'));
    await settled(20_000);
    server.deaf = false;
    await settled();
    expect(server.sockets).toHaveLength(2);
    expect(news().at(-1)).toBe('begin epoch-1 5 recovered');
  });

  it('gives up a server that is silent', async () => {
    await connect();
    await settled(36_000);
    expect(server.sockets).toHaveLength(2);
  });

  it('takes no refusal any more after it was stopped', async () => {
    live.start();
    await settled();
    server.status.token = 404;
    live.join('room-1', ears);
    live.stop();
    news();
    await settled(5000);
    expect(news()).toEqual([]);
  });

  it('gives a slow line time to subscribe', async () => {
    live.start();
    await settled();
    const answer = server.answer.bind(server);
    server.answer = (command) => {
      const reply = answer(command);
      if (!command.subscribe) return reply;
      setTimeout(() => server.socket.says([reply!]), 15_000);
      return null;
    };
    live.join('room-1', ears);
    await settled(16_000);
    expect(news().at(-1)).toBe('begin epoch-1 5 recovered');
    expect(server.subscriptions).toHaveLength(1);
  });

  it('does nothing after it was stopped, and goes on in its rooms when started', async () => {
    await connect();
    live.stop();
    news();
    live.wake();
    dispatchEvent(new Event('online'));
    await settled(120_000);
    expect(news()).toEqual([]);
    expect(server.sockets).toHaveLength(1);
    live.start();
    await settled();
    expect(news().at(-1)).toBe('begin epoch-1 5 recovered');
  });
});
