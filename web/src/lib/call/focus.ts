// Where the focus goes when what had it is gone.

import { tick } from 'svelte';

/** For the heading of what took the place of buttons: it takes a focus that was lost, and none from whoever writes. */
export function lost(node: HTMLElement): void {
  node.tabIndex = -1;
  void tick().then(() => {
    if (document.activeElement === document.body) node.focus({ preventScroll: true });
  });
}
