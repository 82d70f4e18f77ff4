/** What `init` asks at a terminal, before it makes anything: who gives up half-way leaves nothing behind. */
import { origin as parseOrigin, Unfit } from "../src/config/parsers.ts";
import type { Config } from "../src/config.ts";
import { parseEmail } from "../src/core/identifiers.ts";
import { checkPassword } from "../src/core/passwords/password-policy.ts";
import type { Desk } from "./desk.ts";

export type Answers = {
  /** To be written down. */
  readonly settings: Readonly<Record<string, string>>;
  /** For this run alone. */
  readonly admin: Readonly<Record<string, string>>;
};

/** At most three questions, and none whose answer the environment gives, or where nobody can be asked. */
export async function askFor({ PUBLIC_URL, ...config }: Config, desk: Desk): Promise<Answers> {
  const { env } = desk.place;
  const address = env.PUBLIC_URL
    ? undefined
    : await answerTo(desk, `Where will users reach the server? [${PUBLIC_URL}] `, troubleWithOrigin);
  const email =
    env.ADMIN_EMAIL || env.ADMIN_EMAIL_FILE
      ? undefined
      : await answerTo(desk, "The e-mail address of the first admin, or Enter for none: ", troubleWithEmail);
  const settings = address === undefined ? {} : { PUBLIC_URL: address };
  if (email === undefined) return { settings, admin: {} };
  const password = await desk.secret(`Password of ${email}`, {
    generate: false,
    passwordStdin: false,
    passwordFile: undefined,
  });
  const { PASSWORD_MIN_LENGTH: minLength, PASSWORD_REFUSE_VARIANTS: variants } = config;
  await checkPassword(password, { minLength, words: [email, config.APP_NAME], exact: !variants });
  return { settings, admin: { ADMIN_EMAIL: email, ADMIN_PASSWORD: password } };
}

/** Asks again while there is trouble with the answer; `undefined` where there is none. */
async function answerTo(
  desk: Desk,
  question: string,
  trouble: (answer: string) => string | undefined,
): Promise<string | undefined> {
  for (;;) {
    const answer = (await desk.ask(question))?.trim();
    if (!answer) return undefined;
    const problem = trouble(answer);
    if (problem === undefined) return answer;
    desk.warn(problem);
  }
}

function troubleWithOrigin(answer: string): string | undefined {
  try {
    parseOrigin(answer);
    return undefined;
  } catch (error) {
    if (error instanceof Unfit) return `This must be ${error.message}.`;
    throw error;
  }
}

function troubleWithEmail(answer: string): string | undefined {
  const parsed = parseEmail(answer);
  return "problem" in parsed ? parsed.problem : undefined;
}
