// How far the signed-in reader has read each room, and what stands behind that, as pure data: the server's
// count, and what was told since. A count of the server is the truth; what is added here holds until the next.

import type { Message, Reading, Room } from './types';

/** The highest count, of the server as well: as many, or more. */
export const MOST = 1000;

export interface Held {
  read_seq: number;
  unread: number;
  mentions: number;
  /** The last message that `unread` counts. */
  head: number;
  /** The last message that the server's own count knew of, at least. */
  counted: number;
}

const capped = (number: number) => Math.min(MOST, number);

/** What the list of rooms says; a room that the connection told of says nothing, and is read as far as it was. */
export function listed(held: Held | undefined, room: Room): Held {
  const { read_seq, unread = 0, mentions = 0, head_seq: head } = room;
  if (read_seq !== undefined) return { read_seq, unread, mentions, head, counted: head };
  if (!held) return grown({ read_seq: 0, unread: 0, mentions: 0, head: 0, counted: 0 }, head);
  return grown(held, head);
}

/** The room has grown up to `head`. */
function grown(held: Held, head: number): Held {
  return head <= held.head ? held : { ...held, unread: capped(held.unread + head - held.head), head };
}

/** The server says anew how far the reader has read. */
export function told(held: Held | undefined, { read_seq, unread, mentions }: Reading): Held {
  const counted = read_seq + unread;
  return { read_seq, unread, mentions, head: Math.max(held?.head ?? 0, counted), counted };
}

/** A message mentions the reader; the room's own growth is told apart from it. */
export function mentioned(held: Held, { seq }: Message): Held {
  if (seq <= Math.max(held.read_seq, held.counted)) return held;
  return { ...held, mentions: capped(held.mentions + 1), unread: Math.max(1, held.unread), counted: seq };
}

/** The reader has read up to `seq` here, which the server will be told. */
export function readTo(held: Held | undefined, seq: number): Held {
  const head = Math.max(held?.head ?? 0, seq);
  const left = head - seq;
  return {
    read_seq: seq,
    unread: held ? Math.min(held.unread, left) : left,
    mentions: left === 0 ? 0 : (held?.mentions ?? 0),
    head,
    counted: Math.max(held?.counted ?? 0, seq),
  };
}
