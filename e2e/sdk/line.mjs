// The line between a client and the server, for stories about bad lines: it can be cut, held, and kept from delivering.
import { connect, createServer } from 'node:net';

export class Line {
  #server;
  #pairs = new Set();
  #broken = false;
  #target;

  /** A line to a port of loopback; `url` is what a client uses instead of the server's. */
  static async to(port) {
    const line = new Line();
    line.#target = port;
    line.#server = createServer((near) => line.#join(near));
    await new Promise((resolve, reject) => line.#server.once('error', reject).listen(0, '127.0.0.1', resolve));
    line.url = `http://127.0.0.1:${line.#server.address().port}`;
    return line;
  }

  #join(near) {
    if (this.#broken) return near.destroy();
    const far = connect(this.#target, '127.0.0.1');
    const pair = { near, far };
    this.#pairs.add(pair);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.setNoDelay(true);
      from.on('data', (bytes) => to.write(bytes));
      from.on('end', () => to.end());
      from.on('error', () => {});
      from.on('close', () => {
        to.destroySoon();
        this.#pairs.delete(pair);
      });
    }
  }

  /** Drops every connection, and those that come, until it is mended; neither side is told why. */
  cut() {
    this.#broken = true;
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  mend() {
    this.#broken = false;
  }

  /** Reads nothing more of what the server sends over the connections that there are. */
  stopReading() {
    for (const { far } of this.#pairs) far.pause();
  }

  readOn() {
    for (const { far } of this.#pairs) far.resume();
  }

  async close() {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
