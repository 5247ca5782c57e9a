// The shapes of the wire, by the names that the pages use. Those of requests and answers come from the
// committed OpenAPI document (`npm run api`); the events of the connection are not in it and stand here.

import type { components } from './openapi';

type Schemas = components['schemas'];

/** An answer: the server writes every field, also those that may be null. */
type Whole<T> = { [K in keyof T]-?: Exclude<T[K], undefined> };

export type Kind = Schemas['Kind'];
export type Role = Schemas['Role'];
export type Visibility = Schemas['Visibility'];
export type Status = Schemas['Status'];
export type ChosenStatus = Schemas['ChosenStatus'];

export type AgentRules = Whole<Schemas['AgentRules']>;
export type Reading = Schemas['Reading'];
export type Doing = Schemas['Doing'];
export type About = Schemas['About'];

type PlaceOfReader = Partial<Omit<Reading, 'room_id'>>;
/** Rooms of one's own say how far one has read them; those that the connection tells of do not. */
export type Room = Omit<Whole<Schemas['Room']>, 'agents' | keyof PlaceOfReader> & { agents: AgentRules } & PlaceOfReader;
export type Media = Schemas['Media'];
export type CallParticipant = Schemas['CallParticipant'];
/** A room, and who is in its call. */
export type RoomDetails = Room & { call: Schemas['Call'] };
export type CallToken = Whole<Schemas['CallToken']>;
export type NewCallToken = Schemas['NewCallToken'];
export type ConferenceConfig = Schemas['ConferenceConfig'];
/** `roomId` repeats `room_id` for older clients. */
export type Message = Omit<Whole<Schemas['Message']>, 'roomId' | 'type'> & { type: 'message' };
export type User = Whole<Schemas['User']>;
export type SessionInfo = Omit<Whole<Schemas['SessionInfo']>, 'token'>;
export type PresenceMember = Omit<Whole<Schemas['PresenceMember']>, 'about'> & { about?: About | null };
export type Invite = Whole<Schemas['Invite']>;
export type NewInvite = Whole<Schemas['NewInvite']>;

export type SendMessage = Pick<Schemas['SendMessage'], 'sender' | 'sender_type' | 'reply_to'> & { content: string };
export type RoomPatch = Pick<
  Schemas['UpdateRoom'],
  'name' | 'visibility' | 'history' | 'media' | 'agent_budget' | 'agent_share' | 'agents_paused'
>;

/** What comes on the channels of the connection that belong to no room. A type that is not listed here is ignored. */
export type LiveEvent =
  | ({ type: 'room_created' | 'room_updated' } & Room)
  | { type: 'room_deleted'; id: string }
  | { type: 'status'; status: ChosenStatus }
  | ({ type: 'read' } & Reading)
  | { type: 'mention'; message: Message };

/** Somebody came into the call of a room, or left it. */
export type CallEvent = { type: 'call'; event: 'join' | 'leave'; user?: string | null; name: string; kind: Kind };

/** The agents of a room were stopped, or may go on. */
export type GuardEvent = {
  type: 'guard';
  event: 'tripped' | 'lifted' | 'paused' | 'resumed';
  reason?: 'budget' | 'share' | null;
  user?: string | null;
  name?: string | null;
  agents: AgentRules;
};

/** Somebody tells what it is doing; kept nowhere. */
export type LogEvent = { type: 'log'; user: string; name: string; kind: Kind; text: string };

/** What comes on the channel of a room. */
export type RoomEvent =
  | Message
  | CallEvent
  | GuardEvent
  | LogEvent
  | { type: 'presence'; event: 'status'; user: string; name: string; kind: Kind; status: Status; about?: About | null };
