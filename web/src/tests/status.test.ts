// As what the reader is seen: its own choice at once, that of its other devices as it comes, and what holds when the
// server does not take one.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { OwnStatus } from '../lib/status.svelte';

let own: OwnStatus;
/** The choices that the server got, and how to answer each. */
let asked: { status: string; answer: (code: number) => void }[];
let seen: string;

const settled = () => new Promise((resolve) => setTimeout(resolve));

beforeEach(() => {
  own = new OwnStatus();
  asked = [];
  seen = 'online';
  vi.stubGlobal('fetch', async (request: Request) => {
    if (request.method === 'GET') return Response.json([{ user: 'me', status: seen }]);
    const { status } = (await request.json()) as { status: string };
    const code = await new Promise<number>((answer, reject) => {
      request.signal.addEventListener('abort', () => reject(request.signal.reason));
      asked.push({ status, answer });
    });
    return Response.json(code === 200 ? { user: 'me', status } : { error: 'no', code: 'no' }, { status: code });
  });
});
afterEach(() => {
  own.forget();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('the own status', () => {
  it('is shown as chosen at once, and stays when the server takes it', async () => {
    const chosen = own.choose('busy');
    expect(own.shown).toBe('busy');
    await settled();
    asked[0]!.answer(200);
    await chosen;
    expect(own.shown).toBe('busy');
  });

  it('goes back to what holds when the server does not take it', async () => {
    own.hear('away');
    const chosen = own.choose('busy');
    await settled();
    asked[0]!.answer(507);
    await expect(chosen).rejects.toMatchObject({ status: 507 });
    expect(own.shown).toBe('away');
  });

  it('is the last one chosen, whatever became of those before, sent in this order', async () => {
    const first = own.choose('busy').catch(() => undefined);
    const second = own.choose('invisible');
    await settled();
    expect(asked.map(({ status }) => status)).toEqual(['busy']);
    asked[0]!.answer(500);
    await first;
    expect(own.shown).toBe('invisible');
    await settled();
    own.hear('invisible');
    asked[1]!.answer(200);
    await second;
    expect(own.shown).toBe('invisible');
  });

  it('follows the other devices of the reader', async () => {
    own.hear('invisible');
    expect(own.shown).toBe('invisible');
  });

  it('is given up when no answer comes, and lets the next choice out', async () => {
    vi.useFakeTimers();
    own.hear('away');
    const hung = expect(own.choose('busy')).rejects.toMatchObject({ code: 'offline' });
    const next = own.choose('invisible');
    await vi.advanceTimersByTimeAsync(30_000);
    await hung;
    expect(asked.map(({ status }) => status)).toEqual(['busy', 'invisible']);
    asked[1]!.answer(200);
    await next;
    expect(own.shown).toBe('invisible');
  });

  it('chosen by whoever was at the page before goes out no more, and says nothing', async () => {
    await own.load('me');
    const first = own.choose('busy');
    const second = own.choose('invisible');
    await settled();
    seen = 'away';
    await own.load('somebody else');
    expect(own.shown).toBe('away');
    asked[0]!.answer(500);
    await Promise.all([first, second]);
    await settled();
    expect(asked).toHaveLength(1);
    expect(own.shown).toBe('away');
  });

  it('is not known until the server says it, and asked for until then', async () => {
    vi.useFakeTimers();
    seen = 'offline';
    await own.load('me');
    expect(own.shown).toBeNull();
    seen = 'busy';
    await vi.advanceTimersByTimeAsync(1000);
    expect(own.shown).toBe('busy');
  });

  it('is asked for, and of somebody who is nowhere yet it stays', async () => {
    seen = 'away';
    await own.load('me');
    expect(own.shown).toBe('away');
    seen = 'offline';
    await own.load('me');
    expect(own.shown).toBe('away');
  });

  it('is not that of whoever was at the page before', async () => {
    seen = 'invisible';
    await own.load('me');
    seen = 'offline';
    await own.load('somebody else');
    expect(own.shown).toBeNull();
  });

  it('is not what an answer says that is older than a choice', async () => {
    const loaded = own.load('me');
    const chosen = own.choose('busy');
    await loaded;
    expect(own.shown).toBe('busy');
    asked[0]!.answer(200);
    await chosen;
    expect(own.shown).toBe('busy');
  });
});
