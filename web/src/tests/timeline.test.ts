// The timeline: whatever order things come in, what is shown is whole, in order and single.

import { describe, expect, it } from 'vitest';
import * as timelines from '../lib/timeline';
import type { Timeline } from '../lib/timeline';
import type { Message } from '../lib/types';
import { ME, message, messages } from './make';

const seqs = (timeline: Timeline) => timeline.messages.map((one) => one.seq);
const opened = (to: number) => timelines.open(timelines.empty, messages(1, to), to, false, ME);
const unsent = (client_id: string, content: string, reply_to: string | null = null) => ({
  client_id,
  content,
  reply_to,
  created_at: '2026-02-07T12:00:00.000Z',
});
const mine = (seq: number, content: string, more: Partial<Message> = {}) => message(seq, { user: ME, sender: 'Me', content, ...more });

describe('history and live messages', () => {
  it('puts live messages that came before the history behind it, each once', () => {
    const early = timelines.receive(timelines.empty, [message(7), message(6), message(5)], ME);
    expect(early.messages).toEqual([]);
    expect(seqs(timelines.open(early, messages(3, 5), 5, true, ME))).toEqual([3, 4, 5, 6, 7]);
  });

  it('is not whole before the last message that the server spoke of', () => {
    expect(timelines.gap(opened(3), 5)).toBe(3);
    expect(timelines.gap(opened(3), 3)).toBeNull();
    expect(timelines.gap(timelines.empty, 5)).toBeNull();
  });

  it.each([
    ['nothing when the connection brings it itself', 3, 'epoch-1', true, 'nothing'],
    ['nothing when nothing was missed', 3, 'epoch-1', false, 'nothing'],
    ['the rest when the connection could not bring it', 2000, 'epoch-1', false, 'rest'],
    ['all when more was missed than anybody reads', 10_004, 'epoch-1', false, 'all'],
    ['all when the room is of another epoch', 3, 'epoch-2', false, 'all'],
    ['all when the room is shorter than it was', 2, 'epoch-1', false, 'all'],
  ] as const)('misses %s', (_, offset, epoch, recovered, what) => {
    expect(timelines.missing(opened(3), 'epoch-1', { offset, epoch }, recovered)).toBe(what);
  });

  it('takes a repeat at the seam only once', () => {
    const timeline = timelines.receive(opened(3), [message(3), message(4), message(4), message(2)], ME);
    expect(seqs(timeline)).toEqual([1, 2, 3, 4]);
    expect(timelines.receive(timeline, [message(4)], ME)).toBe(timeline);
  });

  it('holds back what stands beyond a gap until the gap is filled', () => {
    const torn = timelines.receive(opened(3), [message(6), message(5)], ME);
    expect(seqs(torn)).toEqual([1, 2, 3]);
    expect(timelines.gap(torn)).toBe(3);
    const whole = timelines.receive(torn, [message(4)], ME);
    expect(seqs(whole)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(timelines.gap(whole)).toBeNull();
  });

  it('is the same for every order of arrival', () => {
    const incoming = messages(4, 9);
    for (let shift = 0; shift < incoming.length; shift++) {
      let timeline = opened(3);
      for (const one of [...incoming.slice(shift), ...incoming.slice(0, shift).reverse()]) {
        timeline = timelines.receive(timeline, [one], ME);
      }
      expect(seqs(timeline)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  });

  it('puts older pages in front and knows when there are no more', () => {
    const timeline = timelines.open(timelines.empty, messages(201, 300), 300, true, ME);
    const more = timelines.prepend(timeline, messages(101, 200), true);
    expect(seqs(more)).toEqual(messages(101, 300).map((one) => one.seq));
    expect(more.reachedStart).toBe(false);
    expect(timelines.prepend(more, messages(96, 101), false).reachedStart).toBe(true);
    expect(timelines.firstSeq(timelines.prepend(more, messages(96, 101), false))).toBe(96);
  });

  it('opens a room whose readers see nothing of what was said before', () => {
    const timeline = timelines.open(timelines.empty, [], 50, false, null);
    expect(timelines.firstSeq(timeline)).toBe(51);
    expect(seqs(timelines.receive(timeline, [message(51)], null))).toEqual([51]);
  });

  it('starts anew after a resync and keeps what was not sent', () => {
    const before = timelines.send(opened(9), unsent('c1', 'still here'));
    const after = timelines.reset(before);
    expect(after.messages).toEqual([]);
    expect(seqs(timelines.open(after, messages(1, 2), 2, false, ME))).toEqual([1, 2]);
    expect(timelines.visiblePending(after).map((one) => one.client_id)).toEqual(['c1']);
  });

  it('lets go of the oldest when too many are loaded, and can load them again', () => {
    const timeline = timelines.trim(opened(50), 40, 10);
    expect(seqs(timeline)).toEqual(messages(41, 50).map((one) => one.seq));
    expect(timeline.reachedStart).toBe(false);
    expect(seqs(timelines.prepend(timeline, messages(1, 40), false))).toHaveLength(50);
  });
});

describe('own messages', () => {
  it('shows a message at once, and never twice: first the confirmation, then the message', () => {
    let timeline = timelines.send(opened(2), unsent('c1', 'hello'));
    timeline = timelines.confirm(timeline, 'c1', 'message-3', 3);
    expect(timelines.visiblePending(timeline)).toHaveLength(1);
    timeline = timelines.receive(timeline, [mine(3, 'hello')], ME);
    expect(timelines.visiblePending(timeline)).toHaveLength(0);
    expect(seqs(timeline)).toEqual([1, 2, 3]);
    expect(timeline.aliases['message-3']).toBe('c1');
  });

  it('shows a message never twice: first the message, then the confirmation', () => {
    let timeline = timelines.send(opened(2), unsent('c1', 'hello'));
    timeline = timelines.receive(timeline, [mine(3, 'hello')], ME);
    expect(timelines.visiblePending(timeline)).toHaveLength(0);
    expect(timelines.unconfirmed(timeline)).toHaveLength(1);
    timeline = timelines.confirm(timeline, 'c1', 'message-3', 3);
    expect(timeline.pending).toHaveLength(0);
  });

  it('tells two equal messages apart', () => {
    let timeline = timelines.send(timelines.send(opened(2), unsent('c1', 'ok')), unsent('c2', 'ok'));
    timeline = timelines.receive(timeline, [mine(3, 'ok')], ME);
    expect(timelines.visiblePending(timeline).map((one) => one.client_id)).toEqual(['c2']);
    timeline = timelines.receive(timeline, [mine(4, 'ok')], ME);
    expect(timelines.visiblePending(timeline)).toHaveLength(0);
    expect(new Set(Object.values(timeline.aliases)).size).toBe(2);
  });

  it('does not take an older, a foreign or a differently addressed message for the unsent one', () => {
    const timeline = timelines.send(opened(2), unsent('c1', 'ok'));
    const other = timelines.receive(timeline, [message(3, { content: 'ok' }), mine(4, 'ok', { reply_to: 'message-1' })], ME);
    expect(timelines.visiblePending(other)).toHaveLength(1);
  });

  it('shows it again when the message that looked like it was another one', () => {
    let timeline = timelines.send(opened(2), unsent('c1', 'ok'));
    timeline = timelines.receive(timeline, [mine(3, 'ok')], ME);
    timeline = timelines.confirm(timeline, 'c1', 'message-9', 9);
    expect(timelines.visiblePending(timeline).map((one) => one.stored)).toEqual([9]);
    expect(timeline.aliases).toEqual({ 'message-9': 'c1' });
  });

  it('keeps a refused message with its reason until it is sent again or given up', () => {
    let timeline = timelines.send(opened(2), unsent('c1', 'hello'));
    timeline = timelines.fail(timeline, 'c1', 'Too fast.', 5000);
    expect(timelines.unconfirmed(timeline)).toHaveLength(0);
    expect(timelines.visiblePending(timeline)[0]).toMatchObject({ state: 'failed', error: 'Too fast.', retry_at: 5000 });
    expect(timelines.unconfirmed(timelines.retry(timeline, 'c1'))).toHaveLength(1);
    expect(timelines.discard(timeline, 'c1').pending).toHaveLength(0);
  });

  it('finds a message that was stored before the connection broke in the catch-up', () => {
    let timeline = timelines.send(opened(2), unsent('c1', 'hello'));
    timeline = timelines.receive(timeline, [message(3), mine(4, 'hello'), message(5)], ME);
    expect(timelines.visiblePending(timeline)).toHaveLength(0);
    timeline = timelines.confirm(timeline, 'c1', 'message-4', 4);
    expect(seqs(timeline)).toEqual([1, 2, 3, 4, 5]);
    expect(timeline.pending).toHaveLength(0);
  });
});
