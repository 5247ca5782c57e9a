// Takes the focus to the heading of a page that the reader came to without loading it anew, so that a
// screen reader says where one is and Tab begins there.

import { tick } from 'svelte';

let first = true;

/** For the `h1` of a page. The first one came with the document itself, whose beginning the browser reads. */
export function heading(node: HTMLElement): void {
  node.tabIndex = -1;
  if (first) {
    first = false;
    return;
  }
  void tick().then(() => {
    if (node.isConnected && !document.querySelector('dialog[open]')) node.focus({ preventScroll: true });
  });
}
