// Who is at this page: a session in the browser's cookie, a key kept in this browser, both, or nobody.
//
// The key goes along with requests only while it opens what the session is: somebody who followed an
// invite must not talk as the owner of a key that this browser also keeps.

import { api, ApiError, useKey } from './api';
import { clearDrafts } from './drafts';
import { makeHandle } from './handle';
import { local } from './storage';
import type { SessionInfo, User } from './types';

const KEY = 'meet-ai-key';
const NAME = 'meet-ai-name';

type Found = { ok: SessionInfo } | { ok: null; dead: boolean };

async function look(key: string | null): Promise<Found> {
  try {
    return { ok: await api.session(key) };
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return { ok: null, dead: true };
    throw error;
  }
}

/** Whether what a key opens is what the session is: a guest stays one, even in the space of its own key. */
function speaksFor(byKey: SessionInfo | null | undefined, session: SessionInfo): boolean {
  return byKey?.org === session.org && session.role === 'owner';
}

class Identity {
  /** `unknown` until the server was asked. */
  state = $state<'unknown' | 'in' | 'out'>('unknown');
  session = $state.raw<SessionInfo | null>(null);
  /** The key kept in this browser. */
  key = $state<string | null>(local.get(KEY));
  /** Whether storage holds that key; then another tab may have changed or forgotten it. */
  #stored = this.key !== null;
  /** Whether that key opens the space of the session, so that requests carry it. */
  keyed = $state(false);

  get me(): User | null {
    return this.session?.user ?? null;
  }

  /** The name to suggest; made up once and then kept. */
  get handle(): string {
    const kept = local.get(NAME);
    if (kept) return kept;
    const made = makeHandle(Math.random);
    local.set(NAME, made);
    return made;
  }

  /** Finds out who is here; signs in by the kept key when only that is left. Fails when the server is away. */
  async start(): Promise<void> {
    if (this.#stored) this.key = local.get(KEY);
    const key = this.key;
    const [byCookie, byKey] = await Promise.all([look(null), key === null ? null : look(key)]);
    if (byKey?.ok === null && byKey.dead) this.keepKey(null);
    if (byCookie.ok) {
      this.#enter(byCookie.ok, speaksFor(byKey?.ok, byCookie.ok) ? key : null);
    } else if (byKey?.ok && key !== null) {
      await this.signInByKey(key, this.handle);
    } else {
      this.#leave();
    }
  }

  async signInByKey(key: string, name: string): Promise<void> {
    // Kept before it is tried: a page that is left in between signs in by itself when it comes back.
    const before = this.key;
    this.keepKey(key);
    local.set(NAME, name);
    try {
      this.#enter(await api.signIn({ key, name }), key);
    } catch (error) {
      if (error instanceof ApiError && error.code === 'invalid_key') this.keepKey(before);
      throw error;
    }
  }

  async signInByLink(by: 'invite' | 'owner', token: string, name: string): Promise<SessionInfo> {
    const session = await api.signIn(by === 'invite' ? { invite: token, name } : { owner: token, name });
    local.set(NAME, name);
    const found = this.key === null ? null : await look(this.key).catch(() => null);
    this.#enter(session, speaksFor(found?.ok, session) ? this.key : null);
    return session;
  }

  /** Ends the session; the browser forgets the key and what was typed and not sent. */
  async signOut(): Promise<void> {
    // Before the session ends: other tabs look for the key as soon as it does, and would sign in again.
    local.remove(KEY);
    try {
      await api.signOut();
    } catch (error) {
      this.keepKey(this.key);
      throw error;
    }
    this.keepKey(null);
    clearDrafts(local);
    this.#leave();
  }

  keepKey(key: string | null): void {
    this.key = key;
    if (key === null) local.remove(KEY);
    else local.set(KEY, key);
    this.#stored = key !== null && local.get(KEY) === key;
  }

  #enter(session: SessionInfo, key: string | null): void {
    useKey(key);
    this.keyed = key !== null;
    this.session = session;
    this.state = 'in';
  }

  #leave(): void {
    useKey(null);
    this.keyed = false;
    this.session = null;
    this.state = 'out';
  }
}

export const identity = new Identity();
