// What the list of messages shows, row by row: which message starts a group of one speaker, and where
// a new day begins. Times only group; the order is that of the timeline.

import type { Message } from './types';
import type { Pending } from './timeline';

const GROUP_MS = 5 * 60_000;

export interface Row {
  /** Stable from the first showing of an own message on, so that its confirmation moves nothing. */
  key: string;
  message: Message;
  /** Set on a message that the server has not confirmed. */
  pending: Pending | null;
  /** The message starts a group: it shows its speaker. */
  head: boolean;
  /** The message is the first of its day here. */
  day: string | null;
}

/** The calendar day of a time in the reader's zone, as a sortable text. */
export function dayOf(iso: string): string {
  const at = new Date(iso);
  return `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, '0')}-${String(at.getDate()).padStart(2, '0')}`;
}

function startsGroup(before: Message | null, message: Message): boolean {
  return (
    before === null ||
    before.user !== message.user ||
    before.sender !== message.sender ||
    before.sender_type !== message.sender_type ||
    message.reply_to !== null ||
    Date.parse(message.created_at) - Date.parse(before.created_at) > GROUP_MS
  );
}

/** `before` is the message just above the first one, if one is loaded. */
export function makeRows(
  before: Message | null,
  messages: readonly Message[],
  aliases: Readonly<Record<string, string>>,
  pending: readonly { message: Message; pending: Pending }[],
): Row[] {
  const rows: Row[] = [];
  let above = before;
  let day = before ? dayOf(before.created_at) : null;
  const add = (message: Message, one: Pending | null) => {
    const today = dayOf(message.created_at);
    const newDay = today !== day;
    rows.push({
      key: one?.client_id ?? aliases[message.id] ?? message.id,
      message,
      pending: one,
      head: newDay || startsGroup(above, message),
      day: newDay ? today : null,
    });
    above = message;
    day = today;
  };
  for (const message of messages) add(message, null);
  for (const one of pending) add(one.message, one.pending);
  return rows;
}
