// Invites, owner links and spectators: who gets in, and what they see.
import assert from 'node:assert/strict';

import { story } from './lib/story.mjs';

/** An owner with two rooms, the first of them on the page. */
async function anOwner(sit) {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('secret');
  await ann.says('nobody else may read this');
  await ann.makesARoom('shared');
  await ann.says('hello guests');
  return { ann, key };
}

async function invites(ann, what) {
  await ann.button('Invite').first().click();
  const dialog = ann.page.getByRole('dialog', { name: 'Invite' });
  await dialog.getByLabel('They may').selectOption({ label: what });
  await dialog.getByRole('button', { name: 'Create link' }).click();
  const link = await dialog.getByText(/#invite=/).innerText();
  await ann.page.keyboard.press('Escape');
  return link;
}

/** What this browser gets from the API, as JSON. */
function asks(person, path) {
  return person.page.evaluate((path) => fetch(path).then((response) => response.json()), path);
}

story('an invite lets a guest into its room, and shows no other', async ({ server, sit }) => {
  const { ann, key } = await anOwner(sit);
  const link = await invites(ann, 'read and write');
  const gus = await sit('Gus');
  await gus.follows(link);
  await gus.sees('hello guests');
  assert.ok(!gus.page.url().includes('invite'), 'the secret is still in the address');
  await gus.says('hello Ann');
  await ann.sees('hello Ann');

  assert.deepEqual((await asks(gus, '/api/rooms')).map((room) => room.name), ['shared']);
  await gus.opensRooms();
  assert.equal(await gus.page.getByRole('dialog', { name: 'Rooms' }).getByText('secret').count(), 0);
  const rooms = await server.call('GET', '/api/rooms', { key });
  const secret = rooms.find((room) => room.name === 'secret');
  await gus.page.goto(`/r/${secret.id}`);
  await gus.heading('This room is not here').waitFor();
  for (const url of gus.requests) assert.ok(!/invite=/.test(url), `the invite is in ${url}`);
});

story('a guest cannot take a name that somebody has', async ({ sit }) => {
  const { ann } = await anOwner(sit);
  const link = await invites(ann, 'read and write');
  const gus = await sit('ANN');
  await gus.follows(link);
  await gus.page.getByText('Somebody here is called ANN already.').waitFor();
  await gus.entersAs('Gus', 'Join the room');
  await gus.sees('hello guests');
});

story('an owner who opens an invite is asked, and stays the owner until the answer', async ({ server, sit }) => {
  const { ann } = await anOwner(sit);
  const link = await invites(ann, 'read and write');
  await ann.page.goto(link);
  await ann.heading('You are signed in as Ann').waitFor();
  await ann.link('Stay signed in').click();
  await ann.composer.waitFor();
  assert.equal((await asks(ann, '/api/session')).role, 'owner');

  await ann.page.goto(link);
  await ann.entersAs('Guest Ann', 'Join as a guest');
  await ann.sees('hello guests');
  assert.equal((await asks(ann, '/api/session')).role, 'member');
  await ann.page.goto('/key');
  await ann.entersAs('Ann', 'Go to my own space');
  await ann.page.getByText('Owner: every room of this space').waitFor();

  // Who came by the owner link has no key to come back by.
  const olga = await sit('Olga');
  await olga.follows(await server.ownerLink(), 'Come in');
  await olga.composer.waitFor();
  await olga.page.goto(link);
  await olga.page.getByText('you would need a new owner link').waitFor();
});

story('a spectator by invite reads and finds nowhere to write', async ({ sit }) => {
  const { ann } = await anOwner(sit);
  const link = await invites(ann, 'only read');
  const sam = await sit('Sam');
  await sam.follows(link);
  await sam.sees('hello guests');
  await sam.page.getByText('You are reading along.').waitFor();
  assert.equal(await sam.composer.count(), 0);
  await ann.says('live, too');
  await sam.sees('live, too');
});

story('revoking an invite ends the guest’s session at once', async ({ sit }) => {
  const { ann } = await anOwner(sit);
  const link = await invites(ann, 'read and write');
  const gus = await sit('Gus');
  await gus.follows(link);
  await gus.sees('hello guests');
  await ann.button('Invite').first().click();
  await ann.button('Revoke').click();
  await gus.page.waitForURL(/\/key/);
});

story('a stranger reads the welcome room, cannot write, and comes back by Jump in', async ({ server, sit }) => {
  const sam = await sit('Sam');
  await sam.page.goto('/');
  await sam.heading('welcome').waitFor();
  await sam.log.getByRole('article').first().waitFor();
  await sam.page.getByText('You are reading along.').waitFor();
  assert.equal(await sam.composer.count(), 0);
  // The introduction stands at the beginning, and that is where a stranger begins.
  assert.equal(await sam.log.evaluate((log) => log.scrollTop), 0);

  const [welcome] = await server.call('GET', '/api/public/rooms');
  const written = await fetch(`${server.url}/api/rooms/${welcome.id}/messages`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await server.newKey()}` },
    body: JSON.stringify({ sender: 'Sam', content: 'let me in' }),
  });
  assert.equal(written.status, 403);
  assert.equal((await written.json()).code, 'read_only');

  await sam.link('Jump in').click();
  await sam.page.waitForURL(/\/key/);
  await sam.makesAKey();
  await sam.page.waitForURL(new RegExp(`/r/${welcome.id}$`));
  await sam.heading('welcome').waitFor();
});

story('the owner link makes the first browser the owner of the same space as the command line', async ({ server, sit }) => {
  const link = await server.ownerLink();
  const olga = await sit('Olga');
  await olga.follows(link, 'Come in');
  await olga.heading('welcome').waitFor();
  await olga.says('I am in charge here');
  await olga.button('Make your first room').waitFor();
  const polled = await server.command(['poll', 'welcome', '--json']);
  assert.equal(polled.code, 0, polled.stderr);
  assert.match(polled.stdout, /I am in charge here/);

  const late = await sit('Late');
  await late.follows(link, 'Come in');
  await late.heading('This link does not work any more').waitFor();
  await late.page.getByText('meet-ai owner-link', { exact: true }).waitFor();
  assert.equal(await late.button('Come in').count(), 0);

  await olga.button('Make your first room').click();
  const form = olga.page.getByRole('dialog', { name: 'New room' });
  await form.getByLabel('Name', { exact: true }).fill('workshop');
  await form.getByRole('button', { name: 'Create room' }).click();
  await olga.heading('workshop').waitFor();
  assert.equal(await olga.button('Make your first room').count(), 0);
});

story(
  'without a public room a stranger is led to the key page',
  async ({ sit }) => {
    const sam = await sit('Sam');
    await sam.page.goto('/');
    await sam.page.waitForURL(/\/key$/);
    await sam.button('Generate API Key').waitFor();
  },
  { MEET_AI_WELCOME: 'false' },
);
