// What strangers write stays text: no script runs, nothing is fetched, nothing looks like a part of the page.
import assert from 'node:assert/strict';

import { story } from './lib/story.mjs';

const ELSEWHERE = 'http://192.0.2.1:9';

// Each is one message. What is harmless of it may be shown; the rest must not come to life.
const PAYLOADS = [
  '<script>window.pwned = 1</script>',
  '<script src="ELSEWHERE/x.js"></script>',
  '<img src=x onerror="window.pwned = 2">',
  '<img src="ELSEWHERE/pixel.png">',
  '![pixel](ELSEWHERE/pixel.png)',
  '![pixel][p]\n\n[p]: ELSEWHERE/reference.png "t"',
  '<svg onload="window.pwned = 3"><script>window.pwned = 4</script></svg>',
  '<svg><use href="ELSEWHERE/x.svg#a"/></svg>',
  '<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=5>',
  '<style>@import url(ELSEWHERE/x.css); body { display: none }</style>',
  '<link rel="stylesheet" href="ELSEWHERE/x.css"><base href="ELSEWHERE/">',
  '<meta http-equiv="refresh" content="0;url=ELSEWHERE/">',
  '<p style="position: fixed; inset: 0; background: url(ELSEWHERE/bg.png)">cover</p>',
  '<p id="app">clobber</p><a name="document" id="cookie">clobber</a>',
  '<form action="ELSEWHERE/login"><input name="password"><button>Sign in</button></form>',
  '<iframe src="ELSEWHERE/"></iframe><object data="ELSEWHERE/"></object><embed src="ELSEWHERE/">',
  '<iframe srcdoc="<script>parent.pwned = 6</script>"></iframe>',
  '<video poster="ELSEWHERE/p.png" src="ELSEWHERE/v.mp4" autoplay></video><audio src="ELSEWHERE/a.mp3" autoplay></audio>',
  '<a href="javascript:window.pwned=7">click</a>',
  '[click](javascript:window.pwned=8) [click](  JaVaScRiPt&#58;window.pwned=9)',
  '[data](data:text/html,<script>window.pwned=10</script>) [vb](vbscript:x) [file](file:///etc/passwd)',
  '<javascript:window.pwned=11>',
  '[x](https://example.org/"onmouseover="window.pwned=12)',
  '[x](https://example.org "title\\" onmouseover=\\"window.pwned=13")',
  '```"><img src=x onerror=window.pwned=14>\ncode\n```',
  '```html\n<script>window.pwned = 15</script>\n```',
  '`<img src=x onerror=window.pwned=16>`',
  '<div onclick="window.pwned=17" class="fixed inset-0">cover</div>',
  '<details open ontoggle="window.pwned=18"><summary>x</summary></details>',
  '<dialog open>fake</dialog><button popovertarget="x">x</button><div popover id="x">y</div>',
  '<noscript><p title="</noscript><img src=x onerror=window.pwned=19>"></noscript>',
  '<template><img src=x onerror=window.pwned=20></template><slot name=x></slot>',
  '| a | b |\n|---|---|\n| <img src=x onerror=window.pwned=21> | ![p](ELSEWHERE/table.png) |',
  '@<img src=x onerror=window.pwned=22> @Ann<script>window.pwned=23</script>',
  '<a href="https://example.org" target="_self" rel="opener" ping="ELSEWHERE/ping">ping</a>',
  'ELSEWHERE/autolink and www.example.org and mailto:a@example.org',
  '\u202eevil\u202c <b>bold</b> &lt;script&gt;window.pwned=24&lt;/script&gt;',
  '#'.repeat(2000) + ' ' + '> '.repeat(500) + '*'.repeat(3000),
].map((text) => text.replaceAll('ELSEWHERE', ELSEWHERE));

/** A room into which somebody came by an invite, and has this name since. */
async function aRoomWithAGuest(server, key, name) {
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'base' } });
  const invite = await server.call('POST', `/api/rooms/${room.id}/invites`, { key, body: { role: 'member' } });
  await server.call('POST', '/api/session', { body: { invite: invite.token, name } });
  return room;
}

