// Every request of the pages, in one place: the credential, and errors as one type. Paths, parameters
// and bodies are checked against the committed OpenAPI document.

import createClient from 'openapi-fetch';
import type { components, paths } from './openapi';
import type {
  CallToken,
  ChosenStatus,
  ConferenceConfig,
  Invite,
  Message,
  NewCallToken,
  NewInvite,
  PresenceMember,
  Reading,
  Room,
  RoomDetails,
  RoomPatch,
  SendMessage,
  SessionInfo,
  Visibility,
} from './types';

/** A refusal of the server, or no answer at all (`status` 0, `code` `offline`). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Seconds after which it makes sense to try again, when the server says so. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }

  get offline(): boolean {
    return this.status === 0;
  }
}

export interface SignIn {
  key?: string;
  invite?: string;
  owner?: string;
  name: string;
}

/** The longest page of a list. */
const PAGE = 1000;

let pageKey: string | null = null;

/** Sets the key that goes along with every request; without one the session's cookie speaks. */
export function useKey(key: string | null): void {
  pageKey = key;
}

const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });
const settings = {
  baseUrl: location.origin,
  headers: { Accept: 'application/json' },
  // Looked up for each request, as the browser's own code would.
  fetch: (request: Request) => fetch(request),
};
/** Speaks with the page's key, or the cookie when there is none. */
const server = createClient<paths>(settings);
server.use({
  onRequest({ request }) {
    if (pageKey !== null) request.headers.set('Authorization', bearer(pageKey).Authorization);
    return request;
  },
});
/** Speaks with the cookie alone. */
const keyless = createClient<paths>(settings);

interface Answer {
  data?: unknown;
  error?: unknown;
  response: Response;
}

/** The answer of a request as type `T`; its refusal as an error. */
async function take<T>(request: Promise<Answer>): Promise<T> {
  let answer: Answer;
  try {
    answer = await request;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new ApiError(0, 'offline', 'The server cannot be reached.');
  }
  if (answer.response.ok) return answer.data as T;
  throw refusal(answer);
}

function refusal({ error, response }: Answer): ApiError {
  // Something between the server and the page may answer in a form of its own.
  const body = typeof error === 'object' && error !== null ? (error as { error?: unknown; code?: unknown }) : {};
  const after = Number(response.headers.get('Retry-After') ?? '');
  return new ApiError(
    response.status,
    typeof body.code === 'string' ? body.code : 'unknown',
    typeof body.error === 'string' ? body.error : `The server answered ${response.status}.`,
    Number.isFinite(after) && after > 0 ? after : null,
  );
}

/** Reads a list to its end, page by page. */
async function all<T extends { id: string }>(page: (query: { limit: number; after?: string }) => Promise<T[]>): Promise<T[]> {
  const items = await page({ limit: PAGE });
  for (let last = items; last.length === PAGE; ) {
    last = await page({ limit: PAGE, after: last.at(-1)!.id });
    items.push(...last);
  }
  return items;
}

const token = async (asked: Promise<Answer>) => (await take<{ token: string }>(asked)).token;
const inRoom = (id: string) => ({ path: { id } });

