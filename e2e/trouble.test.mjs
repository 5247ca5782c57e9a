// The server goes away, refuses, or comes back: nothing is lost, nothing doubled, and what happened is shown.
import assert from 'node:assert/strict';

import { story } from './lib/story.mjs';

async function inARoom(sit) {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('workshop');
  return { ann, key };
}

story('the server is killed and comes back: the page says so, and nothing is lost or doubled', async ({ server, sit }) => {
  const { ann, key } = await inARoom(sit);
  await ann.says('before');
  const bob = await sit('Bob');
  await bob.signsIn(key);
  await bob.page.goto(`/r/${ann.room}`);
  await bob.sees('before');

  await server.kill('SIGKILL');
  const status = ann.page.getByRole('status').filter({ hasText: 'Reconnecting' });
  await status.waitFor();
  await ann.button('Try now').waitFor();
  for (const text of ['written while away', 'and another one']) {
    await ann.composer.fill(text);
    await ann.composer.press('Enter');
    await ann.log.getByText(text).waitFor();
  }

  await server.restart();
  for (const person of [ann, bob]) {
    await person.sees('written while away');
    await person.sees('and another one');
    await person.page.getByRole('status').filter({ hasText: 'Reconnecting' }).waitFor({ state: 'detached' });
  }
  await bob.says('welcome back');
  await ann.sees('welcome back');

  const history = await server.call('GET', `/api/rooms/${ann.room}/messages`, { key });
  const order = ['before', 'written while away', 'and another one', 'welcome back'];
  assert.deepEqual(history.map((message) => message.content), order);
  assert.deepEqual(history.map((message) => message.seq), [1, 2, 3, 4]);
  assert.deepEqual(await ann.reads(), order);
  assert.deepEqual(await bob.reads(), order);
});

story('the server is started anew: pages come back by themselves, with what was said meanwhile', async ({ server, sit }) => {
  const { ann, key } = await inARoom(sit);
  await ann.says('before');
  await ann.page.evaluate(() => (window.stayed = true));
  await server.kill('SIGTERM');
  await server.restart();
  await server.call('POST', `/api/rooms/${ann.room}/messages`, { key, body: { sender: 'scout', content: 'while you were away' } });
  await ann.sees('while you were away');
  await ann.says('after');
  assert.deepEqual(await ann.reads(), ['before', 'while you were away', 'after']);
  assert.equal(await ann.page.evaluate(() => window.stayed), true, 'the page was loaded anew');
});

story('a page whose network was cut goes on where it was, and loads no history for it', async ({ server, sit }) => {
  const MISSED = 1040;
  const { ann, key } = await inARoom(sit);
  await ann.says('before');
  await ann.button('1 here now').waitFor();
  await ann.page.evaluate(() => (window.stayed = true));
  await ann.context.setOffline(true);
  await ann.page.getByRole('status').filter({ hasText: 'Reconnecting' }).waitFor();
  const say = (content) => server.call('POST', `/api/rooms/${ann.room}/messages`, { key, body: { sender: 'scout', content } });
  for (let batch = 1; batch < MISSED / 40; batch++) await Promise.all(Array.from({ length: 40 }, () => say('missed')));
  for (let number = 1; number <= 40; number++) await say(`missed as number ${number} of the last`);

  const requests = ann.requests.length;
  await ann.context.setOffline(false);
  await ann.sees('missed as number 40 of the last');
  await ann.page.getByRole('status').filter({ hasText: 'Reconnecting' }).waitFor({ state: 'detached' });
  const last = await server.call('GET', `/api/rooms/${ann.room}/messages?before_seq=${MISSED + 2}&limit=100`, { key });
  assert.equal(last.at(-1).seq, MISSED + 1);
  assert.deepEqual((await ann.reads()).slice(-100), last.map((message) => message.content));
  assert.deepEqual(ann.requests.slice(requests).filter((url) => /_seq=/.test(url)), []);
  assert.equal(await ann.page.evaluate(() => window.stayed), true, 'the page was loaded anew');
}, { MEET_AI_LIMITS__MESSAGES_PER_MINUTE_PER_KEY: '2000' });

