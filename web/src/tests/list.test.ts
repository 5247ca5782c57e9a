// The list of messages: one that cannot be drawn leaves the others where they are.

import { flushSync, mount, unmount } from 'svelte';
import { expect, it, vi } from 'vitest';
import MessageList from '../components/MessageList.svelte';
import type { OpenRoom } from '../lib/room.svelte';
import { empty } from '../lib/timeline';
import { message, room } from './make';

vi.mock('../lib/mentions', async (original) => {
  const actual = await original<typeof import('../lib/mentions')>();
  return {
    ...actual,
    findMentions: (text: string, names: readonly string[]) => {
      if (text.includes('broken')) throw new DOMException('beyond the text', 'IndexSizeError');
      return actual.findMentions(text, names);
    },
  };
});

vi.stubGlobal('ResizeObserver', class {
  observe() {}
  disconnect() {}
});

it('shows every message when the markup of one, and the row of another, cannot be drawn', () => {
  const messages = [
    message(1, { content: 'hi **all**' }),
    message(2, { content: '**broken** @Anna' }),
    message(3, { content: 'no sender', sender: null as unknown as string }),
    message(4, { content: 'hi @Anna' }),
  ];
  const told = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const opened = {
    id: 'room-1',
    me: null,
    room: room({ head_seq: 4 }),
    timeline: { ...empty, messages, loaded: true, reachedStart: true, to: 4 },
    past: null,
    notices: [],
    names: ['Anna', 'a much longer name'],
    reachedStart: true,
    loadingOlder: false,
  } as unknown as OpenRoom;
  const list = mount(MessageList, { target: document.body, props: { room: opened, onreply: null } });
  flushSync();
  const shown = [...document.querySelectorAll('article')].map((one) => one.querySelector('.prose')?.textContent?.trim() ?? one.textContent?.trim());
  expect(shown).toEqual(['hi all', '**broken** @Anna', 'no sender', 'hi @Anna']);
  expect(document.querySelectorAll('.mention')).toHaveLength(1);
  expect(told).toHaveBeenCalledTimes(1);
  void unmount(list);
});
