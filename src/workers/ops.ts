import { op } from "./channel.ts";

// What the primary and its workers say to one another about themselves. What they share has ops of its own.

/** A worker takes requests. */
export const LISTENING = op<{ readonly port: number }>("workers: listening");

/** A worker is to let its requests end, and to end. `lingers`: the others go on, so there is no hurry. */
export const DRAIN = op<{ readonly lingers: boolean }>("workers: drain");

/** How many workers take requests now. */
export const UP = op<{ readonly up: number }>("workers: up");
