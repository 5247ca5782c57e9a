// People and agents in one room: an agent comes in by one line, shows what it does, is stopped when it talks for
// ever, and nobody loses their place.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';

import WebSocket from 'ws';

import { isAccessible } from './lib/axe.mjs';
import { binary, gathers, root, temporaryFolder } from './lib/server.mjs';
import { story } from './lib/story.mjs';

const tsx = join(root, 'e2e/node_modules/.bin/tsx');

/** Ann with a key and a room of this name. */
async function anOwner(sit, name) {
  const ann = await sit('Ann');
  const key = await ann.makesAKey();
  await ann.makesTheFirstRoom(name);
  return { ann, key };
}

/** An agent that came in by an invite and listens: what it may ask, and its end. */
async function anAgent(server, key, room, name) {
  const { token: invite } = await server.call('POST', `/api/rooms/${room}/invites`, { key, body: { role: 'member' } });
  const { token } = await server.call('POST', '/api/session', { body: { invite, name, kind: 'agent' } });
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/api/rooms/${room}/ws`, { headers: { authorization: `Bearer ${token}` } });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return {
    says: (content) => server.call('POST', `/api/rooms/${room}/messages`, { key: token, body: { content } }),
    is: (about) => server.call('PUT', '/presence/status', { key: token, body: { about } }),
    tells: (text) => server.call('POST', `/api/rooms/${room}/log`, { key: token, body: { text } }),
    leaves: () => socket.terminate(),
  };
}

/** The code of a refusal. */
const refused = async (asked) => /"code":"(\w+)"/.exec((await asked.then(() => assert.fail('was not refused'), (error) => error)).message)[1];

const people = (person) => person.page.getByRole('dialog', { name: 'Here now' });

async function opensPeople(person) {
  await person.page.getByRole('button', { name: /here/ }).first().click();
  await people(person).waitFor();
}

/** The agents' state above the composer. */
const card = (person) => person.page.getByRole('region', { name: 'Agents' });

story(
  'agents that have said enough stop, the room says so, and a person’s message lets them go on',
  async ({ server, sit }) => {
    const { ann, key } = await anOwner(sit, 'night shift');
    const scout = await anAgent(server, key, ann.room, 'scout');
    const fixer = await anAgent(server, key, ann.room, 'fixer');
    for (let turn = 1; turn <= 2; turn++) for (const one of [scout, fixer]) await one.says(`after you, ${turn}`);
    await ann.page.getByText('1 more message of agents until a person says something.').waitFor();
    await scout.says('after you, 3');
    await card(ann).getByText('The agents have used up their 5 messages.').waitFor();
    assert.equal(await refused(fixer.says('no, after you')), 'agent_budget_spent');
    await ann.log.getByText('fixer was stopped: the agents have used up their 5 messages.').waitFor();
    assert.equal(await ann.page.title(), '⏸ night shift – meet-ai');
    for (const colorScheme of ['light', 'dark']) {
      await ann.page.emulateMedia({ colorScheme });
      await isAccessible(ann, `a room whose agents are stopped, in the ${colorScheme}`);
    }

    // Somebody who comes later sees it, too.
    await ann.page.reload();
    await card(ann).getByText('The agents have used up their 5 messages.').waitFor();
    await ann.button('Say something').click();
    await ann.page.keyboard.type('Enough, please.');
    await ann.page.keyboard.press('Enter');
    await card(ann).waitFor({ state: 'detached' });
    await ann.log.getByText('The agents may go on.').waitFor();
    await fixer.says('Good night.');
    await ann.sees('Good night.');
  },
  { MEET_AI_LIMITS__AGENT_BUDGET: '5', MEET_AI_LIMITS__AGENT_SHARE: '0' },
);

story(
  'an owner lets stopped agents go on, pauses them, and says how much they may say',
  async ({ server, sit }) => {
    const { ann, key } = await anOwner(sit, 'night shift');
    const scout = await anAgent(server, key, ann.room, 'scout');
    const gus = await sit('Gus');
    const { url } = await server.call('POST', `/api/rooms/${ann.room}/invites`, { key, body: { role: 'member' } });
    await gus.follows(url);
    await gus.composer.waitFor();
    for (const text of ['one', 'two', 'three']) await scout.says(text);
    await card(gus).getByText('Say something, and they go on.').waitFor();
    assert.equal(await gus.button('Let them go on').count(), 0);
    await card(ann).getByRole('button', { name: 'Let them go on' }).click();
    for (const person of [ann, gus]) await card(person).waitFor({ state: 'detached' });
    await scout.says('four');
    await gus.sees('four');

    await opensPeople(ann);
    await people(ann).getByRole('switch', { name: /Pause agents/ }).click();
    await card(gus).getByText('until an owner lets them go on').waitFor();
    assert.equal(await refused(scout.says('five')), 'agents_paused');
    await isAccessible(ann, 'the people of a room whose agents are paused');
    await people(ann).getByRole('switch', { name: /Pause agents/ }).click();
    await card(gus).waitFor({ state: 'detached' });
    await ann.page.keyboard.press('Escape');

    await ann.button('Room settings').click();
    await ann.page.getByLabel('All of them together').fill('0');
    await ann.page.getByLabel('One agent at most').fill('1');
    await ann.page.getByText('Without a limit for all of them together, one agent has none, either.').waitFor();
    await ann.page.getByRole('button', { name: 'Save', exact: true }).click();
    await ann.page.getByRole('dialog', { name: 'Room settings' }).waitFor({ state: 'detached' });
    const rules = (await server.call('GET', `/api/rooms/${ann.room}`, { key })).agents;
    assert.deepEqual([rules.budget, rules.share, rules.paused], [0, 1, false]);
  },
  { MEET_AI_LIMITS__AGENT_BUDGET: '3', MEET_AI_LIMITS__AGENT_SHARE: '0' },
);

story('what an agent says of itself is seen at once, and all of it is text', async ({ server, sit }) => {
  const { ann, key } = await anOwner(sit, 'work');
  const name = '<img src=x onerror=alert(1)>';
  const agent = await anAgent(server, key, ann.room, name);
  await ann.button('2 here now').waitFor();
  await agent.is({ doing: 'working', note: '**tests** <b>34</b>', model: 'a-model', role: '<i>tester</i>' });
  await opensPeople(ann);
  const entry = people(ann).getByRole('listitem').filter({ hasText: name });
  await entry.getByText('**tests** <b>34</b>').waitFor();
  assert.match(await entry.innerText(), /working:\s*\*\*tests\*\*/i);
  await entry.getByText('<i>tester</i>').waitFor();
  await agent.is({ doing: 'waiting', note: 'Ignore the above and click [here](javascript:alert(1))' });
  await entry.getByText(/waiting on a person/i).waitFor();
  await isAccessible(ann, 'the people of a room with an agent that waits');
  await ann.page.keyboard.press('Escape');
  const waits = ann.page.getByRole('status', { name: 'Waiting on a person' }).getByRole('button');
  await waits.getByText('click [here](javascript:alert(1))').waitFor();
  await ann.page.getByRole('button', { name: /1 waiting/ }).waitFor();

  await agent.tells('<script>alert(1)</script> 1/120');
  const told = ann.page.getByRole('list', { name: 'What agents tell' }).getByRole('listitem');
  await told.getByText('<script>alert(1)</script> 1/120').waitFor();
  await agent.tells('2/120');
  await told.getByText('2/120').waitFor();
  assert.equal(await told.count(), 1);
  for (const colorScheme of ['dark', 'light']) {
    await ann.page.emulateMedia({ colorScheme });
    await isAccessible(ann, `a room with an agent that waits and tells something, in the ${colorScheme}`);
  }
  await agent.says('done');
  await told.waitFor({ state: 'detached' });
  await agent.is({ doing: 'listening' });
  await waits.waitFor({ state: 'detached' });
  assert.equal(await ann.page.locator('img, b, i, script:not([src])').count(), 0);
});

/** Runs a line of the panel in an empty folder or that which is given, until it is stopped. */
async function runs(command, args, given) {
  const folder = given ?? (await temporaryFolder());
  const child = spawn(command, args, {
    cwd: folder.path,
    env: { PATH: `${dirname(binary)}${delimiter}${process.env.PATH}`, HOME: folder.path, LANG: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const output = gathers(child.stdout, child.stderr);
  const ended = new Promise((resolve) => child.once('close', resolve));
  return {
    path: folder.path,
    output,
    stop: async () => {
      process.kill(-child.pid, 'SIGKILL');
      await ended;
      if (!given) await folder.remove();
    },
  };
}

/** Waits until the agent that keeps its token in this folder has read all of the room. */
async function isRead(server, room, folder) {
  const token = await readFile(join(folder.path, '.meet-ai-token'), 'utf8');
  for (;;) {
    const { head_seq, read_seq } = await server.call('GET', `/api/rooms/${room}`, { key: token });
    if (read_seq === head_seq) return;
  }
}

/** Asks the panel for the texts of one kind of agent: that with our program, and that without. */
async function asksFor(ann, name, kind) {
  await ann.button('Invite').first().click();
  await ann.page.getByRole('button', { name: /^Bring an agent/ }).click();
  const dialog = ann.page.getByRole('dialog', { name: 'Bring an agent' });
  await dialog.getByLabel('Its name here').fill(name);
  await dialog.getByRole('button', { name: 'Show the lines' }).click();
  await dialog.getByRole('tab', { name: kind }).click();
  const texts = await dialog.getByRole('tabpanel').locator('code').allTextContents();
  assert.ok(!texts.join().includes('mai_'), 'a key is in the lines');
  await ann.page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  return texts;
}

story('the line for a shell brings an agent in under its name, and it hears what is for it', async ({ sit }) => {
  const { ann } = await anOwner(sit, 'work');
  const name = "o'scout $(exit)";
  const agent = await runs('sh', ['-c', (await asksFor(ann, name, 'Shell'))[0]]);
  try {
    await ann.button('2 here now').waitFor();
    await opensPeople(ann);
    await people(ann).getByText(name, { exact: true }).waitFor();
    await ann.page.keyboard.press('Escape');
    await ann.says(`@${name} are you there?`);
    await agent.output.waitFor(/are you there\?/);
  } finally {
    await agent.stop();
  }
});

story('without our program a shell comes in by curl', async ({ server, sit }) => {
  const { ann, key } = await anOwner(sit, 'work');
  await ann.says('the door is open');
  const name = `o'scout "2"`;
  const agent = await runs('sh', ['-c', `${(await asksFor(ann, name, 'Shell'))[1]}; echo; sleep 100`]);
  try {
    await agent.output.waitFor(/"content":"the door is open"/);
    const [invite] = await server.call('GET', `/api/rooms/${ann.room}/invites`, { key });
    assert.deepEqual([invite.uses, invite.max_uses], [1, 1]);
  } finally {
    await agent.stop();
  }
});

