// The parts of the pages that the first paint of the chat does without: each is loaded when it is asked for, and
// all of them once the chat has nothing else to do, so that nobody waits for one.

export const parts = {
  account: () => import('../components/Account.svelte'),
  agents: () => import('../components/AgentsDialog.svelte'),
  drawer: () => import('../components/RoomDrawer.svelte'),
  invite: () => import('../components/InviteDialog.svelte'),
  join: () => import('../pages/JoinPage.svelte'),
  newRoom: () => import('../components/NewRoomDialog.svelte'),
  people: () => import('../components/PeopleDialog.svelte'),
  search: () => import('../components/SearchDialog.svelte'),
  settings: () => import('../components/RoomSettingsDialog.svelte'),
};

/** How long a browser without a sign of idleness is left alone. */
const PAUSE_MS = 1500;

/** Loads all of them while nothing else is to be done; one that fails is asked for again when it is needed. */
export function loadAhead(): () => void {
  const load = () => {
    for (const part of Object.values(parts)) part().catch(() => undefined);
  };
  if (!('requestIdleCallback' in globalThis)) {
    const timer = setTimeout(load, PAUSE_MS);
    return () => clearTimeout(timer);
  }
  const idle = requestIdleCallback(load);
  return () => cancelIdleCallback(idle);
}
