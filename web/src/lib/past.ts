// A part of a room's history that does not reach its end, as when a search leads far back. It stands
// beside the timeline, which goes on by itself, until it has grown together with it or is left.
//
// Invariant: `messages` is ascending and contiguous by `seq`, not empty, and ends before the timeline begins.

import { firstSeq, prepend, type Timeline } from './timeline';
import type { Message } from './types';

export interface Past {
  messages: readonly Message[];
  reachedStart: boolean;
}

/** The most messages that are kept of it. */
const MOST = 6000;

/** Whether there may be messages before a page that was asked for by its end: pages may be of any length. */
export function hasMore(page: readonly Message[]): boolean {
  return page.length > 0 && page[0]!.seq > 1;
}

/** Takes a page that is somewhere in the room: it becomes the past, or part of the timeline when it touches it. */
export function visit(timeline: Timeline, page: readonly Message[]): { timeline: Timeline; past: Past | null } {
  const last = page.at(-1);
  if (!last) return { timeline, past: null };
  if (page[0]!.seq >= firstSeq(timeline)) return { timeline, past: null };
  if (last.seq >= firstSeq(timeline) - 1) return { timeline: prepend(timeline, page, hasMore(page)), past: null };
  return { timeline, past: { messages: page, reachedStart: !hasMore(page) } };
}

/** Takes the page just before the past; lets go of its other end when it becomes too long. */
export function older(past: Past, page: readonly Message[]): Past {
  const first = past.messages[0]!.seq;
  const messages = [...page.filter((message) => message.seq < first), ...past.messages];
  return { messages: messages.slice(0, MOST), reachedStart: !hasMore(page) };
}

/** Takes the page just after the past; the two become one timeline when they meet. */
export function newer(timeline: Timeline, past: Past, page: readonly Message[]): { timeline: Timeline; past: Past | null } {
  const last = past.messages.at(-1)!.seq;
  const messages = [...past.messages, ...page.filter((message) => message.seq > last)];
  if (messages.at(-1)!.seq >= firstSeq(timeline) - 1) return { timeline: prepend(timeline, messages, !past.reachedStart), past: null };
  if (messages.length <= MOST) return { timeline, past: { ...past, messages } };
  return { timeline, past: { messages: messages.slice(-MOST), reachedStart: false } };
}
