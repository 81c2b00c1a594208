import { snippets } from "../../src/routes/snippets.ts";

/** What the README and larder's front page tell a client's user to write: the tests run that very text. */
export function snippetOf(client: string, base: string): string {
  const found = snippets(base).find((snippet) => snippet.client === client);
  if (found === undefined) throw new Error(`no snippet for ${client}`);
  return found.text;
}

/** A command of a snippet. */
export interface Command {
  readonly env: Readonly<Record<string, string>>;
  readonly program: string;
  readonly args: readonly string[];
}

/** The commands of a snippet that is for a shell, without its comments. */
export function commandsOf(client: string, base: string): Command[] {
  const lines = snippetOf(client, base).split("\n");
  const commands = lines.map((line) => line.replace(/(^|\s)#.*$/, "").trim()).filter((line) => line !== "");
  return commands.map((line) => {
    const words = line.split(/\s+/);
    const at = words.findIndex((word) => !/^[A-Z_]+=/.test(word));
    const env = Object.fromEntries(words.slice(0, at).map((word) => word.split("=") as [string, string]));
    const [program = "", ...args] = words.slice(at);
    return { env, program, args };
  });
}
