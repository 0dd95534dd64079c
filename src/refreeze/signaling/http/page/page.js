/** The page: one session, what state it is in, and its restarts as they happen. */

import {Refreeze} from './refreeze.js';

const at = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.hash.slice(1));
let link = null;

function show() {
  const state = link ? link.state : 'new';
  at('state').textContent = state;
  if (state === 'connected') at('problem').textContent = 'none';
  at('restart').disabled = at('close').disabled = !link || state === 'closed';
}

function showPair() {
  const {pair} = link;
  const end = ({address, port, type}) => `${address}:${port} (${type})`;
  at('pair').textContent = pair ? `${end(pair.local)} - ${end(pair.remote)}` : 'none';
}

function showRestarts() {
  const rows = link.restarts.map(({at: when, by, why, outcome}) => {
    const row = document.createElement('tr');
    for (const text of [when.toLocaleTimeString(), by, why, outcome]) {
      row.appendChild(document.createElement('td')).textContent = text;
    }
    return row;
  });
  at('restarts').replaceChildren(...rows.reverse());
}

async function connect() {
  if (link) link.close();
  const url = `/sessions/${encodeURIComponent(at('session').value)}`;
  link = new Refreeze({url, token: at('token').value || null});
  globalThis.link = link;
  at('problem').textContent = 'none';
  link.addEventListener('state', show);
  link.addEventListener('pair', showPair);
  link.addEventListener('restart', showRestarts);
  link.addEventListener('error', ({detail}) => {
    at('problem').textContent = detail.message;
  });
  link.addEventListener('gone', ({detail}) => {
    at('problem').textContent = `gone: ${detail.reason}`;
  });
  showRestarts();
  try {
    await link.connect();
  } catch (error) {
    at('problem').textContent = error.message;
  }
  show();
}

at('form').addEventListener('submit', (event) => {
  event.preventDefault();
  connect();
});
at('restart').addEventListener('click', () => link.restart());
at('close').addEventListener('click', () => link.close());
addEventListener('pagehide', () => link && link.close());

if (asked.has('session')) {
  // The token was given in the fragment, which no server sees; it need not stay in sight either.
  at('session').value = asked.get('session');
  at('token').value = asked.get('token') || '';
  history.replaceState(null, '', location.pathname);
  connect();
}