export const api = {
  createKey: () => take<{ key: string }>(keyless.POST('/api/keys')),

  /** Who the cookie is, or who a key is. */
  session: (key: string | null) =>
    take<SessionInfo>(keyless.GET('/api/session', key === null ? {} : { headers: bearer(key) })),
  signIn: (body: SignIn) => take<SessionInfo>(keyless.POST('/api/session', { body: { ...body, kind: 'human' } })),
  signOut: () => take<void>(keyless.DELETE('/api/session')),

  /** The list says what the reader has not read, which a key alone is not. */
  rooms: () => all((query) => take<Room[]>(keyless.GET('/api/rooms', { params: { query } }))),
  publicRooms: () => take<Room[]>(server.GET('/api/public/rooms')),
  room: (id: string) => take<RoomDetails>(server.GET('/api/rooms/{id}', { params: inRoom(id) })),
  createRoom: (name: string, visibility: Visibility) => take<Room>(server.POST('/api/rooms', { body: { name, visibility } })),
  updateRoom: (id: string, body: RoomPatch) => take<Room>(server.PATCH('/api/rooms/{id}', { params: inRoom(id), body })),
  deleteRoom: (id: string) => take<void>(server.DELETE('/api/rooms/{id}', { params: inRoom(id) })),
  /** Goes out also when the page is left right after. */
  markRead: (id: string, seq: number) =>
    take<Reading>(keyless.PUT('/api/rooms/{id}/read', { params: inRoom(id), body: { seq }, keepalive: true })),
  presence: (id: string) =>
    take<{ members: PresenceMember[]; watching: number }>(server.GET('/api/rooms/{id}/presence', { params: inRoom(id) })),

  /** Tokens and the own status belong to whom the cookie says: a key alone is nobody's. */
  connectionToken: (room: string | null = null) =>
    token(keyless.POST('/realtime/connection-token', room === null ? {} : { body: { spaceId: room } })),
  subscribeToken: (id: string) => token(keyless.POST('/api/rooms/{id}/subscribe-token', { params: inRoom(id) })),
  status: async (user: string) => {
    const [seen] = await take<components['schemas']['UserStatus'][]>(
      keyless.GET('/presence', { params: { query: { user: [user] } } }),
    );
    return seen?.status ?? 'offline';
  },
  setStatus: (status: ChosenStatus, signal: AbortSignal) =>
    take<unknown>(keyless.PUT('/presence/status', { body: { status }, signal })),

  before: (id: string, seq: number, limit: number) =>
    take<Message[]>(server.GET('/api/rooms/{id}/messages', { params: { ...inRoom(id), query: { before_seq: seq, limit } } })),
  /** What stands behind a message; a room of another epoch refuses. */
  after: (id: string, seq: number, limit: number, epoch: string) =>
    take<Message[]>(
      server.GET('/api/rooms/{id}/messages', { params: { ...inRoom(id), query: { after_seq: seq, limit, epoch } } }),
    ),
  afterMessage: (id: string, message: string, limit: number) =>
    take<Message[]>(server.GET('/api/rooms/{id}/messages', { params: { ...inRoom(id), query: { after: message, limit } } })),
  search: (id: string, q: string, limit: number, signal: AbortSignal) =>
    take<Message[]>(server.GET('/api/rooms/{id}/search', { params: { ...inRoom(id), query: { q, limit } }, signal })),
  post: (id: string, clientId: string, body: SendMessage, signal: AbortSignal) =>
    take<Message>(
      server.POST('/api/rooms/{id}/messages', { params: { ...inRoom(id), header: { 'Idempotency-Key': clientId } }, body, signal }),
    ),

  createInvite: (id: string, role: 'member' | 'spectator', expiresIn: number, maxUses: number | null) =>
    take<NewInvite>(
      server.POST('/api/rooms/{id}/invites', { params: inRoom(id), body: { role, expires_in: expiresIn, max_uses: maxUses } }),
    ),
  invites: (id: string) =>
    all((query) => take<Invite[]>(server.GET('/api/rooms/{id}/invites', { params: { ...inRoom(id), query } }))),
  revokeInvite: (id: string) => take<void>(server.DELETE('/api/invites/{id}', { params: inRoom(id) })),

  /** Where calls are; `null` when this server carries none. */
  conference: async () => (await take<{ conference?: ConferenceConfig | null }>(keyless.GET('/realtime/config'))).conference ?? null,
  /** A way into the call of a room that one is in. */
  conferenceToken: (room: string) => token(keyless.POST('/realtime/conference-token', { body: { spaceId: room } })),
  /** A way into the call of a name, and into its chat. */
  callToken: (body: NewCallToken) => take<CallToken>(keyless.POST('/api/token', { body })),

  openapi: () => take<unknown>(keyless.GET('/openapi.json')),
};

/** An error as one sentence for the person at the page. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return 'Something went wrong.';
  if (error.code === 'rate_limited' && error.retryAfter !== null) return 'That was too fast for this server.';
  return sentence(error.message);
}

/** What the server says, written as a sentence. */
export function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
