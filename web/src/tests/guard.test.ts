// What agents may still say, and what the page tells of it.

import { describe, expect, it } from 'vitest';
import { after, isNearEnd, isStopped, told } from '../lib/guard';
import type { AgentRules } from '../lib/types';
import { message } from './make';

const rules = (more: Partial<AgentRules> = {}): AgentRules => ({ paused: false, budget: 10, share: 5, remaining: 10, ...more });
const said = (...kinds: ('human' | 'agent')[]) => kinds.map((sender_type, index) => message(index + 1, { sender_type }));

describe('the budget of agents', () => {
  it('is used up by agents, and given back by a person', () => {
    expect(after(rules(), said('agent', 'agent')).remaining).toBe(8);
    expect(after(rules({ remaining: 1 }), said('agent', 'agent')).remaining).toBe(0);
    expect(after(rules({ remaining: 0 }), said('human')).remaining).toBe(10);
    expect(after(rules({ remaining: 0 }), said('human', 'agent')).remaining).toBe(9);
  });

  it('has no end where there is no limit', () => {
    const free = rules({ budget: 0, remaining: null });
    expect(after(free, said('agent', 'human'))).toBe(free);
    expect([isStopped(free), isNearEnd(free)]).toEqual([false, false]);
  });

  it('stops the agents when nothing is left, or when they are paused', () => {
    expect([isStopped(undefined), isStopped(rules()), isStopped(rules({ remaining: 0 })), isStopped(rules({ paused: true }))]).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  it('says that it comes to its end only near the end', () => {
    expect([3, 2, 1, 0].map((remaining) => isNearEnd(rules({ remaining })))).toEqual([false, true, true, false]);
  });
});

describe('what is told of the agents', () => {
  it('names the agent that was stopped, and what lets it go on', () => {
    const tripped = { type: 'guard', event: 'tripped', user: 'bot', name: 'scout', agents: rules({ remaining: 0 }) } as const;
    expect(told({ ...tripped, reason: 'budget' })).toBe('scout was stopped: the agents have used up their 10 messages.');
    expect(told({ ...tripped, reason: 'share' })).toBe('scout was stopped after 5 messages of its own. It goes on when a person says something.');
    expect(told({ type: 'guard', event: 'paused', agents: rules({ paused: true }) })).toBe('The agents were paused.');
    expect(told({ type: 'guard', event: 'lifted', agents: rules() })).toBe('The agents may go on.');
  });
});
