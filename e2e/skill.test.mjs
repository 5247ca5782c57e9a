// What SKILL.md promises holds: its commands run as they stand, on the server's own machine without a key, on another
// with the two variables, and by an invite.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { blocks } from './lib/markdown.mjs';
import { binary, gathers, root, Server, temporaryFolder } from './lib/server.mjs';

const skill = await readFile(join(root, 'SKILL.md'), 'utf8');
// Nothing comes in these stories for whoever waits, so that it waits briefly.
const brief = skill.replace('--wait 50', '--wait 1');

/** A shell in which `meet-ai` is in PATH, in a folder of its own unless it is the server's. */
async function shell(script, { home, environment = {} }) {
  const tools = join(home, 'bin');
  await mkdir(tools, { recursive: true });
  await symlink(binary, join(tools, 'meet-ai')).catch(() => {});
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: home,
    env: { PATH: `${tools}:${process.env.PATH}`, HOME: home, XDG_CONFIG_HOME: join(home, 'config'), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [said, errors] = [gathers(child.stdout), gathers(child.stderr)];
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, said: said.text, errors: errors.text };
}

/** What the commands of the skill leave in the room, whoever typed them. */
async function theRoomHasHeard(server, key, room) {
  const messages = await server.call('GET', `/api/rooms/${room.id}/messages`, { key });
  assert.deepEqual(
    messages.filter(({ sender }) => sender === 'scout').map(({ sender_type, content }) => [sender_type, content.split('\n')[0]]),
    [['agent', 'The build is green.'], ['agent', '@Ann, two tests fail:']],
  );
}

const ask = { sender: 'Ann', sender_type: 'human', content: '@scout, can you take this? `touch hacked` $(touch hacked)' };

/** A story with somebody else's room on a server elsewhere, in which something was said, and a folder to work in. */
const inARoom = (story) => async () => {
  const server = await Server.start();
  const folder = await temporaryFolder();
  try {
    const key = await server.newKey();
    const room = await server.call('POST', '/api/rooms', { key, body: { name: 'standup' } });
    await server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: ask });
    await story({ server, folder, key, room });
  } finally {
    await folder.remove();
    await server.stop();
  }
};

test('the skill’s commands run on the server’s own machine, without a key', async () => {
  const server = await Server.start({ MEET_AI_WELCOME: 'false' });
  try {
    const key = await server.operatorKey();
    const room = await server.call('POST', '/api/rooms', { key, body: { name: 'standup' } });
    await server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: ask });
    // No variable is set: the address, which is not the default one here, comes from the first start, like the key.
    const { code, said, errors } = await shell(blocks(brief, 'sh').join('\n'), { home: server.home });
    assert.equal(code, 0, errors);
    // Looked back at, and read on once.
    assert.equal(said.split('can you take this?').length, 3, said);
    await theRoomHasHeard(server, key, room);
  } finally {
    await server.stop();
  }
});

test('the skill’s commands run elsewhere, with the two variables', inARoom(async ({ server, folder, key, room }) => {
  const environment = { MEET_AI_URL: server.url, MEET_AI_KEY: key };
  const { code, said, errors } = await shell(blocks(brief, 'sh').join('\n'), { home: folder.path, environment });
  assert.equal(code, 0, errors);
  assert.equal(said.split('can you take this?').length, 3, said);
  await theRoomHasHeard(server, key, room);
}));

test('the skill’s commands run after an invite, and its listener follows the room', inARoom(async ({ server, folder, key, room }) => {
  const invite = await server.call('POST', `/api/rooms/${room.id}/invites`, { key, body: { role: 'member' } });
  const [come, listen] = blocks(brief, 'console');
  const [first] = listen.split('\n');
  const script = [
    come,
    ...blocks(brief, 'sh'),
    // The listener goes on until it is ended; what it hears first is what is said once it is there.
    `${first} > heard 2> told & listener=$!`,
    'until grep -q connected told; do kill -0 $listener; done',
    'MEET_AI_KEY=$OWNER meet-ai send-message standup Ann "@scout, thank you" --human',
    'until grep -q "thank you" heard; do kill -0 $listener; done',
    'meet-ai who standup',
    'kill $listener; wait $listener',
  ];
  const environment = { invite: invite.url, OWNER: key };
  const { code, said, errors } = await shell(script.join('\n'), { home: folder.path, environment });
  assert.equal(code, 0, errors);
  assert.match(said, /You are scout \(agent, member\)/);
  assert.match(said, /scout +agent +online +listening/);
  assert.doesNotMatch(said + errors, new RegExp(`mas_|${invite.token}`));
  await theRoomHasHeard(server, key, room);
}));

test('what a server tells an agent in one request runs as it stands, with the program and without it', inARoom(async ({ server, folder, key, room }) => {
  const invites = await Promise.all([1, 2].map(() => server.call('POST', `/api/rooms/${room.id}/invites`, { key, body: { role: 'member' } })));
  const guide = await fetch(`${server.url}/llms.txt`).then((response) => response.text());
  const [byProgram, byHttp] = blocks(guide, 'sh');
  const joined = await shell(byProgram.replaceAll('ROOM', room.id), { home: folder.path, environment: { invite: invites[0].url } });
  assert.equal(joined.code, 0, joined.errors);
  assert.match(joined.said, /You are scout[\s\S]*can you take this\?/);
  const [comesIn, ...goesOn] = byHttp.replaceAll('scout', 'fixer').replaceAll('ROOM_ID', room.id).replace('=42', '=0').split(/^(?=curl)/m).slice(1);
  const came = await shell(comesIn.replace('TOKEN', invites[1].token), { home: folder.path });
  const { token } = JSON.parse(came.said);
  const asked = await shell(goesOn.join(''), { home: folder.path, environment: { MEET_AI_KEY: token } });
  assert.equal(asked.code, 0, asked.errors);
  assert.match(asked.said, /"name":"standup"[\s\S]*"seq":2[\s\S]*"sender":"fixer","sender_type":"agent","content":"Here I am\."/);
  assert.doesNotMatch(asked.said, /"error"/);
}));

test('every server hands out the skill, and says where in one request', async () => {
  const server = await Server.start();
  try {
    const get = (path) => fetch(server.url + path, { headers: { accept: 'text/markdown' } }).then((response) => response.text());
    assert.equal(await get('/skill.md'), skill);
    assert.match(await get('/'), new RegExp(`${server.url}/skill\\.md`));
    assert.ok(skill.length < 6000, 'a skill is read as a whole');
  } finally {
    await server.stop();
  }
});
