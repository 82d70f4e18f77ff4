import { command, group } from "./command.ts";
import bashScript from "./completion/authctl.bash" with { type: "text" };
import fishScript from "./completion/authctl.fish" with { type: "text" };
import zshScript from "./completion/authctl.zsh" with { type: "text" };

const printing = (shell: string, script: string, example: string) =>
  command({
    description: `Print what ${shell} has to read to complete commands, flags, and the names of users, sessions, roles and keys.`,
    effect: "read",
    examples: [example],
    run: async (_, desk) => await desk.print(script.trimEnd()),
  });

export default group({
  description:
    "Let a shell complete what is typed. Names come from the database that the settings of the directory name.",
  verbs: {
    bash: printing("bash", bashScript, "authctl completion bash > /etc/bash_completion.d/authctl"),
    zsh: printing("zsh", zshScript, "authctl completion zsh > /usr/local/share/zsh/site-functions/_authctl"),
    fish: printing("fish", fishScript, "authctl completion fish > ~/.config/fish/completions/authctl.fish"),
  },
});
