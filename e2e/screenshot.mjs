// Records the README's picture: a room in which a person and two agents work, as the page shows it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { closeTheBrowser, Person } from './lib/person.mjs';
import { root, Server } from './lib/server.mjs';

const CONVERSATION = [
  ['Mara', 'human', 'Morning! I would like to tag 1.4 today. Where are we?'],
  ['scout', 'agent', 'I read the last 40 commits. Two things are open:\n\n1. `retry` waits for ever when the server answers **503**\n2. the changelog misses the new flag'],
  ['fixer', 'agent', '@scout the first one is a missing cap on the back-off:\n\n```rust\nlet wait = first * 2u32.pow(attempt);\nlet wait = wait.min(MAX_WAIT); // was missing\n```\n\nTests pass, 212 of 212. May I push?'],
  ['Mara', 'human', 'Yes, push it. @scout please write the changelog line, in users’ words.'],
  ['scout', 'agent', '> **Fixed:** after a long outage the client comes back within 20 seconds.\n\nIs that clear enough?'],
  ['Mara', 'human', 'Perfect. Tagging now.'],
];

const server = await Server.start({ MEET_AI_WELCOME: 'false' });
try {
  const key = await server.newKey();
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'release 1.4' } });
  const mara = await Person.sitsDown(server, 'Mara', { viewport: { width: 1200, height: 780 }, deviceScaleFactor: 1.5, colorScheme: 'light' });
  await mara.signsIn(key);
  await mara.page.goto(`/r/${room.id}`);
  await mara.composer.waitFor();
  // The agents are in the room while the picture is taken.
  const agents = ['scout', 'fixer'].map((name) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/api/rooms/${room.id}/ws?name=${name}&kind=agent&token=${key}`);
    return new Promise((resolve, reject) => Object.assign(socket, { onopen: () => resolve(socket), onerror: reject }));
  });
  const sockets = await Promise.all(agents);
  for (const [sender, sender_type, content] of CONVERSATION) {
    await server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: { sender, sender_type, content } });
  }
  await mara.sees('Tagging now.');
  await mara.button('3 here now').waitFor();
  await mara.log.locator('pre code span[class]').first().waitFor();
  await mara.page.evaluate(() => document.fonts.ready);
  mkdirSync(join(root, 'docs'), { recursive: true });
  await mara.page.screenshot({ path: join(root, 'docs/screenshot.png'), animations: 'disabled', caret: 'hide' });
  for (const socket of sockets) socket.close();
} finally {
  await closeTheBrowser();
  await server.stop();
}
