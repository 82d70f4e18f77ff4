import { settings } from "../src/config.ts";

const width = 118;

type Setting = (typeof settings)[number];

/** The text of `.env.example`: every setting with what it means, commented out, at its default. */
export function exampleSettings(): string {
  const groups = Map.groupBy(settings, (setting) => setting.group);
  const sections = [...groups].map(([group, rows]) => [`## ${group}`, ...rows.map(entry)].join("\n\n"));
  return [head, ...sections].join("\n\n");
}

const head = comment(
  "Settings of authctl. Each stands here at its default: take the # away to change it. `authctl config explain KEY` tells about one, `authctl config check` finds mistakes, and the environment wins over this file.",
);

function entry(setting: Setting): string {
  const { name, doc, fallback, fallbackDoc, secret } = setting;
  if (secret && fallback === undefined)
    return `${comment(`${doc} Better kept in a file of mode 0600, whose name stands here.`)}\n#${name}_FILE=`;
  // What follows from other settings or from the machine is described: a value would pin it down.
  const fixed = typeof fallback === "string" && fallbackDoc === undefined ? fallback : "";
  const described = fallbackDoc === undefined ? doc : `${doc} Default: ${fallbackDoc}.`;
  return `${comment(described)}\n#${name}=${fixed}`;
}

/** Whole words in lines that begin with `# `. */
function comment(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.map((line) => `# ${line}`).join("\n");
}
