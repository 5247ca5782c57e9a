// The page's one connection: rooms, the list of rooms and the reader's own status ride on it. The
// Centrifugo client keeps it open, falls back where WebSockets are blocked, and fetches what was missed;
// this file says who connects, what ends it for good and when to look whether it still lives. It knows
// channels, not what a room makes of them. The client is loaded when it is needed first, so that the
// page shows its history before that.

import type { Centrifuge, ClientInfo, SubscribedContext, Subscription } from 'centrifuge';
import { api, ApiError } from './api';
import { Again } from './backoff';
import { isFor } from './token';
import type { LiveEvent } from './types';

type Sdk = typeof import('centrifuge');

/** The client's and the server's numbers that decide what happens next. */
const CODES = { own: 0, timeout: 1, unauthorized: 1, invalidToken: 3500 };
/** After so long an answer is given up: also a slow line gets what was missed through in this time. */
const PATIENCE_MS = 20_000;
/** The first wait, as `Again` counts, after an end that the client does not mend by itself. */
const AGAIN = 4;
/** The refusals of a token that asking again does not change. Only a session that is over ends the connection. */
const FINAL = { connection: [401], subscription: [401, 403, 404, 410] };

/** Where a reader stands in a room. */
export interface Position {
  offset: number;
  epoch: string;
}

/** What a room wants to hear. */
export interface Ears {
  /** From where on messages are wanted, asked when the room is joined first. */
  position: () => Position;
  /** Messages come from here on; the position is the server's. */
  onbegin: (position: Position, recovered: boolean) => void;
  /** Nothing comes any more, until the next beginning. */
  onbreak: () => void;
  onpublication: (data: unknown) => void;
  onjoin: (who: ClientInfo) => void;
  onleave: (who: ClientInfo) => void;
  /** The server ended this room for the reader; `again` asks for it once more. */
  onend: (again: () => void) => void;
  /** The session is somebody else in this room, whom this connection does not speak for. */
  onguest: () => void;
  /** The credential is over, and with it everything. */
  onover: () => void;
}

interface Joined {
  ears: Ears;
  subscription: Subscription | null;
}

export class Live {
  /** Called whenever the connection begins, when what came in between is to be asked for. */
  onconnected: () => void = () => undefined;
  /** Called with what concerns no room in particular. */
  onevent: (event: LiveEvent) => void = () => undefined;
  /** Called when the server takes the credential no more. */
  onover: () => void = () => undefined;
  #load: () => Promise<Sdk>;
  #client: Centrifuge | null = null;
  #sdk: Sdk | null = null;
  #rooms = new Map<string, Joined>();
  /** Tells the client of the network: also what the browser does not say. */
  #network = new EventTarget();
  #running = false;
  #loading = false;
  #user: string | null = null;
  #space: string | null = null;
  #again = { load: new Again(), connect: new Again(AGAIN) };

  constructor(load: () => Promise<Sdk> = () => import('centrifuge')) {
    this.#load = load;
  }

