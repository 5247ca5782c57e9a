// The pages for everybody: without a mouse, with a screen reader, on a phone, in the dark, over a thin line.
import assert from 'node:assert/strict';
import { request } from 'node:http';

import { isAccessible } from './lib/axe.mjs';
import { story } from './lib/story.mjs';

const FIRST_LOAD = 100_000;

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
    await ann.button('Invite').first().click();
    await ann.page.getByRole('button', { name: /^Bring an agent/ }).click();
    await ann.page.getByRole('dialog', { name: 'Bring an agent' }).waitFor();
    await isAccessible(ann, 'the dialog that brings an agent');
    await ann.button('Show the lines').click();
    for (const tab of await ann.page.getByRole('tab').all()) {
      await tab.click();
      await isAccessible(ann, `the lines for ${await tab.innerText()}`);
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

  story(`axe finds nothing where somebody searches, is refused or is lost, in the ${colorScheme}`, async ({ server, sit }) => {
    const ann = await sit('Ann', { colorScheme });
    const key = await server.newKey();
    await ann.signsIn(key);
    const room = await aFullRoom(server, key);
    await ann.page.goto(`/r/${room.id}`);
    await ann.sees('Thanks!');
    await ann.composer.pressSequentially('@sc');
    await ann.page.getByRole('listbox').waitFor();
    await isAccessible(ann, 'names that complete a mention');
    await ann.composer.fill('');
    await ann.button('Search this room').click();
    await ann.page.getByLabel('Words to find').fill('parser');
    await ann.page.getByRole('dialog').getByText('What does the parser say').waitFor();
    await isAccessible(ann, 'what a search found');
    await ann.button('Close').click();
    await ann.composer.fill('one too many');
    await ann.composer.press('Enter');
    await ann.log.getByText('Not sent.').waitFor();
    await isAccessible(ann, 'a message that was not sent');
    await server.kill();
    await ann.page.getByRole('status').filter({ hasText: 'Reconnecting' }).waitFor();
    await isAccessible(ann, 'the page without a server');
    await server.restart();
    await ann.page.getByRole('status').filter({ hasText: 'Reconnecting' }).waitFor({ state: 'detached' });

    await ann.page.goto('/key');
    await ann.button('Sign out…').click();
    await ann.page.getByRole('dialog', { name: 'Sign out?' }).waitFor();
    await isAccessible(ann, 'the question before signing out');
    await ann.page.keyboard.press('Escape');
    await ann.button('Use another key').click();
    await ann.button('Copy the old key').waitFor();
    await isAccessible(ann, 'the key page of somebody who has a key');
    await ann.page.goto('/r/01900000-0000-7000-8000-000000000001');
    await ann.heading('This room is not here').waitFor();
    await isAccessible(ann, 'a room that is gone');
    await ann.page.goto('/nowhere/at/all');
    await ann.heading('There is nothing here').waitFor();
    await isAccessible(ann, 'an address that is none');
    await ann.page.route('**/api/session', (route) => route.abort());
    await ann.page.goto('/');
    await ann.heading('meet-ai is not answering').waitFor();
    await isAccessible(ann, 'the page that nobody answers');
    await ann.page.unroute('**/api/session');
  }, { MEET_AI_LIMITS__MESSAGES_PER_ROOM: '3' });
}

story('every page has a title of its own, and the way from page to page goes to its heading', async ({ sit }) => {
  const ann = await sit('Ann', { hasTouch: true, isMobile: true });
  /** Waits until the page has a title, and its heading the focus. */
  const isAt = async (heading, title = heading) => {
    await ann.page.waitForFunction(
      ([heading, title]) => document.title === `${title} – meet-ai` && document.activeElement?.localName === 'h1' && document.activeElement.innerText === heading,
      [heading, title],
    );
  };
  await ann.page.goto('/');
  await ann.link('Jump in').click();
  await isAt('Jump in');
  await ann.button('Generate API Key').click();
  await isAt('Your key');
  await ann.entersAs('Ann', 'Enter the chat');
  await isAt('welcome');
  await ann.link('Open a room of your own').click();
  await isAt('Make your first room');
  await ann.makesTheFirstRoom('one');
  await ann.page.waitForFunction(() => document.title === 'one – meet-ai');
  await ann.opensRooms();
  await ann.page.getByRole('dialog').getByRole('link', { name: 'API reference' }).click();
  await isAt('API reference');
  await ann.link('meet-ai').click();
  await isAt('one');
  await ann.opensRooms();
  await ann.page.getByRole('dialog').getByRole('link', { name: /Key and account/ }).click();
  await isAt('Key and account');
  await ann.page.goBack();
  await isAt('one');
  await ann.page.goto('/r/01900000-0000-7000-8000-000000000001');
  await ann.page.waitForFunction(() => document.title === 'This room is not here – meet-ai');
  await ann.page.goto('/nowhere');
  await ann.page.waitForFunction(() => document.title === 'There is nothing here – meet-ai');
});

