// libdatachannel: it has no restart, and gathers at once. Its argument is where node-datachannel is.
'use strict'
const path = require('node:path')
const { Audio, PeerConnection, Video } =
  require(path.join(process.argv[2], 'node_modules', 'node-datachannel'))

const told = {}
const connections = []
const made = () => {
  const pc = new PeerConnection('lab', { iceServers: [], disableAutoNegotiation: true })
  connections.push(pc)
  return pc
}
const gathered = (pc, type) => new Promise((resolve) => {
  pc.onGatheringStateChange((now) => {
    if (now === 'complete') resolve(pc.localDescription().sdp)
  })
  pc.setLocalDescription(type)
})
const exchanged = async (offerer, answerer, name) => {
  told[name] = await gathered(offerer, 'offer')
  answerer.setRemoteDescription(told[name], 'offer')
  const answer = await gathered(answerer, 'answer')
  offerer.setRemoteDescription(answer, 'answer')
  return answer
}
const keep = []
const withMedia = (pc) => {
  const audio = new Audio('audio', 'SendRecv')
  audio.addOpusCodec(111)
  audio.addSSRC(42, 'audio-send')
  const video = new Video('video', 'SendRecv')
  video.addH264Codec(102)
  video.addVP8Codec(96)
  video.addSSRC(43, 'video-send')
  keep.push(pc.addTrack(audio), pc.addTrack(video))
}

const tell = async () => {
  let one = made()
  let other = made()
  keep.push(one.createDataChannel('lab'))
  told.answer = await exchanged(one, other, 'data')

  one = made()
  other = made()
  withMedia(one)
  keep.push(one.createDataChannel('lab'))
  other.onTrack((track) => keep.push(track))
  told.media_answer = await exchanged(one, other, 'media')
  for (const pc of connections) pc.close()
}

tell().then(() => process.stdout.write(JSON.stringify(told), () => process.exit(0)))