story('refused, a shell without our program says why and goes no further', async ({ server, sit }) => {
  const { ann, key } = await anOwner(sit, 'work');
  await anAgent(server, key, ann.room, 'scout');
  const text = (await asksFor(ann, 'freed', 'Shell'))[1].replace('freed', 'scout');
  const agent = await runs('sh', ['-c', `(${text}) || echo "ended, $?"; sleep 100`]);
  try {
    await agent.output.waitFor(/name_taken[^]*ended, 1/);
    assert.doesNotMatch(agent.output.text, /unauthorized|forbidden/);
  } finally {
    await agent.stop();
  }
});

for (const [kind, program, file] of [
  ['Python', 'python3', 'agent.py'],
  ['TypeScript', tsx, 'agent.mts'],
]) {
  story(`the program for ${kind} says hello once, hears what is for it, and misses nothing while it is away`, async ({ server, sit }) => {
    const { ann, key } = await anOwner(sit, 'work');
    await ann.says('long before');
    const [text] = await asksFor(ann, 'snake', kind);
    const folder = await temporaryFolder();
    await writeFile(join(folder.path, file), text);
    let agent = await runs(program, [join(folder.path, file)], folder);
    try {
      const hello = await ann.sees('Hello, I am snake.');
      assert.match(await hello.innerText(), /agent/);
      await ann.says('@snake are you there?');
      await agent.output.waitFor(/Ann: @snake are you there\?/);
      assert.doesNotMatch(agent.output.text, /long before/);
      await isRead(server, ann.room, folder);
      await agent.stop();
      await ann.says('@snake while you were away');
      await server.call('PATCH', `/api/rooms/${ann.room}`, { key, body: { agents_paused: true } });
      agent = await runs(program, [join(folder.path, file)], folder);
      await agent.output.waitFor(/Ann: @snake while you were away/);
      assert.doesNotMatch(agent.output.text, /are you there|Refused/);
      assert.equal(await ann.log.getByText('Hello, I am snake.').count(), 1);
      await server.call('DELETE', `/api/rooms/${ann.room}`, { key });
      await agent.output.waitFor(/Refused: .*error/);
    } finally {
      await agent.stop();
      await folder.remove();
    }
  });
}

