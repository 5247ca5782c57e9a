// Who is in a room, as pure data: the list of the server and what happened since.

import type { PresenceMember, ServerFrame } from './types';

type PresenceFrame = Extract<ServerFrame, { type: 'presence' }>;

/** Applies one event; `now` stands for the time of arrival of somebody who joins. */
export function apply(members: readonly PresenceMember[], frame: PresenceFrame, now: string): PresenceMember[] {
  const others = members.filter((member) => member.user !== frame.user);
  if (frame.event === 'leave') return others;
  const before = members.find((member) => member.user === frame.user);
  const member: PresenceMember = {
    user: frame.user,
    name: frame.name,
    kind: frame.kind,
    status: frame.status,
    since: before?.since ?? now,
  };
  return before ? members.map((one) => (one.user === frame.user ? member : one)) : [...others, member];
}
