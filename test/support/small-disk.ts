import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether a small disk can be had: only root may mount one. */
export const HAS_SMALL_DISKS = process.getuid?.() === 0 && process.platform === "linux" && canMount();

function canMount(): boolean {
  const at = mkdtempSync(join(tmpdir(), "larder-mount-"));
  const isMounted = mount(at, "1m");
  if (isMounted) unmount(at);
  rmSync(at, { recursive: true });
  return isMounted;
}

/** A file system of its own, of so many bytes ("3m"), in the place of a directory. @returns whether there is one now */
export function mount(directory: string, size: string): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", directory]).status === 0;
}

export function unmount(directory: string): void {
  spawnSync("umount", ["-l", directory]);
}

/** Leaves no byte free on the file system that the directory is on. @returns the file that takes them */
export function fill(directory: string): string {
  const file = join(directory, "all-the-rest");
  try {
    for (let bytes = 1 << 20; bytes >= 1; bytes >>= 1) {
      try {
        for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: "a" });
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
      }
    }
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  }
  return file;
}
