// The list of people, from the server's list and what happened since.

import { describe, expect, it } from 'vitest';
import { apply } from '../lib/presence';
import type { PresenceMember } from '../lib/types';

const NOW = '2026-02-07T12:00:00.000Z';
const anna: PresenceMember = { user: 'anna', name: 'Anna', kind: 'human', status: 'busy', since: '2026-02-07T11:00:00.000Z' };
const bot = { user: 'bot', name: 'bot', kind: 'agent' as const };

describe('the people of a room', () => {
  it('have somebody new at the end, who may be seen as something else', () => {
    const joined = apply([anna], { event: 'join', ...bot }, NOW);
    expect(joined).toEqual({ members: [anna, { ...bot, status: 'online', since: NOW }], doubtful: true });
  });

  it('stay the same when somebody comes by one more connection', () => {
    expect(apply([anna], { event: 'join', user: 'anna', name: 'Anna', kind: 'human' }, NOW)).toEqual({ members: [anna], doubtful: false });
  });

  it('may have lost somebody by whose connection went', () => {
    expect(apply([anna], { event: 'leave', user: 'anna' }, NOW)).toEqual({ members: [anna], doubtful: true });
    expect(apply([anna], { event: 'leave', user: 'bot' }, NOW)).toEqual({ members: [anna], doubtful: false });
  });

  it('are seen as what they say, in the same place', () => {
    const members = [anna, { ...bot, status: 'online' as const, since: NOW }];
    const changed = apply(members, { type: 'presence', event: 'status', user: 'anna', name: 'Anna', kind: 'human', status: 'away' }, NOW);
    expect(changed).toEqual({ members: [{ ...anna, status: 'away', about: null }, members[1]], doubtful: false });
  });

  it('are not all known when somebody else changes', () => {
    expect(apply([anna], { type: 'presence', event: 'status', ...bot, status: 'busy' }, NOW)).toEqual({ members: [anna], doubtful: true });
  });
});
