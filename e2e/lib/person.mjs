// People at browsers: Debian's Chromium, one for each process, a fresh profile for each person.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { PATIENCE, root } from './server.mjs';

const FLAGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];
/** The browser's program, found as `make test` finds it; nothing when there is none. */
export const program = findProgram();

function findProgram() {
  try {
    return execFileSync('bash', ['-c', '. "$1"; chromium_program', '-', join(root, 'scripts/lib.sh')], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

let browser;
/** The one browser of this process, started when somebody needs it; `flags` are those of the first who does. */
export function theBrowser(flags = []) {
  // Root has no sandbox to give away: playwright starts without one unless told otherwise.
  browser ??= chromium.launch({ executablePath: program, headless: true, args: [...FLAGS, ...flags] });
  return browser;
}

/** Ends the browser, if it was started. */
export async function closeTheBrowser() {
  await (await browser)?.close();
}

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
    person.page.on('websocket', (socket) => person.requests.push(socket.url()));
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

  /** The button that opens the list of rooms: the sign of being in the chat. */
  get roomsButton() {
    return this.page.getByRole('button', { name: /^Rooms/ });
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
    await this.roomsButton.waitFor();
    return key;
  }

  /** Signs in with a key that exists. */
  async signsIn(key) {
    await this.page.goto('/key');
    await this.page.getByLabel('API key').fill(key);
    await this.entersAs(this.name, 'Continue');
    await this.roomsButton.waitFor();
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

  /** Makes the first room, where somebody without one is asked to. */
  async makesTheFirstRoom(name) {
    await this.heading('Make your first room').waitFor();
    await this.#fillsIn(this.page.getByRole('main'), name);
  }

  /** Makes a room from the drawer, and waits until it can be written in. */
  async makesARoom(name) {
    await this.opensRooms();
    await this.button('New room').click();
    await this.#fillsIn(this.page.getByRole('dialog', { name: 'New room' }), name);
  }

  async #fillsIn(form, name) {
    await form.getByLabel('Name', { exact: true }).fill(name);
    await form.getByRole('button', { name: 'Create room' }).click();
    await this.page.getByRole('textbox', { name: `Message ${name}` }).waitFor();
  }

  /** Opens the drawer of rooms. */
  async opensRooms() {
    await this.roomsButton.click();
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
