// A call over the LiveKit protocol, by its own client.

import {
  DisconnectReason,
  Room,
  RoomEvent,
  Track,
  TrackEvent,
  type LocalTrack,
  type LocalTrackPublication,
  type Participant,
  type RemoteParticipant,
} from 'livekit-client';
import { NotJoined, type Attendee, type CallClient, type Ending, type Hear, type Source } from './client';
import { shownBy } from './pictures';

const sources = new Map<Track.Source, Source>([
  [Track.Source.Microphone, 'microphone'],
  [Track.Source.Camera, 'camera'],
  [Track.Source.ScreenShare, 'screen'],
]);

/** What changes who is seen and heard, and as what. */
const changes = [
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantNameChanged,
  RoomEvent.TrackSubscribed,
  RoomEvent.TrackUnsubscribed,
  RoomEvent.TrackMuted,
  RoomEvent.TrackUnmuted,
  RoomEvent.LocalTrackPublished,
  RoomEvent.LocalTrackUnpublished,
  RoomEvent.ActiveSpeakersChanged,
  RoomEvent.Reconnected,
] as const;

/** What an end that we did not bring about means. */
function endingOf(reason: DisconnectReason | undefined): { how: Exclude<Ending, 'left'>; problem?: string } {
  switch (reason) {
    case DisconnectReason.PARTICIPANT_REMOVED:
      return { how: 'removed' };
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return { how: 'over' };
    case DisconnectReason.DUPLICATE_IDENTITY:
      return { how: 'removed', problem: 'This place in the call was taken over by another page.' };
    default:
      return { how: 'failed', problem: 'The connection to the call was lost.' };
  }
}

export class RtcClient implements CallClient {
  readonly carries = true;
  #url: string;
  #hear: Hear;
  #room = new Room({ adaptiveStream: true, dynacast: true, stopLocalTrackOnUnpublish: true });
  #leaving = false;
  /** What we turn off ourselves now. */
  #muting = new Set<Source>();
  /** What the page was told that we send. */
  #sent: Record<Source, boolean> = { microphone: false, camera: false, screen: false };
  /** The devices that ended by themselves and were not replaced by others. */
  #ended = new Set<Source>();

  constructor(url: string, hear: Hear) {
    this.#url = url;
    this.#hear = hear;
    const room = this.#room;
    room.on(RoomEvent.Reconnecting, () => hear({ type: 'reconnecting' }));
    room.on(RoomEvent.Reconnected, () => hear({ type: 'reconnected' }));
    room.on(RoomEvent.LocalTrackPublished, (publication) => this.#watch(publication));
    room.on(RoomEvent.TrackMuted, ({ source }, who) => {
      if (who.isLocal) this.#silenced(sources.get(source));
    });
    for (const change of changes) room.on(change, () => this.#tell());
    this.#letGoOfLateDevices();
  }

  async join(token: string): Promise<void> {
    const room = this.#room;
    try {
      await room.connect(this.#url, token);
    } catch {
      throw new NotJoined('The server that carries the call does not answer.');
    }
    room.on(RoomEvent.Disconnected, (reason) => {
      if (!this.#leaving) this.#hear({ type: 'ended', ...endingOf(reason) });
    });
    this.#tell();
  }

  async send(source: Source, on: boolean): Promise<void> {
    const me = this.#room.localParticipant;
    if (!on) this.#muting.add(source);
    try {
      const publication = await (source === 'microphone'
        ? me.setMicrophoneEnabled(on)
        : source === 'camera'
          ? me.setCameraEnabled(on)
          : me.setScreenShareEnabled(on, { audio: true }));
      if (this.#leaving) publication?.track?.stop();
    } finally {
      this.#muting.delete(source);
      this.#tell();
    }
  }

  leave(): void {
    this.#leaving = true;
    this.#room.disconnect().catch(() => undefined);
  }

  /** Stops what the browser lets us record only after we left. */
  #letGoOfLateDevices(): void {
    const me = this.#room.localParticipant;
    const kept = (tracks: LocalTrack[]) => {
      if (!this.#leaving) return tracks;
      for (const track of tracks) track.stop();
      throw new DOMException('the call was left', 'AbortError');
    };
    const [devices, screens] = [me.createTracks.bind(me), me.createScreenTracks.bind(me)];
    me.createTracks = async (options) => kept(await devices(options));
    me.createScreenTracks = async (options) => kept(await screens(options)) as Awaited<ReturnType<typeof screens>>;
  }

  /** Follows whether a device lasts: the library looks for another one, and mutes what it finds none for. */
  #watch({ source, track }: LocalTrackPublication): void {
    const name = sources.get(source);
    if (!name || !track) return;
    this.#ended.delete(name);
    track.on(TrackEvent.Ended, () => this.#ended.add(name));
    track.on(TrackEvent.Restarted, () => this.#ended.delete(name));
  }

  /** Something that we send was muted, by whomever. */
  #silenced(source: Source | undefined): void {
    if (!source || this.#muting.has(source)) return;
    if (this.#ended.has(source)) this.#hear({ type: 'lost', source });
    else if (source === 'microphone') this.#hear({ type: 'muted' });
    else return;
    this.#sent[source] = false;
  }

  /** What we send may have changed, also while the library publishes it anew: says what is so now. */
  #tellOfMine(): void {
    const me = this.#room.localParticipant;
    const now = { microphone: me.isMicrophoneEnabled, camera: me.isCameraEnabled, screen: me.isScreenShareEnabled };
    for (const source of sources.values()) {
      if (now[source] === this.#sent[source]) continue;
      this.#sent[source] = now[source];
      // What we turn off ourselves is said by whoever asked for it.
      if (!this.#muting.has(source)) this.#hear({ type: 'sending', source, on: now[source] });
    }
  }

  #tell(): void {
    this.#tellOfMine();
    const { localParticipant, remoteParticipants } = this.#room;
    const people = [attendee(localParticipant, true), ...[...remoteParticipants.values()].map((one: RemoteParticipant) => attendee(one, false))];
    this.#hear({ type: 'people', people });
  }
}

function attendee(who: Participant, isMe: boolean): Attendee {
  const track = (source: Track.Source) => {
    const publication = who.getTrackPublication(source);
    return publication && !publication.isMuted ? (publication.track?.mediaStreamTrack ?? null) : null;
  };
  const picture = (source: Track.Source) => {
    const [found, carrier] = [track(source), who.getTrackPublication(source)?.track];
    // The library asks for as much of a picture as the elements that it knows of can show.
    if (found && carrier && !isMe) shownBy(found, carrier);
    return found;
  };
  const sounds = isMe ? [] : [track(Track.Source.Microphone), track(Track.Source.ScreenShareAudio)];
  return {
    id: who.identity,
    name: who.name || 'Somebody',
    kind: who.isAgent ? 'agent' : 'human',
    isMe,
    isSpeaking: who.isSpeaking,
    isMuted: !who.isMicrophoneEnabled,
    sounds: sounds.filter((sound) => sound !== null),
    camera: picture(Track.Source.Camera),
    screen: picture(Track.Source.ScreenShare),
  };
}
