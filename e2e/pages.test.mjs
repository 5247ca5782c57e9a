// The pages for everybody: without a mouse, with a screen reader, on a phone, in the dark, over a thin line.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createRequire } from 'node:module';

import { story } from './lib/story.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FIRST_LOAD = 100_000;

/** Fails with what axe finds on the page as it is now. */
async function isAccessible(person, where) {
  await person.page.evaluate(axe);
  // A page that is still fading in has other colours than it will have.
  await person.page.evaluate(() => Promise.all(document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity).map((one) => one.finished.catch(() => {}))));
  const { violations } = await person.page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join('\n    ')}`);
  assert.deepEqual(told, [], `axe on ${where}`);
}

/** A room with everything that messages can hold. */
async function aFullRoom(server, key) {
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'everything' } });
  const say = (body) => server.call('POST', `/api/rooms/${room.id}/messages`, { key, body });
  const question = await say({ sender: 'Ann', content: 'What does the parser say to ' + 'averyveryverylongword'.repeat(12) + '?' });
  await say({
    sender: 'scout',
    sender_type: 'agent',
    reply_to: question.id,
    content: 'It says:\n\n```rust\nfn main() { println!("' + 'wide '.repeat(60) + '"); }\n```\n\n| a | b | c | d | e | f | g |\n|---|---|---|---|---|---|---|\n| ' + 'cell with text | '.repeat(7) + '\n\n1. one\n2. two\n\n> quoted\n\nSee https://example.org and `code`, @Ann.',
  });
  await say({ sender: 'Ann', content: '**Thanks!**' });
  return room;
}

for (const colorScheme of ['light', 'dark']) {
  story(`axe finds nothing on any page, in the ${colorScheme}`, async ({ server, sit }) => {
    const ann = await sit('Ann', { colorScheme });
    await ann.page.goto('/');
    await ann.log.getByRole('article').first().waitFor();
    await isAccessible(ann, 'the welcome room');
    await ann.page.goto('/key');
    await ann.button('Generate API Key').waitFor();
    await isAccessible(ann, 'the key page');
    await ann.button('Generate API Key').click();
    const key = await ann.page.getByTestId('api-key').innerText();
    await isAccessible(ann, 'the page with a new key');
    await ann.entersAs('Ann', 'Enter the chat');
    await ann.page.goto('/');
    await ann.heading('Make your first room').waitFor();
    await isAccessible(ann, 'the first room’s form');

    const room = await aFullRoom(server, key);
    await ann.page.goto(`/r/${room.id}`);
    await ann.sees('Thanks!');
    await ann.log.locator('pre code span[class]').first().waitFor();
    await isAccessible(ann, 'a room');
    const dialogs = [
      ['Rooms', 'Rooms', undefined],
      ['Search this room', 'Search this room', undefined],
      ['Room settings', undefined, undefined],
      ['Invite', 'Invite', 'Create link'],
      ['1 here now', 'Here now', undefined],
    ];
    for (const [opener, title, inside] of dialogs) {
      await ann.button(opener).first().click();
      await ann.page.getByRole('dialog', title && { name: title }).waitFor();
      await isAccessible(ann, `the dialog ${opener}`);
      if (inside) {
        await ann.button(inside).click();
        await ann.page.getByText(/#invite=/).waitFor();
        await isAccessible(ann, `the dialog ${opener}, after ${inside}`);
      }
      await ann.page.keyboard.press('Escape');
      await ann.page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    await ann.page.goto('/key');
    await ann.heading('Key and account').waitFor();
    await isAccessible(ann, 'the account');
    await ann.page.goto('/docs');
    await ann.page.getByRole('heading').first().waitFor();
    await isAccessible(ann, 'the API reference');

    const invite = await server.call('POST', `/api/rooms/${room.id}/invites`, { key, body: { role: 'member' } });
    const gus = await sit('Gus', { colorScheme });
    await gus.page.goto(`/#invite=${invite.token}`);
    await gus.heading('You are invited').waitFor();
    await isAccessible(gus, 'the page of an invite');
  });
}