story('signing out in one tab signs out the others, and the browser forgets the key, the drafts and what was not sent', async ({ sit }) => {
  const ann = await sit('Ann');
  await ann.makesAKey();
  await ann.makesTheFirstRoom('private');
  await ann.says('one');
  await ann.composer.fill('refused');
  await ann.composer.press('Enter');
  await ann.log.getByText('Not sent.').waitFor();
  const unsent = () => ann.page.evaluate(() => Object.keys(sessionStorage).filter((key) => key.startsWith('meet-ai-unsent')));
  assert.equal((await unsent()).length, 1);
  await ann.composer.fill('half a thought');
  const other = await ann.context.newPage();
  await other.goto('/key');
  await other.getByRole('button', { name: 'Sign out…' }).click();
  await other.getByRole('dialog').getByRole('button', { name: 'Sign out', exact: true }).click();
  await ann.page.waitForURL(/\/key/);
  await ann.button('Generate API Key').waitFor();
  const kept = await ann.page.evaluate(() => Object.keys(localStorage));
  assert.deepEqual(kept.filter((key) => key === 'meet-ai-key' || key.startsWith('meet-ai-draft')), []);
  assert.deepEqual(await unsent(), []);
}, { MEET_AI_LIMITS__MESSAGES_PER_ROOM: '1' });

story('a browser that has a key offers a copy before another takes its place, and keeps it until then', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const old = await ann.makesAKey();
  const kept = () => ann.page.evaluate(() => localStorage.getItem('meet-ai-key'));
  await ann.page.goto('/key');
  await ann.button('Use another key').click();
  await ann.button('Copy the old key').waitFor();
  await ann.button('Generate API Key').click();
  const made = await ann.page.getByTestId('api-key').innerText();
  assert.notEqual(made, old);
  await ann.button('Copy the old key').waitFor();
  assert.equal(await kept(), old);
  await ann.button('Keep the old key').click();
  await ann.heading('Key and account').waitFor();

  const other = await server.newKey();
  await aRoomWithAGuest(server, other, 'Ann');
  await ann.button('Use another key').click();
  await ann.page.getByLabel('API key').fill(other);
  await ann.entersAs('Ann', 'Continue');
  await ann.page.getByText('Somebody here is called Ann already.').waitFor();
  assert.equal(await kept(), old);
  await ann.entersAs('Anna', 'Continue');
  await ann.heading('base').waitFor();
  assert.equal(await kept(), other);
});

story('another tab that signs in by another key takes the first one along', async ({ server, sit }) => {
  const ann = await sit('Ann');
  await ann.makesAKey();
  await ann.makesTheFirstRoom('mine');
  const mine = ann.page.url();
  const other = await ann.context.newPage();
  await other.goto('/key');
  await other.getByRole('button', { name: 'Use another key' }).click();
  const key = await server.newKey();
  await other.getByLabel('API key').fill(key);
  await other.getByRole('button', { name: 'Continue' }).click();
  await ann.heading('This room is not here').waitFor();
  assert.equal(ann.page.url(), mine);
  assert.equal(await ann.composer.count(), 0);
  // It listens as the one who it is now.
  await ann.opensRooms();
  await server.call('POST', '/api/rooms', { key, body: { name: 'theirs' } });
  await ann.page.getByRole('dialog', { name: 'Rooms' }).getByRole('link', { name: /theirs/ }).waitFor();
});

story('a name that somebody took in the meantime does not lock its owner out', async ({ server, sit }) => {
  const ann = await sit('Ann');
  const key = await server.newKey();
  const room = await aRoomWithAGuest(server, key, 'Ann');
  await ann.context.addInitScript(
    ([key]) => {
      if (localStorage.getItem('meet-ai-key')) return;
      localStorage.setItem('meet-ai-key', key);
      localStorage.setItem('meet-ai-name', 'Ann');
    },
    [key],
  );
  await ann.page.goto('/');
  await ann.says('in');
  const [said] = await server.call('GET', `/api/rooms/${room.id}/messages`, { key });
  assert.match(said.sender, /^Ann-\d\d$/);
});

