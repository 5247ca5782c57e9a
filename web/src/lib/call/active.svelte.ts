// The call that this page is in: joins the pure state with the client that carries it. Components read
// the state and call the methods, and know of no client.

import { explainDevice } from './devices';
import { NotJoined, type CallClient, type Hear, type Source } from './client';
import { idle, isIn, step, type CallState, type CallStep } from './state';

/** Makes the client of a call; it is loaded for that. */
export type MakeClient = (hear: Hear) => Promise<CallClient>;

export class ActiveCall {
  state = $state.raw<CallState>(idle);
  /** Whether the call carries sound and picture; one of the demo carries none. */
  carries = $state(true);
  #make: MakeClient;
  #client: CallClient | null = null;
  /** Which stay this is, so that what an earlier one says is let go. */
  #stay = 0;

  constructor(make: MakeClient) {
    this.#make = make;
  }

  /** Joins by a token, and sends these things from the beginning. */
  async join(token: string, sources: readonly Source[]): Promise<void> {
    this.leave();
    const stay = ++this.#stay;
    this.#step({ type: 'join' });
    try {
      const client = await this.#make((event) => {
        if (stay !== this.#stay) return;
        this.#step(event);
        if (event.type === 'ended') this.#letGo();
      });
      if (stay !== this.#stay) return client.leave();
      this.#client = client;
      this.carries = client.carries;
      await client.join(token);
    } catch (error) {
      if (stay !== this.#stay) return;
      const problem = error instanceof NotJoined ? error.message : 'The call could not be reached.';
      this.#step({ type: 'ended', how: 'failed', problem });
      this.#letGo();
      return;
    }
    if (stay !== this.#stay) return;
    this.#step({ type: 'joined' });
    await Promise.all(sources.map((source) => this.send(source, true)));
  }

  /** Starts or stops sending; what the browser has against it stands in the state. */
  async send(source: Source, on: boolean): Promise<void> {
    const [client, stay] = [this.#client, this.#stay];
    if (!client || !isIn(this.state) || this.state.sending[source] === 'starting') return;
    if (on) this.#step({ type: 'asked', source });
    try {
      await client.send(source, on);
      if (stay === this.#stay) this.#step({ type: 'sending', source, on });
    } catch (error) {
      if (stay !== this.#stay) return;
      // What could not be turned off must not look as if it were.
      const problem = on ? explainDevice(source, error, isSecureContext) : `The ${source} could not be turned off. Leave the call to be sure.`;
      this.#step({ type: 'device', source, problem, on: !on });
    }
  }

  toggle(source: Source): void {
    void this.send(source, this.state.sending[source] === 'off');
  }

  leave(): void {
    this.#step({ type: 'leave' });
    this.#letGo();
  }

  #letGo(): void {
    this.#stay += 1;
    this.#client?.leave();
    this.#client = null;
  }

  #step(event: CallStep): void {
    this.state = step(this.state, event);
  }
}
