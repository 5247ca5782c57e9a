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

/** Copies a text and says so; says how else when the browser forbids it. */
export async function copy(text: string, what: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    toasts.note(`${what} copied.`);
    return true;
  } catch {
    toasts.error('The browser did not allow copying: select the text and copy it by hand.');
    return false;
  }
}
