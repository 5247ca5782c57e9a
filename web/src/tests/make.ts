// Makes the things that tests talk about.

import type { Storage } from '../lib/storage';
import type { Message, Room } from '../lib/types';

export const ME = 'user-me';

export function message(seq: number, more: Partial<Message> = {}): Message {
  return {
    id: `message-${seq}`,
    room_id: 'room-1',
    seq,
    type: 'message',
    user: 'user-anna',
    sender: 'Anna',
    sender_type: 'human',
    content: `text ${seq}`,
    reply_to: null,
    created_at: new Date(Date.UTC(2026, 1, 7, 12, 0, seq)).toISOString(),
    ...more,
  };
}

export function messages(from: number, to: number): Message[] {
  return Array.from({ length: to - from + 1 }, (_, index) => message(from + index));
}

export function room(more: Partial<Room> = {}): Room {
  return {
    id: 'room-1',
    name: 'planning',
    visibility: 'private',
    media: 'audio',
    bot_enabled: false,
    head_seq: 0,
    epoch: 'epoch-1',
    online: 0,
    created_at: '2026-02-07T12:00:00.000Z',
    expires_at: null,
    agents: { paused: false, budget: 50, share: 25, remaining: 50 },
    ...more,
  };
}

/** A storage that forgets with the test. */
export function memory(): Storage {
  const map = new Map<string, string>();
  return {
    get: (key) => map.get(key) ?? null,
    set: (key, value) => void map.set(key, value),
    remove: (key) => void map.delete(key),
    clear: (prefix) => {
      for (const key of [...map.keys()]) if (key.startsWith(prefix)) map.delete(key);
    },
  };
}
