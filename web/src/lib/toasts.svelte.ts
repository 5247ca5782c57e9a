// Short notes at the edge of the page that go away by themselves.

export interface Toast {
  id: number;
  text: string;
  tone: 'note' | 'error';
}

const SHOWN_MS = { note: 4_000, error: 8_000 };

class Toasts {
  list = $state<Toast[]>([]);
  #next = 1;

  #add(text: string, tone: Toast['tone']): void {
    const id = this.#next++;
    this.list = [...this.list.slice(-2), { id, text, tone }];
    setTimeout(() => this.dismiss(id), SHOWN_MS[tone]);
  }

  note(text: string): void {
    this.#add(text, 'note');
  }

  error(text: string): void {
    this.#add(text, 'error');
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();

/** Copies a text and says so, unless whoever asks does it by itself; says how else when the browser forbids it. */
export async function copy(text: string, what: string | null): Promise<boolean> {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyByHand(text);
    if (what !== null) toasts.note(`${what} copied.`);
    return true;
  } catch {
    toasts.error('The browser did not allow copying: select the text and copy it by hand.');
    return false;
  }
}

/** A page that came over plain http has no clipboard, only the command of old. */
function copyByHand(text: string): void {
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'sr-only';
  // Outside of an open dialog nothing can be selected.
  (document.querySelector('dialog[open]') ?? document.body).append(field);
  const focused = document.activeElement;
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  if (!copied) throw new Error('not copied');
}
