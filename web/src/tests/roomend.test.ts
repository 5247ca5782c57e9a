// How long a room still lasts, by the clock of the server.

import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import RoomEnd from '../components/call/RoomEnd.svelte';

beforeEach(() => vi.useFakeTimers({ now: Date.parse('2026-02-07T13:00:00Z') }));
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it('counts by the server’s clock where this one is fast, and asks again while the room should be over', async () => {
  vi.stubGlobal('fetch', async () => Response.json({ conference: null }, { headers: { Date: 'Sat, 07 Feb 2026 12:00:00 GMT' } }));
  const onend = vi.fn();
  const end = mount(RoomEnd, { target: document.body, props: { endsAt: '2026-02-07T12:00:10Z', onend } });
  await vi.advanceTimersByTimeAsync(0);
  flushSync();
  onend.mockClear();
  expect(document.body.textContent).toContain('10 s');
  const pass = (milliseconds: number) => {
    vi.advanceTimersByTime(milliseconds);
    flushSync();
  };
  pass(9_000);
  expect(onend).not.toHaveBeenCalled();
  pass(1_000);
  expect(onend).toHaveBeenCalledTimes(1);
  pass(5_000);
  expect(onend).toHaveBeenCalledTimes(2);
  void unmount(end);
});
