// Whether somebody sits at this page: away once it has been hidden for a while, there again once it is looked at.

/** A page that is hidden for less is not away: people look something up and come back. */
export const AWAY_AFTER_MS = 30_000;
/** A page that is shown for less is on its way past, for example while windows are switched. */
export const BACK_AFTER_MS = 1_000;
/** Pause before the server is told again what it did not take. */
export const AGAIN_AFTER_MS = 5_000;

export class Away {
  #say;
  #timer;
  #again;
  #stopped = false;
  /** What the server is to know, and what it was told in this session. */
  #away = false;
  #told = false;

  /** `say` (away) tells the server and promises whether it took that; it does not without a connection. */
  constructor(say) {
    this.#say = say;
  }

  /** The page is hidden, or shown, from now on. */
  hidden(hidden) {
    clearTimeout(this.#timer);
    if (hidden === this.#away) return;
    this.#timer = setTimeout(() => this.#set(hidden), hidden ? AWAY_AFTER_MS : BACK_AFTER_MS);
  }

  /** There is a connection. A new session is taken to be attended; in a resumed one the last word may have been lost. */
  ready(resumed) {
    this.#told = false;
    if (this.#away || resumed) this.#tell();
  }

  /** Nothing more is to be said. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#again);
  }

  #set(away) {
    this.#away = away;
    if (this.#told !== away) this.#tell();
  }

  async #tell() {
    clearTimeout(this.#again);
    const away = this.#away;
    const taken = await this.#say(away);
    if (taken) this.#told = away;
    else if (!this.#stopped) this.#again = setTimeout(() => this.#tell(), AGAIN_AFTER_MS);
  }
}
