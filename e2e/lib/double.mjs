// A service that the server asks, played by the test.
import { createServer } from 'node:http';
import { once } from 'node:events';

/** Answers each request with what `answer` makes of it: `{ status, body }`, or nothing for 404. */
export async function serviceDouble(answer) {
  const asked = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const piece of request) text += piece;
    const seen = { method: request.method, path: request.url, headers: request.headers, text };
    asked.push(seen);
    const { status = 200, body = {} } = (await answer(seen)) ?? { status: 404 };
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    asked,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
