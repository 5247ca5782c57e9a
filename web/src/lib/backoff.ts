// How long to wait before trying again: doubling up to a cap, with jitter so that a thousand pages
// that lost one server do not come back in the same instant. One `Again` belongs to one job, so that no
// job takes the turn of another.

const FIRST_MS = 500;
const CAP_MS = 20_000;

/** The wait before retry number `attempt` (from 0); `chance` gives a number from 0 up to 1. */
export function backoff(attempt: number, chance: () => number): number {
  const full = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full / 2 + (full / 2) * chance());
}

/** The next try of one job: later each time, until it went well. */
export class Again {
  #first: number;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `first` is how many waits are left out at the beginning, where the server is there and only says no. */
  constructor(first = 0) {
    this.#first = first;
  }

  /** It failed: tries it once more after a while, which is at least so many milliseconds. */
  later(what: () => void, least = 0): void {
    this.cancel();
    this.#timer = setTimeout(what, Math.max(least, backoff(this.#first + this.#failures++, Math.random)));
  }

  /** It is not to be tried again now. */
  cancel(): void {
    clearTimeout(this.#timer);
  }

  /** It went well: the next failure is the first one. */
  done(): void {
    this.cancel();
    this.#failures = 0;
  }
}
