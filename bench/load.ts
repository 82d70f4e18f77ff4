/**
 * A closed loop of requests from a process of its own: each connection sends its next request when it has the
 * answer to the last one. Prints how many were answered, and how many not as they should be.
 */
export type Order = {
  readonly url: string;
  readonly seconds: number;
  /** One for each connection: a credential that is checked again and again, or a refresh token that is traded on. */
  readonly checks: readonly string[];
  readonly refreshes: readonly string[];
};

const { url, seconds, checks, refreshes } = (await Bun.stdin.json()) as Order;
const end = performance.now() + seconds * 1000;
let answered = 0;
let wrong = 0;

const check = async (bearer: string): Promise<void> => {
  while (performance.now() < end) {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${bearer}` } });
    const { email } = (await answer.json()) as { email?: string };
    if (answer.status === 200 && email) answered++;
    else wrong++;
  }
};

const refresh = async (first: string): Promise<void> => {
  for (let token = first; performance.now() < end; ) {
    const body = JSON.stringify({ refresh_token: token });
    const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    const next = ((await answer.json()) as { refresh_token?: string }).refresh_token;
    if (answer.status === 200 && next && next !== token) answered++;
    else wrong++;
    token = next ?? token;
  }
};

await Promise.all([...checks.map(check), ...refreshes.map(refresh)]);
console.log(JSON.stringify({ answered, wrong }));
