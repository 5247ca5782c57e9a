// Starts the real binary in a folder of its own, and stops it. Nothing of the person who runs the tests gets in.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
export const binary = process.env.MEET_AI_BIN ?? join(target, 'ci/meet-ai');

// How long anything may take before it counts as hung; never a measure of speed.
export const PATIENCE = 30_000;

// Between the end of a server and its next start, any program on the machine may be given its port for a moment.
const TRIES = 100;

/** A folder that is removed when the story ends. */
export async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'meet-ai-e2e-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** What a process started here sees of the environment: a home of its own, and what the story adds. */
function cleanEnvironment(home, extra) {
  return { PATH: process.env.PATH, LANG: 'C.UTF-8', HOME: home, XDG_CONFIG_HOME: join(home, 'config'), ...extra };
}

export class Server {
  #child;
  #folder;
  #environment;
  #output = gathers();

  /** Starts a server on a free port of loopback, on an empty data directory. */
  static async start(environment = {}) {
    if (!existsSync(binary)) throw new Error(`there is no ${binary}: cargo build --profile ci`);
    const server = new Server();
    server.#folder = await temporaryFolder();
    server.#environment = environment;
    await server.#spawn();
    return server;
  }

  /** The folder that is home to the server and to the commands run beside it. */
  get home() {
    return this.#folder.path;
  }

  get dataDirectory() {
    return join(this.home, 'data');
  }

  /** Everything that the server printed so far. */
  get log() {
    return this.#output.text;
  }

  /** The owner link of the first start. */
  async ownerLink() {
    return (await this.#output.waitFor(/http:\S+\/#owner=\S+(?=\n)/))[0];
  }

  /** The operator's key, as the first start left it for the command line. */
  async operatorKey() {
    const text = await readFile(join(this.home, 'config/meet-ai/config.toml'), 'utf8');
    return /key = "(mai_[^"]+)"/.exec(text)[1];
  }

  async #spawn() {
    for (let left = TRIES; ; left -= 1) {
      try {
        return await this.#trySpawning();
      } catch (error) {
        if (left === 0 || !error.message.includes('is taken')) throw error;
      }
    }
  }

  async #trySpawning() {
    const args = ['--listen', `127.0.0.1:${this.port ?? 0}`, '--data-dir', this.dataDirectory];
    const env = cleanEnvironment(this.home, this.#environment);
    const child = spawn(binary, args, { cwd: this.home, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    const before = this.log.length;
    this.#output.take(child.stdout, child.stderr);
    const ended = new Promise((_, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => reject(new Error(`the server ended (${signal ?? code}):\n${this.log.slice(before)}`)));
    });
    ended.catch(() => {});
    const [, port] = await Promise.race([this.#output.waitFor(/listening on 127\.0\.0\.1:(\d+)\b/, before), ended]);
    this.port = Number(port);
    this.url = `http://127.0.0.1:${port}`;
    const ready = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(PATIENCE) });
    if (!ready.ok) throw new Error(`not ready: ${ready.status}\n${this.log}`);
  }

  /** Ends the process with a signal, and waits for its end. */
  async kill(signal = 'SIGKILL') {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  /** Starts it again, on the same port and the same data; `environment` replaces what it was started with. */
  async restart(environment = this.#environment) {
    await this.kill();
    this.#environment = environment;
    await this.#spawn();
  }

  /** Starts it again as if nobody had ever been here. */
  async restartEmpty() {
    await this.kill();
    await rm(this.dataDirectory, { recursive: true });
    await this.#spawn();
  }

  async stop() {
    await this.kill('SIGKILL');
    await this.#folder.remove();
  }

  /** Calls the API; the answer's JSON, or an error that shows what came back. */
  async call(method, path, { key, body, headers } = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(key && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(PATIENCE),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** A new key, as a stranger would make one. */
  async newKey() {
    return (await this.call('POST', '/api/keys')).key;
  }

  /** Runs a command of the same binary to its end; the server's address is in its environment. */
  async command(args, { key, input, environment } = {}) {
    const child = this.#cli(args, { key, environment, stdin: input === undefined ? 'ignore' : 'pipe' });
    child.stdin?.end(input);
    const [stdout, stderr] = [gathers(child.stdout), gathers(child.stderr)];
    const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
    return { code, stdout: stdout.text, stderr: stderr.text };
  }

  /** Starts a command that goes on, such as `listen`: lines come one by one, and `stop` ends it. */
  follow(args, { key, environment } = {}) {
    const child = this.#cli(args, { key, environment, stdin: 'ignore' });
    const ended = new Promise((resolve) => child.once('close', resolve));
    const stderr = gathers(child.stderr);
    return {
      lines: lines(child.stdout, () => stderr.text),
      /** Resolves once the command said something on standard error that matches. */
      said: (pattern) => stderr.waitFor(pattern),
      stop: async () => {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }

  #cli(args, { key, environment, stdin }) {
    const env = cleanEnvironment(this.home, { MEET_AI_URL: this.url, ...(key && { MEET_AI_KEY: key }), ...environment });
    return spawn(binary, args, { cwd: this.home, env, stdio: [stdin, 'pipe', 'pipe'] });
  }
}

/** Gathers the text of streams, and tells when a pattern stands in it. */
export function gathers(...streams) {
  const watchers = new Set();
  const gathered = {
    text: '',
    take: (...streams) => {
      for (const stream of streams) {
        stream.setEncoding('utf8').on('data', (text) => {
          gathered.text += text;
          for (const look of [...watchers]) look();
        });
      }
    },
    /** Resolves with the match once the pattern stands in the text, `from` a place on. */
    waitFor: (pattern, from = 0) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = pattern.exec(gathered.text.slice(from));
          if (!match) return;
          watchers.delete(look);
          resolve(match);
        };
        watchers.add(look);
        AbortSignal.timeout(PATIENCE).onabort = () => reject(new Error(`never said ${pattern}:\n${gathered.text}`));
        look();
      }),
  };
  gathered.take(...streams);
  return gathered;
}

/** `next()` gives one line after the other, as they come. */
function lines(stream, trouble) {
  const ready = [];
  const waiting = [];
  let rest = '';
  stream.setEncoding('utf8').on('data', (text) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop();
    for (const line of parts) {
      if (waiting.length > 0) waiting.shift()(line);
      else ready.push(line);
    }
  });
  return {
    next: () =>
      new Promise((resolve, reject) => {
        if (ready.length > 0) return resolve(ready.shift());
        waiting.push(resolve);
        AbortSignal.timeout(PATIENCE).onabort = () => reject(new Error(`no line came: ${trouble()}`));
      }),
  };
}
