/** Descriptions as text, and the fragments of RFC 8840 that RFC 9725 restarts with: no state. */

const ICE = /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates|remote-candidates)(:|$)/;

/** Lines without their ends. */
export function linesOf(text) {
  return text.split(/\r?\n/).filter((line) => line);
}

/** Session lines, and the lines of every m= section. */
export function sectionsOf(sdp) {
  const found = [[]];
  for (const line of linesOf(sdp)) {
    if (line.startsWith('m=')) found.push([]);
    found.at(-1).push(line);
  }
  return {session: found[0], media: found.slice(1)};
}

function valueOf(lines, name) {
  const line = lines.find((each) => each.startsWith(`a=${name}:`));
  return line && line.slice(name.length + 3);
}

/** The section whose transport all use: the first of the BUNDLE group, or of all, that lives. */
function taggedOf({session, media}) {
  const group = valueOf(session, 'group');
  const mids = group && group.startsWith('BUNDLE ') ? group.split(' ').slice(1) : [];
  const named = mids.map((mid) => media.find((lines) => valueOf(lines, 'mid') === mid));
  const lives = (lines) => lines && !/^m=\S+ 0 /.test(lines[0]);
  return named.find(lives) || media.find(lives) || media[0];
}

/** The credentials of a description or a fragment. */
export function credentialsOf(text) {
  const parsed = sectionsOf(text);
  const levels = [taggedOf(parsed) || [], parsed.session, ...parsed.media];
  const find = (name) => levels.map((lines) => valueOf(lines, name)).find((value) => value);
  return {ufrag: find('ice-ufrag'), pwd: find('ice-pwd')};
}

/** A fragment with the ICE of the BUNDLE-tagged section (RFC 9725 section 4.3.3). */
export function fragmentOf(sdp, candidates = null) {
  const parsed = sectionsOf(sdp);
  const tagged = taggedOf(parsed);
  const {ufrag, pwd} = credentialsOf(sdp);
  const group = parsed.session.filter((line) => line.startsWith('a=group:BUNDLE'));
  const levels = [...parsed.session, ...tagged];
  const options = levels.filter((line) => line.startsWith('a=ice-options:'));
  const own = tagged.filter((line) => /^a=(candidate:|end-of-candidates$)/.test(line));
  return [
    ...group,
    ...options.slice(0, 1),
    tagged[0],
    `a=mid:${valueOf(tagged, 'mid')}`,
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    ...(candidates || own),
    '',
  ].join('\r\n');
}

/**
 * The daemon's last description as the answer to a restart: with the ICE of its fragment.
 *
 * What was an offer left the role in DTLS open; *local*, our answer to it, took one.
 */
export function answerOf(remote, fragment, local) {
  const parsed = sectionsOf(remote);
  const tagged = taggedOf(parsed);
  const {ufrag, pwd} = credentialsOf(fragment);
  const candidates = linesOf(fragment).filter((line) => /^a=(candidate:|end-of)/.test(line));
  const role = /^a=setup:passive/m.test(local) ? 'active' : 'passive';
  const rewritten = (lines) => {
    const kept = lines
      .filter((line) => !ICE.test(line))
      .map((line) => (line === 'a=setup:actpass' ? `a=setup:${role}` : line));
    if (lines !== tagged) return kept;
    return [...kept, `a=ice-ufrag:${ufrag}`, `a=ice-pwd:${pwd}`, ...candidates];
  };
  const all = [parsed.session, ...parsed.media].map(rewritten).flat();
  return all.map((line) => `${line}\r\n`).join('');
}
