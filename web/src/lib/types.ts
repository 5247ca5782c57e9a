// The shapes of the wire, by the names that the pages use. Those of requests and answers come from the
// committed OpenAPI document (`npm run api`); the frames of the room socket are not in it and stand here.

import type { components } from './openapi';

type Schemas = components['schemas'];

/** An answer: the server writes every field, also those that may be null. */
type Whole<T> = { [K in keyof T]-?: Exclude<T[K], undefined> };

export type Kind = Schemas['Kind'];
export type Role = Schemas['Role'];
export type Visibility = Schemas['Visibility'];
export type Status = Schemas['Status'];

export type Room = Whole<Schemas['Room']>;
/** `roomId` repeats `room_id` for older clients. */
export type Message = Omit<Whole<Schemas['Message']>, 'roomId' | 'type'> & { type: 'message' };
export type User = Whole<Schemas['User']>;
export type SessionInfo = Omit<Whole<Schemas['SessionInfo']>, 'token'>;
export type PresenceMember = Whole<Schemas['PresenceMember']>;
export type Invite = Whole<Schemas['Invite']>;
export type NewInvite = Whole<Schemas['NewInvite']>;

export type SendMessage = Pick<Schemas['SendMessage'], 'sender' | 'sender_type' | 'reply_to'> & { content: string };
export type RoomPatch = Pick<Schemas['UpdateRoom'], 'name' | 'visibility' | 'history'>;

/** A frame from the server. A type that is not listed here is ignored. */
export type ServerFrame =
  | { type: 'hello'; room_id: string; head_seq: number; epoch: string }
  | { type: 'resync'; head_seq: number; epoch: string }
  | { type: 'position'; seq: number }
  | {
      type: 'presence';
      event: 'join' | 'leave' | 'status';
      user: string;
      name: string;
      kind: Kind;
      status: Status;
    }
  | { type: 'ack'; client_id?: string; id: string; seq: number }
  | { type: 'error'; error: string; code: string; client_id?: string }
  | { type: 'pong' }
  | Message;
