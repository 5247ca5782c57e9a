// Drives one client of `centrifuge`: actions in, events out, both plain JSON. It runs as it is in Node and in a page.

/**
 * A client of the class `Centrifuge`. `lent` is what this runtime has for it, such as a WebSocket; `hear` gets every
 * event. What comes back performs an action, and answers `{done}` or `{failed: {code, message}}`.
 */
export function drive(Centrifuge, lent, { url, transport, protocol, patience }, hear) {
  const binary = protocol === 'protobuf';
  const packed = (value) => (binary ? new TextEncoder().encode(JSON.stringify(value)) : value);
  const unpacked = (data) => {
    if (!binary) return data ?? null;
    return data?.length > 0 ? JSON.parse(new TextDecoder().decode(data)) : null;
  };
  const person = (info) =>
    info ? { user: info.user, client: info.client, connInfo: unpacked(info.connInfo), chanInfo: unpacked(info.chanInfo) } : null;
  const publication = ({ offset, data, info }) => ({ offset: Number(offset ?? 0), data: unpacked(data), info: person(info) });

  // Who asks for a token waits until the story gives one.
  const askers = {};
  const ask = (channel) =>
    new Promise((resolve) => {
      (askers[channel] ??= []).push(resolve);
      hear({ type: 'token', channel });
    });

  const endpoint =
    transport === 'websocket'
      ? `${url.replace(/^http/, 'ws')}/connection/websocket`
      : [{ transport, endpoint: `${url}/connection/${transport}` }];
  const client = new Centrifuge(endpoint, {
    ...lent,
    getToken: () => ask(''),
    emulationEndpoint: `${url}/emulation`,
    timeout: patience,
    minReconnectDelay: 50,
    maxReconnectDelay: 500,
  });

  /** Passes events of these types on; `server` marks those of server-side subscriptions, whose context has the channel. */
  const follow = (emitter, marks, channel) => {
    const said = (type, more) =>
      emitter.on(type, (context) => hear({ type, ...marks, ...((channel ?? context.channel) && { channel: channel ?? context.channel }), ...more(context) }));
    said('subscribing', ({ code = 0 }) => ({ code }));
    said('subscribed', ({ recoverable, positioned, wasRecovering, recovered, streamPosition, data }) => ({
      recoverable,
      positioned,
      wasRecovering,
      recovered,
      offset: Number(streamPosition?.offset ?? 0),
      epoch: streamPosition?.epoch ?? '',
      data: unpacked(data),
    }));
    said('unsubscribed', ({ code = 0 }) => ({ code }));
    said('publication', publication);
    said('join', ({ info }) => ({ info: person(info) }));
    said('leave', ({ info }) => ({ info: person(info) }));
  };
  for (const type of ['connecting', 'disconnected']) client.on(type, ({ code, reason }) => hear({ type, code, reason }));
  client.on('connected', (context) => hear({ type: 'connected', client: context.client }));
  client.on('error', ({ error }) => hear({ type: 'error', code: error.code, message: error.message }));
  follow(client, { server: true });

  const actions = {
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),
    token: ({ channel, token }) => askers[channel].shift()(token),
    subscribe: ({ channel, withToken, joinLeave }) => {
      const options = { joinLeave, recoverable: true, ...(withToken && { getToken: () => ask(channel) }) };
      const subscription = client.newSubscription(channel, options);
      follow(subscription, {}, channel);
      subscription.on('error', ({ error }) => hear({ type: 'error', channel, code: error.code, message: error.message }));
      subscription.subscribe();
    },
    unsubscribe: ({ channel }) => client.getSubscription(channel).unsubscribe(),
    publish: async ({ channel, data }) => void (await client.publish(channel, packed(data))),
    history: async ({ channel, ...options }) => {
      const { publications, offset, epoch } = await client.history(channel, options);
      return { publications: publications.map(publication), offset: Number(offset), epoch };
    },
    presence: async ({ channel }) => Object.values((await client.presence(channel)).clients).map(person),
    presenceStats: async ({ channel }) => {
      const { numClients, numUsers } = await client.presenceStats(channel);
      return { numClients, numUsers };
    },
  };
  return async (action, argument) => {
    try {
      return { done: (await actions[action](argument)) ?? null };
    } catch (error) {
      return { failed: { code: error.code ?? 0, message: error.message } };
    }
  };
}