story('the page shows its history and sends before it is connected, and goes on once it is', async ({ server, sit }) => {
  const { ann, key } = await inARoom(sit);
  await ann.says('before');
  let blocked = 0;
  await ann.page.route('**/assets/*.js', async (route) => {
    const response = await route.fetch();
    // Only the client that makes the connection knows this setting of it.
    if (!(await response.text()).includes('maxServerPingDelay')) return route.fulfill({ response });
    blocked += 1;
    return route.abort();
  });
  await ann.page.reload();
  await ann.sees('before');
  await ann.page.getByRole('status').filter({ hasText: 'Reconnecting' }).waitFor();
  await ann.says('on my own');
  await server.call('POST', `/api/rooms/${ann.room}/messages`, { key, body: { sender: 'scout', content: 'with company' } });
  assert.ok(blocked > 0);
  await ann.page.unroute('**/assets/*.js');
  await ann.button('Try now').click();
  await ann.sees('with company');
  assert.deepEqual(await ann.reads(), ['before', 'on my own', 'with company']);
});

story('where WebSockets are blocked, the page goes on by a stream', async ({ sit }) => {
  const { ann, key } = await inARoom(sit);
  const bob = await sit('Bob');
  await bob.context.addInitScript(() => delete window.WebSocket);
  await bob.signsIn(key);
  await bob.page.goto(`/r/${ann.room}`);
  await bob.composer.waitFor();
  await ann.button('2 here now').waitFor();
  await ann.says('do you hear me?');
  await bob.sees('do you hear me?');
  await bob.says('loud and clear');
  await ann.sees('loud and clear');
  await bob.context.close();
  await ann.button('1 here now').waitFor();
});

story('a room that is closed to its readers, or deleted, is gone from their pages at once', async ({ server, sit }) => {
  const { ann, key } = await inARoom(sit);
  await ann.says('hello');
  const bob = await sit('Bob');
  await bob.signsIn(key);
  await bob.page.goto(`/r/${ann.room}`);
  await bob.sees('hello');
  const [welcome] = await server.call('GET', '/api/public/rooms');
  const sam = await sit('Sam');
  await sam.page.goto(`/r/${welcome.id}`);
  await sam.heading('welcome').waitFor();
  await sam.log.getByRole('article').first().waitFor();

  await server.call('DELETE', `/api/rooms/${ann.room}`, { key });
  for (const person of [ann, bob]) await person.heading('This room is not here').waitFor();
  await server.call('PATCH', `/api/rooms/${welcome.id}`, { key: await server.operatorKey(), body: { visibility: 'private' } });
  await sam.heading('This room is not here').waitFor();
});

story('a server killed in the middle of sending keeps each message once', async ({ server, sit }) => {
  const { ann, key } = await inARoom(sit);
  const texts = Array.from({ length: 12 }, (_, index) => `number ${index + 1}`);
  for (const [index, text] of texts.entries()) {
    await ann.composer.fill(text);
    await ann.composer.press('Enter');
    if (index === 5) await server.kill('SIGKILL');
  }
  await server.restart();
  for (const text of texts) await ann.log.getByText(text, { exact: true }).waitFor();
  await ann.page.waitForFunction(() => !document.querySelector('[role=log]').innerText.includes('Sending'));
  await ann.page.reload();
  for (const text of texts) await ann.log.getByText(text, { exact: true }).waitFor();

  const history = await server.call('GET', `/api/rooms/${ann.room}/messages`, { key });
  assert.deepEqual(history.map((message) => message.seq), texts.map((_, index) => index + 1));
  assert.deepEqual(history.map((message) => message.content).sort(), [...texts].sort());
  assert.deepEqual(await ann.reads(), history.map((message) => message.content));
});

