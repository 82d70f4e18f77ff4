// Nothing is sent until somebody presses a button: programs that follow the links of a mail press none.

const [use, ask, done, asked, failure] = ["use", "ask", "done", "asked", "failure"].map((id) =>
  document.getElementById(id),
);
let token = "";

/** Takes the token from behind the `#`, and leaves none in the address bar, the history, or a link that is passed on. */
function takeToken() {
  token = new URLSearchParams(location.hash.slice(1)).get("token") ?? token;
  if (location.hash !== "") history.replaceState(null, "", location.pathname);
  show(token === "" ? ask : use);
}

function show(part) {
  for (const one of [use, ask, done, asked]) one.hidden = one !== part;
}

/** Says what went wrong, in our own words where there are some for it, else in those of the server. */
function tell({ code = "other", errors = [], detail } = {}) {
  const name = code.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
  const known = failure.dataset[name];
  failure.querySelector("p").textContent = known ?? failure.dataset.other;
  const particulars = errors.length > 0 ? errors.map(({ message }) => message) : known || !detail ? [] : [detail];
  const items = particulars.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
  failure.querySelector("ul").replaceChildren(...items);
  failure.hidden = false;
  if (code === "token_invalid") show(ask);
}

/** Sends what a form says, and shows what comes next. */
async function send(form, body, next) {
  const button = form.querySelector("button");
  button.disabled = true;
  failure.hidden = true;
  try {
    const answer = await fetch(form.getAttribute("action"), {
      method: "POST",
      // Who is signed in here has nothing to do with it.
      credentials: "omit",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.ok) {
      form.reset();
      show(next);
      next.focus();
    } else tell(await answer.json());
  } catch {
    tell();
  } finally {
    button.disabled = false;
  }
}

use.addEventListener("submit", (event) => {
  event.preventDefault();
  const { password, again } = use.elements;
  if (password?.value === again?.value) {
    void send(use, { token, ...(password && { password: password.value }) }, done);
    return;
  }
  tell({ code: "mismatch" });
  again.focus();
});

ask.addEventListener("submit", (event) => {
  event.preventDefault();
  void send(ask, { email: ask.elements.email.value }, asked);
});

document.getElementById("show")?.addEventListener("change", ({ target }) => {
  for (const name of ["password", "again"]) use.elements[name].type = target.checked ? "text" : "password";
});

addEventListener("hashchange", takeToken);
takeToken();
