// Up to which message rooms were read in this browser by whom the server keeps no place for: somebody without
// a session, and whoever looks into a room of others.

export type Marks = Readonly<Record<string, number>>;

/** Whether a value read from storage is a set of marks. */
export function isMarks(value: unknown): value is Marks {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((seq) => typeof seq === 'number')
  );
}

/** Marks a room as read up to `seq`; a mark never goes back. */
export function markRead(marks: Marks, room: string, seq: number): Marks {
  return (marks[room] ?? -1) >= seq ? marks : { ...marks, [room]: seq };
}
