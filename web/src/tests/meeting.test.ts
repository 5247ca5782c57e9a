// The client of hosted meetings, with a library that the test plays: what its events mean to a page.

import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { ClientEvent } from '../lib/call/client';

/** Something of the library that tells of events. */
function teller<T extends object>(more: T) {
  const listeners = new Map<string, (payload: unknown) => void>();
  return {
    ...more,
    on: (event: string, listener: (payload: unknown) => void) => void listeners.set(event, listener),
    emit: (event: string, payload: unknown = {}) => listeners.get(event)?.(payload),
  };
}

const quiet = { audioEnabled: false, videoEnabled: false, screenShareEnabled: false, audioTrack: undefined, videoTrack: undefined, screenShareTracks: undefined };

function makeMeeting() {
  const others: object[] = [];
  const self = teller({
    ...quiet,
    id: 'me',
    name: 'Ann',
    mediaPermissions: {} as Record<string, string>,
    enableAudio: vi.fn(async () => void (self.audioEnabled = true)),
    disableAudio: vi.fn(async () => {
      self.audioEnabled = false;
      self.emit('audioUpdate', { audioEnabled: false });
    }),
    enableVideo: vi.fn(async () => undefined),
    disableVideo: vi.fn(async () => undefined),
    enableScreenShare: vi.fn(async () => void (self.screenShareEnabled = true)),
    disableScreenShare: vi.fn(async () => undefined),
  });
  const participants = teller({ joined: teller({ toArray: () => others }) });
  return { others, self, participants, meta: teller({}), join: vi.fn(async () => undefined), leave: vi.fn(async () => undefined) };
}

let meeting: ReturnType<typeof makeMeeting>;
const init = vi.fn(async (_options: object) => meeting);
vi.doMock('@cloudflare/realtimekit', () => ({ default: { init } }));
const { MeetingClient } = await import('../lib/call/meeting');
const { NotJoined } = await import('../lib/call/client');

let heard: ClientEvent[];
let client: InstanceType<typeof MeetingClient>;

const people = () => heard.findLast((event) => event.type === 'people')!.people;
const others = () => heard.filter((event) => event.type !== 'people');

beforeEach(async () => {
  heard = [];
  meeting = makeMeeting();
  client = new MeetingClient((event) => heard.push(event));
  await client.join('a token');
});

describe('the client of hosted meetings', () => {
  it('comes in silent, by the token', () => {
    expect(init).toHaveBeenLastCalledWith({ authToken: 'a token', defaults: { audio: false, video: false } });
    expect(meeting.join).toHaveBeenCalled();
    expect(people()).toMatchObject([{ id: 'me', name: 'Ann', isMe: true, isMuted: true, sounds: [] }]);
  });

  it('tells who is there with what comes from them, and who speaks', () => {
    meeting.others.push({ ...quiet, id: 'bob', name: 'Bob', audioEnabled: true, audioTrack: 'voice', screenShareEnabled: true, screenShareTracks: { video: 'slides', audio: 'film' }, videoTrack: 'face' });
    meeting.participants.joined.emit('participantJoined');
    expect(people()[1]).toMatchObject({ name: 'Bob', sounds: ['voice', 'film'], screen: 'slides', camera: null, isSpeaking: false });
    meeting.participants.emit('activeSpeaker', { peerId: 'bob', volume: 1 });
    expect(people()[1]).toMatchObject({ isSpeaking: true });
  });

  it('says why it did not get in without the words of the library', async () => {
    init.mockRejectedValueOnce(new Error('ERR1004'));
    await expect(new MeetingClient(() => undefined).join('old')).rejects.toThrow(NotJoined);
  });

  it('leaves a meeting that is ready after one left', async () => {
    const late = new MeetingClient(() => undefined);
    meeting.join.mockClear();
    late.leave();
    await late.join('a token');
    expect(meeting.leave).toHaveBeenCalled();
    expect(meeting.join).not.toHaveBeenCalled();
  });

  it('leaves a meeting that one left while it was joined', async () => {
    let joined!: () => void;
    meeting.join.mockReturnValueOnce(new Promise<undefined>((resolve) => (joined = () => resolve(undefined))));
    const late = new MeetingClient((event) => heard.push(event));
    const joining = late.join('a token');
    await vi.waitFor(() => expect(meeting.join).toHaveBeenCalledTimes(2));
    late.leave();
    meeting.leave.mockClear();
    heard = [];
    joined();
    await joining;
    expect([meeting.leave.mock.calls.length, heard]).toEqual([1, []]);
  });

  it('records nothing once it has left, however late the browser allows it', async () => {
    const device = { stop: vi.fn() };
    meeting.self.enableAudio.mockImplementationOnce(async () => void Object.assign(meeting.self, { audioEnabled: true, audioTrack: device }));
    const sending = client.send('microphone', true);
    client.leave();
    await sending;
    expect(device.stop).toHaveBeenCalled();
  });

  it('says of a device that it went away', async () => {
    const device = new EventTarget();
    await client.send('microphone', true);
    meeting.self.emit('audioUpdate', { audioEnabled: true, audioTrack: device });
    device.dispatchEvent(new Event('ended'));
    meeting.self.emit('audioUpdate', { audioEnabled: false });
    expect(others().map((event) => event.type)).toEqual(['sending', 'lost', 'sending']);
  });

  it('knows the ends apart, and is silent about its own', () => {
    const how = (state: string) => {
      heard = [];
      meeting.self.emit('roomLeft', { state });
      return heard[0];
    };
    expect(how('kicked')).toMatchObject({ type: 'ended', how: 'removed' });
    expect(how('ended')).toMatchObject({ how: 'over' });
    expect(how('failed')).toMatchObject({ how: 'failed' });
    client.leave();
    expect(how('left')).toBeUndefined();
  });

  it('is reconnecting and back', () => {
    meeting.meta.emit('socketConnectionUpdate', { state: 'reconnecting' });
    meeting.meta.emit('socketConnectionUpdate', { state: 'connected' });
    expect(others()).toEqual([{ type: 'reconnecting' }, { type: 'reconnected' }]);
  });

  it('tells the silence that others bring about from one’s own', async () => {
    await client.send('microphone', true);
    await client.send('microphone', false);
    expect(others()).toEqual([{ type: 'sending', source: 'microphone', on: false }]);
    await client.send('microphone', true);
    meeting.self.emit('audioUpdate', { audioEnabled: false });
    expect(others().at(-1)).toEqual({ type: 'muted' });
  });

  it('hands on what the browser said of a device that did not start', async () => {
    meeting.self.mediaPermissions = { video: 'NO_DEVICES_AVAILABLE' };
    await expect(client.send('camera', true)).rejects.toMatchObject({ name: 'NotFoundError' });
    await client.send('screen', true);
    meeting.self.emit('screenShareUpdate', { screenShareEnabled: false });
    expect(others().at(-1)).toEqual({ type: 'sending', source: 'screen', on: false });
  });
});
