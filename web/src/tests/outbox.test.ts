// The outbox: every message once, by whatever way is open.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../lib/api';
import { Outbox } from '../lib/outbox';
import { empty, send, type Pending } from '../lib/timeline';
import { message } from './make';

function pending(client_id: string): Pending {
  return send(empty, { client_id, content: `text ${client_id}`, reply_to: null, created_at: '' }).pending[0]!;
}

function setUp() {
  const state = { live: true, answers: [] as (() => Promise<unknown>)[] };
  const log: string[] = [];
  const outbox = new Outbox({
    socket: (one) => {
      if (state.live) log.push(`socket ${one.client_id}`);
      return state.live;
    },
    post: async (clientId) => {
      log.push(`post ${clientId}`);
      await state.answers.shift()?.();
      return message(7, { id: `id-${clientId}` });
    },
    body: (one) => ({ content: one.content }),
    onstored: (clientId, id, seq) => log.push(`stored ${clientId} ${id} ${seq}`),
    onfailed: (clientId, error, retryAt) => log.push(`failed ${clientId} ${error} ${retryAt}`),
  });
  return { outbox, log, state };
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the outbox', () => {
  it('sends by the socket while it lives', async () => {
    const { outbox, log } = setUp();
    outbox.send(pending('c1'));
    outbox.acked('c1', 'id', 3);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['socket c1', 'stored c1 id 3']);
  });

  it('posts under the same id what the socket never confirmed', async () => {
    const { outbox, log } = setUp();
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(8_000);
    expect(log).toEqual(['socket c1', 'post c1', 'stored c1 id-c1 7']);
  });

  it('posts one after the other while the socket is away, in order', async () => {
    const { outbox, log, state } = setUp();
    state.live = false;
    for (const id of ['c1', 'c2', 'c3']) outbox.send(pending(id));
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toEqual(['post c1', 'stored c1 id-c1 7', 'post c2', 'stored c2 id-c2 7', 'post c3', 'stored c3 id-c3 7']);
  });

  it('keeps what it could not deliver for the next connection, and fails nothing', async () => {
    const { outbox, log, state } = setUp();
    state.live = false;
    state.answers.push(() => Promise.reject(new ApiError(0, 'offline', 'away')));
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['post c1']);
    state.live = true;
    outbox.send(pending('c1'));
    expect(log).toEqual(['post c1', 'socket c1']);
  });

  it('says why a message was refused, and until when it is useless to try', async () => {
    const { outbox, log, state } = setUp();
    state.live = false;
    state.answers.push(() => Promise.reject(new ApiError(413, 'too_large', 'content must have at most 32768 bytes')));
    state.answers.push(() => Promise.reject(new ApiError(429, 'rate_limited', 'rate limit exceeded', 12)));
    outbox.send(pending('c1'));
    outbox.send(pending('c2'));
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toEqual([
      'post c1',
      'failed c1 Content must have at most 32768 bytes. null',
      'post c2',
      'failed c2 That was too fast for this server. 1012000',
    ]);
  });

  it('asks by POST how long to wait when the socket says too fast', async () => {
    const { outbox, log, state } = setUp();
    state.answers.push(() => Promise.reject(new ApiError(429, 'rate_limited', 'rate limit exceeded', 5)));
    outbox.send(pending('c1'));
    outbox.refused('c1', 'rate limit exceeded', 'rate_limited');
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toEqual(['socket c1', 'post c1', 'failed c1 That was too fast for this server. 1005000']);
  });

  it('forgets what its author gave up', async () => {
    const { outbox, log } = setUp();
    outbox.send(pending('c1'));
    outbox.drop('c1');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['socket c1']);
  });
});