story('on a phone nothing is wider than the screen', async ({ server, sit }) => {
  const ann = await sit('n'.repeat(64), { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true });
  const fits = async (where) => {
    const [width, screen] = await ann.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width <= screen && screen === 320, `${where}: ${width} of ${screen}`);
    const wide = await ann.page.evaluate(() =>
      [...document.querySelectorAll('dialog[open], main, [role=log]')].filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.outerHTML.slice(0, 200)));
    assert.deepEqual(wide, [], where);
  };
  await ann.page.goto('/');
  await ann.log.getByRole('article').first().waitFor();
  await fits('welcome');
  const key = await ann.makesAKey();
  const room = await aFullRoom(server, key);
  await server.call('PATCH', `/api/rooms/${room.id}`, { key, body: { name: 'x'.repeat(100) } });
  await ann.page.goto(`/r/${room.id}`);
  await ann.sees('Thanks!');
  await fits('a room');
  await ann.says('typed on a phone');
  await ann.opensRooms();
  await fits('the drawer');
  await ann.page.keyboard.press('Escape');
  await ann.button('Invite').last().click();
  await ann.page.getByRole('dialog', { name: 'Invite' }).waitFor();
  await ann.button('Create link').click();
  const link = await ann.page.getByText(/#invite=/).innerText();
  await fits('the invite');
  await ann.page.keyboard.press('Escape');
  await ann.button('Search this room').click();
  await ann.page.getByLabel('Words to find').fill('parser');
  await ann.page.getByRole('dialog').getByText('What does the parser say').waitFor();
  await fits('the search');
  await ann.page.goto(link);
  await ann.link('Stay signed in').waitFor();
  await fits('the page of an invite');
  await ann.page.goto('/key');
  await ann.heading('Key and account').waitFor();
  await fits('the account');
  await ann.page.goto('/docs');
  await ann.page.getByRole('heading').first().waitFor();
  await fits('the API reference');
});

story('the page follows the system into the dark, and the theme button overrules it for good', async ({ sit }) => {
  const ann = await sit('Ann', { colorScheme: 'light' });
  const paper = () => ann.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const settles = (dark) =>
    ann.page.waitForFunction((dark) => {
      const [red] = getComputedStyle(document.body).backgroundColor.match(/\d+(\.\d+)?/g).map(Number);
      return dark ? red < 64 : red > 192;
    }, dark);
  await ann.page.goto('/key');
  await settles(false);
  const light = await paper();
  await ann.page.emulateMedia({ colorScheme: 'dark' });
  await settles(true);
  assert.notEqual(await paper(), light);
  await ann.button('Theme: as the system').click();
  await settles(false);
  await ann.page.reload();
  await ann.button('Theme: light').waitFor();
  assert.equal(await paper(), light);
});

