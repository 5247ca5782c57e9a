// Who is at this page: a session in the browser's cookie, a key kept in this browser, both, or nobody.
//
// The key goes along with requests only while it opens what the session is: somebody who followed an
// invite must not talk as the owner of a key that this browser also keeps. A key or a name is kept once
// the server took it, never before: what this browser kept until then may be the only copy.

import { api, ApiError, useKey } from './api';
import { clearDrafts } from './drafts';
import { makeHandle, suggestHandle } from './handle';
import { local, perTab } from './storage';
import type { SessionInfo, User } from './types';
import { clearUnsent } from './unsent';

const KEY = 'meet-ai-key';
const NAME = 'meet-ai-name';
const WHO = 'meet-ai-user';

type Found = { ok: SessionInfo } | { ok: null; dead: boolean };

async function look(key: string | null): Promise<Found> {
  try {
    return { ok: await api.session(key) };
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return { ok: null, dead: true };
    throw error;
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'name_taken';
}

/** Whether what a key opens is what the session is: a guest stays one, even in the space of its own key. */
function speaksFor(byKey: SessionInfo | null | undefined, session: SessionInfo): boolean {
  return byKey?.org === session.org && session.role === 'owner';
}

export class Identity {
  /** `unknown` until the server was asked. */
  state = $state<'unknown' | 'in' | 'out'>('unknown');
  session = $state.raw<SessionInfo | null>(null);
  /** The key kept in this browser. */
  key = $state<string | null>(local.get(KEY));
  /** Whether storage holds that key; then another tab may have changed or forgotten it. */
  #stored = this.key !== null;
  /** Whether that key opens the space of the session, so that requests carry it. */
  keyed = $state(false);
  #made: string | null = null;
  /** Whether requests speak by the cookie alone: where somebody may be a guest of one room and somebody else outside of it. */
  byCookie = false;

  get me(): User | null {
    return this.session?.user ?? null;
  }

  /** The name to suggest: the one last used here, or one made up for this page. */
  get handle(): string {
    return local.get(NAME) ?? (this.#made ??= makeHandle(Math.random));
  }

  /** Finds out who is here; signs in by the kept key when only that is left. Fails when the server is away. */
  async start(): Promise<void> {
    if (this.#stored || this.key === null) this.keepKey(local.get(KEY));
    const key = this.key;
    const [byCookie, byKey] = await Promise.all([look(null), key === null ? null : look(key)]);
    if (byKey?.ok === null && byKey.dead) this.keepKey(null);
    if (byCookie.ok) {
      this.#enter(byCookie.ok, speaksFor(byKey?.ok, byCookie.ok) ? key : null);
    } else if (byKey?.ok && key !== null) {
      await this.#comeBack(key);
    } else {
      clearUnsent(perTab);
      this.#leave();
    }
  }

  async signInByKey(key: string, name: string): Promise<void> {
    const session = await api.signIn({ key, name });
    this.keepKey(key);
    this.#enter(session, key);
    this.#remember(name);
  }

  async signInByLink(by: 'invite' | 'owner', token: string, name: string): Promise<SessionInfo> {
    const session = await api.signIn(by === 'invite' ? { invite: token, name } : { owner: token, name });
    const found = this.key === null ? null : await look(this.key).catch(() => null);
    this.#enter(session, speaksFor(found?.ok, session) ? this.key : null);
    this.#remember(name);
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
    local.remove(WHO);
    clearDrafts(local);
    clearUnsent(perTab);
    this.#leave();
  }

  keepKey(key: string | null): void {
    this.key = key;
    if (key === null) local.remove(KEY);
    else local.set(KEY, key);
    this.#stored = key !== null && local.get(KEY) === key;
  }

  /** Calls `onchange` when another tab of this browser becomes somebody else, until the answer is called. */
  watch(onchange: () => void): () => void {
    const changed = ({ key, newValue }: StorageEvent) => {
      // A sign-out needs no word here: the server ends the session's connections.
      if (key === WHO && newValue !== null && newValue !== this.me?.id) onchange();
    };
    addEventListener('storage', changed);
    return () => removeEventListener('storage', changed);
  }

  /** Signs in by the kept key, under another name when somebody has taken this one; else it is the key page's turn. */
  async #comeBack(key: string): Promise<void> {
    const name = this.handle;
    for (const one of [name, suggestHandle(name, Math.random)]) {
      try {
        return await this.signInByKey(key, one);
      } catch (error) {
        if (!isTaken(error)) throw error;
      }
    }
    this.#leave();
  }

  #remember(name: string): void {
    local.set(NAME, name);
    // Other tabs learn by it who this browser is now.
    if (this.me) local.set(WHO, this.me.id);
  }

  #enter(session: SessionInfo, key: string | null): void {
    useKey(this.byCookie ? null : key);
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
