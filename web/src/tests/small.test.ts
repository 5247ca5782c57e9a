// The small pure parts: waits, names, storage, drafts, marks, rows, addresses.

import { describe, expect, it } from 'vitest';
import { backoff } from '../lib/backoff';
import { clearDrafts, readDraft, writeDraft } from '../lib/drafts';
import { count, dayName, excerpt, initials, TINTS, timeOfDay, dateTime, tintOf, wait } from '../lib/format';
import { makeHandle, suggestHandle } from '../lib/handle';
import { isMarks, markRead } from '../lib/readmarks';
import { parse, safeNext } from '../lib/router.svelte';
import { makeRows } from '../lib/rows';
import { guarded, readJson } from '../lib/storage';
import { memory, message } from './make';

describe('the wait before trying again', () => {
  it('doubles up to a cap and is spread by chance', () => {
    expect([0, 1, 2, 3].map((attempt) => backoff(attempt, () => 1))).toEqual([500, 1000, 2000, 4000]);
    expect(backoff(0, () => 0)).toBe(250);
    expect(backoff(1000, () => 1)).toBe(20_000);
  });
});

describe('names', () => {
  it('makes a friendly one from chance', () => {
    expect(makeHandle(() => 0)).toBe('amber-badger');
    expect(makeHandle(() => 0.999_999)).toBe('wise-wren');
    expect(makeHandle(() => 1)).toBe('wise-wren');
  });

  it('suggests one close to a taken one, within the limit', () => {
    expect(suggestHandle('anna', () => 0)).toBe('anna-10');
    expect(suggestHandle('anna-10', () => 0.5)).toBe('anna-55');
    expect([...suggestHandle('é'.repeat(64), () => 0)]).toHaveLength(64);
  });

  it('have initials and one tint each', () => {
    expect(['Anna', 'calm-otter', 'Jon K. Haugen', '-', '李 明'].map(initials)).toEqual(['A', 'CO', 'JH', '-', '李明']);
    expect(tintOf('Anna')).toBe(tintOf('anna'));
    expect(new Set(Array.from({ length: 400 }, (_, index) => tintOf(`agent-${index}`))).size).toBe(TINTS);
  });
});

describe('storage', () => {
  it('that throws keeps nothing and fails nothing', () => {
    const broken = guarded(() => {
      throw new Error('forbidden');
    });
    broken.set('a', 'b');
    broken.remove('a');
    expect(broken.get('a')).toBeNull();
  });

  it('gives the fallback for what is not what it should be', () => {
    const storage = memory();
    storage.set('marks', '{"room-1": "three"}');
    expect(readJson(storage, 'marks', isMarks, {})).toEqual({});
    storage.set('marks', 'not json');
    expect(readJson(storage, 'marks', isMarks, {})).toEqual({});
    storage.set('marks', '{"room-1": 3}');
    expect(readJson(storage, 'marks', isMarks, {})).toEqual({ 'room-1': 3 });
  });
});

describe('drafts', () => {
  it('are kept for each room, and blank ones are not', () => {
    const storage = memory();
    writeDraft(storage, 'room-1', 'half a sent');
    writeDraft(storage, 'room-2', 'another');
    expect(readDraft(storage, 'room-1')).toBe('half a sent');
    writeDraft(storage, 'room-1', ' \n');
    expect(readDraft(storage, 'room-1')).toBe('');
    expect(readDraft(storage, 'room-2')).toBe('another');
    storage.set('meet-ai-name', 'Anna');
    clearDrafts(storage);
    expect([readDraft(storage, 'room-2'), storage.get('meet-ai-name')]).toEqual(['', 'Anna']);
  });
});

describe('unread marks', () => {
  it('never go back', () => {
    expect(markRead({ a: 5 }, 'a', 3)).toEqual({ a: 5 });
    expect(markRead({ a: 5 }, 'a', 7)).toEqual({ a: 7 });
  });
});

