// What agents may still say in a room without a person between: counted on from the server's last word,
// and said as a person reads it. It stops nobody; the server does.

import { count } from './format';
import type { AgentRules, GuardEvent, Message } from './types';

/** From this part of the budget on, the rest is shown. */
const NEAR = 0.2;

/** The most that the server takes as a limit. */
export const MOST = 1000;

/** Whether the server takes this as a limit; 0 is none. */
export const isLimit = (number: number | null) => number !== null && Number.isInteger(number) && number >= 0 && number <= MOST;

/** Whether no agent may say anything here now. */
export function isStopped(rules: AgentRules | undefined): boolean {
  return rules !== undefined && (rules.paused || rules.remaining === 0);
}

/** Whether agents may say only a few messages more. */
export function isNearEnd(rules: AgentRules | undefined): boolean {
  return rules !== undefined && rules.remaining !== null && rules.remaining > 0 && rules.remaining <= rules.budget * NEAR;
}

/** The rules after more messages: those of agents use the budget up, one of a person gives it back. */
export function after(rules: AgentRules, messages: readonly Message[]): AgentRules {
  if (rules.remaining === null || messages.length === 0) return rules;
  let { remaining } = rules;
  for (const { sender_type } of messages) remaining = sender_type === 'agent' ? Math.max(0, remaining - 1) : rules.budget;
  return { ...rules, remaining };
}

/** What happened to the agents of a room, as a sentence. */
export function told({ event, reason, name, agents }: GuardEvent): string {
  const who = name ?? 'An agent';
  switch (event) {
    case 'tripped':
      return reason === 'share'
        ? `${who} was stopped after ${count(agents.share, 'message')} of its own. It goes on when a person says something.`
        : `${who} was stopped: the agents have used up their ${count(agents.budget, 'message')}.`;
    case 'paused':
      return 'The agents were paused.';
    case 'lifted':
    case 'resumed':
      return 'The agents may go on.';
  }
}
