// The client of a LiveKit server, with a library that the test plays: what its events mean to a page.

import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { ClientEvent } from '../lib/call/client';

interface FakeTrack {
  isMuted: boolean;
  track: { mediaStreamTrack: { id: string } };
}

function participant(identity: string, name: string, more: object = {}) {
  const tracks = new Map<string, FakeTrack>();
  return {
    identity,
    name,
    isAgent: false,
    isSpeaking: false,
    isMicrophoneEnabled: false,
    isCameraEnabled: false,
    isScreenShareEnabled: false,
    tracks,
    createTracks: () => makeTracks(),
    createScreenTracks: vi.fn(async () => [] as object[]),
    getTrackPublication: (source: string) => tracks.get(source),
    setMicrophoneEnabled: vi.fn(async () => undefined),
    setCameraEnabled: vi.fn(async () => undefined),
    setScreenShareEnabled: vi.fn(async () => undefined),
    ...more,
  };
}

const makeTracks = vi.fn(async () => [] as object[]);
const track = (id: string, isMuted = false): FakeTrack => ({ isMuted, track: { mediaStreamTrack: { id } } });

class FakeRoom {
  localParticipant = participant('me', 'Ann', { isLocal: true });
  remoteParticipants = new Map<string, ReturnType<typeof participant>>();
  connect = vi.fn(async () => undefined);
  disconnect = vi.fn(async () => undefined);
  #listeners = new Map<string, (...details: unknown[]) => void>();
  constructor() {
    room = this;
  }
  on(event: string, listener: (...details: unknown[]) => void) {
    const before = this.#listeners.get(event);
    this.#listeners.set(event, (...details) => {
      before?.(...details);
      listener(...details);
    });
  }
  emit(event: string, ...details: unknown[]) {
    this.#listeners.get(event)?.(...details);
  }
}

let room: FakeRoom;
vi.doMock('livekit-client', async (load) => ({ ...(await load<object>()), Room: FakeRoom }));
const { DisconnectReason, RoomEvent, Track, TrackEvent } = await import('livekit-client');
const { RtcClient } = await import('../lib/call/rtc');
const { NotJoined } = await import('../lib/call/client');

let heard: ClientEvent[];
let client: InstanceType<typeof RtcClient>;
const people = () => heard.findLast((event) => event.type === 'people')!.people;
const others = () => heard.filter((event) => event.type !== 'people');

beforeEach(() => {
  heard = [];
  client = new RtcClient('wss://sfu.example.org', (event) => heard.push(event));
});

