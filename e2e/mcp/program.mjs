// The official Python package behind the verbs of the promises, in a program of its own.
import { join } from 'node:path';

import { PATIENCE, root } from '../lib/server.mjs';
import { openProgram } from '../sdk/program.mjs';

/** Connects a client; what it gives back are the verbs of `promises`. */
export async function openPython(python, settings) {
  const heard = new Map();
  const driver = openProgram(python, [join(root, 'e2e/mcp/python/driver.py')], { ...settings, patience: PATIENCE }, (event) =>
    heard.get(event.call)?.(event),
  );
  let calls = 0;
  const perform = async (action, argument) => {
    const { done, failed } = await driver.perform(action, argument);
    if (failed) throw Object.assign(new Error(failed.message), { code: failed.code });
    return done;
  };
  return {
    about: () => perform('about'),
    tools: () => perform('tools'),
    call: async (wanted, { signal, hear } = {}) => {
      const id = (calls += 1);
      if (hear) heard.set(id, hear);
      signal?.addEventListener('abort', () => void driver.perform('cancel', id));
      const answer = await perform('call', { ...wanted, id });
      if (answer.cancelled) throw new Error('cancelled');
      return answer;
    },
    resources: () => perform('resources'),
    templates: () => perform('templates'),
    resource: (uri) => perform('resource', uri),
    prompts: () => perform('prompts'),
    prompt: (name) => perform('prompt', name),
    close: () => driver.close(),
  };
}
