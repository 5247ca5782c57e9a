// The messages of one room as pure data: history, live messages and the reader's own unsent ones
// brought into one order without a gap or a double. It talks to no network and knows no component.
//
// Invariant: `messages` is ascending and contiguous by `seq`, and ends at `to`. What arrives beyond a
// gap waits in `held` until the gap is filled.

import type { Message } from './types';

/** A message of the reader that the server has not confirmed. */
export interface Pending {
  client_id: string;
  content: string;
  reply_to: string | null;
  created_at: string;
  state: 'sending' | 'failed';
  error: string | null;
  /** When sending again may succeed, in milliseconds since the Unix epoch. */
  retry_at: number | null;
  /** Its place, once the server said so and the message itself is still under way. */
  stored: number | null;
  /** The place of an own message that looks just like it, seen before the confirmation. */
  shadow: number | null;
}

export interface Timeline {
  loaded: boolean;
  messages: readonly Message[];
  held: readonly Message[];
  pending: readonly Pending[];
  /** The last `seq` up to which nothing is missing. */
  to: number;
  reachedStart: boolean;
  /** The `client_id` under which an own message was first shown, by message id: it keeps its place on the page. */
  aliases: Readonly<Record<string, string>>;
}

/** Whoever missed more than so many messages does not read them one after the other. */
const MOST_MISSED = 10_000;

export const empty: Timeline = {
  loaded: false,
  messages: [],
  held: [],
  pending: [],
  to: 0,
  reachedStart: false,
  aliases: {},
};

/** Forgets all messages, as after a resync; unsent ones stay. */
export function reset(timeline: Timeline): Timeline {
  return {
    ...empty,
    pending: timeline.pending.map((one) => ({ ...one, stored: null, shadow: null })),
  };
}

/** The first `seq` that is loaded; one past the end when nothing is. */
export function firstSeq(timeline: Timeline): number {
  return timeline.messages[0]?.seq ?? timeline.to + 1;
}

/** Takes the newest page, which ends at `head`. */
export function open(timeline: Timeline, page: readonly Message[], head: number, full: boolean, me: string | null): Timeline {
  const ordered = [...page].sort(bySeq);
  const to = Math.max(head, ordered.at(-1)?.seq ?? 0);
  const next = { ...timeline, loaded: true, messages: ordered, to, reachedStart: !full };
  return settle(drain(next, []), ordered, me);
}

/** Takes an older page, which ends just before the first loaded message; one that does not is of no use any more. */
export function prepend(timeline: Timeline, page: readonly Message[], full: boolean): Timeline {
  const first = firstSeq(timeline);
  const older = page.filter((message) => message.seq < first).sort(bySeq);
  if (older.length > 0 && older.at(-1)!.seq !== first - 1) return timeline;
  return { ...timeline, messages: [...older, ...timeline.messages], reachedStart: !full };
}

/** Takes messages from the socket or from filling a gap, in any order and any number of times. */
export function receive(timeline: Timeline, incoming: readonly Message[], me: string | null): Timeline {
  const fresh = incoming.filter((message) => message.seq > timeline.to || !timeline.loaded);
  if (fresh.length === 0) return timeline;
  const next = drain(timeline, fresh);
  return settle(next, next.messages.slice(timeline.messages.length), me);
}

/** After which `seq` messages are missing, or null when none are known to be; `head` is the last one known of. */
export function gap(timeline: Timeline, head = 0): number | null {
  return timeline.loaded && (timeline.held.length > 0 || head > timeline.to) ? timeline.to : null;
}

/**
 * What to load once the connection goes on at a place of the room: nothing, the rest up to there, or all anew, because
 * the room is another one (a backup was restored) or too much was missed to read through.
 */
export function missing(
  timeline: Timeline,
  epoch: string,
  at: { offset: number; epoch: string },
  recovered: boolean,
): 'nothing' | 'rest' | 'all' {
  if (at.epoch !== epoch) return 'all';
  if (recovered || at.offset === timeline.to) return 'nothing';
  return at.offset > timeline.to && at.offset - timeline.to <= MOST_MISSED ? 'rest' : 'all';
}

/** Lets go of the oldest messages when more than `most` are loaded. */
export function trim(timeline: Timeline, most: number, keep: number): Timeline {
  if (timeline.messages.length <= most) return timeline;
  return { ...timeline, messages: timeline.messages.slice(-keep), reachedStart: false };
}

