// Who is in a room's call, as pure data: the list of the server and what the room's channel told since.

import type { CallEvent, CallParticipant } from '../types';

interface Attending {
  participants: readonly CallParticipant[];
  /** Whether the list may be wrong now. */
  doubtful: boolean;
}

/** Applies one event; `now` stands for the time of arrival of somebody who joins. */
export function attend(participants: readonly CallParticipant[], event: CallEvent, now: string): Attending {
  const { user = null, name, kind } = event;
  // Somebody whom the provider alone knows has a name and nothing else to be told by.
  if (user === null) return { participants, doubtful: true };
  const known = participants.some((one) => one.user === user);
  if (event.event === 'join') {
    return { participants: known ? participants : [...participants, { user, name, kind, since: now }], doubtful: false };
  }
  return { participants: participants.filter((one) => one.user !== user), doubtful: false };
}
