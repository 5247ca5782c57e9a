// The outbox: every message once, in order, however often the way to the server breaks.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../lib/api';
import { Outbox } from '../lib/outbox';
import { empty, send, type Pending } from '../lib/timeline';
import { message } from './make';

function pending(client_id: string): Pending {
  return send(empty, { client_id, content: `text ${client_id}`, reply_to: null, created_at: '' }).pending[0]!;
}

function setUp() {
  const state = { answers: [] as ((signal: AbortSignal) => Promise<unknown>)[] };
  const log: string[] = [];
  const outbox = new Outbox({
    post: async (clientId, _, signal) => {
      log.push(`post ${clientId}`);
      await state.answers.shift()?.(signal);
      return message(7, { id: `id-${clientId}` });
    },
    body: (one) => ({ content: one.content }),
    onstored: (clientId, { id, seq }) => log.push(`stored ${clientId} ${id} ${seq}`),
    onfailed: (clientId, error, retryAt) => log.push(`failed ${clientId} ${error} ${retryAt}`),
  });
  return { outbox, log, state };
}

const away = () => Promise.reject(new ApiError(0, 'offline', 'away'));
const never = (signal: AbortSignal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the outbox', () => {
  it('posts one after the other, in order', async () => {
    const { outbox, log } = setUp();
    for (const id of ['c1', 'c2', 'c3']) outbox.send(pending(id));
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toEqual(['post c1', 'stored c1 id-c1 7', 'post c2', 'stored c2 id-c2 7', 'post c3', 'stored c3 id-c3 7']);
  });

  it('goes on trying while the server is away, and lets nothing overtake', async () => {
    const { outbox, log, state } = setUp();
    state.answers.push(away, away);
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(0);
    outbox.send(pending('c2'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['post c1', 'post c1', 'post c1', 'stored c1 id-c1 7', 'post c2', 'stored c2 id-c2 7']);
  });

  it.each([502, 503, 504])('goes on trying while something before the server answers %i', async (status) => {
    const { outbox, log, state } = setUp();
    state.answers.push(() => Promise.reject(new ApiError(status, 'unknown', 'away')));
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['post c1', 'post c1', 'stored c1 id-c1 7']);
  });

  it('waits as long as it is asked to, but not for ever', async () => {
    const { outbox, log, state } = setUp();
    for (const after of [30, 86_400]) state.answers.push(() => Promise.reject(new ApiError(503, 'unknown', 'away', after)));
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(29_000);
    expect(log).toEqual(['post c1']);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(log).toEqual(['post c1', 'post c1']);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['post c1', 'post c1', 'post c1', 'stored c1 id-c1 7']);
  });

  it('sends a message once however often it is handed in', async () => {
    const { outbox, log, state } = setUp();
    state.answers.push(away);
    for (let times = 0; times < 3; times++) outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['post c1', 'post c1', 'stored c1 id-c1 7']);
  });

  it('tries now when the server is there again', async () => {
    const { outbox, log, state } = setUp();
    state.answers.push(...Array.from({ length: 100 }, () => away));
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(60_000);
    state.answers = [];
    log.length = 0;
    outbox.wake();
    await vi.advanceTimersByTimeAsync(0);
    expect(log).toEqual(['post c1', 'stored c1 id-c1 7']);
  });

  it.each([
    ['after a while', () => undefined],
    ['when the server is there again', (outbox: Outbox) => outbox.wake()],
  ])('gives up a request without an answer, but not the message: %s', async (_, then) => {
    const { outbox, log, state } = setUp();
    state.answers.push(never);
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(0);
    then(outbox);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(log).toEqual(['post c1', 'post c1', 'stored c1 id-c1 7']);
  });

  it('says why a message was refused, and until when it is useless to try', async () => {
    const { outbox, log, state } = setUp();
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

  it('forgets what its author gave up', async () => {
    const { outbox, log, state } = setUp();
    state.answers.push(away);
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(0);
    outbox.drop('c1');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['post c1']);
  });

  it('sends nothing more after it was stopped', async () => {
    const { outbox, log, state } = setUp();
    state.answers.push(away);
    outbox.send(pending('c1'));
    await vi.advanceTimersByTimeAsync(0);
    outbox.stop();
    outbox.wake();
    outbox.send(pending('c2'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(['post c1']);
  });
});
