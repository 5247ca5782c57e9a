// A stay in a call from the first wish to its end, as pure data. Whatever comes after the end belongs to
// a stay that is over, and changes nothing.

import type { Attendee, ClientEvent, Ending, Source } from './client';
import { explainLost } from './devices';

type Phase = 'idle' | 'joining' | 'in' | 'reconnecting' | 'out';
type Sending = 'off' | 'starting' | 'on';

export interface CallState {
  phase: Phase;
  /** How it ended, once it did. */
  ending: Ending | null;
  /** Why it ended, when that can be said. */
  problem: string;
  /** Who is in the call; `null` while only the room knows. */
  people: readonly Attendee[] | null;
  sending: Readonly<Record<Source, Sending>>;
  /** What is wrong with a device, in a sentence. */
  trouble: Readonly<Partial<Record<Source, string>>>;
  /** Whether somebody else silenced us since we spoke last. */
  silenced: boolean;
}

export type CallStep =
  | ClientEvent
  | { type: 'join' }
  | { type: 'joined' }
  | { type: 'leave' }
  /** Somebody wants to send, which may need a permission first. */
  | { type: 'asked'; source: Source }
  /** A device did not do what it was asked for: it did not start, or is on still. */
  | { type: 'device'; source: Source; problem: string; on: boolean };

const silent: CallState['sending'] = { microphone: 'off', camera: 'off', screen: 'off' };

export const idle: CallState = {
  phase: 'idle',
  ending: null,
  problem: '',
  people: null,
  sending: silent,
  trouble: {},
  silenced: false,
};

/** Whether one is in, or about to be again. */
export function isIn(state: CallState): boolean {
  return state.phase === 'in' || state.phase === 'reconnecting';
}

export function step(state: CallState, event: CallStep): CallState {
  if (event.type === 'join') return { ...idle, phase: 'joining' };
  if (state.phase === 'idle' || state.phase === 'out') return state;
  switch (event.type) {
    case 'joined':
      return { ...state, phase: 'in' };
    case 'reconnecting':
      return state.phase === 'in' ? { ...state, phase: 'reconnecting' } : state;
    case 'reconnected':
      return state.phase === 'reconnecting' ? { ...state, phase: 'in' } : state;
    case 'people':
      return { ...state, people: event.people };
    case 'asked':
      return { ...sending(state, event.source, 'starting'), trouble: without(state.trouble, event.source) };
    case 'sending': {
      // What is said once more says nothing about a device that is in trouble.
      if (state.sending[event.source] === (event.on ? 'on' : 'off')) return state;
      const next = { ...sending(state, event.source, event.on ? 'on' : 'off'), trouble: without(state.trouble, event.source) };
      return event.source === 'microphone' && event.on ? { ...next, silenced: false } : next;
    }
    case 'device':
      return { ...sending(state, event.source, event.on ? 'on' : 'off'), trouble: { ...state.trouble, [event.source]: event.problem } };
    case 'lost':
      return { ...sending(state, event.source, 'off'), trouble: { ...state.trouble, [event.source]: explainLost(event.source) } };
    case 'muted':
      return { ...sending(state, 'microphone', 'off'), silenced: true };
    case 'leave':
      return ended(state, 'left', '');
    case 'ended':
      return ended(state, event.how, event.problem ?? '');
  }
}

function sending(state: CallState, source: Source, how: Sending): CallState {
  return { ...state, sending: { ...state.sending, [source]: how } };
}

function without(trouble: CallState['trouble'], source: Source): CallState['trouble'] {
  const { [source]: _gone, ...rest } = trouble;
  return rest;
}

function ended(state: CallState, ending: Ending, problem: string): CallState {
  return { ...state, phase: 'out', ending, problem, people: null, sending: silent, trouble: {} };
}
