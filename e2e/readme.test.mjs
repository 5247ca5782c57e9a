// What the documents promise holds: the README's commands run, and the settings are those that the server knows.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { test } from 'node:test';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { blocks } from './lib/markdown.mjs';
import { binary, gathers, PATIENCE, root, Server } from './lib/server.mjs';

const run = promisify(execFile);
const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'ARCHITECTURE.md', 'docs/agents.md', 'docs/configuration.md', 'docs/calls.md', 'docs/deploy.md', 'docs/realtime.md'];

test('the shell blocks of the README run in its two terminals, and its agent answers', async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const listen = blocks(readme, 'console').find((block) => block.startsWith('meet-ai listen'));
  // What comes before the listener is typed into its terminal, and what comes after it into another one.
  const [before, after] = readme.split(`\`\`\`console\n${listen}\`\`\`\n`).map((part) => blocks(part, 'sh'));
  assert.ok(before.length >= 2 && after.length >= 2);
  const server = await Server.start();
  const terminals = [];
  const type = (script) => {
    const terminal = spawn('bash', ['-euo', 'pipefail', '-c', script.replaceAll('http://127.0.0.1:3000', server.url)], {
      cwd: server.home,
      env: { PATH: process.env.PATH, HOME: server.home, XDG_CONFIG_HOME: join(server.home, 'config'), MEET_AI_URL: server.url },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own, as in a terminal, so that the listener ends with the shell.
      detached: true,
    });
    terminals.push(terminal);
    const ended = new Promise((resolve) => terminal.once('close', resolve));
    return { said: gathers(terminal.stdout), errors: gathers(terminal.stderr), ended };
  };
  try {
    // As if built here: the blocks find the binary where `make run` leaves it, and the server at the default port.
    await mkdir(join(server.home, 'target/release'), { recursive: true });
    await symlink(binary, join(server.home, 'target/release/meet-ai'));
    const second = type([...before, listen].join('\n'));
    await second.errors.waitFor(/"event":"connected"/);
    assert.match(second.said.text, /scout[\s\S]*Shall I tag the release\?/);
    await theOwnerSees(server, 'standup');
    const third = type(after.join('\n'));
    assert.equal(await third.ended, 0, third.errors.text);
    assert.match(third.said.text, /"content":"The build is \*\*green\*\*\."[\s\S]*builds/);
    assert.doesNotMatch(third.said.text, /standup/);
    await second.errors.waitFor(/"event":"exec"/);
    const { stdout } = await server.command(['poll', 'standup', '--json']);
    const messages = stdout.trim().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(messages.slice(-2).map(({ sender, content }) => [sender, content]), [['Ann', '@scout, can you take this?'], ['scout', 'On it.']]);
  } finally {
    // One that has ended has no process left to signal.
    for (const { pid, exitCode } of terminals) if (exitCode === null) process.kill(-pid, 'SIGKILL');
    await server.stop();
  }
});

/** Whether the browser that opened the server's link would see the room: whether it is the operator's. */
async function theOwnerSees(server, name) {
  const rooms = await server.call('GET', '/api/rooms', { key: await server.operatorKey() });
  assert.ok(rooms.some((room) => room.name === name));
}

test('the README’s WebSocket example is understood by the server', async () => {
  const [example] = blocks(await readFile(join(root, 'README.md'), 'utf8'), 'js');
  const server = await Server.start();
  try {
    const key = await server.newKey();
    const room = await server.call('POST', '/api/rooms', { key, body: { name: 'standup' } });
    const ends = "\nsocket.addEventListener('message', ({ data }) => data.includes('\"ack\"') && socket.close());";
    const program = (example + ends).replaceAll('127.0.0.1:3000', new URL(server.url).host);
    // The README asks for a Node.js that has WebSocket; the tests run on one that has it on demand, too.
    await run('node', ['--experimental-websocket', '--no-warnings', '--input-type=module', '-e', program], {
      env: { PATH: process.env.PATH, room: room.id, MEET_AI_KEY: key },
      timeout: PATIENCE,
    });
    const [message] = await server.call('GET', `/api/rooms/${room.id}/messages`, { key });
    assert.deepEqual([message.sender, message.sender_type, message.content], ['scout', 'agent', 'Here I am.']);
  } finally {
    await server.stop();
  }
});

test('the SDK’s example in docs/realtime.md connects, speaks and hears itself', async () => {
  const [example] = blocks(await readFile(join(root, 'docs/realtime.md'), 'utf8'), 'js');
  const server = await Server.start();
  try {
    const key = await server.newKey();
    const room = await server.call('POST', '/api/rooms', { key, body: { name: 'standup' } });
    const ends = "\nchat.on('publication', ({ data }) => data.content === 'Bye.' && client.disconnect());\nchat.publish({ content: 'Bye.' }).catch(() => {});";
    const { stdout } = await run('node', ['--experimental-websocket', '--no-warnings', '--input-type=module', '-e', example + ends], {
      cwd: join(root, 'e2e'),
      env: { PATH: process.env.PATH, room: room.id, MEET_AI_KEY: key, MEET_AI_URL: server.url },
      timeout: PATIENCE,
    });
    assert.match(stdout, /^scout is here\n1 scout Here I am\.\n2 scout Bye\.\n$/);
  } finally {
    await server.stop();
  }
});

test('docs/configuration.md names every setting with its default, and no other', async () => {
  const markdown = await readFile(join(root, 'docs/configuration.md'), 'utf8');
  const documented = [...markdown.matchAll(/^\| `([a-z_.]+)` \| (?:`([^`]*)`)? *\|/gm)].map(([, name, value]) => [name, value ?? '']);
  const { stdout } = await run(binary, ['config'], { env: { PATH: process.env.PATH } });
  let table = '';
  const known = [];
  for (const line of stdout.split('\n')) {
    const [, heading] = /^\[(\w+)\]$/.exec(line) ?? [];
    if (heading) table = `${heading}.`;
    const [, name, value] = /^(?:# )?(\w+) (?:= (.*)|is not set.*)$/.exec(line) ?? [];
    if (name) known.push([table + name, (value ?? '').replace(/^"(.*)"$/, '$1').replace(/^\[\]$/, '')]);
  }
  assert.deepEqual(documented.sort(), known.sort());
});

test('every link in the documents leads to a file', async () => {
  for (const document of documents) {
    const markdown = await readFile(join(root, document), 'utf8');
    for (const [, target] of markdown.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      await assert.doesNotReject(readFile(join(root, document, '..', target)), `${document}: ${target}`);
    }
  }
});

test('the README is at most 150 lines', async () => {
  const markdown = await readFile(join(root, 'README.md'), 'utf8');
  assert.ok(markdown.trimEnd().split('\n').length <= 150);
});
