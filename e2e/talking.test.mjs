// People in browsers and programs on the command line talk in one room.
import assert from 'node:assert/strict';

import { story } from './lib/story.mjs';

story('a newcomer makes a key, makes a room, and says something', async ({ server, sit }) => {
  const ann = await sit('Ann');
  await ann.page.goto('/');
  await ann.link('Jump in').click();
  await ann.button('Generate API Key').click();
  const key = await ann.page.getByTestId('api-key').innerText();
  assert.match(key, /^mai_[\w-]{24}$/);
  await ann.page.getByText('Add to your .env:').waitFor();
  await ann.page.getByText(`MEET_AI_KEY=${key}`, { exact: true }).waitFor();
  await ann.button('Copy to clipboard').waitFor();
  assert.equal(await ann.page.evaluate(() => localStorage.getItem('meet-ai-key')), key);
  await ann.entersAs('Ann', 'Enter the chat');

  // She came from the welcome room, and is led back there.
  await ann.link('Open a room of your own').click();
  await ann.makesTheFirstRoom('standup');
  await ann.says('Good morning!');

  const history = await server.call('GET', `/api/rooms/${ann.room}/messages`, { key });
  assert.deepEqual(
    history.map(({ seq, sender, sender_type, content }) => ({ seq, sender, sender_type, content })),
    [{ seq: 1, sender: 'Ann', sender_type: 'human', content: 'Good morning!' }],
  );
  for (const url of [...ann.requests, ann.page.url()]) assert.ok(!url.includes('mai_'), `a key in ${url}`);
  assert.ok(!server.log.includes(key), 'the key is in the log');
  assert.ok(!server.log.includes('Good morning'), 'a message is in the log');
});

story('a person in a browser and a program on the command line talk in one room', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('build');

  const listening = server.follow(['listen', 'build', '--since', '0', '--exclude', 'builder'], { key });
  await ann.says('Is the build green?');
  const heard = JSON.parse(await listening.lines.next());
  assert.equal(heard.content, 'Is the build green?');
  assert.equal(heard.sender_type, 'human');

  const sent = await server.command(['send-message', 'build', 'builder', 'Yes: **all** of it.'], { key });
  assert.equal(sent.code, 0, sent.stderr);
  const answer = await ann.sees('Yes: all of it.');
  assert.match(await answer.innerText(), /builder[\s\S]*agent/);
  assert.equal(await answer.locator('strong').innerText(), 'all');
  await ann.says('Thank you');
  assert.equal(JSON.parse(await listening.lines.next()).content, 'Thank you');
  await listening.stop();

  const polled = await server.command(['poll', 'build', '--json'], { key });
  const lines = polled.stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((message) => message.content), ['Is the build green?', 'Yes: **all** of it.', 'Thank you']);
  assert.deepEqual(await ann.reads(), ['Is the build green?', 'Yes: all of it.', 'Thank you']);
});

story('two people see each other come, write and answer', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('tea');
  const bob = await sit('Bob');
  await bob.signsIn(key);
  await bob.page.goto(`/r/${ann.room}`);
  await bob.composer.waitFor();
  await ann.page.getByRole('button', { name: '2 here now' }).waitFor();

  await bob.says('Is there tea?');
  const question = await ann.sees('Is there tea?');
  await question.hover();
  await question.getByRole('button', { name: 'Reply to Bob' }).click();
  await ann.says('In the kitchen, @Bob.');
  const answer = await bob.sees('In the kitchen, @Bob.');
  await answer.getByText('Is there tea?').waitFor();
  assert.equal(await answer.locator('.mention-me').innerText(), '@Bob');

  const [first, second] = await server.call('GET', `/api/rooms/${ann.room}/messages`, { key });
  assert.equal(second.reply_to, first.id);
});