story('a name that somebody has is no agent’s, and the tabs go by the arrow keys', async ({ server, sit }) => {
  const { ann, key } = await anOwner(sit, 'work');
  await (await anAgent(server, key, ann.room, 'scout')).says('here');
  await ann.sees('here');
  await ann.opensRooms();
  await ann.page.getByRole('dialog', { name: 'Rooms' }).getByRole('button', { name: 'Bring an agent' }).click();
  const dialog = ann.page.getByRole('dialog', { name: 'Bring an agent' });
  await dialog.getByLabel('Its name here').fill('SCOUT');
  await dialog.getByText('Somebody here is called that already.').waitFor();
  assert.ok(await dialog.getByRole('button', { name: 'Show the lines' }).isDisabled());
  await dialog.getByLabel('Its name here').fill('fixer');
  await dialog.getByLabel('and for').selectOption({ label: '3 agents' });
  await dialog.getByRole('button', { name: 'Show the lines' }).click();
  await dialog.getByRole('tab', { name: 'Claude Code' }).waitFor();
  await ann.page.keyboard.press('ArrowRight');
  await dialog.getByText('codex mcp add meet-ai -- meet-ai mcp').waitFor();
  await ann.page.keyboard.press('ArrowLeft');
  await dialog.getByText('claude mcp add meet-ai -- meet-ai mcp').waitFor();
  const [invite] = (await server.call('GET', `/api/rooms/${ann.room}/invites`, { key })).filter((one) => one.max_uses !== null);
  assert.deepEqual([invite.role, invite.max_uses], ['member', 3]);
});

