/** Real descriptions on standard input; what the module makes of them, for Python to compare. */

import {readFileSync} from 'node:fs';

import {answerOf, credentialsOf, fragmentOf} from './sdp.js';

const {descriptions, restart} = JSON.parse(readFileSync(0, 'utf8'));
const made = Object.entries(descriptions).map(([name, sdp]) => [
  name,
  {
    fragment: fragmentOf(sdp),
    trickled: fragmentOf(sdp, ['a=end-of-candidates']),
    credentials: credentialsOf(sdp),
    answers: ['active', 'passive'].map((role) => answerOf(sdp, restart, `a=setup:${role}\r\n`)),
  },
]);
console.log(JSON.stringify(Object.fromEntries(made)));
