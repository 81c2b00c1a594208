import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

// Long enough for the scheduler's own grain, short enough for many of them in a round.
const PERIOD_MICROS = 20_000;

const V1 = "/sys/fs/cgroup/cpu";
const V2 = "/sys/fs/cgroup";

/** Why no process can be given a part of a core; undefined where it can. Root may, where cgroups can be written. */
export function missingCoreShares(): string | undefined {
  return placeOf() === undefined ? "no cgroup of the CPU that may be written" : undefined;
}

/**
 * Gives each of these processes no more than a part of a core from now on (cgroups, of whichever version).
 * @returns to be called when they have ended
 */
export function shareCore(pids: readonly number[], share: number): () => void {
  const place = placeOf();
  if (place === undefined) throw new Error("missingCoreShares says why not");
  const groups = pids.map((pid) => {
    const group = join(place, `larder-bench-${pid}`);
    mkdirSync(group);
    const quota = Math.round(share * PERIOD_MICROS);
    if (place === V1) {
      writeFileSync(join(group, "cpu.cfs_period_us"), String(PERIOD_MICROS));
      writeFileSync(join(group, "cpu.cfs_quota_us"), String(quota));
    } else {
      writeFileSync(join(group, "cpu.max"), `${quota} ${PERIOD_MICROS}`);
    }
    writeFileSync(join(group, "cgroup.procs"), String(pid));
    return group;
  });
  return () => {
    for (const group of groups) rmdirSync(group);
  };
}

function placeOf(): typeof V1 | typeof V2 | undefined {
  try {
    if (existsSync(join(V1, "cpu.cfs_quota_us"))) {
      accessSync(V1, constants.W_OK);
      return V1;
    }
    const children = join(V2, "cgroup.subtree_control");
    if (!readFileSync(children, "utf8").split(/\s/).includes("cpu")) writeFileSync(children, "+cpu");
    return V2;
  } catch {
    return undefined; // not Linux, not root, or a container that may not
  }
}
