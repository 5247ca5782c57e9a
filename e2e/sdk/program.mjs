// An SDK of another language, in a program of its own: a line of JSON for each action, each answer and each event.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Starts the program; `hear` gets every event. */
export function openProgram(command, args, settings, hear) {
  const child = spawn(command, [...args, JSON.stringify(settings)], {
    env: { PATH: process.env.PATH, LANG: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = new Map();
  let lastId = 0;
  const ended = new Promise((resolve) => {
    const end = (why) => {
      for (const answer of waiting.values()) answer({ failed: { code: 0, message: `the program ended: ${why}` } });
      waiting.clear();
      resolve();
    };
    child.once('error', (error) => end(error.message));
    child.once('close', (code, signal) => end(signal ?? code));
  });
  child.stdin.on('error', () => {});
  createInterface(child.stdout).on('line', (line) => {
    const { event, id, ...outcome } = JSON.parse(line);
    if (event) return hear(event);
    waiting.get(id)?.(outcome);
    waiting.delete(id);
  });
  return {
    perform: (action, argument) =>
      new Promise((resolve) => {
        lastId += 1;
        waiting.set(lastId, resolve);
        child.stdin.write(`${JSON.stringify({ id: lastId, action, argument })}\n`);
      }),
    close: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