story('hostile messages run nothing, fetch nothing and hide nothing', async ({ server, sit }) => {
  const key = await server.newKey();
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'corpus' } });
  for (const content of PAYLOADS) {
    await server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: { sender: 'Mallory', content } });
  }
  const ann = await sit('Ann');
  const dialogs = [];
  ann.page.on('dialog', (dialog) => {
    dialogs.push(dialog.message());
    void dialog.dismiss();
  });
  await ann.signsIn(key);
  await ann.page.goto(`/r/${room.id}`);
  await ann.composer.waitFor();
  // A message sent afterwards stands behind all of them, and comes by the socket.
  await ann.says('harmless');
  assert.equal((await ann.reads()).length, PAYLOADS.length + 1);
  for (const link of await ann.log.locator('.prose a').all()) await link.hover();

  const found = await ann.page.evaluate(() => {
    const texts = [...document.querySelectorAll('[role=log] .prose')];
    const all = texts.flatMap((text) => [...text.querySelectorAll('*')]);
    const allowed = 'a b blockquote br button code del div em h3 hr i li ol p pre s span strong table tbody td th thead tr ul'.split(' ');
    const attributes = all.flatMap((element) => [...element.attributes].map((attribute) => `${element.localName}.${attribute.name}`));
    return {
      pwned: window.pwned,
      elements: [...new Set(all.map((element) => element.localName))].filter((name) => !allowed.includes(name)),
      foreign: all.filter((element) => element.namespaceURI !== 'http://www.w3.org/1999/xhtml').length,
      attributes: [...new Set(attributes)].filter((name) => /\.(id|style|on.*|src|srcset|ping|name|action|form.*|popover.*)$/.test(name)),
      links: all
        .filter((element) => element.localName === 'a' && element.hasAttribute('href'))
        .map((link) => [link.protocol, link.target, link.rel]),
      covered: all.filter((element) => getComputedStyle(element).position === 'fixed').length,
    };
  });
  assert.equal(found.pwned, undefined);
  assert.deepEqual(found.elements, []);
  assert.equal(found.foreign, 0);
  assert.deepEqual(found.attributes, []);
  assert.equal(found.covered, 0);
  assert.ok(found.links.length > 0);
  for (const [protocol, target, rel] of found.links) {
    assert.ok(['http:', 'https:', 'mailto:'].includes(protocol), protocol);
    assert.equal(target, '_blank');
    assert.ok(rel.split(' ').includes('noopener'), rel);
  }
  assert.deepEqual(dialogs, []);
  assert.deepEqual(ann.foreignRequests(), []);
});

story('a name of a person or a room is text as well', async ({ server, sit }) => {
  const key = await server.newKey();
  const name = '<img src=x onerror=window.pwned=1>';
  const room = await server.call('POST', '/api/rooms', { key, body: { name } });
  await server.call('POST', `/api/rooms/${room.id}/messages`, { key, body: { sender: name, content: 'hello' } });
  const ann = await sit('Ann');
  await ann.signsIn(key);
  await ann.page.goto(`/r/${room.id}`);
  await ann.sees('hello');
  await ann.heading(name).waitFor();
  await ann.opensRooms();
  assert.equal(await ann.page.evaluate(() => window.pwned), undefined);
  assert.equal(await ann.page.locator('img').count(), 0);
});

story('the page is served under a policy that leaves room for nothing else', async ({ server }) => {
  for (const path of ['/', '/key', '/docs', '/r/01900000-0000-7000-8000-000000000000']) {
    const response = await fetch(server.url + path);
    const policy = Object.fromEntries(
      (response.headers.get('content-security-policy') ?? '')
        .split(';')
        .map((part) => part.trim().split(/\s+/))
        .map(([name, ...values]) => [name, values.join(' ')]),
    );
    assert.equal(policy['default-src'], "'none'", path);
    assert.equal(policy['script-src'], "'self'", path);
    assert.equal(policy['style-src'], "'self'", path);
    assert.equal(policy['frame-ancestors'], "'none'", path);
    assert.equal(policy['require-trusted-types-for'], "'script'", path);
    assert.ok(!JSON.stringify(policy).includes('unsafe'), path);
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff', path);
  }
});

story('a private room’s name is in no page that is served', async ({ server }) => {
  const key = await server.newKey();
  const room = await server.call('POST', '/api/rooms', { key, body: { name: 'project-nightingale' } });
  for (const path of ['/', `/r/${room.id}`]) {
    const html = await (await fetch(server.url + path)).text();
    assert.ok(!html.includes('nightingale'), path);
  }
});