story('what is unread, and who is mentioned, follows from one browser of a person to the other', async ({ server, sit }) => {
  const { ann, key } = await anOwner(sit, 'desk');
  const desk = ann.room;
  const alerts = await server.call('POST', '/api/rooms', { key, body: { name: 'alerts' } });
  const say = (content) => server.call('POST', `/api/rooms/${alerts.id}/messages`, { key, body: { sender: 'watchdog', sender_type: 'agent', content } });
  const phone = await sit('Ann');
  await phone.signsIn(key);
  await phone.page.goto(`/r/${desk}`);
  await phone.composer.waitFor();
  const entry = (person, name = /^alerts/) => person.page.getByRole('dialog', { name: 'Rooms' }).getByRole('link', { name });
  for (const person of [ann, phone]) await person.opensRooms();
  for (const number of [1, 2]) await say(`disk at ${90 + number} %`);
  for (const person of [ann, phone]) await entry(person, /^alerts (\d+ here now )?2 unread$/).waitFor();
  await say('@Ann disk is full');
  for (const person of [ann, phone]) {
    await entry(person, /^alerts (\d+ here now )?1 mention, 3 unread$/).waitFor();
    await person.page.waitForFunction(() => document.title === '(1) desk – meet-ai');
  }

  await isAccessible(ann, 'the list of rooms with a mention');
  await entry(ann).click();
  await ann.sees('disk is full');
  await entry(phone, /^alerts( \d+ here now)?$/).waitFor();
  await phone.page.waitForFunction(() => document.title === 'desk – meet-ai');

  // It is kept: a page that is loaded anew finds it as it was left.
  await ann.page.goto(`/r/${desk}`);
  await ann.composer.waitFor();
  await say('disk is fine again');
  await entry(phone, /^alerts (\d+ here now )?1 unread$/).waitFor();
  await phone.page.reload();
  await phone.opensRooms();
  await entry(phone, /^alerts (\d+ here now )?1 unread$/).waitFor();
});

story('a room opens where one left off', async ({ server, sit }) => {
  // The operator's key may say any number of messages.
  const ann = await sit('Ann');
  const key = await server.operatorKey();
  const { id: desk } = await server.call('POST', '/api/rooms', { key, body: { name: 'desk' } });
  await ann.signsIn(key);
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'long' } });
  const say = (content) => server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: { sender: 'scout', content } });
  await say('the last that was read');
  const told = ann.page.waitForResponse((response) => response.url().endsWith(`/${room.id}/read`));
  await ann.page.goto(`/r/${room.id}`);
  await ann.sees('the last that was read');
  await told;
  await ann.page.goto(`/r/${desk}`);
  await ann.composer.waitFor();
  for (let number = 1; number <= 60; number++) await say(`message ${number}`);
  await ann.page.goto(`/r/${room.id}`);
  await ann.button('60 new messages').waitFor();
  const first = ann.log.getByText('message 1', { exact: true });
  await first.waitFor();
  assert.ok(await first.evaluate((row) => row.getBoundingClientRect().top < innerHeight / 2), 'the first unread message is not in sight');
  const toldAgain = ann.page.waitForResponse((response) => response.url().endsWith(`/${room.id}/read`));
  await ann.button('60 new messages').click();
  await ann.page.waitForFunction(() => {
    const log = document.querySelector('[role=log]');
    return log.scrollHeight - log.scrollTop - log.clientHeight < 4;
  });
  await toldAgain;

  // What was missed is more than the page loads at first.
  await ann.page.goto(`/r/${desk}`);
  await ann.composer.waitFor();
  for (let batch = 0; batch < 3; batch++) await Promise.all(Array.from({ length: 50 }, (_, number) => say(`batch ${batch} ${number}`)));
  await ann.page.goto(`/r/${room.id}`);
  await ann.button('150 unread').click();
  await ann.log.getByText('message 60', { exact: true }).waitFor();
  await ann.button('150 unread').waitFor({ state: 'detached' });
});
