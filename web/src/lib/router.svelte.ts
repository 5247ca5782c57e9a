// Which page the address names. Six pages need no library: the address is state, links are links. The page
// of calls has a policy of its own, and a policy belongs to a document: the way there and back loads anew.

export type Route =
  | { page: 'chat'; room: string | null }
  | { page: 'key'; next: string }
  | { page: 'docs' }
  | { page: 'call'; name: string | null; room: string | null }
  | { page: 'lost' }
  | { page: 'join'; by: 'invite' | 'owner'; token: string };

/** A path of this site to go back to; anything else is the front page. */
export function safeNext(next: string | null): string {
  if (!next?.startsWith('/') || next.startsWith('//') || next.startsWith('/\\')) return '/';
  return next.startsWith('/key') ? '/' : next;
}

/** The page of an address; the fragment is looked at for invites only. */
export function parse(pathname: string, search: string, hash: string): Route {
  const link = /^#(invite|owner)=([\w.~-]+)$/.exec(hash);
  if (link) return { page: 'join', by: link[1] as 'invite' | 'owner', token: link[2]! };
  if (pathname === '/key') return { page: 'key', next: safeNext(new URLSearchParams(search).get('next')) };
  if (pathname === '/docs') return { page: 'docs' };
  if (isCall(pathname)) {
    const query = new URLSearchParams(search);
    return { page: 'call', name: query.get('room'), room: query.get('room_id') };
  }
  if (pathname === '/') return { page: 'chat', room: null };
  const room = /^\/r\/([^/]+)\/?$/.exec(pathname)?.[1];
  return room ? { page: 'chat', room: decoded(room) } : { page: 'lost' };
}

const isCall = (pathname: string) => pathname === '/call';

/** A part of an address as it was meant; one that nobody can decode stays as it is, and names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Router {
  route = $state.raw<Route>(parse(location.pathname, location.search, location.hash));

  /** Starts following the browser, and takes an invite's secret out of the address at once. */
  start(): () => void {
    const sync = () => {
      const route = parse(location.pathname, location.search, location.hash);
      if (route.page === 'join') history.replaceState(null, '', location.pathname);
      this.route = route;
    };
    const click = (event: MouseEvent) => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
        return;
      }
      const link = (event.target as Element | null)?.closest?.('a');
      if (!link || link.target || link.origin !== location.origin || link.hasAttribute('download')) return;
      if (link.getAttribute('href')?.startsWith('#')) return;
      if (isCall(link.pathname) || isCall(location.pathname)) return;
      event.preventDefault();
      this.go(link.pathname + link.search + link.hash);
    };
    sync();
    addEventListener('popstate', sync);
    addEventListener('hashchange', sync);
    document.addEventListener('click', click);
    return () => {
      removeEventListener('popstate', sync);
      removeEventListener('hashchange', sync);
      document.removeEventListener('click', click);
    };
  }

  go(path: string, options: { replace?: boolean } = {}): void {
    if (isCall(new URL(path, location.origin).pathname) !== isCall(location.pathname)) {
      if (options.replace) location.replace(path);
      else location.assign(path);
      return;
    }
    if (options.replace) history.replaceState(null, '', path);
    else history.pushState(null, '', path);
    this.route = parse(location.pathname, location.search, location.hash);
  }
}

export const router = new Router();
