/** A value as a text that does not depend on the database: members in the order of their names, times in UTC. */
export const canonical = (value: unknown): string => JSON.stringify(ordered(value)) ?? "null";

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.some(isStructure) ? value.map(ordered) : value;
  if (!isStructure(value)) return value;
  const members = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, ordered(member) ?? null]));
}

const isStructure = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !(value instanceof Date);
