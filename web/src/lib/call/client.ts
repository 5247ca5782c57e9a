// What a page may know of a call: one interface for whoever carries it. The three that implement it are
// loaded when a call is joined, each alone.

import type { Kind } from '../types';

/** What one can send. */
export type Source = 'microphone' | 'camera' | 'screen';

/** Somebody in the call, with what comes from them now. */
export interface Attendee {
  id: string;
  name: string;
  kind: Kind;
  isMe: boolean;
  isSpeaking: boolean;
  /** Whether nothing is heard of them. */
  isMuted: boolean;
  /** What is to be played; never one's own. */
  sounds: readonly MediaStreamTrack[];
  camera: MediaStreamTrack | null;
  screen: MediaStreamTrack | null;
}

/** How a call ended for us. */
export type Ending = 'left' | 'removed' | 'over' | 'failed';

/** What happens in a call by itself. */
export type ClientEvent =
  | { type: 'reconnecting' }
  | { type: 'reconnected' }
  | { type: 'people'; people: readonly Attendee[] }
  /** What is sent changed, also by somebody else or by the browser's own buttons. */
  | { type: 'sending'; source: Source; on: boolean }
  /** Somebody else silenced our microphone. */
  | { type: 'muted' }
  /** A device that was on went away: unplugged, or taken back by the browser. */
  | { type: 'lost'; source: Source }
  | { type: 'ended'; how: Exclude<Ending, 'left'>; problem?: string };

/** One stay in a call. */
export interface CallClient {
  /** Whether it carries sound and picture, and knows who is there; else only the room knows. */
  readonly carries: boolean;
  /** Resolves once one is in; fails with a sentence for the person at the page. */
  join(token: string): Promise<void>;
  /** Fails with what the browser says of the device. */
  send(source: Source, on: boolean): Promise<void>;
  leave(): void;
}

export type Hear = (event: ClientEvent) => void;

/** Why one did not get in, in a sentence. */
export class NotJoined extends Error {}
