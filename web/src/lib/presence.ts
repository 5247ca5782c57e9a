// Who is in a room, as pure data: the list of the server and what happened since. Joins and leaves are
// those of connections, of which one person may have several, and do not say as what somebody is seen;
// so the server is asked again after what the list cannot know by itself.

import type { Kind, PresenceMember, RoomEvent } from './types';

export type PresenceEvent =
  | { event: 'join'; user: string; name: string; kind: Kind }
  | { event: 'leave'; user: string }
  | Extract<RoomEvent, { type: 'presence' }>;

export interface People {
  members: readonly PresenceMember[];
  /** Whether the list may be wrong now. */
  doubtful: boolean;
}

/** Applies one event; `now` stands for the time of arrival of somebody who joins. */
export function apply(members: readonly PresenceMember[], event: PresenceEvent, now: string): People {
  const known = members.find((member) => member.user === event.user);
  switch (event.event) {
    case 'join': {
      if (known) return { members, doubtful: false };
      const { user, name, kind } = event;
      return { members: [...members, { user, name, kind, status: 'online', since: now }], doubtful: true };
    }
    case 'leave':
      return { members, doubtful: known !== undefined };
    case 'status': {
      const { status, about = null } = event;
      if (!known) return { members, doubtful: true };
      return { members: members.map((member) => (member === known ? { ...member, status, about } : member)), doubtful: false };
    }
  }
}
