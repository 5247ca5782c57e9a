// A small server of the test's own: history over HTTP, and the realtime gateway as the real client speaks to it.

import type { CallParticipant, Message, PresenceMember } from '../lib/types';
import { ME, message, room } from './make';

interface Command {
  id?: number;
  connect?: { token: string };
  subscribe?: { channel: string; token: string; recover?: boolean; offset?: number; epoch?: string };
  unsubscribe?: { channel: string };
  presence_stats?: { channel: string };
}

/** The most that the gateway hands out with a subscription, as the server does. */
const MOST_MISSED = 10_000;

export class FakeServer {
  stored: Message[] = [];
  epoch = 'epoch-1';
  members: PresenceMember[] = [];
  inCall: CallParticipant[] = [];
  /** What it answers to requests for tokens, and for the room. */
  status = { token: 200, room: 200 };
  /** For whom its tokens are, when they say so. */
  user: string | null = null;
  /** For whom those for rooms are, when it is somebody else. */
  guest: string | null = null;
  /** Whether it can be reached. */
  away = false;
  /** Whether what was posted is stored without an answer. */
  mute = false;
  /** Whether it goes on with a subscription where it was; else it only says where the room is now. */
  recovers = true;
  /** Whether it takes what comes by the socket without a word. */
  deaf = false;
  requests: string[] = [];
  /** The rooms for which connection tokens were asked. */
  spaces: (string | null)[] = [];
  sockets: FakeSocket[] = [];
  /** All that clients asked for, oldest first. */
  asked: Command[] = [];
  /** The most messages in one page, as when they are long. */
  most = 1000;
  #seen = new Map<string, Message>();

  get head(): number {
    return this.stored.length;
  }

  get socket(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  /** The subscriptions that were asked for. */
  get subscriptions() {
    return this.asked.flatMap((command) => (command.subscribe ? [command.subscribe] : []));
  }

  store(content: string, clientId?: string): Message {
    const before = clientId === undefined ? undefined : this.#seen.get(clientId);
    if (before) return before;
    const one = message(this.head + 1, { user: ME, sender: 'Me', content });
    if (clientId !== undefined) this.#seen.set(clientId, one);
    this.publish(one);
    return one;
  }

  /** Stores messages and tells them live. */
  publish(...messages: Message[]): void {
    this.stored.push(...messages);
    this.tell(...messages);
  }

  /** Tells messages live, whether or not those before them were told. */
  tell(...messages: Message[]): void {
    this.push(...messages.map((data) => ({ channel: 'chat:room-1', pub: { data, offset: data.seq } })));
  }

  push(...pushes: object[]): void {
    if (this.sockets.length > 0) this.socket.says(pushes.map((push) => ({ push })));
  }

  #token(guest: string | null): string {
    const sub = guest ?? this.user;
    return sub === null ? `token ${this.requests.length}` : `header.${btoa(JSON.stringify({ sub }))}.signature`;
  }

  /** What stands in for `fetch`. */
  fetch = async (request: Request): Promise<Response> => {
    this.requests.push(`${request.method} ${request.url}`);
    if (this.away) throw new TypeError('failed to fetch');
    const { pathname, searchParams: query } = new URL(request.url);
    const limit = Math.min(this.most, Number(query.get('limit')));
    const json = (body: unknown, status = 200) => Response.json(status === 200 ? body : { error: 'no', code: 'no' }, { status });
    if (pathname.endsWith('/connection-token')) {
      const { spaceId = null } = JSON.parse((await request.text()) || '{}') as { spaceId?: string | null };
      this.spaces.push(spaceId);
    }
    if (pathname.endsWith('-token')) return json({ token: this.#token(pathname.endsWith('/subscribe-token') ? this.guest : null) }, this.status.token);
    if (pathname.endsWith('/presence')) return json({ members: this.members, watching: 0 });
    if (request.method === 'POST') {
      const body = (await request.json()) as { content: string };
      const stored = this.store(body.content, request.headers.get('Idempotency-Key') ?? undefined);
      return this.mute ? new Promise((_, reject) => request.signal.addEventListener('abort', () => reject(request.signal.reason))) : json(stored);
    }
    if (query.has('before_seq')) {
      const end = Number(query.get('before_seq')) - 1;
      return json(this.stored.slice(Math.max(0, end - limit), end));
    }
    if (query.has('after')) {
      const at = this.stored.findIndex((one) => one.id === query.get('after'));
      return json(this.stored.slice(at + 1).slice(0, limit));
    }
    if (query.has('after_seq')) return json(this.stored.slice(Number(query.get('after_seq'))).slice(0, limit));
    return json({ ...room({ head_seq: this.head, epoch: this.epoch }), call: { participants: this.inCall } }, this.status.room);
  };

  /** What stands in for `WebSocket`. */
  get WebSocket() {
    const connect = (url: string) => this.#connect(url);
    return class {
      constructor(url: string) {
        return connect(url);
      }
    };
  }

  #connect(url: string): FakeSocket {
    const socket = new FakeSocket(this, url);
    this.sockets.push(socket);
    setTimeout(() => (this.away ? socket.ends(1006) : socket.onopen?.()));
    return socket;
  }

  answer({ id, ...command }: Command): object | null {
    this.asked.push(command);
    if (this.deaf || id === undefined) return null;
    if (command.connect) return { id, connect: { client: 'client-me', version: '', ping: 25, pong: true } };
    if (command.presence_stats) return { id, presence_stats: { num_clients: 1, num_users: 1 } };
    if (!command.subscribe) return { id, unsubscribe: {} };
    const { recover, offset = 0, epoch } = command.subscribe;
    const place = { recoverable: true, positioned: true, epoch: this.epoch, was_recovering: recover ?? false };
    const missed = this.stored.slice(offset);
    const recovered = this.recovers && recover === true && epoch === this.epoch && offset <= this.head && missed.length <= MOST_MISSED;
    if (!recovered) return { id, subscribe: { ...place, offset: this.head } };
    const publications = missed.map((data) => ({ data, offset: data.seq }));
    return { id, subscribe: { ...place, recovered, offset, publications } };
  }
}

export class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  constructor(
    readonly server: FakeServer,
    readonly url: string,
  ) {}

  says(replies: readonly object[]): void {
    this.onmessage?.({ data: replies.map((reply) => JSON.stringify(reply)).join('\n') });
  }

  ends(code: number): void {
    this.onclose?.({ code, reason: 'a reason' });
  }

  send(data: string): void {
    const commands = data.split('\n').map((line) => JSON.parse(line) as Command);
    const replies = commands.flatMap((command) => this.server.answer(command) ?? []);
    if (replies.length > 0) setTimeout(() => this.says(replies));
  }

  close(): void {}
}
