/** What others may use of the module: options, members, and the events of one life. */

import {advance, Daemon, refused, settle} from './kit.mjs';
import {Refreeze} from './refreeze.js';

const told = new Set();
const {dispatchEvent} = Refreeze.prototype;
Refreeze.prototype.dispatchEvent = function telling(event) {
  told.add(event.type);
  return dispatchEvent.call(this, event);
};

const daemon = new Daemon();
const asked = new Set();
const options = new Proxy({url: '/sessions/web'}, {
  get: (all, name) => {
    asked.add(name);
    return all[name];
  },
});
const link = new Refreeze(options);
await link.connect();
link.pc.getStats = async () =>
  new Map([['p', {id: 'p', type: 'candidate-pair', selected: true}]]);
link.stateChanged();
daemon.instead = {'PATCH resource': [refused(400, 'why not')]};
link.pc.gather(5000);
link.restart();
await advance(1);
daemon.say('gone', {reason: 'replaced'});
await settle();

const inner = new Set(['constructor', 'renew', 'lost', 'stateChanged', 'showPair', 'began', 'ended',
  'fail', 'tell', 'dispatchEvent']);
const methods = Object.getOwnPropertyNames(Refreeze.prototype).filter((name) => !inner.has(name));
const all = new Set([...asked, ...methods, 'pair', 'restarts', ...told]);
process.stdout.write(JSON.stringify([...all]));
