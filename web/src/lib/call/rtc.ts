// A call over the LiveKit protocol, by its own client.

import {
  DisconnectReason,
  Room,
  RoomEvent,
  Track,
  type Participant,
  type RemoteParticipant,
  type TrackPublication,
} from 'livekit-client';
import { NotJoined, type Attendee, type CallClient, type Ending, type Hear, type Source } from './client';

const sources: Record<Source, Track.Source> = {
  microphone: Track.Source.Microphone,
  camera: Track.Source.Camera,
  screen: Track.Source.ScreenShare,
};

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
  #room = new Room({ dynacast: true, stopLocalTrackOnUnpublish: true });
  #leaving = false;
  /** Whether we are silencing ourselves now. */
  #muting = false;

  constructor(url: string, hear: Hear) {
    this.#url = url;
    this.#hear = hear;
    const room = this.#room;
    for (const change of changes) room.on(change, () => this.#tell());
    room.on(RoomEvent.Reconnecting, () => hear({ type: 'reconnecting' }));
    room.on(RoomEvent.Reconnected, () => hear({ type: 'reconnected' }));
    room.on(RoomEvent.LocalTrackUnpublished, (publication) => this.#sends(publication, false));
    room.on(RoomEvent.TrackMuted, (publication, who) => {
      // What we mute ourselves is asked for by `send`, which says so before the track does.
      if (who.isLocal && publication.source === Track.Source.Microphone && !this.#muting) hear({ type: 'muted' });
    });
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
    this.#muting = !on;
    try {
      if (source === 'microphone') await me.setMicrophoneEnabled(on);
      else if (source === 'camera') await me.setCameraEnabled(on);
      else await me.setScreenShareEnabled(on, { audio: true });
    } finally {
      this.#muting = false;
      this.#tell();
    }
  }

  leave(): void {
    this.#leaving = true;
    this.#room.disconnect().catch(() => undefined);
  }

  #sends(publication: TrackPublication, on: boolean): void {
    const source = (Object.keys(sources) as Source[]).find((one) => sources[one] === publication.source);
    if (source) this.#hear({ type: 'sending', source, on });
  }

  #tell(): void {
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
  const sounds = isMe ? [] : [track(Track.Source.Microphone), track(Track.Source.ScreenShareAudio)];
  return {
    id: who.identity,
    name: who.name || 'Somebody',
    kind: who.isAgent ? 'agent' : 'human',
    isMe,
    isSpeaking: who.isSpeaking,
    isMuted: !who.isMicrophoneEnabled,
    sounds: sounds.filter((sound) => sound !== null),
    camera: track(Track.Source.Camera),
    screen: track(Track.Source.ScreenShare),
  };
}
