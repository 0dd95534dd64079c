// libdatachannel (node-datachannel) behind one UNIX socket: run by node, with the path.
'use strict'
const net = require('node:net')
const readline = require('node:readline')
const datachannel = require('node-datachannel')

const connection = new datachannel.PeerConnection('lab', { iceServers: [], disableAutoNegotiation: true })
let waiting = null
let state = 'new'
let channel = null
connection.onStateChange((now) => { state = now })
connection.onGatheringStateChange((now) => {
  if (now === 'complete' && waiting) waiting(connection.localDescription().sdp)
})

const described = (type) => new Promise((resolve) => {
  waiting = resolve
  connection.setLocalDescription(type)
})

const verbs = {
  async offer () {
    if (channel === null) channel = connection.createDataChannel('lab')
    return { sdp: await described('offer') }
  },
  async answer ({ sdp }) {
    connection.onDataChannel((opened) => { channel = opened })
    connection.setRemoteDescription(sdp, 'offer')
    return { sdp: await described('answer') }
  },
  async answered ({ sdp }) {
    connection.setRemoteDescription(sdp, 'answer')
    return {}
  },
  async candidate ({ candidate }) {
    if (candidate) connection.addRemoteCandidate(candidate, '0')
    return {}
  },
  async state () {
    // It says "connected" when SCTP is; the peer's fingerprint is there when DTLS is.
    return { state, peer: connection.remoteFingerprint().value }
  },
  async close () {
    connection.close()
    return {}
  }
}

net.createServer((socket) => {
  readline.createInterface({ input: socket }).on('line', async (line) => {
    const request = JSON.parse(line)
    let answer
    try {
      answer = await verbs[request.do](request)
    } catch (error) {
      answer = { error: String(error) }
    }
    socket.write(JSON.stringify(answer) + '\n')
  })
  socket.on('close', () => process.exit(0))
}).listen(process.argv[2])
