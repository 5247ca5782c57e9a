// Times, counts and names as a person reads them, in the reader's own language and zone.

import type { ChosenStatus } from './types';

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const long = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const longWithYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export const timeOfDay = (iso: string): string => clock.format(new Date(iso));
/** The time without `AM` and `PM`, where there is room for no more. */
export const shortTime = (iso: string): string =>
  clock
    .formatToParts(new Date(iso))
    .map((part) => (part.type === 'dayPeriod' ? '' : part.value))
    .join('')
    .trim();
export const fullTime = (iso: string): string => full.format(new Date(iso));
export const dateTime = (iso: string): string => dateAndTime.format(new Date(iso));

/** A day such as `2026-02-07`, as seen from `now`. */
export function dayName(day: string, now: Date): string {
  const at = new Date(`${day}T00:00:00`);
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const days = Math.round((midnight.getTime() - at.getTime()) / 86_400_000);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return at.getFullYear() === now.getFullYear() ? long.format(at) : longWithYear.format(at);
}

/** One or two letters that stand for a name. */
export function initials(name: string): string {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '');
  const letters = (words.length > 1 ? [words[0]!, words.at(-1)!] : [words[0] ?? name]).map((word) => [...word][0] ?? '?');
  return letters.join('').toUpperCase();
}

export const TINTS = 24;

/** Which of the tints a name wears: always the same one. */
export function tintOf(name: string): number {
  let hash = 2_166_136_261;
  for (const character of name.normalize('NFC').toLowerCase()) {
    hash = Math.imul(hash ^ character.codePointAt(0)!, 16_777_619);
  }
  // The last bits of that hash alone would give like names like tints.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  return (hash >>> 16) % TINTS;
}

/** As what somebody is seen, in a word. */
export const statusWords: Record<ChosenStatus, string> = { online: 'Online', away: 'Away', busy: 'Busy', invisible: 'Appear offline' };

/** `1 message`, `2 messages`. */
export function count(number: number, word: string): string {
  return `${number.toLocaleString()} ${word}${number === 1 ? '' : 's'}`;
}

/** The beginning of a message in one line, without the signs of its markup. */
export function excerpt(content: string): string {
  return content
    .slice(0, 800)
    .replace(/^[ \t]*(?:```+|~~~+)[\w+#.-]*/gm, '')
    .replace(/^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$|^[ \t|:-]*\|[ \t|:-]*$/gm, '')
    .replace(/^[ \t]*(?:(?:#{1,6}|[-*+])[ \t]+|>[ \t]?)+/gm, '')
    .replace(/^\[([ xX])\] /gm, (_, mark: string) => (mark === ' ' ? '☐ ' : '☑ '))
    .replace(/^[ \t]*\|[ \t]*|[ \t]*\|[ \t]*$/gm, '')
    .replace(/!?\[([^\]\n]*)\]\([^)\n]*(?:\)|$)/g, '$1')
    .replace(/<((?:https?:\/\/|mailto:)[^\s<>]+)>/g, '$1')
    .replace(/`+|\*\*|__|~~/g, '')
    .replace(/(?<![\w*])\*(?=\S)([^*\n]*[^*\s])\*(?![\w*])/g, '$1')
    .replace(/(?<!\w)_(?=\S)([^_\n]*[^_\s])_(?!\w)/g, '$1')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 200);
}

/** The rest of a wait: `12 s`, `3 min`, `2 h`. */
export function wait(milliseconds: number): string {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}
