// Somebody who uses an SDK: what its client did, heard and asked for, in one shape for every SDK.
import assert from 'node:assert/strict';

import { PATIENCE } from '../lib/server.mjs';
import { Line } from './line.mjs';

export class Client {
  /** Every event of the client, in order. */
  heard = [];
  #watchers = new Set();
  #driver;

  /**
   * A client of the SDK behind a line of its own. `tokens` gives a token when the SDK asks for one: of the connection
   * when the channel is empty, else of a subscription.
   */
  static async open(sdk, variant, server, tokens) {
    const client = new Client();
    client.tokens = tokens;
    client.line = await Line.to(server.port);
    const settings = { url: client.line.url, patience: PATIENCE, ...variant };
    client.#driver = await sdk.open(settings, (event) => client.#hear(event));
    return client;
  }

  #hear(event) {
    this.heard.push(event);
    if (event.type === 'token') this.#give(event.channel);
    for (const look of [...this.#watchers]) look();
  }

  async #give(channel) {
    try {
      await this.does('token', { channel, token: await this.tokens(channel) });
    } catch (error) {
      this.heard.push({ type: 'no token', channel, message: error.message });
    }
  }

  /** Performs an action; one that fails throws an error with the `code` of the SDK. */
  async does(action, argument = {}) {
    const { done, failed } = await this.#driver.perform(action, argument);
    if (failed) throw Object.assign(new Error(`${action}: ${failed.code} ${failed.message}`), { code: failed.code });
    return done;
  }

  /** Connects, and waits until it is. */
  async connects() {
    await this.does('connect');
    return this.hears('connected');
  }

  /** Subscribes with a token, and waits until it is. */
  async subscribes(channel, options = {}) {
    await this.does('subscribe', { channel, withToken: true, joinLeave: false, ...options });
    return this.hears('subscribed', { channel });
  }

  /** The first event of this type with these values, from a place on; waits for it. */
  async hears(type, values = {}, from = 0) {
    const find = () => this.heard.slice(from).find((event) => matches(event, { type, ...values }));
    await this.until(find, `${type} ${JSON.stringify(values)}`);
    return find();
  }

  /** Waits until the condition holds; it is looked at after every event. */
  until(condition, what) {
    return new Promise((resolve, reject) => {
      const done = (settle, outcome) => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        settle(outcome);
      };
      const look = () => {
        if (condition()) done(resolve);
      };
      const timer = setTimeout(() => done(reject, new Error(`never came: ${what}; heard was\n${this.story()}`)), PATIENCE);
      this.#watchers.add(look);
      look();
    });
  }

  /** How many events of a type there were. */
  count(type, values = {}) {
    return this.heard.filter((event) => matches(event, { type, ...values })).length;
  }

  /** The offsets of the channel's publications, as they came. */
  offsets(channel) {
    return this.heard.filter((event) => matches(event, { type: 'publication', channel })).map(({ offset }) => offset);
  }

  /** Waits for the publication of this offset, and asserts that everything before it came, in order and once. */
  async hasAllOf(channel, last) {
    await this.hears('publication', { channel, offset: last });
    assert.deepEqual(this.offsets(channel), upTo(last), this.story());
  }

  /** The events for a person, one a line; of publications that follow on one another only the first and the last. */
  story() {
    const short = (key, value) => (typeof value === 'string' && value.length > 80 ? `${value.slice(0, 40)}…` : value);
    const follows = (one, other) => one?.type === 'publication' && other?.type === 'publication' && other.offset === one.offset + 1;
    return this.heard
      .filter((event, place) => !(follows(this.heard[place - 1], event) && follows(event, this.heard[place + 1])))
      .map((event) => JSON.stringify(event, short))
      .join('\n');
  }

  async close() {
    await this.#driver.close();
    await this.line.close();
  }
}

/** 1, 2, … up to the last. */
export function upTo(last) {
  return Array.from({ length: last }, (_, index) => index + 1);
}

function matches(event, values) {
  return Object.entries(values).every(([key, value]) => event[key] === value);
}
