const waiting: (() => void)[] = [];

function runNext(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(runNext);
}

/**
 * A later turn of the event loop, of which nobody else gets the same one: Node runs all due immediates before it
 * looks at its sockets again, so with one immediate each, ten documents at a time would hold the loop ten times as long.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(runNext);
  });
}

async function finishInSlices<T>(work: Generator<undefined, T>): Promise<T> {
  while (true) {
    await nextTurn();
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Runs work without holding the event loop for longer than it takes from one `yield` of it to the next.
 *
 * @param work yields wherever others may have a turn; every few milliseconds is right
 * @returns the work's value itself when it was done before its first `yield`, else a promise of it
 * @throws what the work throws: at once before its first `yield`, as a rejection after it
 */
export function inSlices<T>(work: Generator<undefined, T>): T | Promise<T> {
  const first = work.next();
  return first.done === true ? first.value : finishInSlices(work);
}
