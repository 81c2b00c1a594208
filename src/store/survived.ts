/**
 * Told of each failure that larder lives on with, to be counted and logged.
 *
 * @param what the work that failed, from a small fixed set of words: it may be a metric's label
 * @param key which entry, group, file or host it was about
 */
export type OnSurvived = (what: string, key: string, error: unknown) => void;