describe('the client of a LiveKit server', () => {
  it('connects by the token, and tells who is there with what comes from them', async () => {
    const bob = participant('id-bob', 'Bob', { isSpeaking: true, isMicrophoneEnabled: true });
    bob.tracks.set(Track.Source.Microphone, track('voice'));
    bob.tracks.set(Track.Source.Camera, track('face', true));
    bob.tracks.set(Track.Source.ScreenShare, track('slides'));
    bob.tracks.set(Track.Source.ScreenShareAudio, track('film'));
    const bot = participant('id-bot', '', { isAgent: true });
    room.remoteParticipants.set('id-bob', bob).set('id-bot', bot);
    room.localParticipant.tracks.set(Track.Source.Microphone, track('own voice'));
    await client.join('a token');
    expect(room.connect).toHaveBeenCalledWith('wss://sfu.example.org', 'a token');
    const [me, first, second] = people();
    expect(me).toMatchObject({ id: 'me', name: 'Ann', isMe: true, isMuted: true, sounds: [] });
    expect(first).toMatchObject({ id: 'id-bob', isMe: false, isSpeaking: true, isMuted: false, camera: null, screen: { id: 'slides' }, kind: 'human' });
    expect(first!.sounds).toEqual([{ id: 'voice' }, { id: 'film' }]);
    expect(second).toMatchObject({ name: 'Somebody', kind: 'agent' });
  });

  it('says why it did not get in without the words of the library', async () => {
    room.connect.mockRejectedValue(new Error('could not establish pc connection'));
    const refusal = client.join('a token');
    await expect(refusal).rejects.toThrow(NotJoined);
    await expect(refusal).rejects.toThrow('does not answer');
  });

  it('tells of everything that changes what is seen', async () => {
    await client.join('a token');
    for (const event of [RoomEvent.ParticipantConnected, RoomEvent.TrackSubscribed, RoomEvent.ActiveSpeakersChanged, RoomEvent.ParticipantDisconnected]) {
      heard = [];
      room.emit(event);
      expect(heard.map((one) => one.type)).toEqual(['people']);
    }
  });

  it('knows the ends apart, and is silent about its own', async () => {
    await client.join('a token');
    const how = (reason?: number) => {
      heard = [];
      room.emit(RoomEvent.Disconnected, reason);
      return heard[0] as Extract<ClientEvent, { type: 'ended' }>;
    };
    expect(how(DisconnectReason.PARTICIPANT_REMOVED).how).toBe('removed');
    expect(how(DisconnectReason.ROOM_DELETED).how).toBe('over');
    expect(how(DisconnectReason.DUPLICATE_IDENTITY)).toMatchObject({ how: 'removed', problem: expect.stringContaining('another page') as string });
    expect(how().how).toBe('failed');
    client.leave();
    expect(how(DisconnectReason.CLIENT_INITIATED)).toBeUndefined();
    expect(room.disconnect).toHaveBeenCalled();
  });

  it('is reconnecting and back', async () => {
    await client.join('a token');
    room.emit(RoomEvent.Reconnecting);
    room.emit(RoomEvent.Reconnected);
    expect(others()).toEqual([{ type: 'reconnecting' }, { type: 'reconnected' }]);
  });

  it('tells the silence that others bring about from one’s own', async () => {
    await client.join('a token');
    const mutes = () => room.emit(RoomEvent.TrackMuted, { source: Track.Source.Microphone }, room.localParticipant);
    room.localParticipant.setMicrophoneEnabled.mockImplementation(async () => {
      mutes();
    });
    await client.send('microphone', false);
    expect(others()).toEqual([]);
    mutes();
    expect(others()).toEqual([{ type: 'muted' }]);
  });

  it('looks as it is while everything is published anew', async () => {
    await client.join('a token');
    const me = room.localParticipant;
    const publishes = (on: boolean) => {
      me.isMicrophoneEnabled = on;
      room.emit(on ? RoomEvent.LocalTrackPublished : RoomEvent.LocalTrackUnpublished, { source: Track.Source.Microphone });
    };
    publishes(true);
    room.emit(RoomEvent.Reconnecting);
    publishes(false);
    publishes(true);
    room.emit(RoomEvent.Reconnected);
    const said = others().filter((event) => event.type === 'sending');
    expect(said.map((event) => event.on)).toEqual([true, false, true]);
    room.emit(RoomEvent.LocalTrackUnpublished, { source: Track.Source.Camera });
    expect(others().at(-1)).toEqual({ type: 'reconnected' });
  });

  it('tells a device that went away from one that somebody muted', async () => {
    await client.join('a token');
    const [device, listeners] = [{ source: Track.Source.Camera }, new Map<string, () => void>()];
    const published = { ...device, track: { on: (event: string, listener: () => void) => listeners.set(event, listener) } };
    const mutes = () => room.emit(RoomEvent.TrackMuted, device, room.localParticipant);
    room.localParticipant.isCameraEnabled = true;
    room.emit(RoomEvent.LocalTrackPublished, published);
    listeners.get(TrackEvent.Ended)!();
    room.localParticipant.isCameraEnabled = false;
    mutes();
    expect(others().slice(1)).toEqual([{ type: 'lost', source: 'camera' }]);
    room.localParticipant.isCameraEnabled = true;
    room.emit(RoomEvent.TrackUnmuted, device, room.localParticipant);
    listeners.get(TrackEvent.Restarted)!();
    room.localParticipant.isCameraEnabled = false;
    mutes();
    expect(others().at(-1)).toEqual({ type: 'sending', source: 'camera', on: false });
  });

  it('records nothing once it has left, however late the browser allows it', async () => {
    const device = { stop: vi.fn() };
    makeTracks.mockResolvedValue([device]);
    await expect(room.localParticipant.createTracks()).resolves.toEqual([device]);
    client.leave();
    await expect(room.localParticipant.createTracks()).rejects.toThrow();
    expect(device.stop).toHaveBeenCalledTimes(1);
  });

  it('hears when the browser’s own button ends what is shared', async () => {
    await client.join('a token');
    room.localParticipant.setScreenShareEnabled.mockImplementation(async () => void (room.localParticipant.isScreenShareEnabled = true));
    await client.send('screen', true);
    expect(room.localParticipant.setScreenShareEnabled).toHaveBeenCalledWith(true, { audio: true });
    room.localParticipant.isScreenShareEnabled = false;
    room.emit(RoomEvent.LocalTrackUnpublished, { source: Track.Source.ScreenShare });
    expect(others().slice(1)).toEqual([{ type: 'sending', source: 'screen', on: false }]);
  });

  it('hands on what the browser says of a device', async () => {
    await client.join('a token');
    room.localParticipant.setCameraEnabled.mockRejectedValue(new DOMException('no', 'NotFoundError'));
    await expect(client.send('camera', true)).rejects.toMatchObject({ name: 'NotFoundError' });
  });
});
