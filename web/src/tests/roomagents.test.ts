// The agents of an open room: what they may still say, what happened to them, and what they tell.

import * as sdk from 'centrifuge';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Live } from '../lib/live';
import { OpenRoom } from '../lib/room.svelte';
import type { AgentRules, RoomEvent } from '../lib/types';
import { FakeServer } from './gateway';
import { ME, message, room } from './make';

const rules = (more: Partial<AgentRules> = {}): AgentRules => ({ paused: false, budget: 5, share: 0, remaining: 5, ...more });
const spoke = (seq: number) => message(seq, { user: 'bot', sender: 'bot', sender_type: 'agent' });
const log = (text: string): RoomEvent => ({ type: 'log', user: 'bot', name: 'bot', kind: 'agent', text });

let server: FakeServer;
let live: Live;
let open: OpenRoom;

const settled = (milliseconds = 50) => vi.advanceTimersByTimeAsync(milliseconds);
const tell = (data: RoomEvent) => server.push({ channel: 'chat:room-1', pub: { data } });
const texts = () => open.lines.map((line) => line.text);

beforeEach(async () => {
  vi.useFakeTimers();
  sessionStorage.clear();
  server = new FakeServer();
  live = new Live(async () => sdk);
  vi.stubGlobal('fetch', server.fetch);
  vi.stubGlobal('WebSocket', server.WebSocket);
  server.stored = [message(1)];
  open = new OpenRoom('room-1', { id: ME, name: 'Me', kind: 'human' }, room({ head_seq: 1, agents: rules() }), live);
  live.start();
  await open.open();
  await settled();
});

afterEach(() => {
  open.close();
  live.stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('the agents of an open room', () => {
  it('use up what they may say, until a person says something', async () => {
    server.publish(spoke(2), spoke(3));
    await settled();
    expect(open.rules?.remaining).toBe(3);
    server.publish(message(4));
    await settled();
    expect(open.rules?.remaining).toBe(5);
  });

  it('are counted once, in whatever order the list and the messages come', async () => {
    server.publish(spoke(2), spoke(3));
    await settled();
    open.heed(room({ head_seq: 2, agents: rules({ remaining: 4 }) }));
    expect(open.rules?.remaining).toBe(3);
    open.heed(room({ head_seq: 4, agents: rules({ remaining: 2 }) }));
    server.publish(spoke(4));
    await settled();
    expect(open.rules?.remaining).toBe(2);
  });

  it('are stopped where the room says so, behind the message that was the last', async () => {
    const heard = vi.fn();
    open.onrules = heard;
    server.publish(spoke(2));
    tell({ type: 'guard', event: 'tripped', reason: 'budget', user: 'bot', name: 'bot', agents: rules({ remaining: 0 }) });
    await settled();
    expect(open.notices).toEqual([{ id: 1, after: 2, text: 'bot was stopped: the agents have used up their 5 messages.' }]);
    expect(heard).toHaveBeenCalledWith(rules({ remaining: 0 }), 2);
    for (let turn = 0; turn < 50; turn++) tell({ type: 'guard', event: turn % 2 ? 'paused' : 'resumed', agents: rules() });
    await settled();
    expect(open.notices).toHaveLength(20);
  });

  it('tell what they do, until they speak or half a minute has passed', async () => {
    tell(log('1/2'));
    tell(log('2/2'));
    await settled();
    expect(texts()).toEqual(['2/2']);
    server.publish(spoke(2));
    await settled();
    expect(texts()).toEqual([]);
    server.publish(spoke(3));
    tell(log('again'));
    await settled(29_000);
    expect(texts()).toEqual(['again']);
    await settled(2_000);
    expect(texts()).toEqual([]);
  });
});
