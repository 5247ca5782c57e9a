// Whom a token of the server speaks for. The page verifies nothing: it only looks whether it is the one it thinks it is.

/** Whether a token is for this user, or for nobody; one that cannot be read is taken as it is. */
export function isFor(token: string, user: string | null): boolean {
  try {
    const payload = token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/');
    // The ids of users are plain letters, whatever else is said.
    const { sub } = JSON.parse(atob(payload)) as { sub?: unknown };
    return typeof sub !== 'string' || sub === (user ?? '');
  } catch {
    return true;
  }
}
