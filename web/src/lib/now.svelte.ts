// The present time for countdowns; it moves only while somebody watches it.

class Now {
  value = $state(Date.now());
  #watchers = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Moves the time every second until the answer is called. */
  watch(): () => void {
    this.value = Date.now();
    if (this.#watchers++ === 0) this.#timer = setInterval(() => (this.value = Date.now()), 1000);
    return () => {
      if (--this.#watchers === 0) clearInterval(this.#timer);
    };
  }
}

export const now = new Now();
