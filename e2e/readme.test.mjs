// What the documents promise holds: the README's commands run, and the settings are those that the server knows.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { test } from 'node:test';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { binary, PATIENCE, root, Server } from './lib/server.mjs';

const run = promisify(execFile);
const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'ARCHITECTURE.md', 'docs/configuration.md', 'docs/deploy.md'];

/** The fenced blocks of one language. */
function blocks(markdown, language) {
  return [...markdown.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)].filter((match) => match[1] === language).map((match) => match[2]);
}

test('the shell blocks of the README run, one after the other, beside a server that just started', async () => {
  const shell = blocks(await readFile(join(root, 'README.md'), 'utf8'), 'sh');
  assert.ok(shell.length >= 2);
  const server = await Server.start();
  try {
    // As if built here: the blocks find the binary where `make run` leaves it, and the server at the default port.
    await mkdir(join(server.home, 'target/release'), { recursive: true });
    await symlink(binary, join(server.home, 'target/release/meet-ai'));
    const script = shell.join('\n').replaceAll('http://127.0.0.1:3000', server.url);
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: server.home,
      env: { PATH: process.env.PATH, HOME: server.home, XDG_CONFIG_HOME: join(server.home, 'config'), MEET_AI_URL: server.url },
      timeout: PATIENCE,
    });
    assert.match(stdout, /"content":"The build is \*\*green\*\*\."/);
    assert.match(stdout, /deploy-bot[\s\S]*scout[\s\S]*Shall I tag the release\?/);
    assert.match(stdout, /standup/);
  } finally {
    await server.stop();
  }
});

test('the README’s WebSocket example is understood by the server', async () => {
  const [example] = blocks(await readFile(join(root, 'README.md'), 'utf8'), 'js');
  const server = await Server.start();
  try {
    const key = await server.newKey();
    const room = await server.call('POST', '/api/rooms', { key, body: { name: 'standup' } });
    const ends = "\nsocket.addEventListener('message', ({ data }) => data.includes('\"ack\"') && socket.close());";
    const program = `const [room, key] = ${JSON.stringify([room.id, key])};\n${example}${ends}`;
    await run('node', ['--experimental-websocket', '--no-warnings', '--input-type=module', '-e', program.replaceAll('127.0.0.1:3000', new URL(server.url).host)], {
      timeout: PATIENCE,
    });
    const [message] = await server.call('GET', `/api/rooms/${room.id}/messages`, { key });
    assert.deepEqual([message.sender, message.sender_type, message.content], ['scout', 'agent', 'Here I am.']);
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
