// The shapes of the wire, as the pages use them: names and fields are those of the API.

export type Kind = 'human' | 'agent';
export type Role = 'owner' | 'member' | 'spectator';
export type Visibility = 'private' | 'public';
export type Media = 'audio' | 'screenshare';
export type Status = 'online' | 'away' | 'busy';

export interface Room {
  id: string;
  name: string;
  visibility: Visibility;
  media: Media;
  bot_enabled: boolean;
  head_seq: number;
  epoch: string;
  online: number;
  created_at: string;
  expires_at: string | null;
}

export interface Message {
  id: string;
  room_id: string;
  seq: number;
  type: 'message';
  user: string;
  sender: string;
  sender_type: Kind;
  content: string;
  reply_to: string | null;
  created_at: string;
}

export interface User {
  id: string;
  name: string;
  kind: Kind;
}

export interface SessionInfo {
  user: User | null;
  org: string;
  role: Role;
  rooms: string[] | null;
}

export interface PresenceMember {
  user: string;
  name: string;
  kind: Kind;
  status: Status;
  since: string;
}

export interface RoomPresence {
  members: PresenceMember[];
  watching: number;
}

export interface NewKey {
  key: string;
  prefix: string;
}

export interface NewInvite {
  id: string;
  url: string;
  token: string;
  role: Role;
  expires_at: string;
}

export interface Invite {
  id: string;
  role: Role;
  expires_at: string;
  max_uses: number | null;
  uses: number;
  created_at: string;
}

export interface SendMessage {
  content: string;
  sender?: string;
  sender_type?: Kind;
  reply_to?: string;
}

export interface RoomPatch {
  name?: string;
  visibility?: Visibility;
  history?: 'all';
}

export interface ErrorBody {
  error: string;
  code: string;
}

// Frames of the room socket. A type that is not listed here is ignored.
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
