/** The mails that are to be sent, read from the database behind everybody's back. */

import type { Core } from "../../src/core/core.ts";
import { settleAsked } from "../../src/core/mail/asked-mails.ts";
import { type AskedKind, type Content, openContent, sealContent } from "../../src/core/mail.ts";
import { type Place, rawSql } from "./database.ts";
import { besides } from "./people.ts";
import type { TestServer } from "./server.ts";
import { until } from "./until.ts";

export type QueuedMail = {
  readonly kind: string;
  readonly to: string;
  readonly name: string | null;
  readonly facts: Readonly<Record<string, string | number>>;
  /** Empty where there is none. */
  readonly link: string;
  /** What stands behind the `#` of the link. */
  readonly token: string;
};

/** Every mail in the order of its queueing. One that was only asked for is settled first, as whoever sends it would do. */
export async function queuedMails(core: Core & Place): Promise<QueuedMail[]> {
  const rows = await rawSql(core, "SELECT id, kind, content FROM mails WHERE content IS NOT NULL ORDER BY id");
  const mails: QueuedMail[] = [];
  for (const row of rows) {
    const [id, kind] = [String(row["id"]), String(row["kind"])];
    const content = openContent(core, { id, content: String(row["content"]) });
    if (!content) throw new Error(`the content of the mail ${id} does not open`);
    const settled = "asked" in content ? await settle(core, id, kind as AskedKind, content.asked) : content;
    if (!settled) continue;
    const { to, facts } = settled;
    const link = String(facts["link"] ?? "");
    const token = new URLSearchParams(link.split("#")[1]).get("token") ?? "";
    mails.push({ kind, to: to.email, name: to.name, facts, link, token });
  }
  return mails;
}

async function settle(core: Core & Place, id: string, kind: AskedKind, emailKey: string) {
  const settled = await core.store.write((tx) => settleAsked(core, tx, kind, emailKey));
  const content: Content | undefined = settled && { to: settled.to, facts: settled.facts };
  await rawSql(
    core,
    content
      ? `UPDATE mails SET state = 'queued', content = '${sealContent(core, id, content)}' WHERE id = '${id}'`
      : `DELETE FROM mails WHERE id = '${id}'`,
  );
  return content && "to" in content ? content : undefined;
}

/** The newest mail to an address. Fails where there is none. */
export async function newestMail(core: Core & Place, to: string, kind?: string): Promise<QueuedMail> {
  const mails = await queuedMails(core);
  const mail = mails.findLast((one) => one.to === to && (kind === undefined || one.kind === kind));
  if (!mail) throw new Error(`no ${kind ?? "mail"} to ${to}; there are ${JSON.stringify(mails)}`);
  return mail;
}

/** Every mail to an address, by its kind. */
export const kindsTo = async (core: Core & Place, to: string): Promise<string[]> =>
  (await queuedMails(core)).filter((one) => one.to === to).map(({ kind }) => kind);

/** The same of a server that runs, which settles what somebody asked for by itself. */
export async function mailOf(server: TestServer, to: string, kind?: string): Promise<QueuedMail> {
  const asked = "SELECT id FROM mails WHERE state IN ('asked', 'queued')";
  await until("the mails are sent", async () => (await rawSql(server, asked)).length === 0);
  return await besides(server, (core) => newestMail({ ...core, env: server.env }, to, kind));
}
