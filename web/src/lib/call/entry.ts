// The way into a call by its name: what is proposed, what is kept, and what a refusal means.

import { ApiError, explain, sentence } from '../api';
import { makeHandle } from '../handle';

/** The most characters of a room's name and of a visitor's. */
export const MOST = { room: 64, name: 32 };

/** A number from 0 up to 1 that nobody can foresee, since whoever guesses a room's name is in. */
export function secretChance(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32;
}

/** A name for a room, such as `amber-otter-4207`. */
export function makeRoomName(chance: () => number): string {
  return `${makeHandle(chance)}-${1000 + Math.min(8999, Math.floor(chance() * 9000))}`;
}

/** The address that leads others to a room. */
export function linkTo(room: string): string {
  return `${location.origin}/call?room=${encodeURIComponent(room)}`;
}

/** Why there is no way in. */
export interface Refused {
  why: 'ended' | 'bot' | 'other';
  text: string;
  /** Milliseconds since the epoch after which to try again, when that is known. */
  retryAt: number | null;
}

/** What a refusal means to the person at the page; `now` in milliseconds. */
export function refused(error: unknown, now: number): Refused {
  const text = explain(error);
  if (!(error instanceof ApiError)) return { why: 'other', text, retryAt: null };
  const retryAt = error.retryAfter === null ? null : now + error.retryAfter * 1000;
  switch (error.status) {
    case 410:
      return { why: 'ended', text, retryAt: null };
    case 429:
      return { why: 'other', text: sentence(error.message), retryAt };
    case 403:
      return { why: error.message.startsWith('Turnstile') ? 'bot' : 'other', text, retryAt: null };
    default:
      return { why: 'other', text, retryAt };
  }
}
