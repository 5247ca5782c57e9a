// The examples are agents that can be relied on: a person asks, each answers, and killing it in between neither loses a
// question nor answers one twice.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { gathers, PATIENCE, root, Server, target } from './lib/server.mjs';

const python = join(target, 'sdk-python/bin/python');
const tsx = join(root, 'e2e/node_modules/.bin/tsx');
const rust = join(target, 'debug/examples/agent');

// What Node.js 22 has by itself.
const NODE_OPTIONS = '--experimental-websocket --no-warnings';

const EXAMPLES = {
  'examples/python/agent.py': { needs: python, command: () => [python, join(root, 'examples/python/agent.py')] },
  // Among the packages of the tests, as it would be among those of its own folder.
  'examples/typescript/agent.ts': { needs: tsx, command: (_, folder) => [tsx, join(folder, 'agent.ts')] },
  'crates/meet-ai/examples/agent.rs': { needs: rust, followsOne: true, command: (room) => [rust, room.id, 'scout'] },
};

/** A folder in which an example finds the packages of the tests. */
async function folderOfExamples() {
  await mkdir(join(root, 'e2e/out'), { recursive: true });
  const folder = await mkdtemp(join(root, 'e2e/out/example-'));
  await copyFile(join(root, 'examples/typescript/agent.ts'), join(folder, 'agent.ts'));
  return folder;
}

for (const [file, { needs, command, followsOne }] of Object.entries(EXAMPLES)) {
  const skip = existsSync(needs) ? false : `there is no ${needs}`;
  if (skip && process.env.CI === 'true') throw new Error(skip);

  test(`${file} answers every question once, however often it is killed`, { skip, timeout: 4 * PATIENCE }, async () => {
    const server = await Server.start({ MEET_AI_WELCOME: 'false' });
    const folder = await folderOfExamples();
    let agent;
    const start = (room, key) => {
      const [program, ...args] = command(room, folder);
      const env = { PATH: process.env.PATH, HOME: folder, MEET_AI_URL: server.url, MEET_AI_KEY: key, NAME: 'scout', AGAIN: '1', NODE_OPTIONS };
      const child = spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
      const ended = new Promise((resolve) => child.once('close', resolve));
      const told = gathers(child.stdout, child.stderr);
      agent = { told, stop: () => (process.kill(-child.pid, 'SIGKILL'), ended) };
    };
    try {
      const key = await server.operatorKey();
      // What is refused in one room holds up no other; the older one comes first.
      const closed = await server.call('POST', '/api/rooms', { key, body: { name: 'closed' } });
      const pause = ({ id }, agents_paused) => server.call('PATCH', `/api/rooms/${id}`, { key, body: { agents_paused } });
      await pause(closed, true);
      const asked = await server.call('POST', `/api/rooms/${closed.id}/messages`, { key, body: { sender: 'Ann', sender_type: 'human', content: '@scout?' } });
      const room = await server.call('POST', '/api/rooms', { key, body: { name: 'standup' } });
      const say = (content) =>
        server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: { sender: 'Ann', sender_type: 'human', content } });
      const answersTo = async (questions) => {
        const asked = new Set(questions.map(({ id }) => id));
        for (let after = 0, answered = new Set(); ; ) {
          const page = await server.call('GET', `/api/rooms/${room.id}/messages?after_seq=${after}&wait=20`, { key });
          assert.ok(page.length > 0, `${answered.size} of ${asked.size} are answered: ${agent.told.text}`);
          after = page.at(-1).seq;
          for (const { reply_to } of page) if (asked.has(reply_to)) answered.add(reply_to);
          if (answered.size === asked.size) return;
        }
      };
      start(room, key);
      const questions = [await say('@scout, what do you see?')];
      await answersTo(questions);
      // Nobody is there to hear the next ones.
      await agent.stop();
      questions.push(await say('Good that @scout comes back'));
      await say('nothing for anybody');
      await say('nor for @scouts');
      start(room, key);
      await answersTo(questions);
      // Killed in the middle of its work, again and again.
      for (let round = 0; round < 4; round += 1) {
        for (let number = 0; number < 5; number += 1) questions.push(await say(`@scout, question ${round}.${number}`));
        await answersTo(questions.slice(0, -3));
        await agent.stop();
        start(room, key);
      }
      await answersTo(questions);
      // Killed before its place was kept, and now it would say something else.
      await agent.stop();
      questions.push(await say('@scout, and in other words?'));
      await server.call('POST', `/api/rooms/${room.id}/messages`, {
        key,
        headers: { 'idempotency-key': `answer-${questions.at(-1).id}` },
        body: { sender: 'scout', sender_type: 'agent', content: 'Other words.', reply_to: questions.at(-1).id },
      });
      questions.push(await say('@scout, what comes next?'));
      start(room, key);
      await answersTo(questions);
      // The owner stops agents, and lets them go on without a word.
      if (followsOne) {
        await pause(room, true);
        questions.push(await say('@scout, when you may?'));
        await agent.told.waitFor(/paused/);
        await pause(room, false);
        await answersTo(questions);
      } else {
        await pause(closed, false);
        const [answer] = await server.call('GET', `/api/rooms/${closed.id}/messages?after_seq=1&wait=20`, { key });
        assert.equal(answer?.reply_to, asked.id, agent.told.text);
      }
      // The server may go and come, too.
      await server.restart();
      questions.push(await say('@scout, and after a restart?'));
      await answersTo(questions);
      const messages = await server.call('GET', `/api/rooms/${room.id}/messages?limit=1000`, { key });
      const answers = messages.filter(({ sender }) => sender === 'scout');
      assert.deepEqual(answers.map(({ reply_to }) => reply_to).sort(), questions.map(({ id }) => id).sort());
      assert.equal(answers[0].content, '@Ann I have read your 5 words.');
      assert.ok(answers.every(({ sender_type }) => sender_type === 'agent'));
    } finally {
      await agent?.stop().catch(() => {});
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
}

test('an example is shorter than 60 lines', async () => {
  for (const file of Object.keys(EXAMPLES)) {
    const text = await readFile(join(root, file), 'utf8');
    assert.ok(text.trimEnd().split('\n').length < 60, file);
  }
});
