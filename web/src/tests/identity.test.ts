// Who is at this page, and what this browser keeps of it: nothing is replaced before the server agreed.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Identity } from '../lib/identity.svelte';

const OWN = 'mai_own';
const OTHER = 'mai_other';

/** A server that knows keys, each with its space, and one cookie. */
class FakeServer {
  spaces = new Map([[OWN, 'org-own'], [OTHER, 'org-other']]);
  taken = new Set<string>();
  cookie: { name: string; org: string; role: string } | null = null;
  away = false;
  tried: string[] = [];

  fetch = async (request: Request): Promise<Response> => {
    if (this.away) throw new TypeError('failed to fetch');
    if (request.method === 'POST') return this.signIn((await request.json()) as Record<string, string>);
    if (request.method === 'DELETE') {
      this.cookie = null;
      return new Response(null, { status: 204 });
    }
    const key = request.headers.get('Authorization')?.slice('Bearer '.length);
    if (key === undefined) return this.cookie ? this.session(200) : refuse(401, 'missing_key');
    const org = this.spaces.get(key);
    return org ? Response.json({ user: null, org, role: 'owner', rooms: null }) : refuse(401, 'invalid_key');
  };

  signIn({ key, name }: Record<string, string>): Response {
    this.tried.push(name!);
    const org = key === undefined ? 'org-own' : this.spaces.get(key);
    if (!org) return refuse(401, 'invalid_key');
    if (this.taken.has(name!)) return refuse(409, 'name_taken');
    this.cookie = { name: name!, org, role: key === undefined ? 'member' : 'owner' };
    return this.session(201);
  }

  session(status: number): Response {
    const { name, org, role } = this.cookie!;
    return Response.json({ user: { id: `user-${name}`, name, kind: 'human' }, org, role, rooms: null }, { status });
  }
}

function refuse(status: number, code: string): Response {
  return Response.json({ error: code, code }, { status });
}

let server: FakeServer;
const kept = (key: string) => localStorage.getItem(key);

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
  server = new FakeServer();
  vi.stubGlobal('fetch', server.fetch);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

describe('a key that is kept', () => {
  it('stays until the server took the other one, whatever goes wrong', async () => {
    localStorage.setItem('meet-ai-key', OWN);
    const identity = new Identity();
    server.taken.add('anna');
    await expect(identity.signInByKey(OTHER, 'anna')).rejects.toMatchObject({ code: 'name_taken' });
    await expect(identity.signInByKey('mai_unknown', 'ben')).rejects.toMatchObject({ code: 'invalid_key' });
    server.away = true;
    await expect(identity.signInByKey(OTHER, 'ben')).rejects.toMatchObject({ code: 'offline' });
    expect([identity.key, kept('meet-ai-key')]).toEqual([OWN, OWN]);
    server.away = false;
    await identity.signInByKey(OTHER, 'ben');
    expect([identity.key, kept('meet-ai-key'), kept('meet-ai-name')]).toEqual([OTHER, OTHER, 'ben']);
  });

  it('signs in by itself, and is forgotten when the server does not know it', async () => {
    localStorage.setItem('meet-ai-key', OWN);
    const identity = new Identity();
    await identity.start();
    expect([identity.state, identity.keyed]).toEqual(['in', true]);
    server.cookie = null;
    server.spaces.clear();
    await identity.start();
    expect([identity.state, kept('meet-ai-key')]).toEqual(['out', null]);
  });

  it('does not speak for a guest of its own space', async () => {
    localStorage.setItem('meet-ai-key', OWN);
    const identity = new Identity();
    await identity.signInByLink('invite', 'token', 'gus');
    expect([identity.session?.role, identity.keyed, kept('meet-ai-key')]).toEqual(['member', false, OWN]);
  });
});

describe('a name', () => {
  it('is kept only once it was given', async () => {
    const identity = new Identity();
    const suggested = identity.handle;
    expect([identity.handle, kept('meet-ai-name')]).toEqual([suggested, null]);
    server.taken.add('anna');
    await expect(identity.signInByKey(OWN, 'anna')).rejects.toMatchObject({ code: 'name_taken' });
    await expect(identity.signInByLink('invite', 'token', 'anna')).rejects.toMatchObject({ code: 'name_taken' });
    expect(kept('meet-ai-name')).toBeNull();
  });

  it('that somebody took in the meantime locks nobody out', async () => {
    localStorage.setItem('meet-ai-key', OWN);
    localStorage.setItem('meet-ai-name', 'anna');
    server.taken.add('anna');
    const identity = new Identity();
    await identity.start();
    expect(identity.state).toBe('in');
    expect(identity.me?.name).toMatch(/^anna-\d\d$/);
    expect(kept('meet-ai-name')).toBe(identity.me?.name);
  });

  it('that is taken again leaves it to the key page, with the key still there', async () => {
    localStorage.setItem('meet-ai-key', OWN);
    vi.spyOn(Math, 'random').mockReturnValue(0);
    localStorage.setItem('meet-ai-name', 'anna');
    server.taken.add('anna').add('anna-10');
    const identity = new Identity();
    await identity.start();
    expect([identity.state, identity.key, kept('meet-ai-name')]).toEqual(['out', OWN, 'anna']);
    expect(server.tried).toEqual(['anna', 'anna-10']);
  });
});

describe('signing out', () => {
  it('forgets the key, the drafts and the unsent messages', async () => {
    const identity = new Identity();
    await identity.signInByKey(OWN, 'anna');
    localStorage.setItem('meet-ai-draft:room-1', 'half a');
    sessionStorage.setItem('meet-ai-unsent:room-1', '[]');
    await identity.signOut();
    expect(Object.keys(localStorage)).toEqual(['meet-ai-name']);
    expect(Object.keys(sessionStorage)).toEqual([]);
  });

  it('that fails keeps everything', async () => {
    const identity = new Identity();
    await identity.signInByKey(OWN, 'anna');
    server.away = true;
    await expect(identity.signOut()).rejects.toMatchObject({ code: 'offline' });
    expect([identity.state, kept('meet-ai-key')]).toEqual(['in', OWN]);
  });
});

describe('other tabs', () => {
  it('may bring a key, and take it away', async () => {
    const identity = new Identity();
    await identity.start();
    localStorage.setItem('meet-ai-key', OWN);
    await identity.start();
    expect([identity.state, identity.keyed]).toEqual(['in', true]);
    localStorage.removeItem('meet-ai-key');
    server.cookie = null;
    await identity.start();
    expect([identity.state, identity.key]).toEqual(['out', null]);
  });

  it('are told apart from this one when they become somebody else', async () => {
    const identity = new Identity();
    await identity.signInByKey(OWN, 'anna');
    const changed = vi.fn();
    const stop = identity.watch(changed);
    const tell = (key: string, newValue: string | null) => dispatchEvent(new StorageEvent('storage', { key, newValue }));
    tell('meet-ai-user', 'user-anna');
    tell('meet-ai-user', null);
    tell('meet-ai-name', 'ben');
    expect(changed).not.toHaveBeenCalled();
    tell('meet-ai-user', 'user-ben');
    expect(changed).toHaveBeenCalledOnce();
    stop();
    tell('meet-ai-user', 'user-cleo');
    expect(changed).toHaveBeenCalledOnce();
  });
});
