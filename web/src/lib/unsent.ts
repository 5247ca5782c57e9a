// Messages that were sent and never confirmed: they outlive a reload of the tab, under the same ids, so
// that sending them again never doubles.

import { readJson, type Storage } from './storage';
import type { Pending } from './timeline';

const PREFIX = 'meet-ai-unsent:';

export interface Unsent {
  client_id: string;
  content: string;
  reply_to: string | null;
  created_at: string;
  user: string;
}

function isUnsent(value: unknown): value is Unsent[] {
  return Array.isArray(value) && value.every((one) => typeof one?.client_id === 'string' && typeof one.content === 'string');
}

/** What somebody left unsent in a room. */
export function readUnsent(storage: Storage, room: string, user: string | undefined): Unsent[] {
  return readJson(storage, PREFIX + room, isUnsent, []).filter((one) => one.user === user);
}

/** Keeps what the server has not confirmed in a room. */
export function keepUnsent(storage: Storage, room: string, user: string, pending: readonly Pending[]): void {
  const unsent: Unsent[] = pending
    .filter((one) => one.stored === null)
    .map(({ client_id, content, reply_to, created_at }) => ({ client_id, content, reply_to, created_at, user }));
  if (unsent.length === 0) storage.remove(PREFIX + room);
  else storage.set(PREFIX + room, JSON.stringify(unsent));
}

/** Forgets the unsent messages of every room. */
export function clearUnsent(storage: Storage): void {
  storage.clear(PREFIX);
}