  /**
   * Connects as whom the browser's cookie says, which is to be this user, or nobody. In a room that a session was let
   * into it may be somebody else: then that is the `space`.
   */
  start(user: string | null = null, space: string | null = null): void {
    this.stop();
    this.#running = true;
    this.#user = user;
    this.#space = space;
    addEventListener('offline', this.#offline);
    addEventListener('online', this.#online);
    document.addEventListener('visibilitychange', this.#seen);
    void this.#open();
  }

  stop(): void {
    this.#running = false;
    this.#again.load.done();
    this.#again.connect.done();
    removeEventListener('offline', this.#offline);
    removeEventListener('online', this.#online);
    document.removeEventListener('visibilitychange', this.#seen);
    this.#client?.removeAllListeners().disconnect();
    this.#client = null;
    for (const joined of this.#rooms.values()) {
      // A token that was asked for may still be refused.
      joined.subscription?.removeAllListeners();
      joined.subscription = null;
    }
  }

  /** Listens to a room until the answer is called, across breaks and a new start. */
  join(id: string, ears: Ears): () => void {
    const joined: Joined = { ears, subscription: null };
    this.#rooms.set(id, joined);
    this.#subscribe(id, joined);
    return () => {
      if (this.#rooms.get(id) === joined) this.#rooms.delete(id);
      if (!joined.subscription) return;
      joined.subscription.removeAllListeners();
      this.#client?.removeSubscription(joined.subscription);
    };
  }

  /** Tries now instead of waiting, or makes sure that the connection still lives. */
  wake(): void {
    if (!this.#running) return;
    const client = this.#client;
    this.#again.connect.cancel();
    if (!client || !this.#sdk) return void this.#open();
    const { State } = this.#sdk;
    if (client.state === State.Disconnected) client.connect();
    else if (client.state === State.Connecting) this.#restart();
    else this.#check(client);
  }

  /** Asks something to see whether an answer comes. */
  #check(client: Centrifuge): void {
    const [room] = this.#rooms.keys();
    if (room === undefined) return;
    client.presenceStats(channelOf(room)).catch((error: { code?: number }) => {
      if (error.code === CODES.timeout && this.#client === client) this.#restart();
    });
  }

  async #open(): Promise<void> {
    this.#again.load.cancel();
    if (this.#loading) return;
    this.#loading = true;
    try {
      this.#sdk = await this.#load();
      this.#again.load.done();
    } catch {
      if (this.#running) this.#again.load.later(() => void this.#open());
    } finally {
      this.#loading = false;
    }
    if (this.#sdk && this.#running && !this.#client) this.#connect(this.#sdk);
  }

  #connect(sdk: Sdk): void {
    const client: Centrifuge = new sdk.Centrifuge(endpoints(), {
      name: 'web',
      getToken: () => this.#token(client, api.connectionToken(this.#space), FINAL.connection, () => this.#over()),
      timeout: PATIENCE_MS,
      networkEventTarget: this.#network,
    });
    this.#client = client;
    client.on('connected', () => {
      this.#again.connect.done();
      this.onconnected();
    });
    client.on('publication', ({ data }) => this.onevent(data as LiveEvent));
    client.on('disconnected', ({ code }) => this.#ended(code));
    for (const [id, joined] of this.#rooms) this.#subscribe(id, joined);
    client.connect();
  }

  #subscribe(id: string, joined: Joined): void {
    const client = this.#client;
    if (!client) return;
    const { ears } = joined;
    const subscription = client.newSubscription(channelOf(id), {
      getToken: () => this.#token(client, api.subscribeToken(id), FINAL.subscription, () => this.#other(ears)),
      since: ears.position(),
      recoverable: true,
      positioned: true,
      joinLeave: true,
    });
    joined.subscription = subscription;
    subscription.on('subscribed', (context) => ears.onbegin(positionOf(context), context.recovered));
    subscription.on('subscribing', () => ears.onbreak());
    subscription.on('publication', ({ data }) => ears.onpublication(data));
    subscription.on('join', ({ info }) => ears.onjoin(info));
    subscription.on('leave', ({ info }) => ears.onleave(info));
    subscription.on('unsubscribed', () => {
      ears.onbreak();
      ears.onend(() => {
        if (joined.subscription === subscription) subscription.subscribe();
      });
    });
    subscription.subscribe();
  }

  #ended(code: number): void {
    if (code === CODES.own) return;
    if (code === CODES.unauthorized || code === CODES.invalidToken) this.#over();
    else this.#again.connect.later(() => this.wake());
  }

  #over(): void {
    this.stop();
    for (const { ears } of this.#rooms.values()) ears.onover();
    this.onover();
  }

  /** Looks why a room's token is for somebody else: for a guest of that room alone, or because the browser is. */
  async #other(ears: Ears): Promise<void> {
    if (isFor(await api.connectionToken(this.#space), this.#user)) ears.onguest();
    else this.#over();
  }

  /** A token for the client, which asks again after every failure but a final refusal. */
  async #token(client: Centrifuge, asked: Promise<string>, final: readonly number[], onother: () => unknown): Promise<string> {
    try {
      const token = await asked;
      // Another tab may have become somebody else, and the cookie is one for all of them.
      if (isFor(token, this.#user)) return token;
      if (this.#client === client) await onother();
      throw new ApiError(401, 'other_user', 'The browser is signed in as somebody else.');
    } catch (error) {
      const isRefused = error instanceof ApiError && final.includes(error.status);
      throw isRefused && this.#sdk ? new this.#sdk.UnauthorizedError(error.message) : error;
    }
  }

  #restart(): void {
    this.#network.dispatchEvent(new Event('offline'));
    this.#network.dispatchEvent(new Event('online'));
  }

  #offline = (): void => {
    this.#network.dispatchEvent(new Event('offline'));
  };

  #online = (): void => this.wake();

  #seen = (): void => {
    if (!document.hidden) this.wake();
  };
}

const channelOf = (room: string) => `chat:${room}`;

function positionOf({ streamPosition }: SubscribedContext): Position {
  return { offset: streamPosition?.offset ?? 0, epoch: streamPosition?.epoch ?? '' };
}

/**
 * Where the gateway is: on the server of the page, by the best way that the network lets through. Event streams are left
 * out, because they would carry the token in their address.
 */
function endpoints() {
  const { host, protocol } = location;
  const connection = `${protocol}//${host}/connection`;
  return [
    { transport: 'websocket' as const, endpoint: `${connection.replace('http', 'ws')}/websocket` },
    { transport: 'http_stream' as const, endpoint: `${connection}/http_stream` },
  ];
}

export const live = new Live();
