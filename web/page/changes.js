// Changing what one has said: the menu of a message, the composer while it edits, the question before a recall.

import { editable, visible } from './conversation.js';

const $ = (id) => document.getElementById(id);
const GAP_PX = 6;

/** `conversation` gives the open one, `grow` fits the composer to its text; `client` gives the client. */
export class Changes {
  #client;
  #conversation;
  #grow;
  /** What the menu is for, and what is being edited: {seq, text}. */
  #chosen;
  #edited;
  #draft = '';

  constructor({ client, conversation, grow }) {
    this.#client = client;
    this.#conversation = conversation;
    this.#grow = grow;
    $('menu-edit').addEventListener('click', () => this.#pick(() => this.edit(this.#chosen)));
    $('menu-recall').addEventListener('click', () => this.#pick(() => this.#ask()));
    $('menu').addEventListener('keydown', (event) => this.#move(event));
    $('menu').addEventListener('toggle', (event) => this.#toggled(event.newState === 'open'));
    $('log').addEventListener('scroll', () => this.#close());
    $('recall').addEventListener('close', () => this.#answered($('recall').returnValue));
    $('edit-cancel').addEventListener('click', () => this.cancel());
  }

  /** Whether the composer holds an edit. */
  get editing() {
    return Boolean(this.#edited);
  }

  /** Opens the menu of a message beside its button. */
  open(message, button) {
    this.#chosen = { ...message, button };
    const menu = $('menu');
    menu.showPopover();
    const { left, right, top, bottom } = button.getBoundingClientRect();
    const { width, height } = menu.getBoundingClientRect();
    const below = bottom + GAP_PX + height <= window.innerHeight;
    menu.style.top = `${below ? bottom + GAP_PX : Math.max(GAP_PX, top - GAP_PX - height)}px`;
    const start = right - width >= GAP_PX ? right - width : left;
    menu.style.left = `${Math.max(GAP_PX, Math.min(start, window.innerWidth - width - GAP_PX))}px`;
    $('menu-edit').hidden = message.text === undefined;
    this.#items()[0]?.focus();
  }

  /** Puts a message into the composer, to be written anew. */
  edit({ seq, text }) {
    if (!this.#edited) this.#draft = $('text').value;
    this.#edited = { seq, text };
    this.#show(text);
  }

  /** Puts the latest own message that can be edited into the composer. False where there is none. */
  editLast() {
    const own = visible(this.#conversation().log.messages).filter(({ sender }) => sender === this.#client().me);
    const last = own.findLast((message) => editable(message) !== undefined);
    if (last) this.edit({ seq: last.seq, text: editable(last) });
    return Boolean(last);
  }

  /** Sends the edit in the composer. False where there is none. */
  submit(text) {
    if (!this.#edited) return false;
    const { seq, text: before } = this.#edited;
    if (text && text !== before) this.#client().edit(this.#conversation(), seq, text);
    if (text) this.cancel();
    return true;
  }

  /** Leaves the message as it was; what was being written before is there again. False where nothing was edited. */
  cancel() {
    if (!this.#edited) return false;
    this.#edited = undefined;
    this.#show(this.#draft);
    return true;
  }

  /** What the composer holds beside an edit. */
  draft() {
    return this.#edited ? this.#draft : $('text').value;
  }

  #show(text) {
    $('editing').hidden = !this.#edited;
    $('send').textContent = this.#edited ? 'Save' : 'Send';
    $('text').value = text;
    this.#grow();
    $('text').focus();
  }

  #pick(act) {
    this.#close();
    act();
  }

  #close() {
    if ($('menu').matches(':popover-open')) $('menu').hidePopover();
  }

  #ask() {
    $('recall').returnValue = '';
    $('recall').showModal();
  }

  #answered(answer) {
    if (answer !== 'recall') return;
    if (this.#edited?.seq === this.#chosen.seq) this.cancel();
    this.#client()?.recall(this.#conversation(), this.#chosen.seq);
    $('text').focus();
  }

  #toggled(open) {
    this.#chosen?.button.setAttribute('aria-expanded', String(open));
  }

  #items() {
    return [...$('menu').querySelectorAll('button:not([hidden])')];
  }

  #move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Tab: event.shiftKey ? -1 : 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = this.#items();
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length]?.focus();
  }
}
