// What a browser says of a device, as a sentence that helps.

import type { Source } from './client';

const names: Record<Source, string> = { microphone: 'microphone', camera: 'camera', screen: 'screen' };

/** What went wrong with a device; nothing when somebody only closed the browser's question. */
export function explainDevice(source: Source, error: unknown, isSecure: boolean): string {
  const name = names[source];
  if (!isSecure) return `Browsers share a ${name} only with pages that came over https, and this one did not.`;
  switch ((error as { name?: unknown } | null)?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      if (source === 'screen') return 'Nothing is shared: the browser was told not to.';
      return `The browser does not let this page use the ${name}. Allow it in the address bar, then try again.`;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return `No ${name} was found. Connect one, then try again.`;
    case 'NotReadableError':
    case 'AbortError':
      return `The ${name} does not start. Another program may be using it.`;
    case 'NotSupportedError':
    case 'TypeError':
      return `This browser cannot share a ${name}.`;
    default:
      return `The ${name} could not be started.`;
  }
}
