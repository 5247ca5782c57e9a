// What is unread: the server's count, and what is told until the next one.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../lib/api';
import { Marking } from '../lib/marking';
import { listed, mentioned, MOST, readTo, told } from '../lib/readings';
import type { Reading } from '../lib/types';
import { message, room } from './make';

const counts = ({ read_seq, unread, mentions }: Reading | ReturnType<typeof told>) => [read_seq, unread, mentions];
const reading = (read_seq: number, unread: number, mentions: number): Reading => ({ room_id: 'room-1', read_seq, unread, mentions });

describe('what is unread in a room', () => {
  const start = listed(undefined, room({ head_seq: 10, read_seq: 4, unread: 5, mentions: 1 }));

  it('is what the list says', () => {
    expect(counts(start)).toEqual([4, 5, 1]);
    expect(counts(listed(readTo(start, 10), room({ head_seq: 12, read_seq: 4, unread: 7, mentions: 2 })))).toEqual([4, 7, 2]);
  });

  it('grows with the room, and counts nothing twice', () => {
    const grown = listed(start, room({ head_seq: 13 }));
    expect(counts(grown)).toEqual([4, 8, 1]);
    expect(counts(listed(grown, room({ head_seq: 13 })))).toEqual([4, 8, 1]);
    // The server counted the new ones before the room's own news came.
    expect(counts(listed(told(start, reading(12, 3, 0)), room({ head_seq: 15 })))).toEqual([12, 3, 0]);
  });

  it('has one mention more with each, however the news of it come', () => {
    const one = mentioned(start, message(11));
    expect(counts(one)).toEqual([4, 5, 2]);
    expect(mentioned(one, message(11))).toBe(one);
    expect(counts(mentioned(listed(start, room({ head_seq: 11 })), message(11)))).toEqual([4, 6, 2]);
    expect(mentioned(start, message(9))).toBe(start);
    expect(counts(mentioned(listed(undefined, room()), message(1)))).toEqual([0, 1, 1]);
  });

  it('is nothing once the room is read to its end', () => {
    expect(counts(readTo(start, 10))).toEqual([10, 0, 0]);
    expect(counts(readTo(start, 8))).toEqual([8, 2, 1]);
    const read = readTo(start, 12);
    expect(mentioned(read, message(12))).toBe(read);
    expect(counts(listed(read, room({ head_seq: 12 })))).toEqual([12, 0, 0]);
  });

  it('is counted up to a bound', () => {
    expect(listed(start, room({ head_seq: 1_000_000 })).unread).toBe(MOST);
  });
});

describe('what is told of what was read', () => {
  let sent: number[];
  let answered: Reading[];
  let answer: () => Promise<Reading>;
  let marking: Marking;

  beforeEach(() => {
    vi.useFakeTimers();
    [sent, answered] = [[], []];
    answer = () => Promise.resolve(reading(sent.at(-1)!, 0, 0));
    marking = new Marking(
      (_, seq) => {
        sent.push(seq);
        return answer();
      },
      (one) => answered.push(one),
    );
  });
  afterEach(() => vi.useRealTimers());

  it('is the first place at once, and then the newest', async () => {
    for (let seq = 1; seq <= 50; seq++) marking.read('room-1', seq);
    await vi.runAllTimersAsync();
    expect(sent).toEqual([1, 50]);
    expect(answered).toEqual([reading(50, 0, 0)]);
  });

  it('is what came meanwhile after the answer, and an old answer is let go', async () => {
    let open: (reading: Reading) => void = () => undefined;
    answer = () => new Promise((resolve) => (open = resolve));
    marking.read('room-1', 1);
    await vi.advanceTimersByTimeAsync(1000);
    marking.read('room-1', 2);
    marking.read('room-1', 3);
    await vi.advanceTimersByTimeAsync(1000);
    expect(sent).toEqual([1]);
    answer = () => Promise.resolve(reading(3, 0, 0));
    open(reading(1, 2, 0));
    await vi.runAllTimersAsync();
    expect(sent).toEqual([1, 3]);
    expect(answered).toEqual([reading(3, 0, 0)]);
  });

  it('is told again when the server was away, and not when it refuses', async () => {
    const working = answer;
    answer = () => Promise.reject(new ApiError(0, 'offline', 'away'));
    marking.read('room-1', 7);
    await vi.advanceTimersByTimeAsync(500);
    answer = working;
    await vi.runAllTimersAsync();
    expect(answered).toEqual([reading(7, 0, 0)]);
    answer = () => Promise.reject(new ApiError(400, 'unknown_cursor', 'no'));
    marking.read('room-1', 8);
    await vi.runAllTimersAsync();
    expect(sent.filter((seq) => seq === 8)).toEqual([8]);
  });

  it('is nothing of a reader who is gone', async () => {
    marking.read('room-1', 7);
    marking.read('room-1', 8);
    marking.stop();
    await vi.runAllTimersAsync();
    expect([sent, answered]).toEqual([[7], []]);
  });
});
