// Calls in browsers: by name, by room, and everything that may stand in the way.
import assert from 'node:assert/strict';
import { after } from 'node:test';

import { isAccessible } from './lib/axe.mjs';
import { calls, inCall, joins, seesInCall, seesNobodyCalled } from './lib/caller.mjs';
import { serviceDouble } from './lib/double.mjs';
import { story } from './lib/story.mjs';

const FAKE = { MEET_AI_CONFERENCE__PROVIDER: 'fake' };
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

/** What this browser gets from the API, as JSON. */
const asks = (person, path) => person.page.evaluate((path) => fetch(path).then((response) => response.json()), path);
const tab = (person, name) => person.page.getByRole('tab', { name });
const notice = (person, text) => person.page.getByRole('status').filter({ hasText: text });

story(
  'two strangers meet by the name of a call, see each other and talk',
  async ({ sit }) => {
    const ann = await sit('Ann');
    await ann.page.goto('/call');
    const proposed = await ann.page.getByLabel('Name of the call').inputValue();
    assert.match(proposed, /^[a-z]+-[a-z]+-\d{4}$/);
    await ann.button('Propose another name').click();
    const room = await ann.page.getByLabel('Name of the call').inputValue();
    assert.notEqual(room, proposed);
    await joins(ann);
    await seesInCall(ann, 'Ann');
    await ann.page.getByText('Nobody else is here yet.').waitFor();
    assert.equal(new URL(ann.page.url()).search, `?room=${room}`, 'the address is the link for others');

    const bob = await sit('Bob', PHONE);
    await bob.page.goto(ann.page.url());
    await bob.heading('Join a call').waitFor();
    await joins(bob);
    await seesInCall(bob, 'Ann');
    await seesInCall(ann, 'Bob');
    await ann.says('hello Bob');
    await tab(bob, 'Chat 1 new').click();
    await bob.sees('hello Bob');
    await bob.says('hello Ann');
    await ann.sees('hello Ann');

    await bob.button('Mute').click();
    await bob.button('Unmute').waitFor();
    await bob.button('Leave').click();
    await seesNobodyCalled(ann, 'Bob');
    await tab(bob, 'Call').click();
    await bob.heading('You left the call').waitFor();
    await ann.says('still there?');
    await tab(bob, 'Chat').click();
    await bob.sees('still there?');
    await tab(bob, 'Call').click();
    await bob.button('Join again').click();
    await seesInCall(ann, 'Bob');
    await bob.page.close();
    await seesNobodyCalled(ann, 'Bob');

    // The name was kept for the next time.
    await ann.page.goto('/call');
    assert.equal(await ann.page.getByLabel('Your name').inputValue(), 'Ann');
    assert.deepEqual(ann.foreignRequests(), []);
  },
  FAKE,
);

story(
  'whoever asks for voice where screens are shown is told so, and may show one',
  async ({ sit }) => {
    const [ann, bob] = [await sit('Ann'), await sit('Bob')];
    await calls(bob, 'a show', { camera: true });
    await calls(ann, 'a show');
    await notice(ann, 'You asked for a voice call.').waitFor();
    await ann.button('Share screen').waitFor();
    await ann.button('Dismiss').click();
    assert.equal(await notice(ann, 'You asked for a voice call.').count(), 0);
    await calls(await sit('Cleo'), 'only voices');
    assert.equal(await bob.page.getByText('You asked for a voice call.').count(), 0);
  },
  FAKE,
);

story(
  'a call that is over says so to those in it, and its name begins anew',
  async ({ sit }) => {
    const ann = await sit('Ann');
    await calls(ann, 'short');
    await ann.says('soon gone');
    await ann.heading('This call has ended').waitFor();
    assert.equal(await ann.composer.count(), 0);
    await ann.button('Open a new call').click();
    await seesInCall(ann, 'Ann');
    await ann.page.getByText('Nothing has been said here yet.').waitFor();

    // Who comes when the next one has ended as well is told once, and the same button opens another.
    await ann.heading('This call has ended').waitFor();
    const bob = await sit('Bob');
    await bob.page.goto('/call?room=short');
    await joins(bob);
    await bob.page.getByRole('alert').filter({ hasText: 'The last call of this name has ended' }).waitFor();
    await bob.button('Open a new call').click();
    await seesInCall(bob, 'Bob');
  },
  { ...FAKE, MEET_AI_QUICK_ROOMS__MAX_AGE_SECONDS: '6' },
);

