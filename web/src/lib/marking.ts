// Tells the server how far rooms were read: one request at a time for each room, with the newest place, and
// again when the server could not be reached.

import { ApiError } from './api';
import { Again } from './backoff';
import type { Reading } from './types';

/** So long what is read next is gathered before it is told. */
const PAUSE_MS = 1000;
/** So long nothing is told of a room after a refusal, which telling again does not change. */
const REFUSED_MS = 30_000;

interface Mark {
  seq: number;
  /** Whether it is being told, or will be. */
  telling: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
  again: Again;
}

export class Marking {
  #send: (room: string, seq: number) => Promise<Reading>;
  #onanswer: (reading: Reading) => void;
  #marks = new Map<string, Mark>();

  constructor(send: (room: string, seq: number) => Promise<Reading>, onanswer: (reading: Reading) => void) {
    this.#send = send;
    this.#onanswer = onanswer;
  }

  /** The reader has read a room up to `seq`. */
  read(room: string, seq: number): void {
    const mark = this.#marks.get(room) ?? { seq: 0, telling: false, timer: undefined, again: new Again() };
    this.#marks.set(room, mark);
    if (seq === mark.seq) return;
    mark.seq = seq;
    if (mark.telling) return;
    // The page may be left at once, so that the first one does not wait.
    void this.#tell(room, mark);
  }

  /** Another reader follows. */
  stop(): void {
    for (const { timer, again } of this.#marks.values()) {
      clearTimeout(timer);
      again.cancel();
    }
    this.#marks.clear();
  }

  async #tell(room: string, mark: Mark): Promise<void> {
    const isCurrent = () => this.#marks.get(room) === mark;
    const { seq } = mark;
    mark.telling = true;
    try {
      const reading = await this.#send(room, seq);
      if (!isCurrent()) return;
      mark.again.done();
      // What was read meanwhile is newer than the answer.
      if (mark.seq === seq) this.#onanswer(reading);
    } catch (error) {
      if (!isCurrent()) return;
      const isRefused = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;
      if (isRefused) mark.timer = setTimeout(() => this.#marks.delete(room), REFUSED_MS);
      else mark.again.later(() => void this.#tell(room, mark));
      return;
    }
    mark.timer = setTimeout(() => {
      mark.telling = false;
      if (mark.seq !== seq) void this.#tell(room, mark);
    }, PAUSE_MS);
  }
}
