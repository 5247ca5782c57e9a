// A running `meet-ai demo`, and who watches it.
import { spawn } from 'node:child_process';

import { Person } from './person.mjs';
import { binary, gathers, temporaryFolder } from './server.mjs';

export class Demonstration {
  #child;
  #folder;
  #people = [];

  /** Starts it; its lines follow each other at once, unless they shall be watched. */
  static async start({ fast = true } = {}) {
    const demonstration = new Demonstration();
    demonstration.#folder = await temporaryFolder();
    const home = demonstration.#folder.path;
    const child = spawn(binary, ['demo', '--no-browser', ...(fast ? ['--fast'] : [])], {
      cwd: home,
      env: { PATH: process.env.PATH, HOME: home, TMPDIR: home, LANG: 'C.UTF-8' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    demonstration.#child = child;
    const [link] = await gathers(child.stdout, child.stderr).waitFor(/http:\S+\/#owner=\S+(?=\n)/);
    demonstration.link = link;
    demonstration.url = new URL(link).origin;
    return demonstration;
  }

  /** Somebody follows the link, and has the room before them. */
  async watch(name, options) {
    const person = await Person.sitsDown(this, name, options);
    this.#people.push(person);
    await person.follows(this.link, 'Come in');
    await person.composer.waitFor();
    return person;
  }

  async stop() {
    await Promise.all(this.#people.map((person) => person.context.close()));
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGTERM');
    await ended;
    await this.#folder.remove();
  }
}