story('the page says when the server is not there, and goes on when it is back', async ({ server, sit }) => {
  const ann = await sit('Ann');
  await ann.makesAKey();
  await ann.makesTheFirstRoom('one');
  await ann.page.route('**/api/session', (route) => route.abort());
  await ann.page.reload();
  await ann.heading('meet-ai is not answering').waitFor();
  assert.equal(await ann.page.title(), 'meet-ai is not answering – meet-ai');
  await ann.page.unroute('**/api/session');

  // A list that is refused is no server that is away.
  await ann.page.route('**/api/rooms?*', (route) => route.fulfill({ status: 500, json: { error: 'the disk is gone', code: 'unavailable' } }));
  await ann.button('Try again').click();
  await ann.heading('This did not work').waitFor();
  await ann.page.getByText('The disk is gone.').waitFor();
  await ann.page.unroute('**/api/rooms?*');
  await ann.button('Try again').click();
  await ann.composer.waitFor();
  await ann.button('1 here now').waitFor();

  // The session ends while nobody can be asked who is here.
  await ann.page.route('**/api/session', (route) => route.abort());
  await ann.context.clearCookies();
  await ann.page.route('**/api/rooms?*', (route) => route.fulfill({ status: 401, json: { error: 'Missing API key', code: 'missing_key' } }));
  await ann.opensRooms();
  await ann.page.getByRole('dialog').getByRole('link', { name: /Key and account/ }).click();
  await ann.link('To the chat').click();
  await ann.heading('meet-ai is not answering').waitFor();
  await ann.page.unroute('**/api/session');
  await ann.page.unroute('**/api/rooms?*');
  await ann.button('Try again').click();
  await ann.composer.waitFor();
  await ann.says('signed in again');
  assert.equal(server.log.includes('signed in again'), false);
});

story('Tab passes the messages by, and the arrow keys lead into them', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'dense' } });
  const say = (body) => server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: { sender: 'scout', ...body } });
  const first = await say({ content: 'see https://example.org' });
  await say({ content: `\`\`\`js\n1\n\`\`\`\n${'line\n'.repeat(80)}`, reply_to: first.id });
  await ann.page.goto(`/r/${room.id}`);
  await ann.button('Show all of it').waitFor();
  const { keyboard } = ann.page;
  const focused = () => ann.page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText);
  await ann.log.focus();
  await keyboard.press('Tab');
  assert.equal(await focused(), 'Message dense');
  await ann.log.focus();
  await keyboard.press('ArrowUp');
  const inside = [];
  for (let presses = 0; presses < 4; presses++) {
    await keyboard.press('Tab');
    inside.push((await focused()).split('\n')[0]);
  }
  assert.deepEqual(inside, ['scout', 'Copy code', 'Show all of it', 'Reply to scout']);
});

story('an owner invites to the room from the drawer, too', async ({ server, sit }) => {
  const olga = await sit('Olga');
  await olga.follows(await server.ownerLink(), 'Come in');
  await olga.makesARoom('den');
  // The address of this server as the others know it is not always the one in the bar.
  await olga.page.route('**/invites', async (route) => {
    if (route.request().method() !== 'POST') return route.fallback();
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), url: 'https://meet.example.org/#invite=secret' } });
  });
  await olga.opensRooms();
  await olga.button('Invite to den').click();
  const dialog = olga.page.getByRole('dialog', { name: 'Invite' });
  await dialog.getByRole('button', { name: 'Create link' }).click();
  await dialog.getByText('https://meet.example.org/#invite=secret', { exact: true }).waitFor();
  await olga.page.goto('/key');
  await olga.page.getByText('It came with the owner link').waitFor();
  assert.equal(await olga.button('Change name').count(), 0);
});

story('on a phone the API reference has an index that folds', async ({ sit }) => {
  const ann = await sit('Ann', { viewport: { width: 390, height: 740 }, hasTouch: true, isMobile: true });
  await ann.page.goto('/docs/');
  await ann.page.getByText('All operations').click();
  await ann.page.getByRole('navigation', { name: 'Operations' }).getByRole('link', { name: 'Create room' }).click();
  await ann.page.waitForURL(/\/docs#create-room$/);
  await ann.page.getByRole('navigation', { name: 'Operations' }).waitFor({ state: 'hidden' });
});

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
  await ann.button('Invite').last().click();
  await ann.page.getByRole('button', { name: /^Bring an agent/ }).click();
  await ann.button('Show the lines').click();
  for (const tab of await ann.page.getByRole('tab').all()) {
    await tab.click();
    await fits(`the lines for ${await tab.innerText()}`);
  }
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
  await ann.button('Use another key').click();
  await ann.button('Copy the old key').waitFor();
  await fits('the choice of another key');
  await ann.button('Generate API Key').click();
  await ann.heading('Your key').waitFor();
  await fits('another key');
  await ann.page.goto('/docs');
  await ann.page.getByText('All operations').click();
  await fits('the API reference');
  await ann.page.goto('/nowhere');
  await ann.heading('There is nothing here').waitFor();
  await fits('an address that is none');
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
