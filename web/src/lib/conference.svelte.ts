// Whether and how this server carries calls; asked once, when it is needed first.

import { api } from './api';
import type { ConferenceConfig } from './types';

class Conference {
  /** `undefined` until the server was asked, `null` without calls. */
  config = $state.raw<ConferenceConfig | null | undefined>(undefined);
  #asking: Promise<void> | null = null;

  /** Asks; fails when the server is away, and may then be asked again. */
  load(): Promise<void> {
    this.#asking ??= api.conference().then(
      (config) => void (this.config = config),
      (error: unknown) => {
        this.#asking = null;
        throw error;
      },
    );
    return this.#asking;
  }
}

export const conference = new Conference();
