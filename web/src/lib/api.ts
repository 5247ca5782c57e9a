// Every request of the pages, in one place: paths, the credential, and errors as one type.

import type {
  ErrorBody,
  Invite,
  Message,
  NewInvite,
  NewKey,
  Role,
  Room,
  RoomPatch,
  RoomPresence,
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

interface Call {
  body?: unknown;
  headers?: Record<string, string>;
  /** Send this key, or `null` for the cookie alone; the page's own credential when absent. */
  key?: string | null;
  signal?: AbortSignal;
}

let pageKey: string | null = null;

/** Sets the key that goes along with every request; without one the session's cookie speaks. */
export function useKey(key: string | null): void {
  pageKey = key;
}

async function call(method: string, path: string, options: Call = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json', ...options.headers };
  const key = options.key === undefined ? pageKey : options.key;
  if (key !== null) headers.Authorization = `Bearer ${key}`;
  const request: RequestInit = { method, headers };
  if (options.signal) request.signal = options.signal;
  if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    request.body = JSON.stringify(options.body);
  }
  let response: Response;
  try {
    response = await fetch(path, request);
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new ApiError(0, 'offline', 'The server cannot be reached.');
  }
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response: Response): Promise<ApiError> {
  let body: Partial<ErrorBody> = {};
  try {
    body = (await response.json()) as Partial<ErrorBody>;
  } catch {
    // Something between the server and the page answered in a form of its own.
  }
  const after = Number(response.headers.get('Retry-After') ?? '');
  return new ApiError(
    response.status,
    body.code ?? 'unknown',
    body.error ?? `The server answered ${response.status}.`,
    Number.isFinite(after) && after > 0 ? after : null,
  );
}

async function json<T>(method: string, path: string, options?: Call): Promise<T> {
  return (await (await call(method, path, options)).json()) as T;
}

function nextPage(response: Response): string | null {
  const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(response.headers.get('Link') ?? '')?.[1];
  if (!link) return null;
  const url = new URL(link, location.origin);
  return url.pathname + url.search;
}

/** Reads a list to its end, page by page. */
async function all<T>(path: string, options?: Call): Promise<T[]> {
  const items: T[] = [];
  for (let page: string | null = path; page !== null; ) {
    const response: Response = await call('GET', page, options);
    items.push(...((await response.json()) as T[]));
    page = nextPage(response);
  }
  return items;
}

const room = (id: string) => `/api/rooms/${encodeURIComponent(id)}`;

export const api = {
  createKey: () => json<NewKey>('POST', '/api/keys', { key: null }),

  session: (key?: string | null, signal?: AbortSignal) =>
    json<SessionInfo>('GET', '/api/session', { ...(key === undefined ? {} : { key }), ...(signal ? { signal } : {}) }),
  signIn: (body: SignIn) => json<SessionInfo>('POST', '/api/session', { body: { ...body, kind: 'human' }, key: null }),
  signOut: () => call('DELETE', '/api/session', { key: null }),

  rooms: () => all<Room>('/api/rooms?limit=1000'),
  publicRooms: () => json<Room[]>('GET', '/api/public/rooms'),
  room: (id: string) => json<Room>('GET', room(id)),
  createRoom: (name: string, visibility: Visibility) =>
    json<Room>('POST', '/api/rooms', { body: { name, visibility } }),
  updateRoom: (id: string, patch: RoomPatch) => json<Room>('PATCH', room(id), { body: patch }),
  deleteRoom: (id: string) => call('DELETE', room(id)),
  presence: (id: string) => json<RoomPresence>('GET', `${room(id)}/presence`),

  before: (id: string, seq: number, limit: number) =>
    json<Message[]>('GET', `${room(id)}/messages?before_seq=${seq}&limit=${limit}`),
  after: (id: string, seq: number, limit: number) =>
    json<Message[]>('GET', `${room(id)}/messages?after_seq=${seq}&limit=${limit}`),
  search: (id: string, words: string, limit: number, signal: AbortSignal) =>
    json<Message[]>('GET', `${room(id)}/search?q=${encodeURIComponent(words)}&limit=${limit}`, { signal }),
  post: (id: string, clientId: string, body: SendMessage) =>
    json<Message>('POST', `${room(id)}/messages`, { body, headers: { 'Idempotency-Key': clientId } }),

  createInvite: (id: string, role: Exclude<Role, 'owner'>, expiresIn: number, maxUses: number | null) =>
    json<NewInvite>('POST', `${room(id)}/invites`, {
      body: { role, expires_in: expiresIn, ...(maxUses === null ? {} : { max_uses: maxUses }) },
    }),
  invites: (id: string) => all<Invite>(`${room(id)}/invites`),
  revokeInvite: (id: string) => call('DELETE', `/api/invites/${encodeURIComponent(id)}`),

  openapi: () => json<unknown>('GET', '/openapi.json'),
};

/** An error as one sentence for the person at the page. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return 'Something went wrong.';
  if (error.code === 'rate_limited' && error.retryAfter !== null) return 'That was too fast for this server.';
  const text = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
