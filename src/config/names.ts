/**
 * Names that Kubernetes gives to the environment of every pod beside a Service whose name begins with `larder`
 * (LARDER_SERVICE_HOST, LARDER_PORT_8080_TCP_ADDR, LARDER_REDIS_PORT=tcp://...): nobody wrote those.
 * Source: Kubernetes docs, "Discovering services", environment variables.
 */
function isFromKubernetes(name: string, value: string): boolean {
  return (
    /^LARDER(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/.test(
      name,
    ) ||
    (/^LARDER(_\w+)?_PORT$/.test(name) && /^(tcp|udp|sctp):\/\//i.test(value))
  );
}

/**
 * The names in the environment that are meant for larder but that it does not know, in order.
 * In any case of letters: `larder_fresh` is a mistake too.
 */
export function unknownNames(
  env: Readonly<Record<string, string | undefined>>,
  known: readonly string[],
): string[] {
  return Object.entries(env)
    .filter(
      ([name, value]) =>
        /^larder_/i.test(name) && !known.includes(name) && !isFromKubernetes(name, value ?? ""),
    )
    .map(([name]) => name)
    .sort();
}

/**
 * The known name that was most probably meant, or undefined when none is near.
 * Compared without `LARDER_`, so that the common prefix makes nothing alike, and LARDER_PORT finds PORT.
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = bare(name);
  let nearest: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, bare(candidate));
    if (distance < least) [nearest, least] = [candidate, distance];
  }
  return nearest;
}

const bare = (name: string): string => name.toUpperCase().replace(/^LARDER_/, "");

/** How many letters must be added, dropped, changed or swapped with their neighbour (optimal string alignment). */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const cost = from[row - 1] === to[column - 1] ? 0 : 1;
      const isSwap = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current.push(
        Math.min(
          at(last, column) + 1,
          at(current, column - 1) + 1,
          at(last, column - 1) + cost,
          isSwap ? at(beforeLast, column - 2) + 1 : Infinity,
        ),
      );
    }
    [beforeLast, last] = [last, current];
  }
  return at(last, to.length);
}

const at = (row: readonly number[], column: number): number => row[column] ?? Infinity;
