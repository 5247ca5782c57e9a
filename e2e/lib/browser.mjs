// A browser for the stories: Debian's Chromium, one for each test file, a fresh profile for each person.
import { existsSync, mkdirSync } from 'node:fs';
import { after, test } from 'node:test';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { PATIENCE, root, Server } from './server.mjs';

const FLAGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];
const PROGRAMS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const program = PROGRAMS.find((path) => path && existsSync(path));
const why = 'Chromium is missing: as root, apt-get install chromium';
if (!program && process.env.CI === 'true') throw new Error(why);

let browser;
/** The browser of this test file, started when the first story needs it. */
export async function theBrowser() {
  // Root has no sandbox to give away: playwright starts without one unless told otherwise.
  browser ??= await chromium.launch({ executablePath: program, headless: true, args: FLAGS });
  return browser;
}
after(() => browser?.close());

/** Somebody at a browser: a profile, a page, and what went wrong on it. */
export class Person {
  static async sitsDown(server, name, options = {}) {
    const person = new Person();
    person.name = name;
    person.server = server;
    person.problems = [];
    person.requests = [];
    person.context = await (await theBrowser()).newContext({ baseURL: server.url, locale: 'en-US', ...options });
    person.context.setDefaultTimeout(PATIENCE);
    person.context.on('request', (request) => person.requests.push(request.url()));
    person.context.on('weberror', (error) => person.problems.push(`uncaught: ${error.error()}`));
    person.context.on('console', (message) => {
      if (/content security policy|trustedhtml|trusted type/i.test(message.text())) person.problems.push(message.text());
    });
    person.page = await person.context.newPage();
    return person;
  }

  /** Requests that went anywhere but to the server of the story. */
  foreignRequests() {
    const own = new URL(this.server.url).origin;
    return this.requests.filter((url) => /^(https?|wss?):/.test(url) && new URL(url).origin.replace(/^ws/, 'http') !== own);
  }
}

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
      error.message += `\n--- the server said:\n${server.log.slice(-4000)}`;
      throw error;
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