story(
  'an owner who joins a call by its name stays the owner everywhere else',
  async ({ sit }) => {
    const ann = await sit('Ann');
    const key = await ann.makesAKey();
    await ann.makesTheFirstRoom('own things');
    const before = await asks(ann, '/api/session');
    await calls(ann, 'among friends');
    await ann.says('I am a guest here');
    const bob = await sit('Bob');
    await calls(bob, 'among friends');
    await bob.sees('I am a guest here');
    assert.deepEqual(await asks(ann, '/api/session'), before);
    assert.ok(!ann.requests.some((url) => url.includes(key)), 'the key went into an address');

    await ann.link('meet-ai').click();
    await ann.page.getByRole('textbox', { name: 'Message own things' }).waitFor();
    await ann.says('and the owner here');
    assert.equal((await asks(ann, '/api/session')).role, 'owner');

    // Who has no other session is still a guest, and finds the way back.
    await bob.page.goto('/');
    await bob.heading('This room belongs to a call').waitFor();
    await bob.link('Go to the call').click();
    await joins(bob);
    await seesInCall(bob, 'Bob');
    await bob.page.goto('/');
    await bob.roomsButton.click();
    await bob.link('Call anyone by a link').click();
    await bob.heading('Start or join a call').waitFor();
  },
  FAKE,
);

story('a server without a provider says what is missing, and offers no calls', async ({ sit }) => {
  const ann = await sit('Ann');
  await ann.page.goto('/call');
  await ann.heading('No calls here yet').waitFor();
  await ann.page.getByText('MEET_AI_CONFERENCE__PROVIDER').waitFor();
  await isAccessible(ann, 'the page without a provider');
  await ann.makesAKey();
  await ann.makesTheFirstRoom('quiet');
  await ann.says('nobody can call');
  assert.equal(await ann.link('Start a call').count(), 0);
});

story(
  'a call in a room is seen and joined from its chat, by those who may',
  async ({ server, sit }) => {
    const ann = await sit('Ann');
    const key = await ann.makesAKey();
    await ann.makesTheFirstRoom('standup');
    const room = ann.room;
    const link = async (role) => (await server.call('POST', `/api/rooms/${room}/invites`, { key, body: { role } })).url;
    const [bob, sam] = [await sit('Bob'), await sit('Sam')];
    await bob.follows(await link('member'));
    await bob.link('Start a call').waitFor();
    await sam.follows(await link('spectator'));

    await ann.link('Start a call').click();
    await seesInCall(ann, 'Ann');
    await notice(bob, 'Ann is in a call').waitFor();
    await bob.link('Join').click();
    await seesInCall(bob, 'Ann');
    await seesInCall(ann, 'Bob');
    await bob.says('I can hear you');
    await ann.sees('I can hear you');

    await notice(sam, 'Ann and Bob are in a call').waitFor();
    await sam.link('Join').click();
    await seesInCall(sam, 'Bob');
    assert.equal(await sam.button('Mute').count(), 0, 'a spectator only listens');
    assert.equal(await sam.composer.count(), 0);

    await bob.link('Back to the chat').click();
    await notice(bob, 'Ann and Sam are in a call').waitFor();
    await sam.button('Leave').click();
    await ann.button('Leave').click();
    await bob.link('Start a call').waitFor();

    await server.call('PATCH', `/api/rooms/${room}`, { key, body: { visibility: 'public' } });
    const zoe = await sit('Zoe');
    await zoe.page.goto(`/r/${room}`);
    await zoe.page.getByText('You are reading along.').waitFor();
    assert.equal(await zoe.link('Start a call').count(), 0);
    await zoe.page.goto(`/call?room_id=${room}`);
    await zoe.heading('Sign in to join').waitFor();
    await zoe.makesAKey();
    await zoe.page.goto(`/call?room_id=${room}`);
    await zoe.heading('You cannot join this call').waitFor();
  },
  FAKE,
);

story(
  'whoever loses the room loses its call, and is told',
  async ({ server, sit }) => {
    const ann = await sit('Ann');
    const key = await ann.makesAKey();
    await ann.makesTheFirstRoom('standup');
    const invite = await server.call('POST', `/api/rooms/${ann.room}/invites`, { key, body: { role: 'member' } });
    const bob = await sit('Bob');
    await bob.follows(invite.url);
    await ann.link('Start a call').click();
    await bob.link('Join').click();
    await seesInCall(ann, 'Bob');
    await server.call('DELETE', `/api/invites/${invite.id}`, { key });
    await bob.heading('You were signed out').waitFor();
    await seesNobodyCalled(ann, 'Bob');
    await seesInCall(ann, 'Ann');
  },
  FAKE,
);

