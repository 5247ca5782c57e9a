// Signs and verifies with `livekit-server-sdk`, by the actions of the programs in other languages.
import { AccessToken, TokenVerifier, TrackSource, WebhookReceiver } from 'livekit-server-sdk';

const LIFE = '5m';

/** An SDK with a key, as `openProgram` opens one of another language. */
export function openLivekit({ key, secret }) {
  const verifier = new TokenVerifier(key, secret);
  const receiver = new WebhookReceiver(key, secret);
  const actions = {
    sign({ room, sources, kind, ...rest }) {
      const token = new AccessToken(key, secret, { ...rest, ttl: LIFE });
      token.kind = kind;
      const canPublishSources = sources.map((source) => TrackSource[source.toUpperCase()]);
      token.addGrant({ room, roomJoin: true, canPublishSources, canUpdateOwnMetadata: true });
      return token.toJwt();
    },
    verify: ({ token }) => verifier.verify(token),
    signWebhook({ sha256 }) {
      const token = new AccessToken(key, secret, { ttl: LIFE });
      token.sha256 = sha256;
      return token.toJwt();
    },
    receiveWebhook: async ({ body, authorization }) => (await receiver.receive(body, authorization)).toJson(),
  };
  return {
    perform: async (action, argument) => {
      try {
        return { done: await actions[action](argument) };
      } catch (error) {
        return { failed: { code: 0, message: error.message } };
      }
    },
    close: async () => {},
  };
}
