// The browser's storage, which may be missing, full or forbidden: then nothing is kept, and nothing fails.

export interface Storage {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
  /** Removes everything whose key begins with `prefix`. */
  clear(prefix: string): void;
}

/** Wraps a Web Storage area, taken by a function because merely naming it may throw. */
export function guarded(area: () => globalThis.Storage): Storage {
  const attempt = <T>(action: () => T): T | null => {
    try {
      return action();
    } catch {
      return null;
    }
  };
  return {
    get: (key) => attempt(() => area().getItem(key)),
    set: (key, value) => void attempt(() => area().setItem(key, value)),
    remove: (key) => void attempt(() => area().removeItem(key)),
    clear: (prefix) =>
      void attempt(() => {
        for (const key of Object.keys(area())) if (key.startsWith(prefix)) area().removeItem(key);
      }),
  };
}

/** Kept for this browser. */
export const local = guarded(() => localStorage);
/** Kept for this tab. */
export const perTab = guarded(() => sessionStorage);

/** Reads a JSON value; `fallback` when there is none or it is of another shape. */
export function readJson<T>(storage: Storage, key: string, check: (value: unknown) => value is T, fallback: T): T {
  const text = storage.get(key);
  if (text === null) return fallback;
  try {
    const value: unknown = JSON.parse(text);
    return check(value) ? value : fallback;
  } catch {
    return fallback;
  }
}
