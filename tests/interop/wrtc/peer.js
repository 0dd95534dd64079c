// libwebrtc as a peer: one JSON command a line on stdin, answers and events on stdout.
//   {"id": 1, "do": "offer", "iceRestart": true}  ->  {"id": 1, "type": "offer", "sdp": "..."}
// Events carry "event" instead of "id". Every connection is named by "pc".
'use strict'

const readline = require('readline')
const { RTCPeerConnection } = require('@roamhq/wrtc')
const { version } = require('@roamhq/wrtc/package.json')

const connections = new Map()

function say (message) {
  process.stdout.write(JSON.stringify(message) + '\n')
}

function connection (name) {
  let pc = connections.get(name)
  if (pc) return pc
  pc = new RTCPeerConnection({ iceServers: [] })
  connections.set(name, pc)
  pc.onicecandidate = ({ candidate }) => say({
    event: 'candidate', pc: name, candidate: candidate && candidate.candidate,
    mid: candidate && candidate.sdpMid
  })
  pc.oniceconnectionstatechange = () => {
    // Inside the handler the state is still the old one.
    setImmediate(() => say({ event: 'state', pc: name, state: pc.iceConnectionState }))
  }
  return pc
}

function gathered (pc) {
  // After a restart's setLocalDescription the state is still the old 'complete' for a moment;
  // only the null candidate tells that this generation is done.
  return new Promise(resolve => {
    pc.addEventListener('icecandidate', function wait ({ candidate }) {
      if (candidate) return
      pc.removeEventListener('icecandidate', wait)
      resolve()
    })
  })
}

function ufrag (description) {
  return description && /a=ice-ufrag:(.*)/.exec(description.sdp)[1]
}

async function setLocal (pc, description, trickle) {
  const fresh = ufrag(description) !== ufrag(pc.localDescription)
  const all = fresh && !trickle ? gathered(pc) : null
  await pc.setLocalDescription(description)
  await all
  return { type: pc.localDescription.type, sdp: pc.localDescription.sdp }
}

const commands = {
  async offer (pc, { iceRestart, trickle }) {
    if (!pc.channel) pc.channel = pc.createDataChannel('refreeze')
    return setLocal(pc, await pc.createOffer({ iceRestart: Boolean(iceRestart) }), trickle)
  },
  async media (pc) {
    pc.addTransceiver('audio')
    pc.addTransceiver('video')
    return {}
  },
  async version () {
    return { version }
  },
  async restartIce (pc) {
    pc.restartIce()
    return {}
  },
  async answer (pc, { sdp, trickle }) {
    await pc.setRemoteDescription({ type: 'offer', sdp })
    return setLocal(pc, await pc.createAnswer(), trickle)
  },
  async answered (pc, { sdp }) {
    await pc.setRemoteDescription({ type: 'answer', sdp })
    return {}
  },
  async rollback (pc) {
    await pc.setLocalDescription({ type: 'rollback' })
    return {}
  },
  async candidate (pc, { candidate, mid }) {
    await pc.addIceCandidate({ candidate, sdpMid: mid })
    return {}
  },
  async state (pc) {
    return { state: pc.iceConnectionState, connection: pc.connectionState }
  },
  async stats (pc) {
    const found = { pairs: [] }
    for (const report of (await pc.getStats()).values()) {
      if (report.type === 'candidate-pair') found.pairs.push(report)
    }
    return found
  },
  async close (pc, { pc: name }) {
    pc.close()
    connections.delete(name)
    return {}
  }
}

readline.createInterface({ input: process.stdin }).on('line', async line => {
  const command = JSON.parse(line)
  try {
    const result = await commands[command.do](connection(command.pc), command)
    say({ id: command.id, ...result })
  } catch (error) {
    say({ id: command.id, error: String(error) })
  }
}).on('close', () => process.exit(0))

say({ event: 'ready' })