story(
  'a message that the server refuses is shown as not sent, and can be sent later',
  async ({ server, sit }) => {
    const { ann, key } = await inARoom(sit);
    await ann.says('one');
    await ann.says('two');
    await ann.composer.fill('three');
    await ann.composer.press('Enter');
    const refused = ann.log.getByRole('article').filter({ hasText: 'three' });
    await refused.getByText('Not sent.').waitFor();

    await server.restart({ MEET_AI_LIMITS__MESSAGES_PER_ROOM: '10' });
    await refused.getByRole('button', { name: 'Retry' }).click();
    await refused.getByText('Not sent.').waitFor({ state: 'detached' });
    await ann.says('four');

    const history = await server.call('GET', `/api/rooms/${ann.room}/messages`, { key });
    assert.deepEqual(history.map((message) => message.content), ['one', 'two', 'three', 'four']);
    assert.deepEqual(await ann.reads(), ['one', 'two', 'three', 'four']);
  },
  { MEET_AI_LIMITS__MESSAGES_PER_ROOM: '2' },
);

story(
  'a message that came too fast says so once, and counts down in silence',
  async ({ sit }) => {
    const { ann } = await inARoom(sit);
    await ann.says('one');
    await ann.composer.fill('two');
    await ann.composer.press('Enter');
    const refused = ann.log.getByRole('article').filter({ hasText: 'two' });
    await refused.getByText(/^Retry in \d+ s$/).waitFor();
    assert.equal(await refused.getByRole('alert').innerText(), 'Not sent. That was too fast for this server.');
    assert.ok(await refused.getByRole('button', { name: 'Retry', exact: true }).isDisabled());
  },
  { MEET_AI_LIMITS__MESSAGES_PER_MINUTE_PER_KEY: '1' },
);

story('what was typed and not sent is there again, in its own room', async ({ sit }) => {
  const { ann } = await inARoom(sit);
  const workshop = ann.page.url();
  await ann.composer.fill('half a thought');
  await ann.makesARoom('elsewhere');
  assert.equal(await ann.composer.inputValue(), '');
  await ann.page.goto(workshop);
  assert.equal(await ann.composer.inputValue(), 'half a thought');
  await ann.composer.press('Enter');
  await ann.sees('half a thought');
  await ann.page.reload();
  await ann.sees('half a thought');
  assert.equal(await ann.composer.inputValue(), '');
});

story('Enter that ends an input method’s composition does not send', async ({ sit }) => {
  const { ann } = await inARoom(sit);
  await ann.composer.focus();
  const devtools = await ann.context.newCDPSession(ann.page);
  await devtools.send('Input.imeSetComposition', { text: 'にほん', selectionStart: 3, selectionEnd: 3 });
  // Systems differ in the code that they give the key while the input method has it.
  for (const windowsVirtualKeyCode of [229, 13]) {
    await devtools.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode });
  }
  await devtools.send('Input.insertText', { text: '日本' });
  assert.equal(await ann.composer.inputValue(), '日本');
  assert.deepEqual(await ann.reads(), []);
  await ann.composer.press('Enter');
  await ann.sees('日本');
  assert.equal(await ann.composer.inputValue(), '');
});

story('a key that ended leads back to the key page', async ({ server, sit }) => {
  const { ann, key } = await inARoom(sit);
  await server.call('DELETE', '/api/keys', { key });
  await ann.page.waitForURL(/\/key/);
  await ann.button('Generate API Key').waitFor();
});

story('a browser that the server no longer knows is not locked out', async ({ server, sit }) => {
  const { ann } = await inARoom(sit);
  await server.restartEmpty();
  await ann.page.goto('/');
  await ann.link('Jump in').click();
  await ann.makesAKey();
  await ann.link('Open a room of your own').click();
  await ann.makesTheFirstRoom('a new start');
  await ann.says('here again');
});

story('who reads along without a session stays, when the server takes its token no more', async ({ server, sit }) => {
  const sam = await sit('Sam');
  await sam.page.goto('/');
  await sam.heading('welcome').waitFor();
  await sam.button(/watching|here/).first().waitFor();
  await server.restartEmpty();
  const [welcome] = await server.call('GET', '/api/public/rooms');
  await server.call('POST', `/api/rooms/${welcome.id}/messages`, { key: await server.operatorKey(), body: { sender: 'host', content: 'A new start' } });
  await sam.sees('A new start');
  assert.equal(new URL(sam.page.url()).pathname, '/');
});
