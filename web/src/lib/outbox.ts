// Gets the reader's messages to the server exactly once, one after the other: each by POST under its own
// id, again and again while the server, or what stands before it, is away. It never gives a message up by itself: the
// server's refusal or the author does.

import { ApiError, explain } from './api';
import { Again } from './backoff';
import type { Pending } from './timeline';
import type { Message, SendMessage } from './types';

/** After so long without an answer, the way to the server is taken for broken. */
const PATIENCE_MS = 20_000;
/** What says that the server is away for a while: no answer, or that of something before it. */
const AWAY = [0, 502, 503, 504];
/** The longest wait that an answer can ask for. */
const MOST_WAIT_MS = 60_000;

export interface OutboxOptions {
  post: (clientId: string, message: SendMessage, signal: AbortSignal) => Promise<Message>;
  /** The message as it goes on the wire, with the name of who speaks. */
  body: (pending: Pending) => SendMessage;
  onstored: (clientId: string, message: Message) => void;
  onfailed: (clientId: string, error: string, retryAt: number | null) => void;
}

export class Outbox {
  #options: OutboxOptions;
  /** Oldest first; the first is under way while there is something to abort. */
  #queue: Pending[] = [];
  #sending: AbortController | null = null;
  #again = new Again();
  #stopped = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Sends a message as soon as those before it are through. */
  send(pending: Pending): void {
    if (this.#stopped || this.#queue.some((one) => one.client_id === pending.client_id)) return;
    this.#queue.push(pending);
    void this.#drain();
  }

  /** Its author gave it up. */
  drop(clientId: string): void {
    if (this.#queue[0]?.client_id === clientId) this.#sending?.abort();
    this.#queue = this.#queue.filter((one) => one.client_id !== clientId);
  }

  /** The server can be reached again: what is still under way may have got lost on the way. */
  wake(): void {
    this.#again.done();
    if (this.#sending) this.#sending.abort();
    else void this.#drain();
  }

  stop(): void {
    this.#stopped = true;
    this.#again.cancel();
    this.#queue = [];
  }

  async #drain(): Promise<void> {
    if (this.#sending) return;
    this.#again.cancel();
    for (let one = this.#queue[0]; one && !this.#stopped; one = this.#queue[0]) {
      const wait = await this.#post(one);
      if (wait !== null) {
        if (!this.#stopped) this.#again.later(() => void this.#drain(), wait);
        return;
      }
      this.#again.done();
      this.#queue = this.#queue.filter((other) => other !== one);
    }
  }

  /** Sends one message; when the server is away, how many milliseconds to wait at least. */
  async #post(one: Pending): Promise<number | null> {
    const sending = new AbortController();
    this.#sending = sending;
    const patience = setTimeout(() => sending.abort(), PATIENCE_MS);
    try {
      const message = await this.#options.post(one.client_id, this.#options.body(one), sending.signal);
      if (!this.#stopped) this.#options.onstored(one.client_id, message);
      return null;
    } catch (error) {
      if (this.#stopped || sending.signal.aborted) return 0;
      const after = error instanceof ApiError && error.retryAfter !== null ? error.retryAfter * 1000 : null;
      if (error instanceof ApiError && AWAY.includes(error.status)) return Math.min(after ?? 0, MOST_WAIT_MS);
      this.#options.onfailed(one.client_id, explain(error), after === null ? null : Date.now() + after);
      return null;
    } finally {
      clearTimeout(patience);
      this.#sending = null;
    }
  }
}
