// The room beside a call: its chat and who is there, for as long as the server has it for whom we joined as.

import { api, ApiError } from '../api';
import { Again } from '../backoff';
import { live, type Live } from '../live';
import { OpenRoom } from '../room.svelte';
import { isFor } from '../token';
import type { User } from '../types';

const AGAIN_MS = 15_000;

/** Why there is nothing here any more: the room or the session is over, or the browser is somebody else. */
export type Gone = 'room' | 'session' | 'other';

export class RoomBeside {
  room: OpenRoom = $state.raw()!;
  gone = $state<Gone | null>(null);
  #id: string;
  #me: User;
  #live: Live;
  #again = new Again();
  #closed = false;
  #lastReturn = 0;

  constructor(id: string, me: User, connection = live) {
    this.#id = id;
    this.#me = me;
    this.#live = connection;
    this.room = new OpenRoom(id, me, undefined, connection);
  }

  open(): void {
    this.#live.onconnected = () => void this.room.loadCall();
    this.#live.onover = () => this.#over();
    this.#live.start(this.#me.id, this.#id);
    void this.room.open();
  }

  /** Looks whether the room is still there for us. */
  async look(): Promise<void> {
    try {
      await api.room(this.#id);
    } catch (error) {
      this.#refused(error);
    }
  }

  end(why: Gone): void {
    if (this.#closed) return;
    this.gone = why;
    this.close();
  }

  close(): void {
    this.#closed = true;
    this.#again.cancel();
    this.#live.onconnected = this.#live.onover = () => undefined;
    this.#live.stop();
    this.room.close();
  }

  /** The connection's credential is over, and the room with it: there may be another one for the same person. */
  #over(): void {
    this.room.live = false;
    const wait = this.#lastReturn + AGAIN_MS - Date.now();
    if (wait > 0) this.#again.later(() => void this.#return(), wait);
    else void this.#return();
  }

  async #return(): Promise<void> {
    try {
      await api.room(this.#id);
      const isMine = isFor(await api.connectionToken(this.#id), this.#me.id);
      if (this.#closed) return;
      if (!isMine) return this.end('other');
    } catch (error) {
      this.#refused(error);
      if (!this.#closed) this.#again.later(() => void this.#return());
      return;
    }
    this.#again.done();
    this.#lastReturn = Date.now();
    // What was written and not sent is kept, and goes out from the new one.
    // One that is still opening must not join the connection beside the new one.
    this.room.close();
    this.room = new OpenRoom(this.#id, this.#me, undefined, this.#live);
    this.open();
  }

  #refused(error: unknown): void {
    if (!(error instanceof ApiError)) return;
    if (error.status === 401) this.end('session');
    else if (error.status === 404 || error.status === 410) this.end('room');
  }
}
