// As what people are seen: what one chooses shows to the others and on one's own other devices, and the own page is
// honest about what the server did not take.
import assert from 'node:assert/strict';

import { story } from './lib/story.mjs';

/** Ann and Bob in one room of a key. */
async function two(sit) {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('tea');
  const bob = await sit('Bob');
  await bob.signsIn(key);
  await bob.page.goto(`/r/${ann.room}`);
  await bob.composer.waitFor();
  for (const person of [ann, bob]) await person.button('2 here now').waitFor();
  return { ann, bob, key };
}

const people = (page) => page.getByRole('dialog', { name: 'Here now' });
const picker = (page) => page.getByLabel('Others see you as');
const entry = (page, name) => people(page).getByRole('listitem').filter({ hasText: name });

async function opensPeople(page) {
  await page.getByRole('button', { name: /here/ }).first().click();
  await people(page).waitFor();
}

story('a status is seen by others at once, and followed by another tab of the same person', async ({ sit }) => {
  const { ann, bob } = await two(sit);
  const other = await ann.context.newPage();
  await other.goto(ann.page.url());
  for (const page of [ann.page, bob.page, other]) await opensPeople(page);
  await entry(bob.page, 'Ann').getByText(/^Online/).waitFor();
  // Two tabs are one person.
  assert.equal(await people(bob.page).getByRole('listitem').count(), 2);

  for (const word of ['Busy', 'Away', 'Online']) {
    await picker(ann.page).selectOption({ label: word });
    for (const page of [ann.page, bob.page, other]) await entry(page, 'Ann').getByText(new RegExp(`^${word} `)).waitFor();
    await other.waitForFunction((word) => document.querySelector('dialog select').selectedOptions[0].text === word, word);
  }
  await entry(bob.page, 'Bob').getByText(/^Online/).waitFor();

  // It is kept for the next time.
  await picker(other).selectOption({ label: 'Busy' });
  await entry(bob.page, 'Ann').getByText(/^Busy/).waitFor();
  await ann.page.reload();
  await ann.composer.waitFor();
  await opensPeople(ann.page);
  await entry(ann.page, 'Ann').getByText(/^Busy/).waitFor();
  await ann.page.waitForFunction(() => document.querySelector('dialog select').value === 'busy');
});

story('who appears offline leaves the list and the counts, and goes on reading and writing', async ({ server, sit }) => {
  const { ann, bob, key } = await two(sit);
  await opensPeople(ann.page);
  await picker(ann.page).selectOption({ label: 'Appear offline' });
  await bob.button('1 here now').waitFor();
  await opensPeople(bob.page);
  assert.equal(await entry(bob.page, 'Ann').count(), 0);
  await entry(ann.page, 'Ann').waitFor({ state: 'detached' });
  assert.deepEqual(
    (await server.call('GET', `/api/rooms/${ann.room}/presence`, { key })).members.map((member) => member.name),
    ['Bob'],
  );
  await ann.page.keyboard.press('Escape');
  await bob.page.keyboard.press('Escape');
  await bob.says('Is anybody here?');
  await ann.sees('Is anybody here?');
  await ann.says('I am');
  await bob.sees('I am');
  await bob.button('1 here now').waitFor();

  await ann.page.reload();
  await ann.composer.waitFor();
  await ann.button('1 here now').waitFor();
  await opensPeople(ann.page);
  await ann.page.waitForFunction(() => document.querySelector('dialog select').value === 'invisible');
  await picker(ann.page).selectOption({ label: 'Online' });
  await bob.button('2 here now').waitFor();
});

story('a status that the server does not take goes back, and the page says so', async ({ sit }) => {
  const { ann, bob } = await two(sit);
  await opensPeople(ann.page);
  await ann.page.route('**/presence/status', (route) => route.abort());
  await picker(ann.page).selectOption({ label: 'Busy' });
  await people(ann.page).getByRole('alert').getByText('Others still see you as before: The server cannot be reached.').waitFor();
  assert.equal(await picker(ann.page).inputValue(), 'online');
  await ann.page.unroute('**/presence/status');
  await picker(ann.page).selectOption({ label: 'Busy' });
  assert.equal(await people(ann.page).getByRole('alert').count(), 0);
  await opensPeople(bob.page);
  await entry(bob.page, 'Ann').getByText(/^Busy/).waitFor();
});

story('a guest chooses for itself, and a stranger has nothing to choose', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('tea');
  const { url } = await server.call('POST', `/api/rooms/${ann.room}/invites`, { key, body: { role: 'member' } });
  const gus = await sit('Gus');
  await gus.follows(url);
  await gus.composer.waitFor();
  await opensPeople(ann.page);
  await opensPeople(gus.page);
  await picker(gus.page).selectOption({ label: 'Away' });
  await entry(ann.page, 'Gus').getByText(/^Away/).waitFor();

  const sam = await sit('Sam');
  await sam.page.goto('/');
  await sam.heading('welcome').waitFor();
  await opensPeople(sam.page);
  assert.equal(await picker(sam.page).count(), 0);
});
