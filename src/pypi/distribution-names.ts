import { normalizeProject } from "./names.ts";

const SDIST = /^(?<name>.+?)-(?=\d)[^-]*(?:-[^-]+)*\.(?:tar\.gz|zip|tar\.bz2|tgz)$/;

/**
 * The project that a distribution is of, by its filename (wheel: PEP 427, source: PEP 625 and what was before it).
 * @returns normalized; undefined where the name does not say
 */
export function projectOfDistribution(filename: string): string | undefined {
  if (/\.(?:whl|egg)$/.test(filename)) return normalizeProject(filename.split("-", 1)[0] ?? "");
  const name = SDIST.exec(filename)?.groups?.["name"];
  return name === undefined ? undefined : normalizeProject(name);
}