story(
  'a call goes on when the server was away for a moment',
  async ({ server, sit }) => {
    const ann = await sit('Ann');
    await ann.makesAKey();
    await ann.makesTheFirstRoom('standup');
    await ann.link('Start a call').click();
    await seesInCall(ann, 'Ann');
    await server.kill();
    await notice(ann, 'The call is being reconnected').waitFor();
    await server.restart();
    // Calls that carry nothing are in memory: the way in is gone with them, and there is another.
    await ann.heading('The call was cut off').waitFor();
    await ann.button('Join again').click();
    await seesInCall(ann, 'Ann');
  },
  FAKE,
);

story(
  'too many tries have to wait, and the button says for how long',
  async ({ sit }) => {
    const [ann, bob] = [await sit('Ann'), await sit('Bob')];
    await calls(ann, 'busy');
    await bob.page.goto('/call?room=busy');
    await joins(bob);
    await bob.page.getByRole('alert').filter({ hasText: 'Too many requests.' }).waitFor();
    const button = bob.page.getByRole('button', { name: /^Try again in \d+ s$/ });
    assert.ok(await button.isDisabled());
    await isAccessible(bob, 'the card of somebody who has to wait');
  },
  { ...FAKE, MEET_AI_LIMITS__TOKENS_PER_MINUTE_PER_IP: '1' },
);

const turnstile = await serviceDouble(({ text }) => ({
  body: { success: text.includes('good-token'), hostname: '127.0.0.1', 'error-codes': [] },
}));
after(() => turnstile.stop());
const WIDGET = `
  window.rendered = [];
  window.resets = 0;
  window.turnstile = {
    render(container, options) {
      rendered.push(options.sitekey);
      container.textContent = 'the widget';
      window.solve = (token) => options.callback(token);
      return 'widget-1';
    },
    reset() { resets += 1; },
    remove() {},
  };`;

story(
  'the check for bots stands before a call where the server asks for it, and begins anew after each try',
  async ({ sit }) => {
    const ann = await sit('Ann');
    await ann.context.route('https://challenges.cloudflare.com/**', (route) => route.fulfill({ contentType: 'text/javascript', body: WIDGET }));
    await ann.page.goto('/call?room=guarded');
    await ann.page.getByText('the widget').waitFor();
    assert.deepEqual(await ann.page.evaluate(() => window.rendered), ['1x00000000000000000000AA']);
    await ann.page.getByLabel('Your name').fill('Ann');
    assert.ok(await ann.button('Join the call').isDisabled(), 'without a token there is no way in');
    await ann.page.evaluate(() => window.solve('bad-token'));
    await ann.button('Join the call').click();
    await ann.page.getByRole('alert').filter({ hasText: 'Turnstile verification failed.' }).waitFor();
    assert.equal(await ann.page.evaluate(() => window.resets), 1);
    assert.ok(await ann.button('Join the call').isDisabled(), 'a token is good for one try');
    await ann.page.evaluate(() => window.solve('good-token'));
    await ann.button('Join the call').click();
    await seesInCall(ann, 'Ann');
    assert.equal(turnstile.asked.length, 2);

    // To come in again takes another check.
    await ann.button('Leave').click();
    await ann.button('Join again').click();
    await ann.page.getByText('the widget').waitFor();

    const bob = await sit('Bob');
    await bob.context.route('https://challenges.cloudflare.com/**', (route) => route.abort());
    await bob.page.goto('/call');
    await bob.page.getByRole('alert').filter({ hasText: 'could not be loaded' }).waitFor();
    await bob.context.unroute('https://challenges.cloudflare.com/**');
    await bob.context.route('https://challenges.cloudflare.com/**', (route) => route.fulfill({ contentType: 'text/javascript', body: WIDGET }));
    await bob.button('Load the check again').click();
    await bob.page.getByText('the widget').waitFor();
  },
  {
    ...FAKE,
    MEET_AI_TURNSTILE__SITE_KEY: '1x00000000000000000000AA',
    MEET_AI_TURNSTILE__SECRET_KEY: '1x0000000000000000000000000000000AA',
    MEET_AI_TURNSTILE__VERIFY_URL: turnstile.url,
  },
);

