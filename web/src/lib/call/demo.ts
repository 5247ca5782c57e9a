// A call that carries nothing, for tests and demos: one is in it for as long as a stream of events is
// open. Who else is in it, only the room knows.

import { Again } from '../backoff';
import { NotJoined, type CallClient, type Hear, type Source } from './client';
import { DEMO_PATH } from './kind';

/** The names of the events in a stream, as they come; what comes in pieces is put together. */
export async function* eventNames(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith('event:')) yield line.slice('event:'.length).trim();
  }
}

export class DemoClient implements CallClient {
  readonly carries = false;
  #hear: Hear;
  #token = '';
  #stop = new AbortController();
  #again = new Again();

  constructor(hear: Hear) {
    this.#hear = hear;
  }

  async join(token: string): Promise<void> {
    this.#token = token;
    const events = await this.#attend();
    const first = await events.next();
    if (first.done || first.value !== 'joined') throw new NotJoined('The call is over.');
    void this.#listen(events);
  }

  /** There is nothing to send; the button says what it would say. */
  async send(_source: Source, _on: boolean): Promise<void> {}

  leave(): void {
    this.#again.cancel();
    this.#stop.abort();
  }

  async #attend(): Promise<AsyncGenerator<string>> {
    const response = await fetch(DEMO_PATH, {
      method: 'POST',
      headers: { Authorization: `Bearer ${this.#token}` },
      signal: this.#stop.signal,
    });
    if (response.ok && response.body) return eventNames(response.body);
    if (response.status === 401) throw new NotJoined('The way into this call is no longer open. Join once more.');
    throw new Error(`the call answered ${response.status}`);
  }

  async #listen(events: AsyncGenerator<string>): Promise<void> {
    try {
      for await (const event of events) {
        if (event === 'joined') {
          this.#again.done();
          this.#hear({ type: 'reconnected' });
        } else if (event === 'muted') this.#hear({ type: 'muted' });
        else if (event === 'removed') return this.#hear({ type: 'ended', how: 'removed' });
      }
    } catch {
      // The line is cut; what follows is the same as at its end.
    }
    if (this.#stop.signal.aborted) return;
    this.#hear({ type: 'reconnecting' });
    this.#comeBack();
  }

  #comeBack(): void {
    this.#again.later(async () => {
      try {
        await this.#listen(await this.#attend());
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (error instanceof NotJoined) this.#hear({ type: 'ended', how: 'failed', problem: error.message });
        else this.#comeBack();
      }
    });
  }
}
