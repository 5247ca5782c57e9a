// Up to which message each room was read in this browser, from which the unread dots follow.

import type { Room } from './types';

export type Marks = Readonly<Record<string, number>>;

/** Whether a value read from storage is a set of marks. */
export function isMarks(value: unknown): value is Marks {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((seq) => typeof seq === 'number')
  );
}

/** The first list of rooms in a browser is taken as read; rooms that are gone are forgotten. */
export function baseline(marks: Marks, rooms: readonly Room[], first: boolean): Marks {
  const known: Record<string, number> = {};
  for (const room of rooms) {
    const mark = marks[room.id];
    if (mark !== undefined) known[room.id] = mark;
    else if (first) known[room.id] = room.head_seq;
  }
  return known;
}

/** Marks a room as read up to `seq`; a mark never goes back within an epoch. */
export function markRead(marks: Marks, room: string, seq: number): Marks {
  return (marks[room] ?? -1) >= seq ? marks : { ...marks, [room]: seq };
}

/** Whether a room holds something newer than its mark; a restored room below its mark is read. */
export function isUnread(marks: Marks, room: Room): boolean {
  return room.head_seq > (marks[room.id] ?? 0);
}
