// Properties of a component that a test changes.

export function reactive<T extends object>(properties: T): T {
  const made = $state(properties);
  return made;
}
