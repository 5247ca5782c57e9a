// A call of a hosted meeting, by the provider's own client.

import RealtimeKit, { type RTKParticipant, type RTKSelf } from '@cloudflare/realtimekit';
import { NotJoined, type Attendee, type CallClient, type ClientEvent, type Hear, type Source } from './client';

type Meeting = Awaited<ReturnType<typeof RealtimeKit.init>>;

const ends: Record<string, Extract<ClientEvent, { type: 'ended' }>> = {
  kicked: { type: 'ended', how: 'removed' },
  rejected: { type: 'ended', how: 'removed', problem: 'You were not let into this call.' },
  ended: { type: 'ended', how: 'over' },
};
const lost: ClientEvent = { type: 'ended', how: 'failed', problem: 'The connection to the call was lost.' };

/** What the client says of a device that did not start, by the name that browsers have for it. */
const permissions: Record<string, string> = {
  DENIED: 'NotAllowedError',
  SYSTEM_DENIED: 'NotAllowedError',
  CANCELED: 'NotAllowedError',
  NO_DEVICES_AVAILABLE: 'NotFoundError',
  COULD_NOT_START: 'NotReadableError',
};
const kinds = { microphone: 'audio', camera: 'video', screen: 'screenshare' } as const;

export class MeetingClient implements CallClient {
  readonly carries = true;
  #hear: Hear;
  #meeting: Meeting | null = null;
  #leaving = false;
  #speaker = '';
  /** What we asked for last, which tells what others did to us. */
  #wanted: Record<Source, boolean> = { microphone: false, camera: false, screen: false };

  constructor(hear: Hear) {
    this.#hear = hear;
  }

  async join(token: string): Promise<void> {
    try {
      const meeting = await RealtimeKit.init({ authToken: token, defaults: { audio: false, video: false } });
      if (this.#leaving) return void meeting.leave().catch(() => undefined);
      this.#meeting = meeting;
      this.#watch(meeting);
      await meeting.join();
      // Whoever left while it was on the way would stay in it, unseen on this page.
      if (this.#leaving) return void meeting.leave().catch(() => undefined);
      this.#tell();
    } catch {
      throw new NotJoined('The service that carries the call did not let this page in.');
    }
  }

  async send(source: Source, on: boolean): Promise<void> {
    const self = this.#meeting?.self;
    if (!self) return;
    this.#wanted[source] = on;
    if (source === 'microphone') await (on ? self.enableAudio() : self.disableAudio());
    else if (source === 'camera') await (on ? self.enableVideo() : self.disableVideo());
    else await (on ? self.enableScreenShare() : self.disableScreenShare());
    if (this.#leaving) return letGo(self);
    this.#tell();
    // It answers with what the browser said, and does not fail.
    if (on && !sends(self, source)) {
      this.#wanted[source] = false;
      const permission = String(self.mediaPermissions?.[kinds[source]] ?? '');
      throw new DOMException('the device did not start', permissions[permission] ?? 'UnknownError');
    }
  }

  leave(): void {
    this.#leaving = true;
    // What cannot be left was not joined.
    this.#meeting?.leave().catch(() => undefined);
  }

  #watch({ self, participants, meta }: Meeting): void {
    const tell = () => this.#tell();
    const { joined } = participants;
    joined.on('participantJoined', tell);
    joined.on('participantLeft', tell);
    joined.on('audioUpdate', tell);
    joined.on('videoUpdate', tell);
    joined.on('screenShareUpdate', tell);
    participants.on('activeSpeaker', ({ peerId }) => {
      this.#speaker = peerId;
      tell();
    });
    self.on('audioUpdate', ({ audioEnabled, audioTrack }) => this.#changed('microphone', audioEnabled, audioTrack));
    self.on('videoUpdate', ({ videoEnabled, videoTrack }) => this.#changed('camera', videoEnabled, videoTrack));
    self.on('screenShareUpdate', ({ screenShareEnabled }) => this.#changed('screen', screenShareEnabled));
    self.on('roomLeft', ({ state }) => {
      if (!this.#leaving) this.#hear(ends[state] ?? lost);
    });
    meta.on('socketConnectionUpdate', ({ state }) => {
      if (state === 'reconnecting' || state === 'disconnected') this.#hear({ type: 'reconnecting' });
      else if (state === 'connected') this.#hear({ type: 'reconnected' });
    });
  }

  #changed(source: Source, on: boolean, track?: MediaStreamTrack): void {
    if (on) this.#watchDevice(source, track);
    if (source === 'microphone' && !on && this.#wanted.microphone) this.#hear({ type: 'muted' });
    else this.#hear({ type: 'sending', source, on });
    this.#wanted[source] = on;
    this.#tell();
  }

  /** A track ends by itself only when its device goes away. */
  #watchDevice(source: Source, track: MediaStreamTrack | undefined): void {
    track?.addEventListener('ended', () => {
      if (!this.#wanted[source]) return;
      this.#wanted[source] = false;
      this.#hear({ type: 'lost', source });
    });
  }

  #tell(): void {
    if (!this.#meeting) return;
    const { self, participants } = this.#meeting;
    const others = participants.joined.toArray().map((one) => attendee(one, false, this.#speaker));
    this.#hear({ type: 'people', people: [attendee(self, true, this.#speaker), ...others] });
  }
}

function sends(self: RTKSelf, source: Source): boolean {
  if (source === 'microphone') return self.audioEnabled;
  return source === 'camera' ? self.videoEnabled : self.screenShareEnabled;
}

/** Stops what the browser let us record only after we left. */
function letGo({ audioTrack, videoTrack, screenShareTracks }: RTKSelf): void {
  for (const track of [audioTrack, videoTrack, screenShareTracks?.audio, screenShareTracks?.video]) track?.stop();
}

function attendee(who: RTKParticipant | RTKSelf, isMe: boolean, speaker: string): Attendee {
  const screen = who.screenShareEnabled ? who.screenShareTracks : undefined;
  const sounds = isMe ? [] : [who.audioEnabled ? who.audioTrack : undefined, screen?.audio];
  return {
    id: who.id,
    name: who.name || 'Somebody',
    kind: 'human',
    isMe,
    isSpeaking: who.audioEnabled && who.id === speaker,
    isMuted: !who.audioEnabled,
    sounds: sounds.filter((sound) => sound != null),
    camera: (who.videoEnabled ? who.videoTrack : null) ?? null,
    screen: screen?.video ?? null,
  };
}