story('a name is completed where the caret stands, and one that is typed whole is sent at once', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('tea');
  for (const sender of ['scout', 'scout of the north']) {
    await server.call('POST', `/api/rooms/${ann.room}/messages`, { key, body: { sender, content: `${sender} is here` } });
    await ann.sees(`${sender} is here`);
  }
  await ann.composer.fill('x @sco tail');
  for (let step = 0; step < ' tail'.length; step += 1) await ann.composer.press('ArrowLeft');
  await ann.page.getByRole('option').first().waitFor();
  await ann.composer.press('Enter');
  await ann.page.keyboard.type('HERE');
  assert.match(await ann.composer.inputValue(), /^x @scout( of the north)? HEREtail$/);

  await ann.composer.fill('so @scout');
  await ann.page.getByRole('option').first().waitFor();
  const second = await ann.page.getByRole('option').nth(1).innerText();
  await ann.composer.press('ArrowDown');
  await ann.composer.press('Enter');
  assert.ok(second.includes((await ann.composer.inputValue()).replace(/^so @/, '').trim()), second);

  await ann.composer.fill('hi @scout');
  await ann.page.getByRole('option').first().waitFor();
  await ann.composer.press('Enter');
  const mine = await ann.sees('hi @scout');
  assert.equal(await mine.locator('.mention').innerText(), '@scout');
});

story('a message from long ago is found, and the newest one is a click away', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await server.operatorKey();
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'archive' } });
  const say = (sender, content) => server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: { sender, content } });
  await say('scout', 'the needle is here');
  for (let batch = 0; batch < 26; batch++) await Promise.all(Array.from({ length: 50 }, () => say('scout', 'hay')));
  await say('scout', 'the last straw');

  await ann.signsIn(key);
  await ann.page.goto(`/r/${room.id}`);
  await ann.sees('the last straw');
  const dialog = ann.page.getByRole('dialog', { name: 'Search this room' });
  const searches = async () => {
    await ann.button('Search this room').click();
    await ann.page.getByLabel('Words to find').fill('needle');
    await dialog.getByText('the needle is here').click();
  };
  await ann.page.route('**/messages?before_seq=*', (route) => route.abort());
  await searches();
  await ann.page.getByText('The server cannot be reached.').waitFor();
  assert.ok(await dialog.isVisible());
  await ann.page.unroute('**/messages?before_seq=*');
  await dialog.getByText('the needle is here').click();
  await dialog.waitFor({ state: 'detached' });
  await ann.sees('the needle is here');
  await ann.log.getByText('This is where the room begins.').waitFor();

  await say('scout', 'meanwhile');
  await ann.page.getByRole('button', { name: '1 new message' }).click();
  await ann.sees('meanwhile');
  await ann.says('back at the end');
  assert.deepEqual((await ann.reads()).slice(-3), ['the last straw', 'meanwhile', 'back at the end']);
});

story('messages sent in one burst from both sides come to both in one order', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('race');
  const bob = await sit('Bob');
  await bob.signsIn(key);
  await bob.page.goto(`/r/${ann.room}`);
  await bob.composer.waitFor();

  const burst = async (person) => {
    for (let number = 1; number <= 10; number++) {
      await person.composer.fill(`${person.name} ${number}`);
      await person.composer.press('Enter');
    }
  };
  await Promise.all([burst(ann), burst(bob)]);
  for (const person of [ann, bob]) {
    await person.sees('Ann 10');
    await person.sees('Bob 10');
  }
  const history = await server.call('GET', `/api/rooms/${ann.room}/messages`, { key });
  assert.deepEqual(history.map((message) => message.seq), Array.from({ length: 20 }, (_, index) => index + 1));
  const order = history.map((message) => message.content);
  assert.deepEqual(await ann.reads(), order);
  assert.deepEqual(await bob.reads(), order);
});

story('a room that a program makes, and what is said in it, shows in the open list of rooms', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom('desk');
  await ann.opensRooms();
  const made = await server.command(['create-room', 'alerts'], { key });
  assert.equal(made.code, 0, made.stderr);
  const entry = ann.page.getByRole('dialog', { name: 'Rooms' }).getByRole('link', { name: /alerts/ });
  await entry.waitFor();
  await server.command(['send-message', 'alerts', 'watchdog', 'disk at 91 %'], { key });
  await entry.getByText('unread').waitFor({ state: 'attached' });
  await entry.click();
  await ann.sees('disk at 91 %');
  assert.equal(ann.room, made.stdout.trim());
});