function bySeq(a: Message, b: Message): number {
  return a.seq - b.seq;
}

function drain(timeline: Timeline, incoming: readonly Message[]): Timeline {
  const waiting = new Map<number, Message>();
  for (const message of [...timeline.held, ...incoming]) waiting.set(message.seq, message);
  const messages = [...timeline.messages];
  let to = timeline.to;
  if (timeline.loaded) {
    for (let next = waiting.get(to + 1); next; next = waiting.get(to + 1)) {
      messages.push(next);
      to = next.seq;
    }
  }
  const held = [...waiting.values()].filter((message) => message.seq > to || !timeline.loaded).sort(bySeq);
  return { ...timeline, messages, held, to };
}

/** Takes away what is confirmed, and hides what an own message that just came looks like. */
function settle(timeline: Timeline, arrived: readonly Message[], me: string | null): Timeline {
  if (timeline.pending.length === 0 || arrived.length === 0) return timeline;
  const aliases = { ...timeline.aliases };
  const claimed = new Set(timeline.pending.flatMap((one) => [one.stored ?? -1, one.shadow ?? -1]));
  const pending: Pending[] = [];
  for (const one of timeline.pending) {
    const stored = one.stored === null ? undefined : arrived.find((message) => message.seq === one.stored);
    if (stored) {
      aliases[stored.id] = one.client_id;
      continue;
    }
    const twin =
      one.stored === null && one.shadow === null && one.state === 'sending' && me !== null
        ? arrived.find((message) => looksLike(one, message, me) && !claimed.has(message.seq))
        : undefined;
    if (twin) {
      claimed.add(twin.seq);
      aliases[twin.id] = one.client_id;
    }
    pending.push(twin ? { ...one, shadow: twin.seq } : one);
  }
  return { ...timeline, pending, aliases };
}

function looksLike(one: Pending, message: Message, me: string): boolean {
  return message.user === me && message.content === one.content && message.reply_to === one.reply_to;
}

/** Shows a message before the server has it. */
export function send(
  timeline: Timeline,
  message: Pick<Pending, 'client_id' | 'content' | 'reply_to' | 'created_at'>,
): Timeline {
  const one: Pending = {
    ...message,
    state: 'sending',
    error: null,
    retry_at: null,
    stored: null,
    shadow: null,
  };
  return { ...timeline, pending: [...timeline.pending, one] };
}

/** The server has stored it as message `id` at `seq`. */
export function confirm(timeline: Timeline, clientId: string, id: string, seq: number): Timeline {
  if (!timeline.pending.some((one) => one.client_id === clientId)) return timeline;
  const here = timeline.loaded && seq <= timeline.to;
  const pending = here
    ? timeline.pending.filter((one) => one.client_id !== clientId)
    : timeline.pending.map((one) =>
        one.client_id === clientId ? { ...one, state: 'sending' as const, error: null, stored: seq, shadow: null } : one,
      );
  const aliases = Object.fromEntries(Object.entries(timeline.aliases).filter(([, alias]) => alias !== clientId));
  return { ...timeline, pending, aliases: { ...aliases, [id]: clientId } };
}

/** The server has refused it. */
export function fail(timeline: Timeline, clientId: string, error: string, retryAt: number | null): Timeline {
  return change(timeline, clientId, { state: 'failed', error, retry_at: retryAt, shadow: null });
}

/** It is being sent once more, under the same `client_id`. */
export function retry(timeline: Timeline, clientId: string): Timeline {
  return change(timeline, clientId, { state: 'sending', error: null, retry_at: null });
}

/** Its author gives it up. */
export function discard(timeline: Timeline, clientId: string): Timeline {
  return { ...timeline, pending: timeline.pending.filter((one) => one.client_id !== clientId) };
}

/** The unsent messages to show: those that no message of the room stands for yet. */
export function visiblePending(timeline: Timeline): Pending[] {
  return timeline.pending.filter((one) => one.shadow === null);
}

/** The unsent messages to send again when the connection is back, oldest first. */
export function unconfirmed(timeline: Timeline): Pending[] {
  return timeline.pending.filter((one) => one.state === 'sending' && one.stored === null);
}

function change(timeline: Timeline, clientId: string, patch: Partial<Pending>): Timeline {
  return {
    ...timeline,
    pending: timeline.pending.map((one) => (one.client_id === clientId ? { ...one, ...patch } : one)),
  };
}
