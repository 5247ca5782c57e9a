// A room, the people who come to it with an SDK, and the server under them.
import { Server } from '../lib/server.mjs';
import { Client } from './client.mjs';
import { claimsOf, SECRETS } from './tokens.mjs';

/** Stories share an address, and some post in floods: no limit is what they are about. */
export const ENVIRONMENT = {
  ...SECRETS,
  MEET_AI_LIMITS__KEYS_PER_HOUR_PER_IP: '0',
  MEET_AI_LIMITS__ROOMS_PER_DAY_PER_KEY: '0',
  MEET_AI_LIMITS__MESSAGES_PER_MINUTE_PER_KEY: '0',
};

export class Story {
  #clients = [];

  /** A key and a room of its own on the server; people come with clients of this SDK and variant. */
  static async begin(sdk, variant, server) {
    const story = new Story();
    Object.assign(story, { sdk, variant, server });
    story.key = await server.newKey();
    story.room = await story.makesRoom('talk');
    story.channel = `chat:${story.room.id}`;
    return story;
  }

  /** Calls the API by the key of the story, under a name if there is one. */
  call(method, path, { body, name } = {}) {
    const headers = name && { 'x-meet-name': name, 'x-meet-kind': 'agent' };
    return this.server.call(method, path, { key: this.key, body, headers });
  }

  makesRoom(name) {
    return this.call('POST', '/api/rooms', { body: { name } });
  }

  /** A token as the server mints it: of the connection without a channel, else of the subscription to a room. */
  async token(name, channel) {
    const path = channel ? `/api/rooms/${channel.slice('chat:'.length)}/subscribe-token` : '/realtime/connection-token';
    return (await this.call('POST', path, { name })).token;
  }

  /** Somebody with an SDK; `tokens` says what it is given for a channel, or for the connection when there is none. */
  async person(name, tokens = (channel) => this.token(name, channel)) {
    const client = await Client.open(this.sdk, this.variant, this.server, tokens);
    this.#clients.push(client);
    client.user = claimsOf(await this.token(name)).sub;
    return client;
  }

  /** Somebody who is connected and subscribed to the room. */
  async personInTheRoom(name, options) {
    const person = await this.person(name);
    await person.connects();
    await person.subscribes(this.channel, options);
    return person;
  }

  /** Posts this many messages at once; every one is stored when this returns. */
  async posts(count, content = 'hello') {
    const body = { sender: 'Reporter', content };
    const path = `/api/rooms/${this.room.id}/messages`;
    return Promise.all(Array.from({ length: count }, () => this.call('POST', path, { body })));
  }

  /** The room's messages as the API tells them. */
  messages() {
    return this.call('GET', `/api/rooms/${this.room.id}/messages`);
  }

  async end() {
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}

/** Runs a story on this server, or on one of its own when there is none. */
export async function tell(sdk, variant, shared, body) {
  const server = shared ?? (await Server.start(ENVIRONMENT));
  let story;
  try {
    story = await Story.begin(sdk, variant, server);
    await body(story);
  } catch (error) {
    throw new Error(`${error.message}\n--- the server said:\n${server.log.slice(-4000)}`, { cause: error });
  } finally {
    await story?.end();
    if (!shared) await server.stop();
  }
}
