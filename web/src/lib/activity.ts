// What those in a room say that they are doing: a line of each, which goes when it speaks or when time has
// passed. Nothing of it is kept.

import type { Doing, LogEvent, PresenceMember } from './types';

/** How long a line stands. */
const SHOWN_MS = 30_000;
/** Of how many a line is kept. */
const MOST = 20;

export interface Line {
  user: string;
  name: string;
  text: string;
  /** When it goes, in milliseconds since the Unix epoch. */
  until: number;
}

/** Takes a line, in place of an earlier one of the same; the newest stands first. */
export function heard(lines: readonly Line[], { user, name, text }: LogEvent, now: number): readonly Line[] {
  return [{ user, name, text, until: now + SHOWN_MS }, ...lines.filter((line) => line.user !== user)].slice(0, MOST);
}

/** Lets go of the lines of those who spoke. */
export function spoken(lines: readonly Line[], users: readonly string[]): readonly Line[] {
  return lines.some((line) => users.includes(line.user)) ? lines.filter((line) => !users.includes(line.user)) : lines;
}

/** Lets go of the lines whose time is over. */
export function lasting(lines: readonly Line[], now: number): readonly Line[] {
  return lines.some((line) => line.until <= now) ? lines.filter((line) => line.until > now) : lines;
}

export const doingWords: Record<Doing, string> = { listening: 'listening', working: 'working', waiting: 'waiting on a person' };

/** Those who wait on a person, in the order of the list. */
export function waiting(members: readonly PresenceMember[]): readonly PresenceMember[] {
  return members.filter((member) => member.about?.doing === 'waiting');
}