describe('rows', () => {
  it('group one speaker, and start again after a pause, a reply or another day', () => {
    const at = (iso: string) => ({ created_at: iso });
    const rows = makeRows(
      null,
      [
        message(1, at('2026-02-07T12:00:00Z')),
        message(2, at('2026-02-07T12:01:00Z')),
        message(3, { ...at('2026-02-07T12:02:00Z'), reply_to: 'message-1' }),
        message(4, at('2026-02-07T12:20:00Z')),
        message(5, { ...at('2026-02-07T12:20:30Z'), user: 'user-bot', sender: 'bot', sender_type: 'agent' }),
        message(6, at('2026-02-09T12:00:00Z')),
      ],
      {},
      [],
    );
    expect(rows.map((row) => row.head)).toEqual([true, false, true, true, true, true]);
    expect(rows.map((row) => row.day !== null)).toEqual([true, false, false, false, false, true]);
  });

  it('keep the key under which an own message was first shown', () => {
    expect(makeRows(null, [message(1)], { 'message-1': 'c1' }, [])[0]?.key).toBe('c1');
  });
});

describe('addresses', () => {
  it('name pages, rooms and invites', () => {
    expect(parse('/', '', '')).toEqual({ page: 'chat', room: null });
    expect(parse('/r/0190-a', '', '')).toEqual({ page: 'chat', room: '0190-a' });
    expect(parse('/key', '?next=/r/1', '')).toEqual({ page: 'key', next: '/r/1' });
    expect(parse('/', '', '#invite=abc_-1')).toEqual({ page: 'join', by: 'invite', token: 'abc_-1' });
    expect(parse('/', '', '#owner=abc')).toEqual({ page: 'join', by: 'owner', token: 'abc' });
    expect(parse('/docs', '', '#get-room')).toEqual({ page: 'docs' });
    expect(parse('/call', '', '')).toEqual({ page: 'call', name: null, room: null });
    expect(parse('/call', '?room=amber%20otter', '')).toEqual({ page: 'call', name: 'amber otter', room: null });
    expect(parse('/call', '?room_id=0190-a', '')).toEqual({ page: 'call', name: null, room: '0190-a' });
    for (const nowhere of ['/calls', '/call/a', '/keys', '/r', '/r/1/2', '/docs/api']) expect(parse(nowhere, '', '')).toEqual({ page: 'lost' });
  });

  it('that nobody can decode are rooms that nobody has', () => {
    expect(parse('/r/caf%C3%A9', '', '')).toEqual({ page: 'chat', room: 'café' });
    expect(parse('/r/%E0%A4%A', '', '')).toEqual({ page: 'chat', room: '%E0%A4%A' });
  });

  it('never lead away from this site', () => {
    for (const next of ['https://example.org', '//example.org', '/\\example.org', 'javascript:alert(1)', null, '', '/key?next=/key']) {
      expect(safeNext(next)).toBe('/');
    }
    expect(safeNext('/r/1')).toBe('/r/1');
  });
});

describe('what a person reads', () => {
  it('is short and right', () => {
    const now = new Date(2026, 1, 7, 9);
    expect(dateTime(now.toISOString())).toContain(timeOfDay(now.toISOString()));
    expect(dayName('2026-02-07', now)).toBe('Today');
    expect(dayName('2026-02-06', now)).toBe('Yesterday');
    expect(dayName('2025-02-06', now)).toContain('2025');
    expect(excerpt('# Plan\n\n> **one** `two`\n\n```rust\nlet a = b * c;\n```\n- three_four')).toBe('Plan one two let a = b * c; three_four');
    expect(excerpt('> - *see* [the plan](https://example.org/a \"t\") and _that_\n---\n1. ![one](x.png) <https://example.org>')).toBe(
      'see the plan and that 1. one https://example.org',
    );
    expect(excerpt('- [x] done\n- [ ] open\n\n| a | b |\n|---|---|\n| 1 | 2 |')).toBe('☑ done ☐ open a | b 1 | 2');
    expect(excerpt('2 * 3 * 4, a_b_c, [x], **bold**')).toBe('2 * 3 * 4, a_b_c, [x], bold');
    expect(excerpt('x'.repeat(30_000))).toHaveLength(200);
    expect([count(1, 'message'), count(2, 'message')]).toEqual(['1 message', '2 messages']);
    expect([wait(900), wait(61_000), wait(3_000_000), wait(9_000_000)]).toEqual(['1 s', '61 s', '50 min', '3 h']);
  });
});