const sfu = await serviceDouble(({ path, text }) => {
  if (path.startsWith('/twirp/livekit.RoomService/CreateRoom')) return { body: { sid: 'RM_1', name: JSON.parse(text).name } };
  return path.startsWith('/twirp/') ? { body: {} } : undefined;
});
after(() => sfu.stop());
const LIVEKIT = {
  MEET_AI_CONFERENCE__PROVIDER: 'livekit',
  MEET_AI_LIVEKIT__URL: sfu.url,
  MEET_AI_LIVEKIT__API_KEY: 'devkey',
  MEET_AI_LIVEKIT__API_SECRET: 'a secret of more than thirty-two bytes',
};

story(
  'the client of a LiveKit server runs under the policy of the page, connects there, and says when it is not let in',
  async ({ sit }) => {
    const ann = await sit('Ann');
    await ann.page.goto('/call');
    await joins(ann, { room: 'by livekit' });
    await ann.heading('The call was cut off').waitFor();
    await ann.page.getByText('The server that carries the call does not answer.').waitFor();
    const foreign = new Set(ann.foreignRequests().map((url) => new URL(url).host));
    assert.deepEqual([...foreign], [new URL(sfu.url).host]);
    assert.ok(sfu.asked.some(({ path }) => path.startsWith('/rtc')), 'the client never asked for the call');
    await ann.says('the chat goes on');
  },
  LIVEKIT,
);

// A client of calls that carries pictures and no network, in the place of the real one.
const SEEN = `
  export class RtcClient {
    carries = true;
    constructor(url, hear) {
      this.hear = hear;
      window.call = this;
      this.people = [];
    }
    picture(color) {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [320, 240];
      const pen = canvas.getContext('2d');
      const draw = () => { pen.fillStyle = color; pen.fillRect(0, 0, 320, 240); };
      draw();
      setInterval(draw, 50);
      return canvas.captureStream(10).getVideoTracks()[0];
    }
    sound() {
      const audio = new AudioContext();
      return audio.createMediaStreamDestination().stream.getAudioTracks()[0];
    }
    is(...people) {
      const nobody = { kind: 'human', isMe: false, isSpeaking: false, isMuted: false, sounds: [], camera: null, screen: null };
      this.hear({ type: 'people', people: people.map((one) => ({ ...nobody, id: one.name, ...one })) });
    }
    async join() { this.is({ name: 'Ann', isMe: true, isMuted: true }); }
    async send(source, on) {
      if (this.refuses?.[source]) throw new DOMException('no', this.refuses[source]);
      if (source === 'camera') this.is({ name: 'Ann', isMe: true, camera: on ? this.picture('teal') : null });
    }
    leave() { window.left = (window.left ?? 0) + 1; }
  }`;

story(
  'cameras, screens and voices are shown, and what goes wrong with a device is said',
  async ({ sit }) => {
    const ann = await sit('Ann', { permissions: ['microphone'] });
    await ann.context.route(/assets\/rtc-/, (route) => route.fulfill({ contentType: 'text/javascript', body: SEEN }));
    await calls(ann, 'all there is', { camera: true });
    await ann.button('Mute').waitFor();
    await ann.button('Start camera').click();
    const plays = (label) =>
      ann.page.getByLabel(label, { exact: true }).evaluate((video) => new Promise((resolve) => (video.videoWidth > 0 ? resolve() : (video.onresize = resolve))));
    await plays('Camera of Ann');
    await ann.button('Stop camera').waitFor();

    await ann.page.evaluate(() =>
      call.is(
        { name: 'Ann', isMe: true },
        { name: 'Bob', isSpeaking: true, sounds: [call.sound()], camera: call.picture('maroon'), screen: call.picture('navy') },
        { name: 'scout', kind: 'agent', isMuted: true },
      ),
    );
    await plays('Camera of Bob');
    await plays('Screen of Bob');
    const tile = (name) => inCall(ann).getByRole('listitem').filter({ hasText: name });
    await tile('Bob').getByText('speaking').waitFor();
    await tile('scout').getByText('muted').waitFor();
    await tile('scout').getByText('agent').waitFor();
    assert.equal(await ann.page.locator('audio').count(), 1);
    await isAccessible(ann, 'a call with a screen');

    // One goes on hearing the others while the chat covers the call.
    await ann.page.setViewportSize({ width: 360, height: 740 });
    await tab(ann, 'Chat').click();
    await inCall(ann).waitFor({ state: 'detached' });
    await ann.page.evaluate(() => call.hear({ type: 'lost', source: 'camera' }));
    await notice(ann, 'The camera went away').waitFor();
    assert.equal(await ann.page.locator('audio').count(), 1);
    await tab(ann, 'Call').click();
    await plays('Screen of Bob');
    assert.equal(await ann.page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);

    await ann.page.evaluate(() => call.hear({ type: 'muted' }));
    await notice(ann, 'Somebody muted you.').waitFor();
    await ann.button('Unmute').click();
    await notice(ann, 'Somebody muted you.').waitFor({ state: 'detached' });
    await ann.button('Mute').click();
    await ann.page.evaluate(() => (call.refuses = { microphone: 'NotAllowedError' }));
    await ann.button('Unmute').click();
    await notice(ann, 'does not let this page use the microphone').waitFor();
    await ann.page.evaluate(() => call.hear({ type: 'ended', how: 'removed' }));
    await ann.heading('You were removed from the call').waitFor();
    assert.equal(await ann.page.locator('audio').count(), 0);
    assert.equal(await ann.page.evaluate(() => window.left), 1);
  },
  LIVEKIT,
);

