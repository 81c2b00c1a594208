/** Those who use something together, which is closed when the last of them leaves. */
export class Users {
  #count = 0;
  readonly #onLast: () => void;

  constructor(onLast: () => void) {
    this.#onLast = onLast;
  }

  /** One more. @returns to be called when that one leaves; a second call does nothing */
  enter(): () => void {
    let isHere = true;
    this.#count += 1;
    return () => {
      if (!isHere) return;
      isHere = false;
      this.#count -= 1;
      if (this.#count === 0) this.#onLast();
    };
  }
}
