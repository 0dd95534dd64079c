/** The example of the documentation: it connects, restarts, and is left. */

import {Daemon, settle} from './kit.mjs';

new Daemon();
const said = [];
console.log = (...words) => said.push(words.join(' '));
const path = {
  set textContent(text) {
    said.push(`path ${text}`);
  },
};
let leave = null;
globalThis.document = {getElementById: () => path};
globalThis.addEventListener = (kind, work) => {
  leave = work;
};
const {Refreeze} = await import('./refreeze.js');
let link = null;
const {connect} = Refreeze.prototype;
Refreeze.prototype.connect = function connecting() {
  link = this;
  return connect.call(this);
};

await import('./example.js');
link.restart();
await settle();
link.pc.connectionState = 'connected';
link.pc.onconnectionstatechange();
leave();
process.stdout.write(`${said.join('\n')}\n`);