story('everything can be done by keyboard', async ({ sit }) => {
  const ann = await sit('Ann');
  const { keyboard } = ann.page;
  /** Presses Tab until the element with this role and name has the focus. */
  const tabTo = async (name) => {
    for (let presses = 0; presses < 40; presses++) {
      const focused = await ann.page.evaluate(() => {
        const element = document.activeElement;
        return element?.getAttribute('aria-label') ?? element?.labels?.[0]?.innerText ?? element?.innerText ?? '';
      });
      if (focused.trim().startsWith(name)) return;
      await keyboard.press('Tab');
    }
    assert.fail(`Tab never comes to ${name}`);
  };
  await ann.page.goto('/');
  await ann.link('Jump in').waitFor();
  await tabTo('Jump in');
  await keyboard.press('Enter');
  await ann.button('Generate API Key').waitFor();
  await tabTo('Generate API Key');
  await keyboard.press('Enter');
  await ann.page.getByTestId('api-key').waitFor();
  await tabTo('Enter the chat');
  await keyboard.press('Enter');
  await ann.link('Open a room of your own').waitFor();
  await tabTo('Open a room of your own');
  await keyboard.press('Enter');
  await ann.heading('Make your first room').waitFor();
  await tabTo('Name');
  await keyboard.type('keys');
  await keyboard.press('Enter');
  await ann.composer.waitFor();
  await tabTo('Message keys');
  await keyboard.type('first line');
  await keyboard.press('Shift+Enter');
  await keyboard.type('second line');
  await keyboard.press('Enter');
  await ann.sees('second line');
  assert.deepEqual(await ann.reads(), ['first line\nsecond line']);

  await tabTo('Rooms');
  await keyboard.press('Enter');
  await ann.page.getByRole('dialog', { name: 'Rooms' }).waitFor();
  await keyboard.press('Escape');
  await ann.page.getByRole('dialog', { name: 'Rooms' }).waitFor({ state: 'detached' });
  assert.equal(await ann.page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Rooms');
  await tabTo('Invite');
  await keyboard.press('Enter');
  await ann.page.getByRole('dialog', { name: 'Invite' }).waitFor();
  await tabTo('Create link');
  await keyboard.press('Enter');
  await ann.page.getByText(/#invite=/).waitFor();
});

story('the browser’s way back leads to where one was, and closes what lies above', async ({ sit }) => {
  const ann = await sit('Ann');
  await ann.makesAKey();
  await ann.makesTheFirstRoom('one');
  const one = ann.room;
  await ann.makesARoom('two');
  await ann.opensRooms();
  await ann.page.goBack();
  await ann.heading('one').waitFor();
  assert.equal(ann.room, one);
  await ann.page.getByRole('dialog').waitFor({ state: 'detached' });
  await ann.page.goBack();
  await ann.heading('Key and account').waitFor();
  await ann.page.goForward();
  await ann.heading('one').waitFor();
});

story('an address that nobody can decode is a room that is not there', async ({ sit }) => {
  const sam = await sit('Sam');
  await sam.page.goto('/r/%E0%A4%A');
  await sam.heading('This room is not here').waitFor();
});

story('among many rooms one is found by its name', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await server.operatorKey();
  for (let number = 1; number <= 12; number++) await server.call('POST', '/api/rooms', { key, body: { name: `room ${number}` } });
  await ann.signsIn(key);
  await ann.opensRooms();
  const drawer = ann.page.getByRole('dialog', { name: 'Rooms' });
  await drawer.getByRole('link', { name: 'room 12' }).waitFor();
  const names = (await drawer.getByRole('link', { name: /^room/ }).allInnerTexts()).map((text) => text.split('\n')[0]);
  assert.deepEqual(names, Array.from({ length: 12 }, (_, index) => `room ${index + 1}`));
  await drawer.getByLabel('Find a room').fill('ROOM 7');
  await drawer.getByRole('link', { name: 'room 12' }).waitFor({ state: 'detached' });
  await drawer.getByRole('link', { name: 'room 7' }).click();
  await ann.page.getByRole('textbox', { name: 'Message room 7' }).waitFor();
});

story('a reader who scrolled up stays there, and a pill leads to what is new', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'long' } });
  const say = (content) => server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: { sender: 'scout', content } });
  for (let number = 1; number <= 50; number++) await say(`message ${number}`);
  await ann.page.goto(`/r/${room.id}`);
  await ann.sees('message 50');
  await ann.log.hover();
  await ann.page.mouse.wheel(0, -900);
  await ann.page.getByText('Go to the newest message').waitFor({ state: 'attached' });
  const top = () => ann.log.evaluate((log) => log.scrollTop);
  const before = await top();
  await say('something new');
  const pill = ann.page.getByRole('button', { name: '1 new message' });
  await pill.waitFor();
  assert.ok(Math.abs((await top()) - before) <= 2, 'the reader was moved');
  await pill.click();
  await ann.log.getByText('something new').waitFor();
  await pill.waitFor({ state: 'detached' });
  await ann.page.waitForFunction(() => {
    const log = document.querySelector('[role=log]');
    return log.scrollHeight - log.scrollTop - log.clientHeight < 4;
  });
});

story('the first load is at most 100 KB, gzipped', async ({ server, sit }) => {
  const sam = await sit('Sam');
  await sam.page.goto('/key');
  await sam.button('Generate API Key').waitFor();
  const files = [...new Set(sam.requests)].filter((url) => url.startsWith('http') && !url.includes('/api/'));
  let total = 0;
  const told = [];
  for (const file of files) {
    const bytes = await transferred(file);
    total += bytes;
    told.push(`${bytes} ${new URL(file).pathname}`);
  }
  assert.ok(files.length >= 3, told.join('\n'));
  assert.ok(total <= FIRST_LOAD, `${total} bytes:\n${told.join('\n')}`);
});

/** The bytes of a body as they come over the line to a client that takes gzip. */
function transferred(url) {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers: { 'accept-encoding': 'gzip' } }, (response) => {
      let bytes = 0;
      response.on('data', (chunk) => (bytes += chunk.length));
      response.on('end', () => resolve(bytes));
    });
    asked.on('error', reject).end();
  });
}
