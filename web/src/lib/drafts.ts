// What somebody has typed and not sent, kept for each room.

import type { Storage } from './storage';

const PREFIX = 'meet-ai-draft:';

/** The text left in a room. */
export function readDraft(storage: Storage, room: string): string {
  return storage.get(PREFIX + room) ?? '';
}

/** Forgets the text of every room. */
export function clearDrafts(storage: Storage): void {
  storage.clear(PREFIX);
}

/** Keeps the text of a room; blank text is not kept. */
export function writeDraft(storage: Storage, room: string, text: string): void {
  if (text.trim() === '') storage.remove(PREFIX + room);
  else storage.set(PREFIX + room, text);
}
