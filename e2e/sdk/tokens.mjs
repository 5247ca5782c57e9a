// Tokens as the server mints them, and such as only its operator could sign.
import { createHmac } from 'node:crypto';

/** The secrets of the servers of these stories, so that a story can sign, too. */
export const SECRETS = {
  MEET_AI_REALTIME__TOKEN_SECRET: 'a secret of connections, for stories only',
  MEET_AI_REALTIME__SUBSCRIPTION_SECRET: 'a secret of subscriptions, for stories only',
};

/** What a token says. */
export function claimsOf(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
}

/** The same token with other claims, signed with the secret. */
export function signedAnew(token, claims, secret) {
  const body = Buffer.from(JSON.stringify({ ...claimsOf(token), ...claims })).toString('base64url');
  const signed = `${token.split('.')[0]}.${body}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** The same token with a life of a few seconds, from now on. */
export function shortLived(token, secret, seconds) {
  const now = Math.floor(Date.now() / 1000);
  return signedAnew(token, { iat: now, exp: now + seconds }, secret);
}
