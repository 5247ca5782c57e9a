// Who brings a picture onto an element: the browser, or a library that then asks for no more of it than the
// element can show.

/** What the libraries' tracks have in common. */
export interface Carrier {
  attach(element: HTMLMediaElement): unknown;
  detach(element: HTMLMediaElement): unknown;
}

const carriers = new WeakMap<MediaStreamTrack, Carrier>();

/** Lets a library show this track. */
export function shownBy(track: MediaStreamTrack, carrier: Carrier): void {
  carriers.set(track, carrier);
}

/** Shows a track until the answer is called. */
export function show(track: MediaStreamTrack, video: HTMLVideoElement): () => void {
  const carrier = carriers.get(track);
  if (carrier) carrier.attach(video);
  else video.srcObject = new MediaStream([track]);
  // A picture without a sound may play; where it may not, its first frame stands.
  video.play().catch(() => undefined);
  return () => {
    carrier?.detach(video);
    video.srcObject = null;
  };
}
