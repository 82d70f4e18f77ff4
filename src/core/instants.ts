const form = /^(\d{4}-\d\d-\d\d)[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** A point in time as RFC 3339 writes it, with its offset; `undefined` for what is none. */
export function parseInstant(text: string): Date | undefined {
  const [, day] = form.exec(text) ?? [];
  // `Date` takes the 30th of February for the 2nd of March.
  const isDay = day !== undefined && valid(new Date(day))?.toISOString().startsWith(day);
  return isDay ? valid(new Date(text.toUpperCase())) : undefined;
}

const valid = (date: Date): Date | undefined => (Number.isNaN(date.getTime()) ? undefined : date);
