// As what the reader is seen by others: what it chose last, here or on another of its devices. A choice
// is shown at once, and taken back when the server does not take it.

import { api } from './api';
import { Again } from './backoff';
import type { ChosenStatus } from './types';

/** After so long without an answer, the way to the server is taken for broken. */
const PATIENCE_MS = 20_000;

/** The choices of one person that are under way, and the end of the last of them: they go out one after the other. */
interface Choices {
  count: number;
  last: Promise<unknown>;
}

const none = (): Choices => ({ count: 0, last: Promise.resolve() });

async function send(status: ChosenStatus): Promise<void> {
  const sending = new AbortController();
  const patience = setTimeout(() => sending.abort(new DOMException('no answer', 'TimeoutError')), PATIENCE_MS);
  try {
    await api.setStatus(status, sending.signal);
  } finally {
    clearTimeout(patience);
  }
}

export class OwnStatus {
  /** `null` until it is known. */
  shown = $state<ChosenStatus | null>(null);
  #user: string | null = null;
  /** What the server said last, and how often it did. */
  #confirmed: ChosenStatus | null = null;
  #heard = 0;
  #choices = none();
  #again = new Again();

  /** Asks the server, again until it says something: of somebody who is nowhere yet it does not. */
  async load(user: string): Promise<void> {
    if (user !== this.#user) this.forget();
    this.#user = user;
    this.#again.cancel();
    const heard = this.#heard;
    try {
      const status = await api.status(user);
      if (user !== this.#user) return;
      if (heard === this.#heard && this.#choices.count === 0 && status !== 'offline') this.hear(status);
    } catch {
      // What is not known is asked again below, what is known by the next connection.
    }
    if (user !== this.#user) return;
    if (this.shown === null) this.#again.later(() => void this.load(user));
    else this.#again.done();
  }

  /** The person leaves the page: what it chose and what has not been sent yet is not for the next one. */
  forget(): void {
    this.#again.done();
    this.#user = null;
    this.#choices = none();
    this.#confirmed = null;
    this.#heard += 1;
    this.shown = null;
  }

  /** The server says as what the reader is seen now, whichever device chose it. */
  hear(status: ChosenStatus): void {
    this.#heard += 1;
    this.#confirmed = status;
    if (this.#choices.count === 0) this.shown = status;
  }

  /** Fails when the server does not take it; then what holds is shown again. */
  async choose(status: ChosenStatus): Promise<void> {
    const choices = this.#choices;
    const isMine = () => choices === this.#choices;
    this.shown = status;
    choices.count += 1;
    const sent = choices.last.then(async () => {
      if (!isMine()) return;
      const heard = this.#heard;
      await send(status);
      // What was heard meanwhile is this choice, or a later one.
      if (isMine() && heard === this.#heard) this.#confirmed = status;
    });
    choices.last = sent.catch(() => undefined);
    try {
      await sent;
    } catch (error) {
      if (isMine()) throw error;
    } finally {
      choices.count -= 1;
      if (isMine() && choices.count === 0) this.shown = this.#confirmed;
    }
  }
}

export const ownStatus = new OwnStatus();