// The client reads of a token whose it is before it asks anybody.
const meetings = await serviceDouble(({ path }) => {
  const token = [{ alg: 'none' }, { orgId: 'org', meetingId: 'meeting', participantId: 'ann', presetId: 'preset' }];
  const data = path.endsWith('/participants')
    ? { id: 'ann', token: `${token.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.x` }
    : { id: 'meeting', title: '' };
  return { body: { success: true, data } };
});
after(() => meetings.stop());

story(
  'the client of hosted meetings runs under the policy of the page, asks its provider alone, and says when it is not let in',
  async ({ sit }) => {
    const ann = await sit('Ann');
    const asked = [];
    await ann.context.route(/realtime\.cloudflare\.com/, (route) => {
      asked.push(route.request().url());
      return route.fulfill({ status: 401, headers: { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' }, json: {} });
    });
    await ann.page.goto('/call');
    await joins(ann, { room: 'by meeting' });
    await ann.heading('The call was cut off').waitFor();
    await ann.page.getByText('did not let this page in').waitFor();
    assert.ok(asked.length > 0, 'the client never asked its provider');
    assert.deepEqual([...new Set(ann.foreignRequests().map((url) => new URL(url).hostname))], ['api.realtime.cloudflare.com']);
  },
  {
    MEET_AI_CONFERENCE__PROVIDER: 'realtimekit',
    MEET_AI_REALTIMEKIT__BASE_URL: meetings.url,
    MEET_AI_REALTIMEKIT__ACCOUNT_ID: 'account',
    MEET_AI_REALTIMEKIT__APP_ID: 'app',
    MEET_AI_REALTIMEKIT__API_TOKEN: 'token',
    MEET_AI_REALTIMEKIT__PRESET_NAME: 'preset',
  },
);

for (const colorScheme of ['light', 'dark']) {
  story(
    `axe finds nothing on the page of calls, wide or narrow, in the ${colorScheme}`,
    async ({ sit }) => {
      const ann = await sit('Ann', { colorScheme });
      const bob = await sit('Bob', { colorScheme, ...PHONE });
      await ann.page.goto('/call');
      await ann.button('Join the call').waitFor();
      await isAccessible(ann, 'the card');
      await joins(ann, { room: 'looks', camera: true });
      await seesInCall(ann, 'Ann');
      await isAccessible(ann, 'a call of one');
      await bob.page.goto('/call?room=looks');
      await joins(bob);
      await seesInCall(bob, 'Ann');
      await isAccessible(bob, 'a call on a phone');
      await ann.says('look at https://example.org');
      await isAccessible(ann, 'a call with its chat beside it');
      await tab(bob, 'Chat 1 new').waitFor();
      await isAccessible(bob, 'a call on a phone with news behind a tab');
      await tab(bob, 'Chat 1 new').click();
      await bob.sees('look at');
      await isAccessible(bob, 'the chat of a call on a phone');
      const overflow = await bob.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.equal(overflow, 0, 'the page is wider than the phone');
      await ann.button('Leave').click();
      await isAccessible(ann, 'a call that was left');
    },
    FAKE,
  );
}
