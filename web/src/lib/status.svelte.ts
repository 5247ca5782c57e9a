// As what the reader is seen by others: what it chose last, here or on another of its devices. A choice
// is shown at once, and taken back when the server does not take it.

import { api } from './api';
import type { ChosenStatus } from './types';

export class OwnStatus {
  shown = $state<ChosenStatus>('online');
  #user: string | null = null;
  /** What the server said last, and how often it did. */
  #confirmed: ChosenStatus = 'online';
  #heard = 0;
  /** How many choices are under way, and the end of the last of them: they go out one after the other. */
  #choosing = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** Asks the server; of somebody who is nowhere yet it says nothing. */
  async load(user: string): Promise<void> {
    if (user !== this.#user) this.hear('online');
    this.#user = user;
    const heard = this.#heard;
    try {
      const status = await api.status(user);
      if (heard === this.#heard && this.#choosing === 0 && status !== 'offline') this.hear(status);
    } catch {
      // The next connection asks again.
    }
  }

  /** The server says as what the reader is seen now, whichever device chose it. */
  hear(status: ChosenStatus): void {
    this.#heard += 1;
    this.#confirmed = status;
    if (this.#choosing === 0) this.shown = status;
  }

  /** Fails when the server does not take it; then what holds is shown again. */
  async choose(status: ChosenStatus): Promise<void> {
    this.shown = status;
    this.#choosing += 1;
    const sent = this.#last.then(() => {
      const heard = this.#heard;
      return api.setStatus(status).then(() => {
        // What was heard meanwhile is this choice, or a later one.
        if (heard === this.#heard) this.#confirmed = status;
      });
    });
    this.#last = sent.catch(() => undefined);
    try {
      await sent;
    } finally {
      this.#choosing -= 1;
      if (this.#choosing === 0) this.shown = this.#confirmed;
    }
  }
}

export const ownStatus = new OwnStatus();
