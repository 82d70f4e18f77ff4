import accountDeletedHtml from "./de/account-deleted.html" with { type: "text" };
import accountDeletedText from "./de/account-deleted.txt" with { type: "text" };
import accountExistsHtml from "./de/account-exists.html" with { type: "text" };
import accountExistsText from "./de/account-exists.txt" with { type: "text" };
import confirmEmailHtml from "./de/confirm-email.html" with { type: "text" };
import confirmEmailText from "./de/confirm-email.txt" with { type: "text" };
import emailChangeRequestedHtml from "./de/email-change-requested.html" with { type: "text" };
import emailChangeRequestedText from "./de/email-change-requested.txt" with { type: "text" };
import emailChangedHtml from "./de/email-changed.html" with { type: "text" };
import emailChangedText from "./de/email-changed.txt" with { type: "text" };
import newDeviceHtml from "./de/new-device.html" with { type: "text" };
import newDeviceText from "./de/new-device.txt" with { type: "text" };
import passwordChangedHtml from "./de/password-changed.html" with { type: "text" };
import passwordChangedText from "./de/password-changed.txt" with { type: "text" };
import resetPasswordHtml from "./de/reset-password.html" with { type: "text" };
import resetPasswordText from "./de/reset-password.txt" with { type: "text" };
import sessionCompromisedHtml from "./de/session-compromised.html" with { type: "text" };
import sessionCompromisedText from "./de/session-compromised.txt" with { type: "text" };
import testHtml from "./de/test.html" with { type: "text" };
import testText from "./de/test.txt" with { type: "text" };
import verifyEmailHtml from "./de/verify-email.html" with { type: "text" };
import verifyEmailText from "./de/verify-email.txt" with { type: "text" };
import { type Templates, template } from "./templates.ts";

export const german: Templates = {
  "verify-email": template(verifyEmailText, verifyEmailHtml),
  "account-exists": template(accountExistsText, accountExistsHtml),
  "reset-password": template(resetPasswordText, resetPasswordHtml),
  "confirm-email": template(confirmEmailText, confirmEmailHtml),
  "email-change-requested": template(emailChangeRequestedText, emailChangeRequestedHtml),
  "email-changed": template(emailChangedText, emailChangedHtml),
  "password-changed": template(passwordChangedText, passwordChangedHtml),
  "new-device": template(newDeviceText, newDeviceHtml),
  "session-compromised": template(sessionCompromisedText, sessionCompromisedHtml),
  "account-deleted": template(accountDeletedText, accountDeletedHtml),
  test: template(testText, testHtml),
};
