// What a browser says of a device, as a sentence that helps.

import type { Source } from './client';

/** What went wrong with a device; nothing when somebody only closed the browser's question. */
export function explainDevice(source: Source, error: unknown, isSecure: boolean): string {
  if (!isSecure) return `Browsers share a ${source} only with pages that came over https, and this one did not.`;
  switch ((error as { name?: unknown } | null)?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      if (source === 'screen') return 'Nothing is shared: the browser was told not to.';
      return `The browser does not let this page use the ${source}. Allow it in the address bar, then try again.`;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return `No ${source} was found. Connect one, then try again.`;
    case 'NotReadableError':
    case 'AbortError':
      return `The ${source} does not start. Another program may be using it.`;
    case 'NotSupportedError':
    case 'TypeError':
      return `This browser cannot share a ${source}.`;
    default:
      return `The ${source} could not be started.`;
  }
}

/** What is said when a device that was on went away by itself. */
export function explainLost(source: Source): string {
  return `The ${source} went away: it was unplugged, or the browser took it back. Turn it on again once it is there.`;
}
