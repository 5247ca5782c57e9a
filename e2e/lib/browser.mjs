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

  /** The messages of the room on the page. */
  get log() {
    return this.page.getByRole('log', { name: 'Messages' });
  }

  /** Where a message is written. */
  get composer() {
    return this.page.getByRole('textbox', { name: /^Message / });
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true });
  }

  link(name) {
    return this.page.getByRole('link', { name, exact: true });
  }

  heading(name) {
    return this.page.getByRole('heading', { name, exact: true });
  }

  /** Makes a key on the key page and goes on to the chat under this person's name. */
  async makesAKey() {
    if (!this.page.url().includes('/key')) await this.page.goto('/key');
    await this.button('Generate API Key').click();
    const key = await this.page.getByTestId('api-key').innerText();
    await this.entersAs(this.name, 'Enter the chat');
    return key;
  }

  /** Signs in with a key that exists. */
  async signsIn(key) {
    await this.page.goto('/key');
    await this.page.getByLabel('API key').fill(key);
    await this.entersAs(this.name, 'Continue');
  }

  /** Follows an invite or an owner link. */
  async follows(link, button = 'Join the room') {
    await this.page.goto(link);
    await this.entersAs(this.name, button);
  }

  async entersAs(name, button) {
    await this.page.getByLabel('Your name in rooms').fill(name);
    await this.button(button).click();
  }

  /** Makes a room, the first one or another, and waits until it can be written in. */
  async makesARoom(name) {
    if (!(await this.page.getByLabel('Name', { exact: true }).isVisible())) await this.opensRooms().then(() => this.button('New room').click());
    await this.page.getByLabel('Name', { exact: true }).fill(name);
    await this.button('Create room').click();
    await this.heading(name).waitFor();
    await this.composer.waitFor();
  }

  /** Opens the drawer of rooms. */
  async opensRooms() {
    await this.page.getByRole('button', { name: /^Rooms/ }).click();
    await this.page.getByRole('dialog', { name: 'Rooms' }).waitFor();
  }

  /** The id of the room that the page shows. */
  get room() {
    return /\/r\/([0-9a-f-]{36})/.exec(this.page.url())[1];
  }

  /** Writes a message, and waits until the server has it. */
  async says(text) {
    await this.composer.fill(text);
    await this.composer.press('Enter');
    await this.sees(text);
  }

  /** Waits until a message with this text stands in the room, sent and confirmed. */
  async sees(text) {
    const message = this.log.getByRole('article').filter({ hasText: text, hasNotText: 'Sending' });
    await message.first().waitFor();
    return message;
  }

  /** What the room shows, one text for each message, from top to bottom. */
  async reads() {
    return this.log.locator('article .prose').allInnerTexts();
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
