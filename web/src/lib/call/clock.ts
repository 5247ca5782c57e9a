// How far the clocks of the server and of this browser are apart.

/** By how many milliseconds the server's is ahead; 0 when it does not say. */
export async function ahead(): Promise<number> {
  const response = await fetch('/realtime/config').catch(() => null);
  const date = Date.parse(response?.headers.get('Date') ?? '');
  return Number.isNaN(date) ? 0 : date - Date.now();
}
