// A story is a test with a server of its own and people at browsers.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { closeTheBrowser, Person, program } from './person.mjs';
import { PATIENCE, root, Server } from './server.mjs';

const why = 'Chromium is missing: as root, apt-get install chromium';
if (!program && process.env.CI === 'true') throw new Error(why);
after(closeTheBrowser);

/**
 * A story: a name, and what happens, with a server of its own and as many people as it takes. A story that fails
 * leaves a picture of every page in `e2e/out`. `environment` is the server's.
 */
export function story(name, body, environment = {}) {
  test(name, { skip: program ? false : why, timeout: 4 * PATIENCE }, async () => {
    const server = await Server.start(environment);
    const people = [];
    const sit = async (who, options) => {
      const person = await Person.sitsDown(server, who, options);
      people.push(person);
      return person;
    };
    try {
      await body({ server, sit });
      for (const person of people) {
        if (person.problems.length > 0) throw new Error(`${person.name}'s page: ${person.problems.join('\n')}`);
      }
    } catch (error) {
      await picture(name, people);
      throw new Error(`${error.message}\n--- the server said:\n${server.log.slice(-4000)}`, { cause: error });
    } finally {
      await Promise.all(people.map((person) => person.context.close()));
      await server.stop();
    }
  });
}

async function picture(story, people) {
  const out = join(root, 'e2e/out');
  mkdirSync(out, { recursive: true });
  for (const person of people) {
    const file = `${story}-${person.name}`.replace(/[^a-z0-9]+/gi, '-').slice(0, 120);
    await person.page.screenshot({ path: join(out, `${file}.png`), fullPage: true }).catch(() => {});
  }
}
