// Gets the reader's messages to the server exactly once: by the socket while it lives, else by POST
// under the same id, one after the other. It never gives a message up by itself: the server's refusal
// or the author does.

import { ApiError, explain } from './api';
import type { Pending } from './timeline';
import type { Message, SendMessage } from './types';

const ACK_MS = 8_000;

export interface OutboxOptions {
  /** Sends on the socket; false when it is not live. */
  socket: (message: SendMessage & { client_id: string }) => boolean;
  post: (clientId: string, message: SendMessage) => Promise<Message>;
  /** The message as it goes on the wire, with the name of who speaks. */
  body: (pending: Pending) => SendMessage;
  onstored: (clientId: string, id: string, seq: number) => void;
  onfailed: (clientId: string, error: string, retryAt: number | null) => void;
}

export class Outbox {
  #options: OutboxOptions;
  #waiting = new Map<string, { pending: Pending; timer: ReturnType<typeof setTimeout> }>();
  #queue: Pending[] = [];
  #posting = false;
  #stopped = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Sends a message now, by whatever way is open. */
  send(pending: Pending): void {
    this.#forget(pending.client_id);
    const message = { ...this.#options.body(pending), client_id: pending.client_id };
    // The socket keeps the order only when nothing older still waits for its turn by POST.
    if (!this.#posting && this.#options.socket(message)) {
      const timer = setTimeout(() => {
        this.#waiting.delete(pending.client_id);
        this.#enqueue(pending);
      }, ACK_MS);
      this.#waiting.set(pending.client_id, { pending, timer });
    } else {
      this.#enqueue(pending);
    }
  }

  /** The socket confirmed a message. */
  acked(clientId: string, id: string, seq: number): void {
    this.#forget(clientId);
    this.#options.onstored(clientId, id, seq);
  }

  /** The socket refused a message. */
  refused(clientId: string, error: string, code: string): void {
    const waiting = this.#waiting.get(clientId);
    this.#forget(clientId);
    // A frame cannot say how long to wait; the answer to a POST does.
    if (code === 'rate_limited' && waiting) this.#enqueue(waiting.pending);
    else this.#options.onfailed(clientId, explain(new ApiError(400, code, error)), null);
  }

  /** Its author gave it up. */
  drop(clientId: string): void {
    this.#forget(clientId);
  }

  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
    this.#queue = [];
  }

  #forget(clientId: string): void {
    clearTimeout(this.#waiting.get(clientId)?.timer);
    this.#waiting.delete(clientId);
    this.#queue = this.#queue.filter((one) => one.client_id !== clientId);
  }

  #enqueue(pending: Pending): void {
    if (this.#stopped || this.#queue.some((one) => one.client_id === pending.client_id)) return;
    this.#queue.push(pending);
    void this.#drain();
  }

  async #drain(): Promise<void> {
    if (this.#posting) return;
    this.#posting = true;
    for (let one = this.#queue.shift(); one; one = this.#queue.shift()) {
      try {
        const message = await this.#options.post(one.client_id, this.#options.body(one));
        if (!this.#stopped) this.#options.onstored(one.client_id, message.id, message.seq);
      } catch (error) {
        if (this.#stopped) break;
        // Unreachable: it stays as it is and goes out again with the next connection.
        if (error instanceof ApiError && error.offline) continue;
        const after = error instanceof ApiError ? error.retryAfter : null;
        this.#options.onfailed(one.client_id, explain(error), after === null ? null : Date.now() + after * 1000);
      }
    }
    this.#posting = false;
  }
}
