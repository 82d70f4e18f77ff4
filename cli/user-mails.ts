import { orderVerification, vouchForAddress } from "../src/core/users/addresses.ts";
import { orderReset } from "../src/core/users/new-passwords.ts";
import { findUser } from "../src/core/users.ts";
import { userView } from "../src/core/views.ts";
import { command } from "./command.ts";
import { positional, toggle } from "./options.ts";

const oneUser = { user: positional("USER", "id, address or user name", { required: true }) };
const exits = { 4: "the user is disabled", 78: "there is no mail server" };

export const sendReset = command({
  description: "Send a user the link that sets a new password. The one that was sent before is void.",
  effect: "write",
  args: oneUser,
  examples: ["authctl user send-reset ada@example.com"],
  exits,
  async run({ user }, desk) {
    await desk.withCore(async (core, by) => {
      const { id, email } = (await findUser(core, user)).user;
      const { expiresAt } = await orderReset(core, by, id);
      if (desk.json) await desk.print({ id, email, mail: "reset-password", expires_at: expiresAt.toISOString() });
      desk.say(`queued a mail to ${email} with a link that sets a new password`);
    });
  },
});

export const verifyEmail = command({
  description: "Vouch for a user's address: it counts as verified. With --send the user is asked to prove it by mail.",
  effect: "write",
  args: { ...oneUser, send: toggle("send the link that verifies the address instead") },
  examples: ["authctl user verify-email ada@example.com", "authctl user verify-email ada@example.com --send"],
  exits,
  async run({ user, send }, desk) {
    await desk.withCore(async (core, by) => {
      const { id, email } = (await findUser(core, user)).user;
      if (!send) {
        const { user: verified, roles } = await vouchForAddress(core, by, id);
        return await desk.print(userView(verified, roles));
      }
      const issued = await orderVerification(core, by, id);
      const expires_at = issued?.expiresAt.toISOString() ?? null;
      if (desk.json) await desk.print({ id, email, mail: issued ? "verify-email" : null, expires_at });
      desk.say(
        issued
          ? `queued a mail to ${email} with a link that verifies the address`
          : `${email} is verified already: nothing was sent`,
      );
    });
  },
});
