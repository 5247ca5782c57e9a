// Whom a token of the server speaks for. The page verifies nothing: it only looks whether it is the one it thinks it is.

import type { User } from './types';

interface Payload {
  sub?: unknown;
  info?: { name?: unknown; kind?: unknown };
}

function payloadOf(token: string): Payload | null {
  try {
    const bytes = Uint8Array.from(atob(token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Payload;
  } catch {
    return null;
  }
}

/** Whether a token is for this user, or for nobody; one that cannot be read is taken as it is. */
export function isFor(token: string, user: string | null): boolean {
  const sub = payloadOf(token)?.sub;
  return typeof sub !== 'string' || sub === (user ?? '');
}

/** The user that a token is for, when it says so. */
export function userOf(token: string): User | null {
  const { sub, info } = payloadOf(token) ?? {};
  if (typeof sub !== 'string' || sub === '' || typeof info?.name !== 'string') return null;
  return { id: sub, name: info.name, kind: info.kind === 'agent' ? 'agent' : 'human' };
}
