// Keeps one room's WebSocket open: connects, notices silence, waits longer after each failure, and
// tells apart what a retry can mend from what it cannot. It knows frames, not what a room makes of them.

import { backoff } from './backoff';
import type { SendMessage, ServerFrame } from './types';

const HEARTBEAT_MS = 20_000;
const QUIET_MS = 15_000;
const DEAD_MS = 55_000;
const WAKE_MS = 5_000;

/** What the browser's WebSocket offers of itself here. */
export interface Socket {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

export type LiveState =
  | { kind: 'connecting' }
  | { kind: 'live' }
  /** Not connected; the next try is at `until`, in milliseconds since the Unix epoch. */
  | { kind: 'waiting'; until: number }
  | { kind: 'over'; cause: 'gone' | 'signed_out' };

/** What a request by HTTP says of a socket that could not be opened (a browser hides the reason). */
export type Probe = 'try' | 'gone' | 'signed_out' | { retryAfter: number };

export interface LiveOptions {
  /** The address with the cursor as it is now. */
  url: () => string;
  connect: (url: string) => Socket;
  probe: () => Promise<Probe>;
  chance: () => number;
  onframe: (frame: ServerFrame) => void;
  onstate: (state: LiveState) => void;
}

export class Live {
  #options: LiveOptions;
  #socket: Socket | null = null;
  #state: LiveState = { kind: 'connecting' };
  #failures = 0;
  #heard = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #stopped = false;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  get state(): LiveState {
    return this.#state;
  }

  start(): void {
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#open();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#retry);
    this.#drop();
  }

  /** Sends a message; false when there is no live connection to send it on. */
  send(message: SendMessage & { client_id: string }): boolean {
    if (this.#state.kind !== 'live' || !this.#socket) return false;
    this.#socket.send(JSON.stringify({ type: 'message', ...message }));
    return true;
  }

  /** The network or the page came back: connects now, or makes sure that the connection still lives. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#state.kind === 'waiting') {
      this.#failures = 0;
      this.#open();
    } else if (this.#state.kind === 'live') {
      this.#ping();
      const asked = Date.now();
      setTimeout(() => {
        if (!this.#stopped && this.#state.kind === 'live' && this.#heard < asked) this.#lost();
      }, WAKE_MS);
    }
  }

  /** Gives the connection up and makes another one, with the cursor as it is then. */
  restart(): void {
    if (this.#stopped || this.#state.kind === 'over') return;
    this.#drop();
    this.#open();
  }

  #open(): void {
    clearTimeout(this.#retry);
    this.#become({ kind: 'connecting' });
    this.#heard = Date.now();
    let opened = false;
    const socket = this.#options.connect(this.#options.url());
    this.#socket = socket;
    socket.onopen = () => {
      opened = true;
      this.#heard = Date.now();
    };
    socket.onmessage = (event) => this.#hear(event);
    socket.onclose = (event) => {
      if (this.#socket === socket) void this.#closed(event.code, opened);
    };
  }

  #hear(event: MessageEvent): void {
    this.#heard = Date.now();
    let frame: ServerFrame;
    try {
      frame = JSON.parse(String(event.data)) as ServerFrame;
    } catch {
      return;
    }
    if (frame.type === 'hello' || frame.type === 'resync') {
      this.#failures = 0;
      this.#options.onframe(frame);
      this.#become({ kind: 'live' });
      return;
    }
    this.#options.onframe(frame);
  }

  async #closed(code: number, opened: boolean): Promise<void> {
    this.#drop();
    if (code === 4040) return this.#become({ kind: 'over', cause: 'gone' });
    if (code === 4041) return this.#become({ kind: 'over', cause: 'signed_out' });
    this.#wait(null);
    if (opened) return;
    const verdict = await this.#options.probe();
    if (this.#stopped || this.#state.kind !== 'waiting') return;
    if (verdict === 'gone' || verdict === 'signed_out') {
      clearTimeout(this.#retry);
      this.#become({ kind: 'over', cause: verdict });
    } else if (verdict !== 'try') {
      this.#wait(verdict.retryAfter * 1000);
    }
  }

  #wait(least: number | null): void {
    clearTimeout(this.#retry);
    const wait = Math.max(least ?? 0, backoff(this.#failures, this.#options.chance));
    if (least === null) this.#failures += 1;
    this.#become({ kind: 'waiting', until: Date.now() + wait });
    this.#retry = setTimeout(() => this.#open(), wait);
  }

  #beat(): void {
    if (this.#state.kind !== 'live' && this.#state.kind !== 'connecting') return;
    const quiet = Date.now() - this.#heard;
    if (quiet >= DEAD_MS) this.#lost();
    else if (quiet >= QUIET_MS) this.#ping();
  }

  #ping(): void {
    if (this.#state.kind === 'live') this.#socket?.send('{"type":"ping"}');
  }

  #lost(): void {
    this.#drop();
    this.#wait(null);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #become(state: LiveState): void {
    if (this.#stopped) return;
    this.#state = state;
    this.#options.onstate(state);
  }
}
