// Turnstile's widget. Its script is loaded only where the server asks for it, and the page's policy lets
// in no other; the widget itself is a frame of theirs.

const SCRIPT = 'https://challenges.cloudflare.com/turnstile/v0/api.js?render=explicit';
/** The name that the page's policy knows. */
const POLICY = 'meet-ai-turnstile';

interface Turnstile {
  render(container: HTMLElement, options: Record<string, unknown>): string | undefined;
  reset(widget?: string): void;
  remove(widget: string): void;
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): { createScriptURL: (url: string) => string };
}

declare global {
  interface Window {
    turnstile?: Turnstile;
    trustedTypes?: TrustedTypes;
  }
}

let loading: Promise<Turnstile> | null = null;
/** Made once: the page's policy takes a name no second time. */
let policy: ReturnType<TrustedTypes['createPolicy']> | undefined;

function load(): Promise<Turnstile> {
  loading ??= new Promise<Turnstile>((resolve, reject) => {
    const script = document.createElement('script');
    policy ??= window.trustedTypes?.createPolicy(POLICY, { createScriptURL: () => SCRIPT });
    script.src = policy ? policy.createScriptURL(SCRIPT) : SCRIPT;
    script.async = true;
    script.onload = () => (window.turnstile ? resolve(window.turnstile) : reject(new Error('no widget')));
    script.onerror = () => reject(new Error('not loaded'));
    document.head.append(script);
  }).catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

/** What the widget says; without a token nothing can be sent. */
interface Heard {
  ontoken: (token: string | null) => void;
  /** `isOver` when the widget does not go on by itself. */
  onproblem: (text: string, isOver?: boolean) => void;
}

export interface Widget {
  /** Asks anew: a token is good for one request. */
  reset(): void;
  remove(): void;
}

/** Shows the widget. */
export async function showWidget(container: HTMLElement, sitekey: string, theme: string, { ontoken, onproblem }: Heard): Promise<Widget | null> {
  let turnstile: Turnstile;
  try {
    turnstile = await load();
  } catch {
    onproblem('The check for bots could not be loaded. Something in this browser or its network keeps challenges.cloudflare.com away.', true);
    return null;
  }
  const widget = turnstile.render(container, {
    sitekey,
    theme,
    size: 'flexible',
    callback: (token: string) => ontoken(token),
    'expired-callback': () => ontoken(null),
    'timeout-callback': () => ontoken(null),
    'unsupported-callback': () => onproblem('The check for bots does not work in this browser. Another one, or a newer one, may do.', true),
    'error-callback': () => {
      ontoken(null);
      onproblem('The check for bots did not work. It tries again by itself.');
    },
  });
  if (widget === undefined) {
    onproblem('The check for bots could not be shown.', true);
    return null;
  }
  return { reset: () => turnstile.reset(widget), remove: () => turnstile.remove(widget) };
}
