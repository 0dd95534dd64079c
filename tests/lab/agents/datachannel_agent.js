// libdatachannel (node-datachannel) behind one UNIX socket: run by node, with the path.
'use strict'
const net = require('node:net')
const readline = require('node:readline')
const datachannel = require('node-datachannel')

let connection = null
let waiting = null
let state = 'new'
let channel = null
let tracks = []

const begin = () => {
  const made = new datachannel.PeerConnection('lab', { iceServers: [], disableAutoNegotiation: true })
  made.onStateChange((now) => { if (made === connection) state = now })
  made.onGatheringStateChange((now) => {
    if (now === 'complete' && waiting) waiting(made.localDescription().sdp)
  })
  connection = made
  state = 'new'
  channel = null
  tracks = []
}
begin()

const described = (type) => new Promise((resolve) => {
  waiting = resolve
  const gathered = connection.gatheringState() === 'complete'
  connection.setLocalDescription(type)
  // It gathers once in its life.
  if (gathered) resolve(connection.localDescription().sdp)
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
  async candidate ({ candidate, mid }) {
    if (candidate) connection.addRemoteCandidate(candidate, mid)
    return {}
  },
  async media () {
    const audio = new datachannel.Audio('audio', 'SendRecv')
    audio.addOpusCodec(111)
    audio.addSSRC(42, 'audio-send')
    const video = new datachannel.Video('video', 'SendRecv')
    video.addVP8Codec(96)
    video.addSSRC(43, 'video-send')
    tracks.push(connection.addTrack(audio), connection.addTrack(video))
    return {}
  },
  async again ({ keep }) {
    if (!keep) connection.close()
    begin()
    return {}
  },
  async version () {
    return { version: datachannel.getLibraryVersion() }
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
